"""A network that is learnt once and then grows by a little with each task: coefficients on a basis, and low rank."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..params import ParamLayout, Params, Selection
from ..subspaces import principal_directions
from .base import GrowingHypernetwork, Hypernetwork, Tasks


class OneNetwork(Hypernetwork):
    """The parameters of one network themselves, learnt as they are: no hypernetwork, in the place of one.

    They start as the target's own.

    Example:
        >>> target = nn.Linear(3, 2)
        >>> torch.equal(OneNetwork(target).forward(0)["weight"], target.weight)
        True
    """

    def __init__(self, target: nn.Module, *, generate: Selection = "trainable") -> None:
        super().__init__(target, tasks=1, generate=generate)
        own = dict(target.named_parameters())
        self.values = nn.Parameter(self.layout.flatten({name: own[name].detach() for name in self.layout.names}))

    @property
    def stored_per_task(self) -> int:
        return self.layout.numel

    def flat(self, tasks: Tasks) -> Tensor:
        return self.values[None].expand(len(self.index(tasks)), -1)


Kind = Literal["basis", "low rank", "full"]


@dataclass(frozen=True)
class Growth:
    """How one parameter of the target differs from the base in each task, and by how many values.

    Args:
        kind: ``"basis"`` for coefficients on the basis, ``"low rank"`` for a product of two matrices, ``"full"`` for a
            difference of each value.
        shapes: of what a task keeps: ``[m, k]``; ``[m, r]`` and ``[r, n]``; or the parameter's own.
    """

    kind: Kind
    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> list[int]:
        """The number of values of each."""
        return [prod(shape) for shape in self.shapes]

    @staticmethod
    def of(shape: tuple[int, ...], basis: int, rank: int) -> "Growth":
        """For a parameter of ``shape``, with so many directions of a basis or none, or of so low a rank.

        Where that would be as many values as the parameter has, they differ freely.

        Example:
            >>> Growth.of((400, 400), 0, 2).kind, Growth.of((2, 400), 0, 2).kind, Growth.of((400, 784), 50, 2).shapes
            ('low rank', 'full', ((400, 50),))
        """
        rows, columns = shape[0] if shape else 1, prod(shape[1:])
        if len(shape) > 1 and basis and basis < columns:
            return Growth("basis", ((rows, basis),))
        if len(shape) > 1 and not basis and rank * (rows + columns) < rows * columns:
            return Growth("low rank", ((rows, rank), (rank, columns)))
        return Growth("full", (shape,))


class BasisGrowthHypernet(GrowingHypernetwork):
    r"""One network for all tasks, learnt with the first and then frozen, to which each task adds a little.

    .. math::
        \begin{aligned}
        W_1^t &= W_1 + C^t \Phi, & W_l^t &= W_l + B_l^t A_l^t, \\
        W_L^t &= W_L + D^t, & b_l^t &= b_l + d_l^t
        \end{aligned}

    The base :math:`W_l, b_l` and the orthonormal rows of the basis :math:`\Phi` are the same for all tasks and never
    change again. A task has coefficients :math:`C^t` on the basis for the first layer, two thin matrices :math:`B_l^t`
    and :math:`A_l^t` of rank r for each layer between, and whole differences :math:`D^t, d_l^t` for the output layer
    and for all that is no matrix. Every task grows from the base, the first too, and none from another one. What is
    written for earlier tasks stays the same to the bit, without any regularizer.

    A product of thin matrices is LoRA (Hu et al. 2022, arXiv 2106.09685); coefficients on fixed random
    directions are those of Li et al. (2018, arXiv 1804.08838), with directions of the data in their place.

    At first what is written is the base alone, and the base is what ``writer`` writes; `fix_base` freezes it, and
    `learn_basis` has to have come before. Convolutions have no basis: their kernels, taken as matrices
    ``[channels, channels * h * w]``, are of low rank, or differ freely where that is less.

    Args:
        target: any module; its parameters are generated, those that are not frozen.
        writer: learns the base: a hypernetwork of the same parameters, which is dropped when the base is fixed. None
            for `OneNetwork`, an ordinary one.
        generate: patterns of the names of the parameters to generate, where these are not all; see `Hypernetwork`.
        basis_size: k, how many directions :math:`\Phi` has.
        rank: r.

    Shapes:
        ``flat(tasks)`` is ``[T, N]``, ``forward(task)`` a dict of the target's parameters.

    Raises:
        InputError: a size is out of range, a pattern matches no name, or ``writer`` generates other parameters.

    All that a task adds starts at 0, but for :math:`A^t` from N(0, 1/n) with n columns.

    Example:
        >>> from hyperlearn.nets import MLP
        >>> target = MLP(784, [400, 400], 2)
        >>> hypernet = BasisGrowthHypernet(target, basis_size=50, rank=2)
        >>> hypernet.stored_per_task, f"{hypernet.stored_per_task / hypernet.layout.numel:.2%}"
        (23202, '4.88%')
        >>> hypernet.learn_basis(torch.rand(100, 784))
        >>> hypernet.fix_base()
        >>> torch.equal(hypernet.flat(0)[0], hypernet.base_network)
        True
    """

    own_weights = "additions"

    base_network: Tensor | None  # [N], None until it is fixed
    basis: Tensor | None  # [k, n], orthonormal rows; None where no layer has one

    def __init__(
        self,
        target: nn.Module,
        writer: Hypernetwork | None = None,
        *,
        generate: Selection = "trainable",
        basis_size: int = 50,
        rank: int = 2,
    ) -> None:
        super().__init__(target, tasks=1, generate=generate)
        if min(basis_size, rank) < 1:
            raise InputError(f"a basis and a rank need at least one direction, got {basis_size} and {rank}")
        self.writer: Hypernetwork | None = writer or OneNetwork(target, generate=generate)
        if self.writer.layout != self.layout:
            raise InputError("the writer of the base has to generate the same parameters")
        self.written = sum(p.numel() for p in self.writer.parameters())
        self.first = _linear_input(target, self.layout)
        matrices = [name for name, shape in zip(self.layout.names, self.layout.shapes, strict=True) if len(shape) > 1]
        self.growths = {
            name: Growth("full", (shape,))
            if name in matrices[-1:]
            else Growth.of(shape, basis_size if name == self.first else 0, rank)
            for name, shape in zip(self.layout.names, self.layout.shapes, strict=True)
        }
        has_basis = self.first is not None and self.growths[self.first].kind == "basis"
        columns = dict(zip(self.layout.names, self.layout.shapes, strict=True))[self.first][1] if self.first else 0
        self.register_buffer("basis", torch.zeros(basis_size, columns) if has_basis else None)
        self.register_buffer("base_network", None)
        self.additions = nn.ParameterList([self._start()])

    @property
    def stored_per_task(self) -> int:
        """Values that each further task adds."""
        return sum(sum(growth.sizes) for growth in self.growths.values())

    @property
    def fixed(self) -> bool:
        """Whether the base is fixed, so that tasks grow."""
        return self.base_network is not None

    def _start(self) -> Tensor:
        """What a task adds before it has learnt: one vector of all its values."""
        like = next(iter(self.parameters()))
        made = torch.zeros(self.stored_per_task, device=like.device, dtype=like.dtype)
        for pieces, growth in zip(self._cut(made).values(), self.growths.values(), strict=True):
            if growth.kind == "low rank":
                pieces[1].normal_(std=pieces[1].shape[1] ** -0.5)
        return made

    def _cut(self, vector: Tensor) -> dict[str, list[Tensor]]:
        """The matrices of each parameter, by its name, out of what a task adds."""
        parts = iter(vector.split([size for growth in self.growths.values() for size in growth.sizes]))
        return {name: [next(parts).view(shape) for shape in growth.shapes] for name, growth in self.growths.items()}

    def pieces(self, task: int) -> dict[str, list[Tensor]]:
        """What ``task`` adds, by the parameter's name: ``[C]``, ``[B, A]`` or ``[D]``, see `Growth`."""
        return self._cut(self.additions[self.numbers(task)[0]])

    def base(self) -> Tensor:
        """The parameters of the base, ``[N]``."""
        if self.base_network is not None:
            return self.base_network
        assert self.writer is not None
        return self.writer.flat(0).squeeze(0)

    def base_params(self) -> Params:
        """The parameters of the base by name."""
        return self.layout.unflatten(self.base())

    @torch.no_grad()
    def learn_basis(self, inputs: Tensor) -> None:
        r"""Take for :math:`\Phi` the principal directions of what goes into the first layer, ``[m, n]``.

        The directions are those of the deviations from the mean, the one of most variance first. Each has its largest
        value above 0, so that all machines find the same. Raises `InputError` for inputs of another size, or a base
        that is fixed already.
        """
        if self.fixed:
            raise InputError("tasks have grown on the basis already")
        if self.basis is None:
            return
        k, columns = self.basis.shape
        if inputs.shape[-1] != columns:
            raise InputError(f"the first layer has {columns} inputs, got {inputs.shape[-1]}")
        vectors = principal_directions(inputs.reshape(-1, columns), k)
        self.basis.copy_(vectors)

    @torch.no_grad()
    def fix_base(self) -> None:
        """Freeze the base as it is written now; from then on tasks grow on it."""
        self.base_network = self.base().detach().clone()

    def drop_writer(self) -> None:
        """Let go of what has learnt the base. Raises `InputError` where the base is not fixed."""
        if not self.fixed:
            raise InputError("the base is not fixed yet")
        self.writer = None

    @property
    def trained(self) -> int:
        """Values that were trained: for the base, and for all tasks so far."""
        return self.written + sum(p.numel() for p in self.additions)

    def add_task(self) -> int:
        if not self.fixed:
            raise InputError("the base is not fixed yet")
        self.freeze()
        self.additions.append(nn.Parameter(self._start()))
        self.tasks += 1
        return self.tasks - 1

    def flat(self, tasks: Tasks) -> Tensor:
        """The generated parameters of several tasks, each as one vector: ``[T, N]``.

        A tensor of tasks is read by the host. Raises `InputError` for a task there is not.
        """
        numbers = self.read(tasks)
        base = self.base()
        if not self.fixed:  # nothing has grown
            return base.expand(len(numbers), -1)
        return base + torch.stack([self._written(n) for n in numbers]) if numbers else base.new_empty(0, len(base))

    def _written(self, task: int) -> Tensor:
        """What a task adds to the base, ``[N]``."""
        made = []
        for name, pieces in self.pieces(task).items():
            kind = self.growths[name].kind
            if kind == "basis":
                assert self.basis is not None
                pieces = [pieces[0] @ self.basis]
            made.append((pieces[0] @ pieces[1] if kind == "low rank" else pieces[0]).flatten())
        return torch.cat(made)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # What is loaded may be further on: with a base that is fixed, and without its writer.
        base = state_dict.get(f"{prefix}base_network")
        self.base_network = None if base is None else torch.empty_like(base, device=self.additions[0].device)
        if not any(name.startswith(f"{prefix}writer.") for name in state_dict):
            self.writer = None
        super()._load_from_state_dict(state_dict, prefix, *args)


def _linear_input(target: nn.Module, layout: ParamLayout) -> str | None:
    """The name of the weight of the target's first layer, if that is an `nn.Linear` whose weight is generated."""
    layers = [(name, part) for name, part in target.named_modules() if any(p.dim() > 1 for p in part.parameters(False))]
    if not layers:
        return None
    name, layer = layers[0]
    weight = f"{name}.weight".lstrip(".")
    return weight if isinstance(layer, nn.Linear) and weight in layout.names else None
