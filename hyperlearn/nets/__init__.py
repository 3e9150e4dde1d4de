"""Ordinary target networks. Any other ``torch.nn.Module`` works in their place."""

import re
from collections.abc import Callable, Sequence
from math import prod

from torch import nn

from ..errors import InputError
from .mlp import MLP
from .vae import VAE, Encoder, draw_code, vae_loss

__all__ = ["MLP", "VAE", "Encoder", "draw_code", "parse", "vae_loss"]


def parse(name: str) -> Callable[[Sequence[int], int], nn.Module]:
    """A constructor ``(image_shape, outputs) -> module`` for a target given by name, such as ``mlp-400-400``.

    Example:
        >>> parse("mlp-20-10")((8, 8), 2)
        MLP(64, [20, 10], 2)
    """
    if re.fullmatch(r"mlp(-[1-9]\d*)*", name):
        hidden = [int(size) for size in name.split("-")[1:]]
        return lambda image_shape, outputs: MLP(prod(image_shape), hidden, outputs)
    raise InputError(f"no target network {name!r}; there is mlp-SIZE-SIZE-..., for example mlp-400-400")
