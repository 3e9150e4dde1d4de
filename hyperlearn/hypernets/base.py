"""What all hypernetworks have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Literal, Protocol, TypedDict, Unpack

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..params import ParamLayout, Params, Selection, count, others

Tasks = int | Sequence[int] | Tensor
"""One task or several: an int, a sequence of ints, or an int64 tensor of no or one dimension."""

Base = Literal["target"]
"""What the written values are added to: those that the target has when the hypernetwork is made."""


class Part(TypedDict, total=False):
    """Which part of the target is generated, and on top of what: keywords that every hypernetwork passes on."""

    generate: Selection
    base: Base | None


class Hypernetwork(nn.Module, ABC):
    r"""A module whose forward returns the parameters of a target network for a task.

    It generates *every* parameter of the target that is not frozen, or those that ``generate`` names, in the order of
    ``target.named_parameters()``. The target itself is not kept: only the names and shapes of its parameters are, and
    the values of those that are not generated, which are the same for all tasks.

    With ``base="target"`` what is written is added to the values :math:`\Theta^0` that the target has now,

    .. math:: \Theta^t = \Theta^0 + f_h(e_t, c)

    so that a hypernetwork whose head is zero starts as the target, a pretrained network say. The regularizers take
    differences of what is written, in which :math:`\Theta^0` cancels.

    Args:
        target: any module with parameters.
        tasks: how many tasks it can tell apart.
        generate: ``"trainable"`` for all parameters that are not frozen, or shell patterns of the names of those to be
            generated, such as ``["head.*"]``.
        base: ``"target"`` to add what is written to the target's present values, None to take it as it is.

    Raises `InputError` for a pattern that matches no name and for a base that there is not.
    """

    grows = False
    """Whether it has as many tasks as were begun, and not all from the start."""
    keeps_learnt = False
    """Whether what it writes for a task stays the same from the task's end on."""
    stepwise = False
    """Whether an LSTM is run step by step, which `torch.func.vmap` can follow, and not by one call, which is faster."""

    base_values: Tensor | None  # [N]

    def __init__(
        self, target: nn.Module, tasks: int, *, generate: Selection = "trainable", base: Base | None = None
    ) -> None:
        super().__init__()
        if tasks < 1:
            raise InputError(f"a hypernetwork needs at least one task, got {tasks}")
        if base not in (None, "target"):
            raise InputError(f"no base {base!r}; there are 'target' and None")
        self.layout = ParamLayout.of(target, generate)
        self.tasks = tasks
        self.shared: int | None = None
        self._of_shared: Tensor | None = None
        self.names = [name for name, _ in target.named_parameters()]
        self.frozen_names = list(others(target, self.layout))
        for number, kept in enumerate(others(target, self.layout).values()):
            self.register_buffer(f"frozen_{number}", kept.detach().clone())
        own = {name: p.detach() for name, p in target.named_parameters()}
        chosen = {name: own[name] for name in self.layout.names}
        self.register_buffer("base_values", self.layout.flatten(chosen) if base else None)

    @property
    @abstractmethod
    def stored_per_task(self) -> int:
        """Values that each further task adds."""

    @property
    def trained(self) -> int:
        """Values that are trained, all tasks together."""
        return count(self)

    @property
    def task_rows(self) -> tuple[nn.Parameter, ...]:
        """Parameters ``[tasks, ...]`` whose row t belongs to task t alone; a learner keeps the rows of old tasks."""
        return ()

    def begin_task(self, task: int) -> None:
        """Called before the first step of ``task``; one that grows gets what the task needs here."""

    def extend(self) -> None:
        """Make room for one task more than was planned; raises `InputError` where that cannot be done."""
        raise InputError(f"{type(self).__name__} has its {self.tasks} tasks and cannot get another")

    @abstractmethod
    def flat(self, tasks: Tasks) -> Tensor:
        """The generated parameters of several tasks, each as one vector: ``[T, N]``, see `on_base`.

        Raises `InputError` for a task there is not.
        """

    def on_base(self, written: Tensor) -> Tensor:
        """The parameters ``[..., N]``, where ``written [..., N]`` is what the network has written."""
        return written if self.base_values is None else self.base_values + written

    def start_head_(self, weight: Tensor, start: Callable[[Tensor], None]) -> None:
        """The head's first weights: those of ``start``; zeros on a base, so that what is written starts as the base."""
        if self.base_values is None:
            start(weight)
        else:
            nn.init.zeros_(weight)

    def extra_repr(self) -> str:
        kept = sum(p.numel() for p in self.kept().values())
        on = "" if self.base_values is None else ", on the target's own values"
        return f"tasks={self.tasks}, generates {self.layout.numel:,} of {self.layout.numel + kept:,} parameters{on}"

    def forward(self, task: int | Tensor) -> Params:
        """Parameters of one task, for ``torch.func.functional_call(target, params, (images,))``, frozen ones too.

        Raises `InputError` for an unknown task, and for several at once (see `params`).
        """
        if self._of_shared is not None and isinstance(task, int) and task == self.shared:
            return self.complete(self.on_base(self._of_shared))
        flat = self.flat(task)
        if len(flat) != 1:
            raise InputError(f"one task is asked for, got {len(flat)}; params(tasks) has those of several")
        return self.complete(flat.squeeze(0))

    @contextmanager
    def sharing(self, task: int) -> Iterator[None]:
        """Within, what is written for ``task`` may be written by others along with what they need, see `share`.

        Not under `torch.autocast`, which penalties do without.
        """
        if not torch.is_autocast_enabled(next(self.parameters()).device.type):
            self.shared = task
        try:
            yield
        finally:
            self.shared = self._of_shared = None

    def share(self, written: Tensor) -> None:
        """Take ``written [N]``, a base not in it, for what `forward` would write for the task ``shared``."""
        self._of_shared = written

    def params(self, tasks: Tasks) -> Params:
        """Parameters of several tasks, stacked: ``[T, *shape]`` each. Raises `InputError` for an unknown task."""
        return self.complete(self.flat(tasks))

    def complete(self, flat: Tensor) -> Params:
        """All parameters by name, those generated from ``flat [..., N]`` and those that stay beside them."""
        made = self.layout.unflatten(flat)
        for name, kept in self.kept().items():
            made[name] = kept.expand(*flat.shape[:-1], *kept.shape)
        return {name: made[name] for name in self.names}

    def kept(self) -> Params:
        """The target's parameters that are not generated, by name: the same for all tasks."""
        return {name: getattr(self, f"frozen_{number}") for number, name in enumerate(self.frozen_names)}

    def index(self, tasks: Tasks) -> Tensor:
        """``tasks`` as an int64 tensor ``[T]`` on the module's device; raises `InputError` for a task there is not.

        The values of a tensor are not looked at, because that would make the host wait for the device.
        """
        device = next(self.parameters()).device
        if isinstance(tasks, Tensor):
            return tasks.to(device).reshape(-1)
        numbers = self.numbers(tasks)
        if len(numbers) == 1:  # the present task, in each step: written by the device itself
            return torch.full((1,), numbers[0], device=device)
        return torch.tensor(numbers, dtype=torch.int64).to(device, non_blocking=True)

    def numbers(self, tasks: int | Iterable[int]) -> list[int]:
        """``tasks`` as a list; raises `InputError` for a task there is not."""
        numbers = list(tasks) if isinstance(tasks, Iterable) else [tasks]
        for number in numbers:
            if not (isinstance(number, Integral) and 0 <= number < self.tasks):
                raise InputError(f"no task {number}: the hypernetwork has tasks 0 to {self.tasks - 1}")
        return [int(number) for number in numbers]


