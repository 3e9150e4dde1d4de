"""What PyTorch leaves to the system's allocator on a processor."""

import ctypes
import platform

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
