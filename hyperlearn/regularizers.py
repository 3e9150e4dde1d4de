"""Penalties that keep a hypernetwork writing the same parameters for the tasks that it has learnt."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from .errors import InputError
from .hypernets.base import EmbeddingHypernet
from .remembered import Features, Gram, Memory, Targets, writes_by_one_head
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

    def __init__(self, hypernet: EmbeddingHypernet, beta: float, memory: Memory) -> None:
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
            if isinstance(self.memory, Features) and not writes_by_one_head(self.hypernet):
                if self.form == "gram":
                    raise InputError(f"{type(self.hypernet).__name__} has ceased to write by one linear head; use auto")
                self.memory = Targets(self.hypernet)
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
            self.memory = Targets(self.hypernet)  # its hypernetwork had ceased to write by one head
        if memory and ("targets" in memory) != isinstance(self.memory, Targets):
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
        memory: Targets | Gram
        if form != "direct" and writes_by_one_head(hypernet):
            memory = Gram(hypernet)
        elif form == "gram":
            raise InputError(f"the Gram form needs a hypernetwork with one linear head, not {type(hypernet).__name__}")
        else:
            memory = Targets(hypernet)
        super().__init__(hypernet, beta, memory)
        self.form = form
        self.memory: Targets | Gram = memory
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
        memory = Features(hypernet) if writes_by_one_head(hypernet) else Targets(hypernet)
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
