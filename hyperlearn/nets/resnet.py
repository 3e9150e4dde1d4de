"""A residual network for images as small as CIFAR's."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..errors import InputError
from .layout import channels_last

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which von Oswald et al. (2020) standardize red, green and blue, for CIFAR too: the statistics of ImageNet."""

Norm = Literal["batch", "group"]

WIDTHS = (16, 32, 64)
GROUPS = 8


class ResNet(nn.Module):
    r"""The residual network for CIFAR of He et al. (2016, arXiv 1512.03385, section 4.2).

    A convolution to 16 channels, three stages of n blocks with 16, 32 and 64 channels, the mean over all pixels, and
    one linear layer; with two convolutions a block these are 6n + 2 layers. A block is

    .. math::
        y &= \mathrm{relu}(\mathrm{norm}(w_1 * x)) \\
        x' &= \mathrm{relu}(\mathrm{norm}(w_2 * y) + s(x))

    where s is the identity. At the start of the second and third stage, where the image is halved, s takes every other
    pixel and pads with channels of zeros, half of them in front (option A): shortcuts have no parameters. As in
    von Oswald et al. (2020, arXiv 1906.00695), convolutions have biases, and the image is standardized by `MEAN` and
    `STD` first, so that the network takes values in [0, 1].

    With 10 logits these are 465,290 parameters. The 468,540 of von Oswald et al. are those of the same network with a
    head for each of six tasks, 60 logits.

    Args:
        image_shape: of one image, ``(3, h, w)``.
        depth: number of layers, 6n + 2: 8, 14, 20, 26, 32, ...
        outputs: number of logits.
        norm: ``"batch"`` for batch norm, whose running statistics are buffers and no parameters; ``"group"`` for group
            norm in 8 groups (Wu & He 2018), which has none and takes each image by itself.

    Shapes:
        images ``[B, 3, h, w]`` with values in [0, 1] to logits ``[B, outputs]``.

    Raises:
        InputError: images that have not three channels, or a depth or norm that there is not.

    Example:
        >>> from hyperlearn.params import count
        >>> count(ResNet((3, 32, 32), depth=32, outputs=10)), count(ResNet((3, 32, 32), depth=32, outputs=60))
        (465290, 468540)
    """

    mean: Tensor  # [3, 1, 1]
    std: Tensor  # [3, 1, 1]

    def __init__(self, image_shape: Sequence[int], depth: int, outputs: int, norm: Norm = "batch") -> None:
        super().__init__()
        if len(image_shape) != 3 or image_shape[0] != len(MEAN):
            raise InputError(f"a ResNet takes images of shape (3, height, width), got {tuple(image_shape)}")
        if depth < 8 or depth % 6 != 2:
            raise InputError(f"a ResNet has 8, 14, 20, 26, 32, ... layers, not {depth}")
        if norm not in ("batch", "group"):
            raise InputError(f"no norm {norm!r}; there are batch and group")
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])
        self.conv = nn.Conv2d(len(MEAN), WIDTHS[0], 3, padding=1)
        self.norm = _norm(norm, WIDTHS[0])
        widths = [WIDTHS[0], *(width for width in WIDTHS for _ in range(depth // 6))]
        self.blocks = nn.Sequential(*(_Block(a, b, norm) for a, b in pairwise(widths)))
        self.head = nn.Linear(WIDTHS[-1], outputs)

    def forward(self, images: Tensor) -> Tensor:
        x = (channels_last(images) - self.mean) / self.std  # [B, 3, h, w]
        x = self.norm(self.conv(x)).relu()  # [B, 16, h, w]
        x = self.blocks(x)  # [B, 64, h/4, w/4]
        return self.head(x.mean((2, 3)))


class _Block(nn.Module):
    """``[B, inputs, h, w]`` to ``[B, outputs, h, w]``, or half as high and wide where there are more outputs."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.added = outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1)
        self.norm1 = _norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = _norm(norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm1(self.conv1(x)).relu()
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = pad(shortcut, (0, 0, 0, 0, self.added // 2, self.added // 2))
        return (self.norm2(self.conv2(inner)) + shortcut).relu()


def _norm(norm: Norm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(GROUPS, channels)
