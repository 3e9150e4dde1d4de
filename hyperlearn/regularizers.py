"""Penalties that keep a hypernetwork writing the same parameters for the tasks that it has learnt."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from .errors import InputError
from .hypernets.base import EmbeddingHypernet, SharedHead


class OutputRegularizer:
    r"""Distance of the generated parameters of old tasks from what they were before the present task.

    .. math::
        \frac{\beta}{T-1} \sum_{t<T} \lVert f_h(e_t, c, \Theta_h^*) - f_h(e_t, c, \Theta_h) \rVert^2

    a sum over parameters, not a mean (Chandra et al. 2022, equation 2; von Oswald et al. 2020, equation 2).
    :math:`\Theta_h^*` is the hypernetwork as it was at the last `remember`. Old task embeddings are constants: no
    gradient reaches them. With `lookahead` the present weights are :math:`\Theta_h + \Delta\Theta_h`.

    Two forms give the same value and gradient:

    - ``"direct"`` generates all parameters of all old tasks and stores as many targets.
    - ``"gram"`` needs a `SharedHead`. With chunk = A W, where A = [features, 1] and W stacks the head's weight and
      bias, and d for the difference to what is remembered,

      .. math::
          \lVert A W - A^* W^* \rVert^2 = \lVert A\,dW + dA\,W^* \rVert^2
          = \sum A (dW\,dW^\top) A^\top + 2 A (dW\,W^{*\top}) dA^\top + dA (W^* W^{*\top}) dA^\top

      takes three Gram matrices of the size of A's rows. No old parameters are generated, and a task adds only its
      features to memory. Nothing cancels, because every factor is a difference already.

    Args:
        hypernet: the hypernetwork.
        beta: the constant :math:`\beta` >= 0.
        form: ``"auto"`` takes ``"gram"`` wherever it can.

    Raises:
        InputError: beta is negative or no number, or the form does not fit the hypernetwork.

    Example:
        >>> from hyperlearn.hypernets import ChunkedHypernet
        >>> hypernet = ChunkedHypernet(torch.nn.Linear(4, 2), tasks=2, chunk_size=4, task_dim=3, chunk_dim=3)
        >>> penalty = OutputRegularizer(hypernet, beta=0.01)
        >>> penalty().item()  # nothing to remember yet
        0.0
        >>> penalty.remember(0)
        >>> with torch.no_grad():
        ...     hypernet.head.bias += 1  # each of the 10 generated values moves by 1
        >>> round(penalty().item(), 6)
        0.1
    """

    def __init__(
        self, hypernet: EmbeddingHypernet, beta: float, form: Literal["auto", "gram", "direct"] = "auto"
    ) -> None:
        if not 0 <= beta < float("inf"):
            raise InputError(f"beta must be a number >= 0, got {beta}")
        shared = isinstance(hypernet, SharedHead)
        if form == "gram" and not shared:
            raise InputError(f"the Gram form needs a hypernetwork with one linear head, not {type(hypernet).__name__}")
        self.hypernet = hypernet
        self.beta = beta
        self.memory: _Gram | _Direct
        if isinstance(hypernet, SharedHead) and form != "direct":
            self.memory = _Gram(hypernet)
        else:
            self.memory = _Direct(hypernet)
        self.tasks: list[int] = []

    def remember(self, task: int) -> None:
        """Hold on to what the hypernetwork writes now, for ``task`` and for all tasks remembered before."""
        if task in self.tasks:
            raise InputError(f"task {task} is remembered already")
        self.hypernet.index(task)  # refuses a task there is not
        self.tasks.append(task)
        self.memory.store(self.tasks)

    def __call__(self) -> Tensor:
        """The penalty at the hypernetwork's present weights, a scalar; 0 while nothing is remembered."""
        if not self.tasks:
            return next(self.hypernet.parameters()).new_zeros(())
        return self.beta / len(self.tasks) * self.memory.distance()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: the remembered tasks and tensors."""
        return {"tasks": list(self.tasks), "memory": dict(self.memory.tensors)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.tasks = list(state["tasks"])
        self.memory.tensors = dict(state["memory"])
        if self.tasks:
            self.memory.numbers = self.hypernet.index(self.tasks)


class _Direct:
    """Targets are generated once and stored: [T, N]."""

    def __init__(self, hypernet: EmbeddingHypernet) -> None:
        self.hypernet = hypernet
        self.tensors: dict[str, Tensor] = {}
        self.numbers: Tensor

    @torch.no_grad()
    def store(self, tasks: list[int]) -> None:
        self.numbers = self.hypernet.index(tasks)
        self.tensors = {"targets": self.hypernet.flat(self.numbers)}

    def distance(self) -> Tensor:
        flat = self.hypernet.write(self.hypernet.task_embeddings.detach()[self.numbers])
        return (flat - self.tensors["targets"]).square().sum()


class _Gram:
    """Features [T, n_chunks, d1] and the head's weight are stored."""

    def __init__(self, hypernet: SharedHead) -> None:
        self.hypernet = hypernet
        self.tensors: dict[str, Tensor] = {}
        self.numbers: Tensor

    @torch.no_grad()
    def store(self, tasks: list[int]) -> None:
        self.numbers = torch.tensor(tasks, device=self.hypernet.task_embeddings.device)
        head = self.hypernet.head
        self.tensors = {
            "features": self.hypernet.features(self.hypernet.task_embeddings[self.numbers]),
            "weight": head.weight.detach().clone(),
            "squares": torch.stack([part.T @ part for part in self._parts(head.weight)]),  # R of each part
        }
        if head.bias is not None:
            self.tensors["bias"] = head.bias.detach().clone()

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of the head that all chunks use, and those that the last chunk does not, where it is cut."""
        chunks = self.hypernet.features(self.hypernet.task_embeddings[:1]).shape[1]
        rest = self.hypernet.layout.numel - (chunks - 1) * len(rows)
        return rows[:rest], rows[rest:]

    def distance(self) -> Tensor:
        features = self.hypernet.features(self.hypernet.task_embeddings.detach()[self.numbers])
        head, old = self.hypernet.head, self.tensors
        rest = self.hypernet.layout.numel - (features.shape[1] - 1) * len(head.weight)
        distance: Tensor = _GramDistance.apply(
            features, head.weight, head.bias, old["features"], old["weight"], old.get("bias"), old["squares"], rest
        )
        return distance


class _GramDistance(torch.autograd.Function):
    r"""The squared distance of A W from A* W*, with a backward pass that is written out.

    With d = W - W* (a row for each output) and E = A d^T + dA W*^T, which is never formed, the gradients are

        by W:  2 E^T A       = 2 (d A^T A + W* dA^T A)
        by A:  2 E (d + W*)  = 2 (A P + dA Q^T + A Q + dA R),    P = d^T d,  Q = d^T W*,  R = W*^T W*

    Autograd would come to the same with several more passes over memory of the size of W, which are what this costs.

    Shapes: features ``[T, n_chunks, d1]``, weight ``[d2, d1]``, bias ``[d2]`` or None; the same of what is remembered,
    and its R ``[2, d1, d1]`` over the first ``rest`` rows of the head, which all chunks use, and over the others.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        old_features: Tensor,
        old_weight: Tensor,
        old_bias: Tensor | None,
        squares: Tensor,
        rest: int,
    ) -> Tensor:
        width, chunks = features.shape[-1], features.shape[1]
        d, change = weight - old_weight, features - old_features
        if bias is not None and old_bias is not None:
            d = torch.cat([d, (bias - old_bias)[:, None]], dim=1)
            features = torch.nn.functional.pad(features, (0, 1), value=1.0)  # the constant 1, whose change is 0
        total, by_features, sums = d.new_zeros(()), torch.zeros_like(change), []
        parts = ((slice(0, rest), slice(0, chunks)), (slice(rest, None), slice(0, chunks - 1)))
        for (rows, part), r in zip(parts, squares, strict=True):
            if rows.start == len(weight):
                break
            a, da = features[:, part].flatten(0, 1), change[:, part].flatten(0, 1)
            q = d[rows].T @ old_weight[rows]
            ap, aq, dar = a @ (d[rows].T @ d[rows]), a @ q, da @ r
            total += (ap * a).sum() + ((2 * aq + dar) * da).sum()
            by_features[:, part] += ((ap + da @ q.T)[:, :width] + aq + dar).unflatten(0, (len(features), -1))
            sums.append((rows, a.T @ a, da.T @ a))
        ctx.save_for_backward(d, old_weight, by_features)
        ctx.sums, ctx.has_bias = sums, bias is not None
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        d, old_weight, by_features = ctx.saved_tensors
        g = 2 * gradient
        by_d = torch.empty_like(d)
        for rows, aa, daa in ctx.sums:
            torch.mm(d[rows], g * aa, out=by_d[rows])
            by_d[rows] += old_weight[rows] @ (g * daa)
        by_weight, by_bias = (by_d[:, :-1], by_d[:, -1]) if ctx.has_bias else (by_d, None)
        return g * by_features, by_weight, by_bias, None, None, None, None, None


