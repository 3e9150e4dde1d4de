"""Target networks through `torch.compile`, where it pays.

A compiled network does several operations in one pass over memory. What follows a convolution, its norm and its
activation, gains by that; a perceptron does not, because its time goes into matrix products. Compiling takes as long as
many steps, so it needs a long run, and a compiler on the machine.
"""

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import get_args

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from .catalog import Compile
from .errors import InputError

PAYS_FROM = 5_000
"""Training steps of a run, from which on ``auto`` takes compiling for worth its time."""


def can_compile(device: torch.device) -> bool:
    """Whether there is what `torch.compile` needs: a C++ compiler for a processor, Triton for a GPU."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++"))


def check(choice: str, device: torch.device) -> None:
    """Raise `InputError` for a choice that there is not, and for ``"on"`` where there is no compiler."""
    if choice not in get_args(Compile):
        raise InputError(f"compile is {', '.join(get_args(Compile))}, not {choice!r}")
    if choice == "on" and not can_compile(device):
        raise InputError(
            "compile=on needs a C++ compiler (g++ or clang++), or Triton on a GPU, and there is none here; use auto"
        )


class TargetCompiler:
    """Compiles the target networks of a run, if it should.

    Training alone uses the compiled networks: what is called within `as_written` is not compiled.

    Args:
        choice: ``"on"``, ``"off"``, or ``"auto"``: where the target has convolutions, the run has `PAYS_FROM` steps or
            more and the machine can.
        steps: training steps of the run, over all tasks.
        device: where it trains.

    Raises:
        InputError: as `check`.

    Attributes:
        used: whether a network was compiled.
    """

    def __init__(self, choice: Compile, steps: int, device: torch.device) -> None:
        check(choice, device)
        self.always = choice == "on"
        self.convolutions = choice == "auto" and steps >= PAYS_FROM and can_compile(device)
        self.used = False

    def wrap(self, make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
        """A function that makes what ``make`` makes, compiled if it should be."""

        def made(outputs: int) -> nn.Module:
            net = make(outputs)
            if self.always or (self.convolutions and any(isinstance(part, _ConvNd) for part in net.modules())):
                net.compile()
                self.used = True
            return net

        return made

    @contextmanager
    def training(self) -> Iterator[None]:
        """Inside, compiled networks are trained."""
        with warnings.catch_warnings():
            # The compiler looks whether parameters have gradients; those that a hypernetwork has written have none.
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
            yield

    @contextmanager
    def as_written(self) -> Iterator[None]:
        """Inside, compiled networks run as they are written: what comes once a task is too short to compile for."""
        if not self.used:
            yield
            return
        with torch.compiler.set_stance("force_eager"):
            yield
