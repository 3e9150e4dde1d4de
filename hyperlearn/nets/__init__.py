"""Ordinary target networks. Any other ``torch.nn.Module`` works in their place."""

import re
from collections.abc import Callable, Sequence
from math import prod

from torch import nn

from ..errors import InputError
from .autoencoder import (
    BesideAutoencoder,
    ConditionalAutoencoder,
    Density,
    WithReconstruction,
    half_masks,
    is_density,
    log_density,
    whole_views,
)
from .lenet import LeNet
from .mlp import MLP
from .precision import InPrecision, Precision
from .resnet import ResNet
from .vae import VAE, Encoder, draw_code, vae_loss

__all__ = [
    "MLP",
    "VAE",
    "BesideAutoencoder",
    "ConditionalAutoencoder",
    "Density",
    "Encoder",
    "InPrecision",
    "LeNet",
    "Precision",
    "ResNet",
    "WithReconstruction",
    "draw_code",
    "half_masks",
    "is_density",
    "log_density",
    "parse",
    "vae_loss",
    "whole_views",
]


def parse(name: str) -> Callable[[Sequence[int], int], nn.Module]:
    """A constructor ``(image_shape, outputs) -> module`` for a target given by name.

    Names are ``mlp-400-400`` (hidden sizes), ``lenet``, ``resnet-32`` (layers), ``resnet-32-group`` (with group norm),
    ``autoencoder-320-20`` (hidden size, code), ``autoencoder-320-20-pooled`` (of means of 2 x 2 pixels).
    Raises `InputError` for any other.

    Example:
        >>> parse("mlp-20-10")((8, 8), 2)
        MLP(64, [20, 10], 2)
    """
    if re.fullmatch(r"mlp(-[1-9]\d*)*", name):
        sizes = name.split("-")[1:]
        if any(len(size) > 7 for size in sizes):
            raise InputError(f"a hidden layer has at most 9,999,999 units, not {max(sizes, key=len):.20}")
        hidden = [int(size) for size in sizes]
        return lambda image_shape, outputs: MLP(prod(image_shape), hidden, outputs)
    if name == "lenet":
        return LeNet
    if found := re.fullmatch(r"resnet-([1-9]\d{0,3})(-group)?", name):
        depth = int(found[1])
        return lambda image_shape, outputs: ResNet(image_shape, depth, outputs, "group" if found[2] else "batch")
    if made := re.fullmatch(r"autoencoder-([1-9]\d{0,6})-([1-9]\d{0,6})(-pooled)?", name):
        width, size, pooled = int(made[1]), int(made[2]), made[3] is not None
        return lambda image_shape, outputs: ConditionalAutoencoder(image_shape, width, size, outputs, pooled=pooled)
    raise InputError(
        f"no target network {name!r}; there are mlp-SIZE-SIZE-..., for example mlp-400-400, lenet, resnet-LAYERS or "
        "resnet-LAYERS-group, for example resnet-32, and autoencoder-SIZE-CODE or autoencoder-SIZE-CODE-pooled"
    )