class GrowingHypernetwork(Hypernetwork, ABC):
    """Each task has weights of its own, which are frozen when the next one begins: what is written for it stays.

    A subclass adds them in `add_task`, and names in ``own_weights`` the list of parameters that has one for each task.
    """

    grows = True
    keeps_learnt = True
    own_weights: ClassVar[str]

    @abstractmethod
    def add_task(self) -> int:
        """Freeze everything and begin another task; returns the new task's number."""

    def begin_task(self, task: int) -> None:
        """Add the task, if it is not there."""
        if self.tasks == task:
            self.add_task()

    def freeze(self) -> None:
        """Let nothing move what is there."""
        self.requires_grad_(False)
        self.zero_grad(set_to_none=True)  # an optimizer that knows the weights would go on moving them

    def extend(self) -> None:
        """There is always room: `begin_task` makes it."""

    def read(self, tasks: Tasks) -> list[int]:
        """The numbers of ``tasks``, which decide which weights are used; a tensor of them is read by the host.

        In training the task is an int, and nothing waits for the device. Raises `InputError` for an unknown task.
        """
        return self.numbers(tasks.reshape(-1).tolist() if isinstance(tasks, Tensor) else tasks)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # A checkpoint may be of more tasks than there are here: grow to as many before its tensors are copied.
        stored = sum(name.startswith(f"{prefix}{self.own_weights}.") for name in state_dict)
        while self.tasks < stored:
            self.add_task()
        super()._load_from_state_dict(state_dict, prefix, *args)


