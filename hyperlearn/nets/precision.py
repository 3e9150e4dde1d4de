"""Target networks in a lower precision."""

from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["bfloat16"]


class InPrecision(nn.Module):
    """A network whose convolutions and matrix products are taken in a lower precision.

    Parameters stay in float32, and so do the operations that `torch.autocast` leaves there, sums and losses among them.
    Whether a step gains by that depends on the device, and on how much of the step such products are;
    ``speed/gpu.py`` measures both.

    Args:
        net: any module from images to logits.
        precision: ``"bfloat16"``.

    Shapes:
        As those of ``net``; logits are float32.

    Example:
        >>> net = InPrecision(torch.nn.Linear(4, 2), "bfloat16")
        >>> images = torch.rand(3, 4)
        >>> net(images).dtype, torch.allclose(net(images), net.net(images), atol=0.02)
        (torch.float32, True)
    """

    def __init__(self, net: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.net = net
        self.dtype = getattr(torch, precision)

    def forward(self, images: Tensor) -> Tensor:
        # No cache: it keeps what a weight was cast to for as long as the block lasts, and weights are used once in it.
        with torch.autocast(images.device.type, self.dtype, cache_enabled=False):
            logits: Tensor = self.net(images)
        return logits.float()
