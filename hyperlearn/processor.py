"""What slows a training on a processor down and cannot be seen in its code: page faults and denormal numbers."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
KEPT_BYTES = 2**30
LARGEST_BYTES = 2**25  # what glibc allows at most


def keep_freed_memory() -> bool:
    """Have the process keep the memory that it frees instead of giving it back, so that it need not ask again.

    A training step frees some megabytes and allocates as many in the next. glibc gives them back and asks for them
    again, and the system clears each page anew, which is a good part of the time of a step, and more of it where Dask,
    which wants its workers small, has set ``MALLOC_TRIM_THRESHOLD_``. What a process holds at its peak does not
    change, but it holds it until it ends.

    Returns:
        Whether that was possible: with glibc, on Linux.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def flushes_denormals() -> bool:
    """Whether numbers below 1.2e-38 count as 0 in this thread."""
    return not bool(torch.tensor(1e-39) * 1.0)


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Count numbers below 1.2e-38 as 0 inside, where the processor can: in this thread, and in those it starts inside.

    Threads that PyTorch started before, at its first large computation, go on as they were.

    Some processors take many times as long with them as with others (chapter 13 of the book measures it), and Adam
    makes many: where a weight's gradient stays 0, as at the pixels that are black in all of a task's images, its mean
    gradient is multiplied by 0.9 in each step and is denormal after some 800.
    """
    before = flushes_denormals()
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # older NumPy looks at their smallest numbers once, and warns where these count as 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