class EmbeddingHypernet(Hypernetwork, ABC):
    r"""One set of weights for all tasks, which it tells apart by a learnt embedding :math:`e_t` alone.

    A subclass says how embeddings become parameters (`write`). What it writes for a task may then drift while another
    is learnt, which the regularizers hold against.

    Args:
        target: any module with parameters.
        tasks: how many tasks it can tell apart.
        task_dim: size of a task embedding; embeddings start from N(0, 1).
        generate: which parameters, see `Hypernetwork`.
        base: what they are added to, see `Hypernetwork`.
    """

    def __init__(
        self,
        target: nn.Module,
        tasks: int,
        task_dim: int,
        **part: Unpack[Part],
    ) -> None:
        super().__init__(target, tasks, **part)
        if task_dim < 1:
            raise InputError(f"a task embedding needs at least one value, got {task_dim}")
        self.task_embeddings = nn.Parameter(torch.randn(tasks, task_dim))

    @property
    def stored_per_task(self) -> int:
        """Values that each further task adds: its embedding."""
        return self.task_embeddings.shape[1]

    @property
    def task_rows(self) -> tuple[nn.Parameter, ...]:
        return (self.task_embeddings,)

    def extend(self) -> None:
        """Draw the embedding of one task more, from N(0, 1)."""
        old = self.task_embeddings
        further = torch.randn(1, old.shape[1], device=old.device, dtype=old.dtype)
        self.task_embeddings = nn.Parameter(torch.cat([old.detach(), further]))
        self.tasks += 1

    @abstractmethod
    def write(self, embeddings: Tensor) -> Tensor:
        """Parameters ``[T, N]`` for the embeddings ``[T, task_dim]``, which need not be those of a task.

        A base, if there is one, is not in it.
        """

    def flat(self, tasks: Tasks) -> Tensor:
        return self.on_base(self.write(self.task_embeddings[self.index(tasks)]))


class SharedHead(Protocol):
    """What the Gram form needs of an `EmbeddingHypernet`: it ends in one linear layer for all chunks of all tasks.

    Chunk j of task t is ``features(e_t)[j] @ head.weight.T + head.bias``. Whether a hypernetwork is one is asked by
    `hyperlearn.remembered.writes_by_one_head`, which compares numbers. ``isinstance`` cannot tell: from Python 3.12
    on it looks past the attributes that a module finds by ``__getattr__``, its layers and parameters.
    """

    layout: ParamLayout
    task_embeddings: nn.Parameter  # [tasks, task_dim]
    head: nn.Linear  # d1 -> chunk_size
    shared: int | None

    def share(self, written: Tensor) -> None:
        """As `Hypernetwork.share`."""
        ...

    def features(self, embeddings: Tensor) -> Tensor:
        """Inputs of the head for the task embeddings ``[T, task_dim]``: ``[T, n_chunks, d1]``."""
        ...