class ImportanceWeightedRegularizer:
    r"""The same distance with each parameter weighted by how much its own task needs it (IWR).

    .. math::
        \frac{\beta}{T-1} \sum_{t<T} \sum_i F^t_i
        \left( f_{h,i}(e_t, c, \Theta_h^*) - f_{h,i}(e_t, c, \Theta_h) \right)^2

    (Chandra et al. 2022, arXiv 2209.07712, equation 3.) :math:`F^t` is the diagonal of the Fisher information of the
    *target's* parameters (equation 4), taken once, when task t ends; see `hyperlearn.fisher_information`. The rest is
    as in `OutputRegularizer`, and with F = 1 both are the same.

    The weighted sum has no Gram form. By default one old task is drawn in each call, uniformly, and its term stands for
    the mean over all: an unbiased estimate whose cost does not grow with the number of tasks. The host draws,
    from torch's global generator, whatever the device.

    F costs as many stored numbers for each task as the target has parameters, which the paper's argument about memory
    leaves out. Targets cost less: where the hypernetwork is a `SharedHead` they are regenerated from the remembered
    features and head, one task at a time.

    Args:
        hypernet: the hypernetwork.
        beta: the constant :math:`\beta` >= 0.
        normalization: ``"none"`` takes F as it is; its scale then differs from task to task by orders of magnitude.
            ``"mean"`` divides it by its mean over the parameters, so that :math:`\beta` means what it means in
            `OutputRegularizer`. An F that is 0 throughout stays 0.
        exact: sum over all old tasks in each call instead of drawing one.

    Raises:
        InputError: beta is negative or no number, or the normalization is not known.

    Example:
        >>> from hyperlearn.hypernets import ChunkedHypernet
        >>> hypernet = ChunkedHypernet(torch.nn.Linear(4, 2), tasks=2, chunk_size=4, task_dim=3, chunk_dim=3)
        >>> penalty = ImportanceWeightedRegularizer(hypernet, beta=0.01)
        >>> penalty.remember(0, {"weight": torch.ones(2, 4), "bias": torch.zeros(2)})
        >>> with torch.no_grad():
        ...     hypernet.head.bias += 1  # 8 of the 10 generated values are weights, of mean importance 0.8
        >>> round(penalty().item(), 6)
        0.1
    """

    def __init__(
        self,
        hypernet: EmbeddingHypernet,
        beta: float,
        normalization: Literal["none", "mean"] = "mean",
        exact: bool = False,
    ) -> None:
        if not 0 <= beta < float("inf"):
            raise InputError(f"beta must be a number >= 0, got {beta}")
        if normalization not in ("none", "mean"):
            raise InputError(f"no normalization {normalization!r}; there are none and mean")
        self.hypernet = hypernet
        self.beta = beta
        self.normalization = normalization
        self.exact = exact
        self.memory: _Features | _Targets = (
            _Features(hypernet) if isinstance(hypernet, SharedHead) else _Targets(hypernet)
        )
        self.tasks: list[int] = []
        self.fisher: list[Tensor] = []  # [N] each

    def remember(self, task: int, fisher: Mapping[str, Tensor] | Tensor) -> None:
        """Hold on to what the hypernetwork writes now, for ``task`` and for all tasks remembered before.

        Args:
            task: the task that has ended.
            fisher: its importance of each parameter, >= 0: a dict like the parameters, or one vector ``[N]``.

        Raises `InputError` for a task that is remembered already, and for importances of other names or shapes, NaN,
        infinite or negative.
        """
        if task in self.tasks:
            raise InputError(f"task {task} is remembered already")
        self.hypernet.index(task)  # refuses a task there is not
        self.fisher.append(self._checked(task, fisher))
        self.tasks.append(task)
        self.memory.store(self.hypernet.index(self.tasks))

    def _checked(self, task: int, fisher: Mapping[str, Tensor] | Tensor) -> Tensor:
        layout = self.hypernet.layout
        if isinstance(fisher, Tensor):
            flat = fisher.detach()
        else:
            layout.check(fisher, f"Fisher information of task {task}")
            flat = layout.flatten(fisher).detach()
        if flat.shape != (layout.numel,):
            raise InputError(
                f"Fisher information of task {task}: shape {tuple(flat.shape)}, expected ({layout.numel},), one value "
                "for each parameter of the target"
            )
        if not bool((flat.isfinite() & (flat >= 0)).all()):
            raise InputError(f"Fisher information of task {task}: negative, NaN or infinite values")
        weights = self.hypernet.task_embeddings
        flat = flat.to(weights.device, weights.dtype, copy=True)
        mean = flat.mean()
        return flat / mean if self.normalization == "mean" and bool(mean > 0) else flat

    def __call__(self) -> Tensor:
        """The penalty at the hypernetwork's present weights, a scalar; 0 while nothing is remembered."""
        if not self.tasks:
            return next(self.hypernet.parameters()).new_zeros(())
        if self.exact:
            return self.beta / len(self.tasks) * self.distances(range(len(self.tasks))).sum()
        # The host draws: it knows at once which F that is, and nothing waits for the device.
        return self.beta * self.distances([int(torch.randint(len(self.tasks), ()))]).sum()

    def distances(self, which: Sequence[int]) -> Tensor:
        """Weighted squared distances of the remembered tasks in ``which``, counted from the first: ``[len(which)]``."""
        embeddings = self.hypernet.task_embeddings.detach()
        parts = []
        for i in which:
            moved = self.hypernet.write(embeddings[self.tasks[i]][None])[0] - self.memory.target(i)
            parts.append((self.fisher[i] * moved.square()).sum())
        return torch.stack(parts)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: the remembered tasks, importances and tensors."""
        return {"tasks": list(self.tasks), "fisher": list(self.fisher), "memory": dict(self.memory.tensors)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.tasks = list(state["tasks"])
        self.fisher = list(state["fisher"])
        self.memory.tensors = dict(state["memory"])


class _Targets:
    """What to hold on to is stored: [T, N]."""

    def __init__(self, hypernet: EmbeddingHypernet) -> None:
        self.hypernet = hypernet
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def store(self, tasks: Tensor) -> None:
        self.tensors = {"targets": self.hypernet.flat(tasks)}

    def target(self, i: int) -> Tensor:
        return self.tensors["targets"][i]


class _Features:
    """What to hold on to is regenerated from features [T, n_chunks, d1] and the head."""

    def __init__(self, hypernet: SharedHead) -> None:
        self.hypernet = hypernet
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def store(self, tasks: Tensor) -> None:
        head = self.hypernet.head
        self.tensors = {
            "features": self.hypernet.features(self.hypernet.task_embeddings[tasks]),
            "weight": head.weight.clone(),
        }
        if head.bias is not None:
            self.tensors["bias"] = head.bias.clone()

    @torch.no_grad()
    def target(self, i: int) -> Tensor:
        chunks = torch.nn.functional.linear(
            self.tensors["features"][i], self.tensors["weight"], self.tensors.get("bias")
        )
        return chunks.flatten()[: self.hypernet.layout.numel]


@contextmanager
def lookahead(optimizer: Optimizer, only: Iterable[Tensor] | None = None) -> Iterator[None]:
    r"""Move the weights to where the optimizer's next step would take them, and back at the end.

    Inside, :math:`\Theta_h + \Delta\Theta_h` of equation 2 stands in the place of :math:`\Theta_h`, where
    :math:`\Delta\Theta_h` is the step that ``optimizer`` takes on the gradients that the weights have now. It is a
    constant: no gradient flows through it (the reference implementation's default). The optimizer takes the step
    itself, and then gets back the state that it had.

    Args:
        optimizer: of any kind that needs no closure.
        only: the weights to move; default: all that have a gradient.

    Example, one training step with the regularizer evaluated ahead::

        task_loss.backward()
        with lookahead(optimizer):
            penalty().backward()
        optimizer.step()
    """
    chosen = None if only is None else {id(p) for p in only}
    graded = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    moved = [p for p in graded if chosen is None or id(p) in chosen]
    unmoved = [(p, p.grad) for p in graded if chosen is not None and id(p) not in chosen]
    for p, _ in unmoved:
        p.grad = None  # the optimizer passes over it
    kept = [p.detach().clone() for p in moved]
    states = [(p, optimizer.state[p]) for p in moved if p in optimizer.state]
    for p, state in states:
        optimizer.state[p] = {name: v.clone() if isinstance(v, Tensor) else v for name, v in state.items()}
    try:
        optimizer.step()
        for p in moved:
            optimizer.state.pop(p, None)  # there is none where the optimizer keeps nothing
        optimizer.state.update(states)
        for p, gradient in unmoved:
            p.grad = gradient
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(moved, kept, strict=True):
                p.copy_(value)
