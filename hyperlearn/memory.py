"""Whether what is asked for fits into memory: said before it is taken, since Linux kills what takes too much."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import nn

from .errors import InputError


def physical_memory() -> int | None:
    """Bytes of the machine's memory; None where the system does not say."""
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def check_fits(what: str, numbers: int) -> None:
    """Raise `InputError` where so many numbers of four bytes are more than the machine's memory."""
    there = physical_memory()
    if there is not None and 4 * numbers > there:
        raise InputError(
            f"{what} takes {4 * numbers / 2**30:,.0f} GiB and this machine has {there / 2**30:,.0f}; smaller sizes help"
        )


def check_module_fits(what: str, make: Callable[[], nn.Module]) -> None:
    """Raise `InputError` where the module that ``make`` makes cannot be trained in the machine's memory.

    It is made without numbers first, on PyTorch's meta device. A module that cannot be made so is not looked at.
    """
    try:
        with torch.device("meta"), enough_memory(what):
            module = make()
    except InputError:
        raise
    except Exception:  # it may do anything with its numbers
        return
    check_fits(what, 4 * sum(p.numel() for p in module.parameters()))  # values, gradients and two moments of Adam


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Raise `InputError` in the place of PyTorch's errors where what is made within does not fit into memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # a GPU's torch.OutOfMemoryError is a RuntimeError
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if known or re.search("allocate memory|calculation overflowed", str(error)):
            raise InputError(f"{what} does not fit into memory; smaller sizes help") from error
        raise
