"""Writing files so that they are whole or not there, and reading back what is in one."""

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from .errors import InputError


def cache_folder() -> Path:
    """``hyperlearn`` in the user's cache folder: what can be made again lies there. It need not exist yet.

    Raises `InputError` where the user has no home folder and ``XDG_CACHE_HOME`` names none.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(named) if named else Path.home() / ".cache") / "hyperlearn"
    except RuntimeError as error:
        raise InputError("no home folder to keep a cache in; name a cache folder with XDG_CACHE_HOME") from error


def write_atomically(path: Path, content: bytes, may_replace: Callable[[], None] = lambda: None) -> None:
    """Write beside ``path``, flush to disk, then rename: a reader sees the old file or the new one, never a part.

    ``may_replace`` is called where a file is there already, and raises an error to keep it. Raises `InputError` where
    the disk or the folder does not take the file.
    """
    aside = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)  # mkstemp makes it private; a record is for everyone
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


def save_tensors(path: Path, content: object) -> None:
    """Write tensors and plain data by `write_atomically`."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load_tensors(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read what `save_tensors` wrote; only tensors and plain data are read, never code.

    Raises an error of any kind where the file is another or damaged: a file may hold anything.
    """
    with ZipFile(path) as archive:  # what torch.save writes; its reader does not look at the checksums
        if archive.testzip() is not None:
            raise BadZipFile("a checksum is wrong")
    return torch.load(path, map_location=device, weights_only=True)
