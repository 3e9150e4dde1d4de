"""A linear layer whose weight lies in memory by columns, for heads with few inputs."""

from typing import Any

from torch import Tensor, nn

NARROW = 16
"""Inputs of a head below which `ColumnLinear` is faster: as many numbers as one register of a processor holds."""


class ColumnLinear(nn.Linear):
    """A linear layer that keeps its weight ``[d2, d1]`` by columns, as ``columns [d1, d2]``.

    A processor computes with several numbers at once that lie side by side in memory. A row of ``d1`` = 10 weights does
    not fill a register, a column of 42,000 does. Chapter 13 of the book measures what that saves.

    From outside it is the `torch.nn.Linear` that it was made of: ``weight`` is a view of ``columns``, and a state dict
    has a ``weight``. The parameter that an optimizer sees is ``columns``.

    Args:
        linear: the layer whose values to start with; it has a bias.

    Example:
        >>> import torch
        >>> linear = nn.Linear(2, 3)
        >>> narrow = ColumnLinear(linear)
        >>> narrow.columns.shape, narrow.weight.shape, list(narrow.state_dict())
        (torch.Size([2, 3]), torch.Size([3, 2]), ['bias', 'weight'])
        >>> torch.equal(narrow.weight, linear.weight)
        True
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)  # not Linear's, which would make a weight
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.columns = nn.Parameter(linear.weight.detach().T.contiguous())
        self.bias = nn.Parameter(linear.bias.detach().clone())
        self.register_state_dict_post_hook(_columns_to_weight)
        self.register_load_state_dict_pre_hook(_weight_to_columns)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # an attribute there, and as good as one here
        """The weight ``[d2, d1]``; what is written into it is written into ``columns``."""
        return self.columns.T


def _columns_to_weight(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    state[f"{prefix}weight"] = state.pop(f"{prefix}columns").T


def _weight_to_columns(module: nn.Module, state: dict[str, Tensor], prefix: str, *args: Any) -> None:
    if f"{prefix}weight" in state:
        state[f"{prefix}columns"] = state.pop(f"{prefix}weight").T
