"""A fully connected network."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn


class MLP(nn.Module):
    """Fully connected layers with ReLU between them; images of any shape are flattened.

    Args:
        inputs: number of pixels of an image.
        hidden: sizes of the hidden layers.
        outputs: number of logits.

    Shapes:
        images ``[B, ...]`` with ``inputs`` values each to logits ``[B, outputs]``.

    Example:
        >>> from hyperlearn.params import count
        >>> count(MLP(784, [400, 400], 2))
        475202
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(self.sizes, self.sizes[1:], strict=False))

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)  # [B, inputs]
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)

    def xavier_(self) -> Self:
        """Start anew, from Xavier-uniform weights (Glorot & Bengio 2010) and zero biases; returns itself."""
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        return self

    def extra_repr(self) -> str:
        return f"{self.sizes[0]}, {self.sizes[1:-1]}, {self.sizes[-1]}"

    def __repr__(self) -> str:
        return f"MLP({self.extra_repr()})"
