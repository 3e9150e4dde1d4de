"""No hypernetwork: each task has parameters of its own, which is what the others have to be better than."""

import torch
from torch import Tensor, nn

from ..params import Selection
from .base import GrowingHypernetwork, Tasks


class SeparateNetworks(GrowingHypernetwork):
    r"""Keeps the parameters of each task as they are, :math:`\Theta^t`, and writes nothing.

    In the place of a hypernetwork it is the same method with a network for each task: nothing is forgotten, nothing is
    shared, and a task costs as many values as it has parameters. Each task starts from the target's own values.

    Args:
        target: any module; its parameters are kept for each task, those that are not frozen.
        generate: patterns of the names of the parameters to keep, where these are not all; see `Hypernetwork`.

    Shapes:
        ``flat(tasks)`` is ``[T, N]``, ``forward(task)`` a dict of the target's parameters.

    Raises:
        InputError: a pattern matches no name.

    Example:
        >>> networks = SeparateNetworks(torch.nn.Linear(4, 2))
        >>> networks.begin_task(1)
        >>> networks.flat([0, 1]).shape, networks.stored_per_task
        (torch.Size([2, 10]), 10)
    """

    own_weights = "own"
    base_values: Tensor  # [N]

    def __init__(self, target: nn.Module, *, generate: Selection = "trainable") -> None:
        super().__init__(target, tasks=1, generate=generate, base="target")
        self.own = nn.ParameterList([torch.zeros(self.layout.numel)])  # what each task has moved away from the start

    @property
    def stored_per_task(self) -> int:
        """Values that each further task adds: all parameters of its network."""
        return self.layout.numel

    def add_task(self) -> int:
        self.freeze()
        self.own.append(nn.Parameter(torch.zeros_like(self.base_values)))
        self.tasks += 1
        return self.tasks - 1

    def flat(self, tasks: Tasks) -> Tensor:
        """The parameters of several tasks: ``[T, N]``. Raises `InputError` for a task there is not."""
        numbers = self.read(tasks)
        if not numbers:
            return self.base_values.new_empty(0, self.layout.numel)
        return self.on_base(torch.stack([self.own[number] for number in numbers]))
