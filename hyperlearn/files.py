"""Writing files so that they are whole or not there, and what may be read from one."""

import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import DataError, InputError


def _umask() -> int:
    """What the user takes from the rights of new files; the system tells it only by setting another one."""
    os.umask(umask := os.umask(0o077))
    return umask


def cache_folder() -> Path:
    """``hyperlearn`` in the user's cache folder: what can be made again lies there. It need not exist yet.

    Raises `InputError` where the user has no home folder and ``XDG_CACHE_HOME`` names none.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(named) if named else Path.home() / ".cache") / "hyperlearn"
    except RuntimeError as error:
        raise InputError("no home folder to keep a cache in; name a cache folder with XDG_CACHE_HOME") from error


def check_file(path: Path, largest: int | None = None) -> None:
    """Raises `DataError` unless ``path`` is a regular file of at most so many bytes; pipes may never end."""
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is no regular file; put a file there, or nothing")
    if largest and found.st_size > largest:
        raise DataError(f"{path} has {found.st_size:,} bytes, more than the {largest:,} that are read")


def write_atomically(path: Path, content: bytes, may_replace: Callable[[], None] = lambda: None) -> None:
    """Write beside ``path``, flush to disk, then rename: a reader sees the old file or the new one, never a part.

    ``may_replace`` is called where a file is there already, and raises an error to keep it. Raises `InputError` where
    the disk or the folder does not take the file.
    """
    aside = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporary(path)
        own = f".{path.name}.{socket.gethostname()}.{os.getpid()}."
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=own, suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o666 & ~_umask())  # mkstemp makes it private
        try:
            os.link(aside, path)  # fails where a file is there: of two runs that write at once only one is first
        except OSError:  # there is one, or the file system has no hard links
            may_replace()
            os.replace(aside, path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); what was there before is kept") from error
    finally:
        with suppress(OSError):
            os.unlink(aside)


def sweep_temporary(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it, and nothing of a writer that may be at work."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        own, _, process = left.name.removesuffix(".tmp").rpartition(".")[0].rpartition(".")
        if own == f".{path.name}.{socket.gethostname()}" and process.isdecimal() and not _alive(int(process)):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere a signal of 0 is no question
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # no process has such a number
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Within, no other process is within for the same ``path``: for reading a file, adding to it, and writing it.

    By an empty file beside it, which stays. Where the system has no such locks, nothing is locked.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = (path.parent / f".{path.name}.lock").open("w")
    except OSError as error:
        raise InputError(f"cannot write beside {path} ({error.strerror})") from error
    with lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
