"""Image files as tensors, read by the decoder of their names' endings alone: others may start programs."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import DataError, first_line
from .files import check_file

LARGEST = 2**20
"""Bytes of an image file that is read: no small image is larger, and a larger one may be meant to fill the memory."""

ENDINGS = (".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of the files that are taken for images."""


def read(path: Path, shape: Sequence[int]) -> Tensor:
    """The image in ``path``, ``uint8`` of ``shape``: ``[h, w]`` or ``[1, h, w]`` in grey, ``[3, h, w]`` in RGB.

    Raises `DataError` for a file that is no readable image, and for one of another size.
    """
    check_file(path, LARGEST)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    return torch.from_numpy(decode(content, path.name, str(path), shape))


def decode(content: bytes, name: str, where: str, shape: Sequence[int]) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """The image that a file called ``name`` holds; ``where`` it is, errors say."""
    from PIL import Image, UnidentifiedImageError

    mode, size = "RGB" if len(shape) == 3 and shape[0] == 3 else "L", (shape[-1], shape[-2])
    kind = Image.registered_extensions()[Path(name).suffix.lower()]
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            if image.size != size:
                raise DataError(
                    f"{where} has {image.size[0]} x {image.size[1]} pixels; images of {size[0]} x {size[1]} are needed"
                )
            pixels = np.array(image.convert(mode), dtype=np.uint8)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{where} is no readable image (its content is not {kind})") from error
    except Exception as error:  # a damaged file may make a decoder raise anything
        raise DataError(f"{where} is no readable image ({first_line(error)})") from error
    return pixels.transpose(2, 0, 1) if mode == "RGB" else pixels.reshape(tuple(shape))
