"""Penalties that keep a hypernetwork writing the same parameters for the tasks that it has learnt."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Literal, TypeGuard

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.optim import Optimizer

from .errors import InputError
from .hypernets.base import EmbeddingHypernet, SharedHead, join_chunks
from .swap import call_with
from .tensor_files import check_alike

MOST_TASKS = 10
"""Old tasks that the output regularizer looks at in one call, unless it is told to look at all: as many as the longest
benchmark of the paper has, where it is exact therefore."""


class Regularizer(ABC):
    """What keeps a hypernetwork writing the same parameters for the tasks that it has learnt: a penalty.

    A regularizer of your own says what it remembers when a task ends (`remember`) and what its penalty is
    (``__call__``). What it remembers has to be in ``state_dict()``, so that checkpoints have it.
    """

    needs_fisher: ClassVar[bool] = False
    """Whether `remember` is given the Fisher information of the target's parameters as a second argument."""
    draws: bool = False
    """Whether its penalty draws random numbers."""

    @property
    def stored_per_task(self) -> int:
        """Values that each further task adds to what weighs the parameters, beside the hypernetwork's own."""
        return 0

    @abstractmethod
    def remember(self, task: int, *fisher: Any) -> None:
        """Called when ``task`` has ended; with its Fisher information, a dict of tensors, if `needs_fisher`."""

    @abstractmethod
    def __call__(self) -> Tensor:
        """The penalty at the hypernetwork's present weights, a scalar; 0 while nothing is remembered."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: tensors and plain data."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""

    def check_state(self, tasks: int) -> None:  # noqa: B027  # a hook that need not be there
        """Raise `InputError` unless what was loaded is the state after so many tasks; here, nothing is looked at."""


class _TaskRegularizer(Regularizer):
    """What both penalties have in common: the tasks that are remembered, and beta times a mean over them."""

    form = "auto"
    """Whether another way of remembering may take the place of one that ceases to hold."""

    def __init__(self, hypernet: EmbeddingHypernet, beta: float, memory: "_Memory") -> None:
        if not 0 <= beta < float("inf"):
            raise InputError(f"beta must be a number >= 0, got {beta}")
        if not isinstance(hypernet, EmbeddingHypernet):
            raise InputError(
                f"a regularizer holds what an EmbeddingHypernet writes, and {type(hypernet).__name__} is none"
            )
        self.hypernet = hypernet
        self.beta = beta
        self.memory = memory
        self.tasks: list[int] = []

    def check_new(self, task: int) -> None:
        """Raise `InputError` for a task that is remembered already, or that there is not."""
        if task in self.tasks:
            raise InputError(f"task {task} is remembered already")
        self.hypernet.index(task)

    def hold(self, task: int) -> None:
        """Take what the hypernetwork writes now for what to hold on to, for ``task`` and all remembered before."""
        with _full_precision(self.hypernet):
            if isinstance(self.memory, _Features) and not writes_by_one_head(self.hypernet):
                if self.form == "gram":
                    raise InputError(f"{type(self.hypernet).__name__} has ceased to write by one linear head; use auto")
                self.memory = _Targets(self.hypernet)
            self.tasks.append(task)
            self.memory.store(self.hypernet.index(self.tasks))

    def __call__(self) -> Tensor:
        """The penalty at the hypernetwork's present weights, a scalar; 0 while nothing is remembered.

        It is a small difference of large numbers, so that `torch.autocast` is off within.
        """
        if not self.tasks:
            return self.hypernet.task_embeddings.new_zeros(())
        with _full_precision(self.hypernet):
            return self.beta * self.mean_distance()

    @abstractmethod
    def mean_distance(self) -> Tensor:
        """The mean distance over the old tasks, or an unbiased estimate of it."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: the remembered tasks and tensors."""
        return {"tasks": list(self.tasks), "memory": dict(self.memory.tensors)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; raises `InputError` for the state of a regularizer of another form."""
        device, memory = self.hypernet.task_embeddings.device, state["memory"]
        if self.form == "auto" and "targets" in memory:
            self.memory = _Targets(self.hypernet)  # its hypernetwork had ceased to write by one head
        if memory and ("targets" in memory) != isinstance(self.memory, _Targets):
            raise InputError("this is the state of a regularizer of another form, which remembers other tensors")
        self.tasks = list(state["tasks"])
        self.memory.tensors = {name: tensor.to(device) for name, tensor in memory.items()}
        self.memory.numbers = self.hypernet.index(self.tasks)

    def check_state(self, tasks: int) -> None:
        """Raise `InputError` unless the first so many tasks are remembered, by such tensors as it would keep now."""
        if self.tasks != list(range(tasks)) or any(type(task) is not int for task in self.tasks):
            raise InputError(f"tasks {self.tasks} are remembered, not the first {tasks}")
        kept, made = self.memory.tensors, {}
        if tasks:
            with _full_precision(self.hypernet):
                self.memory.store(self.memory.numbers)
            self.memory.tensors, made = kept, self.memory.tensors
        check_alike(kept, made)


class OutputRegularizer(_TaskRegularizer):
    r"""Distance of the generated parameters of old tasks from what they were before the present task.

    .. math::
        \frac{\beta}{T-1} \sum_{t<T} \lVert f_h(e_t, c, \Theta_h^*) - f_h(e_t, c, \Theta_h) \rVert^2

    a sum over parameters, not a mean (Chandra et al. 2022, equation 2; von Oswald et al. 2020, equation 2).
    :math:`\Theta_h^*` is the hypernetwork as it was at the last `remember`. Old task embeddings are constants: no
    gradient reaches them. With `lookahead` the present weights are :math:`\Theta_h + \Delta\Theta_h`. A hypernetwork's
    base cancels in the difference.

    Two forms give the same value and gradient:

    - ``"direct"`` generates all parameters of all old tasks and stores as many targets.
    - ``"gram"`` needs a `SharedHead`. With chunk = A W, where A = [features, 1] and W stacks the head's weight and
      bias, and d for the difference to what is remembered,

      .. math::
          & \lVert A W - A^* W^* \rVert^2 = \lVert A\,dW + dA\,W^* \rVert^2 \\
          & = \operatorname{tr}\big( A (dW\,dW^\top) A^\top \\
          & \quad + 2 A (dW\,W^{*\top}) dA^\top \\
          & \quad + dA (W^* W^{*\top}) dA^\top \big)

      takes three Gram matrices, as wide as A. No old parameters are generated, and a task adds only its
      features to memory. Nothing cancels, because every factor is a difference already.

    Args:
        hypernet: the hypernetwork.
        beta: the constant :math:`\beta` >= 0.
        form: ``"gram"`` and ``"direct"`` sum over all old tasks. ``"auto"`` takes ``"gram"`` wherever it can, and from
            more than `MOST_TASKS` old tasks on draws as many in each call, uniformly and without repetition; their mean
            stands for that over all: an unbiased estimate whose cost does not grow with the number of tasks.

    Raises:
        InputError: beta is negative or no number, the hypernetwork is no `EmbeddingHypernet`, or the form is not known
            or does not fit it.

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
        if form not in ("auto", "gram", "direct"):
            raise InputError(f"no form {form!r}; there are auto, gram and direct")
        memory: _Targets | _Gram
        if form != "direct" and writes_by_one_head(hypernet):
            memory = _Gram(hypernet)
        elif form == "gram":
            raise InputError(f"the Gram form needs a hypernetwork with one linear head, not {type(hypernet).__name__}")
        else:
            memory = _Targets(hypernet)
        super().__init__(hypernet, beta, memory)
        self.form = form
        self.memory: _Targets | _Gram = memory
        self.most = MOST_TASKS if form == "auto" else None

    def remember(self, task: int) -> None:
        """Hold on to what the hypernetwork writes now, for ``task`` and for all tasks remembered before.

        Raises `InputError` for a task that is remembered already, for an unknown task, and in the form ``"gram"`` for a
        hypernetwork that has ceased to be a `SharedHead`.
        """
        self.check_new(task)
        self.hold(task)

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether with all the hypernetwork's tasks a call looks at some of them alone."""
        return self.most is not None and self.hypernet.tasks - 1 > self.most

    def mean_distance(self) -> Tensor:
        if self.most is None or len(self.tasks) <= self.most:
            return self.memory.distance() / len(self.tasks)
        # The host draws, from the same stream on every machine, and does not wait until the device has the numbers.
        which = torch.randperm(len(self.tasks))[: self.most].to(self.memory.numbers.device, non_blocking=True)
        return self.memory.distance(which) / self.most


class ImportanceWeightedRegularizer(_TaskRegularizer):
    r"""The same distance with each parameter weighted by how much its own task needs it (IWR).

    .. math::
        \frac{\beta}{T-1} \sum_{t<T} \sum_i F^t_i \big(
        & f_{h,i}(e_t, c, \Theta_h^*) \\
        & - f_{h,i}(e_t, c, \Theta_h) \big)^2

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
        InputError: beta is negative or no number, the hypernetwork is no `EmbeddingHypernet`, or the normalization is
            not known.

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

    needs_fisher = True

    def __init__(
        self,
        hypernet: EmbeddingHypernet,
        beta: float,
        normalization: Literal["none", "mean"] = "mean",
        exact: bool = False,
    ) -> None:
        if normalization not in ("none", "mean"):
            raise InputError(f"no normalization {normalization!r}; there are none and mean")
        memory = _Features(hypernet) if writes_by_one_head(hypernet) else _Targets(hypernet)
        super().__init__(hypernet, beta, memory)
        self.normalization = normalization
        self.exact = exact
        self.draws = not exact
        self.fisher: list[Tensor] = []  # [N] each

    @property
    def stored_per_task(self) -> int:
        """The Fisher information."""
        return self.hypernet.layout.numel

    def remember(self, task: int, fisher: Mapping[str, Tensor] | Tensor) -> None:
        """Hold on to what the hypernetwork writes now, for ``task`` and for all tasks remembered before.

        Args:
            task: the task that has ended.
            fisher: its importance of each parameter, >= 0: a dict like the parameters, or one vector ``[N]``.

        Raises `InputError` for a task that is remembered already, and for importances of other names or shapes, NaN,
        infinite or negative.
        """
        self.check_new(task)
        self.fisher.append(self._checked(task, fisher))
        self.hold(task)

    def _checked(self, task: int, fisher: Mapping[str, Tensor] | Tensor) -> Tensor:
        layout = self.hypernet.layout
        if isinstance(fisher, Tensor):
            flat = fisher.detach()
        else:
            flat = layout.flatten(fisher, f"Fisher information of task {task}").detach()
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

    def mean_distance(self) -> Tensor:
        which = range(len(self.tasks)) if self.exact else [int(torch.randint(len(self.tasks), ()))]
        return self.distances(which).mean()

    def distances(self, which: Sequence[int]) -> Tensor:
        """Weighted squared distances of the remembered tasks in ``which``, counted from the first: ``[len(which)]``."""
        embeddings = self.hypernet.task_embeddings.detach()
        parts = []
        for i in which:
            moved = self.hypernet.write(embeddings[self.tasks[i]][None])[0] - self.memory.target(i)
            parts.append((self.fisher[i] * moved.square()).sum())
        return torch.stack(parts)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"fisher": list(self.fisher)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.fisher = [fisher.to(self.hypernet.task_embeddings.device) for fisher in state["fisher"]]

    def check_state(self, tasks: int) -> None:
        super().check_state(tasks)
        like = self.hypernet.task_embeddings.new_zeros(self.hypernet.layout.numel)
        check_alike({str(i): fisher for i, fisher in enumerate(self.fisher)}, {str(i): like for i in range(tasks)})
        if any(bool((fisher < 0).any()) for fisher in self.fisher):
            raise InputError("Fisher information below 0")


def _full_precision(hypernet: EmbeddingHypernet) -> AbstractContextManager[Any]:
    """No autocast within: it would round the parameters that a penalty takes the differences of."""
    return torch.autocast(hypernet.task_embeddings.device.type, enabled=False)


class _BothWays(torch.nn.Module):
    """What a hypernetwork writes for its first embedding, and what its head makes of its features, ``[2, N]``."""

    def __init__(self, hypernet: SharedHead) -> None:
        super().__init__()
        self.hypernet = hypernet

    def forward(self) -> Tensor:
        hypernet: Any = self.hypernet
        embedding, head = hypernet.task_embeddings[:1], hypernet.head
        # Not head(...): the Gram form reads the weights, and a hook would be passed over.
        chunks = torch.nn.functional.linear(hypernet.features(embedding), head.weight, head.bias)
        return torch.cat([hypernet.write(embedding), join_chunks(chunks, hypernet.layout.numel)])


@torch.no_grad()
def writes_by_one_head(hypernet: EmbeddingHypernet) -> TypeGuard[SharedHead]:
    """Whether it is a `SharedHead` that writes what a `SharedHead` writes: a subclass may do something else.

    Both ways of writing are compared at the present weights and at three others, since a part that starts at zero does
    not show at the start.
    """
    if not (
        isinstance(getattr(hypernet, "head", None), torch.nn.Linear) and callable(getattr(hypernet, "features", 0))
    ):
        return False
    both = _BothWays(hypernet)  # type: ignore[arg-type]  # as far as its parts go
    generator = torch.Generator().manual_seed(0)  # the run's own random numbers stay as they are
    for scale in (0.0, 0.01, 0.1, 1.0):
        moved = {
            name: p + scale * torch.randn(p.shape, generator=generator).to(p.device, p.dtype)
            for name, p in both.named_parameters()
        }
        try:
            written, by_head = call_with(both, moved)
        except (RuntimeError, TypeError, ValueError):  # features of another shape, or that need more than an embedding
            return False
        if written.is_meta:
            return True  # there are no numbers to compare
        if not torch.allclose(written, by_head, rtol=1e-4, atol=1e-5 * float(by_head.abs().max())):
            return False
    return True


class _Memory(ABC):
    """What the hypernetwork wrote for the remembered tasks when the last of them ended."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.numbers: Tensor  # [T], the remembered tasks

    @abstractmethod
    def store(self, numbers: Tensor) -> None:
        """Take what is written now for the tasks ``numbers``."""

    @abstractmethod
    def target(self, i: int) -> Tensor:
        """The parameters ``[N]`` of the i-th remembered task."""


class _Targets(_Memory):
    """The parameters themselves: [T, N]."""

    def __init__(self, hypernet: EmbeddingHypernet) -> None:
        super().__init__()
        self.hypernet = hypernet

    @torch.no_grad()
    def store(self, numbers: Tensor) -> None:
        self.numbers = numbers
        self.tensors = {"targets": self.hypernet.write(self.hypernet.task_embeddings[numbers])}

    def target(self, i: int) -> Tensor:
        return self.tensors["targets"][i]

    def distance(self, which: Tensor | None = None) -> Tensor:
        """Squared distance from what is written now, summed over the remembered tasks, or over those in ``which``."""
        numbers, targets = self.numbers, self.tensors["targets"]
        if which is not None:
            numbers, targets = numbers[which], targets[which]
        return (self.hypernet.write(self.hypernet.task_embeddings.detach()[numbers]) - targets).square().sum()


class _Features(_Memory):
    """Features [T, n_chunks, d1] and the head, from which the parameters can be written again."""

    def __init__(self, hypernet: SharedHead) -> None:
        super().__init__()
        self.hypernet = hypernet

    @torch.no_grad()
    def store(self, numbers: Tensor) -> None:
        self.numbers = numbers
        head = self.hypernet.head
        self.tensors = {
            "features": self.hypernet.features(self.hypernet.task_embeddings[numbers]),
            "weight": head.weight.clone(),
        }
        if head.bias is not None:
            self.tensors["bias"] = head.bias.clone()

    @torch.no_grad()
    def target(self, i: int) -> Tensor:
        old = self.tensors
        chunks = torch.nn.functional.linear(old["features"][i], old["weight"], old.get("bias"))
        return chunks.flatten()[: self.hypernet.layout.numel]


class _Gram(_Features):
    """The same, and the squared distance from it without writing anything."""

    @torch.no_grad()
    def store(self, numbers: Tensor) -> None:
        super().store(numbers)
        weight = self.tensors["weight"]
        parts = weight[: self.rest], weight[self.rest :]
        self.tensors["squares"] = torch.stack([part.T @ part for part in parts])

    @property
    def rest(self) -> int:
        """Rows of the head that the last chunk uses, where it is cut."""
        chunks = self.tensors["features"].shape[1]
        return self.hypernet.layout.numel - (chunks - 1) * len(self.tensors["weight"])

    def distance(self, which: Tensor | None = None) -> Tensor:
        """Squared distance from what would be written now, summed over the remembered tasks, or those in ``which``."""
        numbers, old = self.numbers, self.tensors
        if which is not None:
            numbers, old = numbers[which], old | {"features": old["features"][which]}
        features, head = self.hypernet.features(self.hypernet.task_embeddings.detach()[numbers]), self.hypernet.head
        distance: Tensor = _GramDistance.apply(
            features, head.weight, head.bias, old["features"], old["weight"], old.get("bias"), old["squares"], self.rest
        )
        return distance


class _GramDistance(torch.autograd.Function):
    r"""The squared distance of A W from A* W*, with a backward pass that is written out.

    With d = W - W* (a row for each output), X = [A, dA] and V = [d, W*], the difference is E = X V^T, which is never
    formed. With the Gram matrix M = V^T V, whose corner W*^T W* is remembered, value and gradients are

        <X M, X>,    by W: 2 E^T A = 2 V X^T A,    by A: 2 E (d + W*) = 2 X M summed over its two halves

    Autograd would come to the same with several more passes over memory of the size of W, which are what this costs;
    with d and W* side by side there is one in each direction.

    Shapes: features ``[T, n_chunks, d1]``, weight ``[d2, d1]``, bias ``[d2]`` or None; the same of what is remembered,
    and its W*^T W* ``[2, d1, d1]`` over the first ``rest`` rows of the head, which all chunks use, and over the others.
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
        change, width = features - old_features, features.shape[2]
        if bias is not None:
            features = torch.nn.functional.pad(features, (0, 1), value=1.0)  # the constant 1, whose change is 0
        columns = features.shape[2]
        v = _empty_as(weight, columns + width)  # written in place: cat would copy d again
        torch.sub(weight, old_weight, out=v[:, :width])
        if bias is not None and old_bias is not None:
            torch.sub(bias, old_bias, out=v[:, width])
        v[:, columns:] = old_weight
        parts = [part for part in v.split([rest, len(v) - rest]) if len(part)]
        m = v.new_empty(len(parts), v.shape[1], v.shape[1])
        for part, products in zip(parts, m, strict=True):
            torch.mm(part[:, :columns].T, part, out=products[:columns])
        m[:, columns:, :columns] = m[:, :columns, columns:].mT
        m[:, columns:, columns:] = squares[: len(parts)]
        x = torch.cat([features, change], dim=2).repeat(len(parts), 1, 1, 1)
        x[1:, :, -1] = 0  # the last chunk of a task has no second part
        x = x.flatten(1, 2)
        xm = x @ m
        by_features = (xm[..., :width] + xm[..., columns:]).sum(0).view_as(change)
        ctx.save_for_backward(v, by_features, x.mT @ x[..., :columns])
        ctx.rest, ctx.has_bias = rest, bias is not None
        return (xm * x).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        v, by_features, xa = ctx.saved_tensors
        g = 2 * gradient
        by_d, sizes = _empty_as(v, xa.shape[2]), [ctx.rest, len(v) - ctx.rest]
        for part, by_part, products in zip(v.split(sizes), by_d.split(sizes), g * xa, strict=False):
            torch.mm(part, products, out=by_part)
        by_weight, by_bias = (by_d[:, :-1], by_d[:, -1]) if ctx.has_bias else (by_d, None)
        return g * by_features, by_weight, by_bias, None, None, None, None, None


def _empty_as(weight: Tensor, columns: int) -> Tensor:
    """A new ``[len(weight), columns]``, whose rows or whose columns lie side by side in memory, as ``weight``'s do."""
    if weight.stride(0) == 1:
        return weight.new_empty(columns, len(weight)).T
    return weight.new_empty(len(weight), columns)


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
        try:
            optimizer.step()
        finally:
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