@dataclass(frozen=True)
class ChunkRule:
    """How many trainable parameters a hypernetwork has with chunks of one size or another.

    Args:
        fixed: parameters whose number does not depend on the chunks.
        per_chunk: of each chunk: its embedding.
        per_value: of each value of a chunk: a row of the head.
    """

    fixed: int
    per_chunk: int
    per_value: int

    def trainable(self, numel: int, chunk_size: int) -> int:
        """Trainable parameters of a hypernetwork that generates ``numel`` values."""
        return self.fixed + self.per_chunk * -(-numel // chunk_size) + self.per_value * chunk_size

    def largest(self, numel: int) -> int:
        """The largest chunk that leaves no more trainable parameters than the ``numel`` values that are generated.

        The paper's rule is a number of trainable parameters "equal or lesser than the baseline methods" (Chandra et al.
        2022, section 4.2). Here the baseline is training the generated parameters directly. Raises `InputError` where
        there is no such chunk.

        Example:
            >>> ChunkRule(fixed=64, per_chunk=8, per_value=11).largest(1_000)
            74
            >>> ChunkRule(fixed=64, per_chunk=8, per_value=11).trainable(1_000, 74)
            990
        """
        size = numel
        while size >= 1:
            surplus = self.trainable(numel, size) - numel
            if surplus <= 0:
                return size
            size -= -(-surplus // self.per_value)  # a smaller chunk saves no more than its rows of the head
        raise InputError(
            f"no chunk size keeps the hypernetwork as small as the {numel:,} parameters that it generates; smaller "
            "embeddings and hidden layers help, or give chunk_size"
        )


def chunked(layout: ParamLayout, chunk_size: int | None, rule: ChunkRule) -> tuple[int, int]:
    """The number of chunks that are needed for all parameters, of which the last may be cut, and their size.

    Raises `InputError` for a size out of range, and where None is given and ``rule`` finds none.
    """
    size = rule.largest(layout.numel) if chunk_size is None else chunk_size
    if not 1 <= size <= layout.numel:
        raise InputError(f"chunk size must be from 1 to the {layout.numel} generated parameters, got {chunk_size}")
    return -(-layout.numel // size), size


def pair_embeddings(tasks: Tensor, chunks: Tensor) -> Tensor:
    """All pairs <e_t, c_j> of task embeddings ``[T, a]`` and chunk embeddings ``[n, b]``: ``[T, n, a + b]``."""
    return torch.cat([tasks[:, None].expand(-1, len(chunks), -1), chunks[None].expand(len(tasks), -1, -1)], dim=-1)


def write_chunks(head: nn.Linear, features: Tensor, numel: int) -> Tensor:
    """What the head makes of ``[T, n_chunks, d1]``, with its chunks joined: ``[T, N]``."""
    return join_chunks(head(features), numel)


def join_chunks(chunks: Tensor, numel: int) -> Tensor:
    """``[T, n_chunks, chunk_size]`` to ``[T, N]``: all chunks in a row, the surplus of the last one cut off."""
    flat = chunks.flatten(1)
    # Not a slice: the gradient of a slice is a tensor of zeros and a copy into it, that of a split is one copy.
    return flat.split([numel, flat.shape[1] - numel], dim=1)[0]


def xavier_(weight: Tensor, blocks: int = 1) -> None:
    """Xavier-uniform initialisation (Glorot & Bengio 2010), for each of ``blocks`` stacked matrices by itself."""
    for block in weight.data.chunk(blocks):
        nn.init.xavier_uniform_(block)


def small_head_(weight: Tensor) -> None:
    """The initialization of an LSTM's head ``[d2, d1]``: U(-b, b) with b = 0.08 / sqrt(d1), 0.01 for 64 units.

    The networks that it writes then start near zero and have to be learnt, as a plain network's do. From a head four to
    ten times as large, LSTM_NET ends 0.1 to 0.2 points lower on Split MNIST.
    """
    bound = 0.08 / weight.shape[1] ** 0.5
    nn.init.uniform_(weight, -bound, bound)


def lstm_stepwise(inputs: Tensor, input_weight: Tensor, recurrent_weight: Tensor) -> Tensor:
    """What `torch.lstm` computes without biases, from zero states: ``[L, T, in]`` to hidden states ``[L, T, H]``."""
    hidden = cell = inputs.new_zeros(inputs.shape[1], recurrent_weight.shape[1])
    states = []
    for part in inputs @ input_weight.T:
        enter, keep, new, leave = (part + hidden @ recurrent_weight.T).chunk(4, dim=-1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        states.append(hidden)
    return torch.stack(states)
