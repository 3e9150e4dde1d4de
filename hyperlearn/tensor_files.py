"""Tensors and plain data in a file, and what a file's content is compared by."""

import io
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from .errors import InputError
from .files import write_atomically


def digest(content: Any) -> str:
    """The same for the same tensors and plain data, to the bit: what a file's content is compared by.

    Example:
        >>> digest({"a": [1, torch.zeros(2)]}) == digest({"a": [1, torch.zeros(2)]})
        True
        >>> digest({"a": [1, torch.zeros(2)]}) == digest({"a": [1, torch.zeros(2).double()]})
        False
    """
    made = blake2b(digest_size=16)

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            made.update(f"{value.dtype}{tuple(value.shape)}".encode())
            made.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, Mapping):
            made.update(f"{{{len(value)}".encode())
            for key, each in value.items():
                add(key)
                add(each)
        elif isinstance(value, list | tuple):
            made.update(f"{type(value).__name__}{len(value)}".encode())
            for each in value:
                add(each)
        else:
            made.update(f"{type(value).__name__}{value!r};".encode())

    add(content)
    return made.hexdigest()


def save_tensors(path: Path, content: object) -> None:
    """Write tensors and plain data by `write_atomically`."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def check_alike(found: Mapping[str, object], like: Mapping[str, Tensor]) -> None:
    """Raise `InputError` unless ``found`` has tensors of the names, shapes and dtypes that ``like`` has, all finite.

    A value that is not finite is let pass where ``like`` has one too.

    Example:
        >>> check_alike({"weight": torch.zeros(3)}, {"weight": torch.ones(3)})
        >>> check_alike({"weight": torch.zeros(2)}, {"weight": torch.ones(3)})
        Traceback (most recent call last):
        hyperlearn.errors.InputError: weight: a tensor [3] of torch.float32 is needed
    """
    if found.keys() != like.keys():
        raise InputError(f"there are {', '.join(map(str, found))}, not {', '.join(like)}")
    for name, made in like.items():
        tensor = found[name]
        if not isinstance(tensor, Tensor) or (tensor.shape, tensor.dtype, tensor.layout) != (
            made.shape,
            made.dtype,
            made.layout,
        ):
            raise InputError(f"{name}: a tensor {list(made.shape)} of {made.dtype} is needed")
        if not bool(tensor.isfinite().all()) and bool(made.isfinite().all()):
            raise InputError(f"{name}: NaN or infinite values")


def load_tensors(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read what `save_tensors` wrote; only tensors and plain data are read, never code.

    Raises an error of any kind where the file is another or damaged: a file may hold anything.
    """
    with ZipFile(path) as archive:  # what torch.save writes; its reader does not look at the checksums
        if archive.testzip() is not None:
            raise BadZipFile("a checksum is wrong")
    return torch.load(path, map_location=device, weights_only=True)
