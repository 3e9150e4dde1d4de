"""CIFAR-10 and CIFAR-100: where their images are looked for, and how they are read.

Nothing is read or downloaded when this module is imported.
"""

import io
import re
import warnings
from contextlib import ExitStack, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from .data import Source, check_free, check_name, folder
from .errors import DataError, InputError, first_line
from .files import check_file
from .tensor_files import load_tensors, save_tensors

CLASSES = {
    "cifar-10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar-100": (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
        "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
        "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    ),
}  # fmt: skip
"""Classes that `load` gives, in the order of their labels: of CIFAR-100 the first fifty, which the benchmark uses."""

_TORCHVISION = {"cifar-10": ("CIFAR10", "cifar-10-batches-py"), "cifar-100": ("CIFAR100", "cifar-100-python")}
_SHAPE = (3, 32, 32)
_FORMAT = 1
"""Of the file of decoded images."""
_LARGEST_IMAGE = 2**20
"""Bytes that are read of one image; one of 32 x 32 pixels has some thousands."""


@cache
def load(name: str) -> Source:
    """CIFAR-10, or the first fifty classes of CIFAR-100 in alphabetical order: images of 3 x 32 x 32 pixels.

    Read from the first that is there (`find`), else downloaded by torchvision:

    - ``FOLDER/cifar-10-batches-py``, torchvision's layout (CIFAR-100: ``cifar-100-python``)
    - ``FOLDER/cifar10``, an ImageFolder: ``train/CLASS/*.png`` and ``test/CLASS/*.png`` (CIFAR-100: ``cifar100``)
    - ``FOLDER/cifar10.zip``, a zip of an ImageFolder; any ``cifar10*.zip`` (CIFAR-100: ``cifar100*.zip``)

    The order of images does not depend on where they are from. Images of an ImageFolder or a zip are decoded once and
    kept in `cached`, which is made anew where it is damaged or where the images are others.

    Raises `InputError` for another name, and `DataError` for a class that is missing or has fewer images than others,
    for an image that is damaged, not of 32 x 32 pixels, not RGB or of another format than its name says, for damaged
    files, for what is no file in a file's place, and where a download fails.
    """
    check_name(name, _TORCHVISION)
    root = folder()
    place = find(name) or _download(name, root)
    if place.name == _TORCHVISION[name][1]:
        return _checked(name, place, _read_torchvision(name, root))
    listed = _list_images(place)
    file = cached(name)
    found = _read_cache(file, listed.fingerprint)
    if found is None:
        found = _checked(name, place, _decode(name, place, listed))
        with suppress(InputError):  # a folder that cannot be written into: the images are decoded each time
            _write_cache(file, listed.fingerprint, found)
    return found


def find(name: str) -> Path | None:
    """The folder or zip that `load` reads; None where there is none."""
    root, short = folder(), name.replace("-", "")
    for place in (root / _TORCHVISION[name][1], root / short):
        if place.is_dir():
            return place
    # cifar100.zip begins like cifar10.zip
    zips = (path for path in sorted(root.glob(f"{short}*.zip")) if re.fullmatch(rf"{short}(\D.*)?", path.stem))
    return next(zips, None)


def cached(name: str) -> Path:
    """The file of images that were decoded from an ImageFolder or a zip, beside the data: ``FOLDER/cifar-10.pt``."""
    return folder() / f"{name}.pt"


def wanted(name: str) -> str:
    """What to put where, in words, for `load` to find it."""
    short = name.replace("-", "")
    return (
        f"put torchvision's folder {_TORCHVISION[name][1]} there, or an ImageFolder {short} with train/CLASS and "
        f"test/CLASS, or a zip of one, {short}.zip"
    )


def _download(name: str, root: Path) -> Path:
    from torchvision import datasets

    kind, inner = _TORCHVISION[name]
    check_free(root / getattr(datasets, kind).filename)
    try:
        root.mkdir(parents=True, exist_ok=True)
        getattr(datasets, kind)(root, download=True)  # it checks the MD5 sums of what it downloads
    except (OSError, RuntimeError, UnpicklingError) as error:  # urllib's errors are OSErrors
        raise DataError(
            f"{kind} is not in {root} and could not be downloaded ({first_line(error)}); {wanted(name)}"
        ) from error
    return root / inner


def _read_torchvision(name: str, root: Path) -> Source:
    from torchvision import datasets

    kind, inner = _TORCHVISION[name]
    parts: list[Tensor] = []
    for train in (True, False):
        try:
            found = getattr(datasets, kind)(root, train=train)  # checks MD5 sums before it reads
            images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
            labels = torch.tensor(found.targets)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, UnpicklingError) as error:
            raise DataError(
                f"{root / inner} holds a damaged or unreadable file ({first_line(error)}); remove the folder to "
                "download it anew"
            ) from error
        used = labels < len(CLASSES[name])
        parts += _in_order(images[used], labels[used])
    return Source(*parts)


class _Listing(NamedTuple):
    """The images of an ImageFolder or of a zip of one."""

    images: list[tuple[str, str, str]]  # part, class and path, sorted
    fingerprint: str  # changes with any of the files


def _list_images(place: Path) -> _Listing:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not _is_folder(place):
        check_file(place)
    try:
        if _is_folder(place):
            files = {path: path.stat() for path in place.glob("*/*/*")}
            stamps = {path.relative_to(place).as_posix(): (s.st_size, s.st_mtime_ns) for path, s in files.items()}
        else:
            with ZipFile(place) as archive:
                stamps = {entry.filename: (entry.file_size, entry.CRC) for entry in archive.infolist()}
    # A damaged zip may make its reader raise anything.
    except Exception as error:
        raise DataError(f"{place} cannot be read ({first_line(error)})") from error
    images = []
    for path in sorted(stamps):
        part, _, rest = path.partition("/")
        kind, _, file = rest.partition("/")
        if file.lower().endswith(IMG_EXTENSIONS) and not file.startswith(".") and "/" not in file:
            images.append((part, kind, path))
    return _Listing(images, sha256(repr(sorted(stamps.items())).encode()).hexdigest())


def _is_folder(place: Path) -> bool:
    """Whether ``place`` is an ImageFolder; else it is a zip of one, by its name."""
    return place.suffix != ".zip"


def _decode(name: str, place: Path, listed: _Listing) -> Source:
    parts: list[Tensor] = []
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(action="ignore"))  # decoders warn of large images before errors
        archive = None if _is_folder(place) else stack.enter_context(ZipFile(place))
        for part in ("train", "test"):
            images, labels = [], []
            for label, kind in enumerate(CLASSES[name]):
                for path in [path for p, k, path in listed.images if (p, k) == (part, kind)]:
                    images.append(_image(place, path, archive))
                    labels.append(label)
            made = torch.from_numpy(np.stack(images)) if images else torch.empty(0, *_SHAPE, dtype=torch.uint8)
            parts += _in_order(made, torch.tensor(labels, dtype=torch.int64))
    return Source(*parts)


def _image(place: Path, path: str, archive: ZipFile | None) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """One image, ``[3, 32, 32]``, read by the decoder of its name's ending alone: others may start programs."""
    from PIL import Image, UnidentifiedImageError

    if archive is None:
        check_file(place / path, _LARGEST_IMAGE)
    elif (unpacked := archive.getinfo(path).file_size) > _LARGEST_IMAGE:  # of which no more is ever read
        raise DataError(
            f"{place}: {path} unpacks to {unpacked:,} bytes, more than the {_LARGEST_IMAGE:,} that are read"
        )
    try:
        content = (place / path).read_bytes() if archive is None else archive.read(path)
        kind = Image.registered_extensions()[Path(path).suffix.lower()]
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            size, mode = image.size, image.mode
            if (size, mode) == (_SHAPE[1:], "RGB"):
                return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)
    except UnidentifiedImageError as error:
        raise DataError(f"{place}: {path} is no readable image (its content is not {kind})") from error
    # A damaged file may make a decoder raise anything.
    except Exception as error:
        raise DataError(f"{place}: {path} is no readable image ({first_line(error)})") from error
    raise DataError(
        f"{place}: {path} has {size[0]} x {size[1]} pixels in mode {mode}; images of 32 x 32 in RGB are needed"
    )


def _in_order(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted by label and then by a hash, so that a run does not depend on where its images are from."""
    pixels = images.numpy()
    order = sorted(range(len(labels)), key=lambda i: (int(labels[i]), sha256(pixels[i].tobytes()).digest()))
    return images[order], labels[order]


def _checked(name: str, place: Path, source: Source) -> Source:
    """The same source; raises `DataError` unless all classes are there with the same number of images each."""
    classes = CLASSES[name]
    for part, labels in (("train", source.train_labels), ("test", source.test_labels)):
        counts = labels.bincount(minlength=len(classes)).tolist()
        most = max(counts)
        for kind, count in zip(classes, counts, strict=True):
            if count == 0:
                there = sum(map(bool, counts))
                raise DataError(f"{place}: no images in {part}/{kind}; {there} of {len(classes)} classes are there")
            if count < most:
                raise DataError(f"{place}: {count} images in {part}/{kind}, other classes have {most}")
    return source


def _read_cache(file: Path, fingerprint: str) -> Source | None:
    """What was decoded before; None where there is nothing, where it is damaged, or where it is of other images."""
    try:
        check_file(file)
        state = load_tensors(file)
        return Source(*state["source"]) if state["of"] == [_FORMAT, fingerprint] else None
    except Exception:  # a file may hold anything
        return None


def _write_cache(file: Path, fingerprint: str, source: Source) -> None:
    save_tensors(file, {"of": [_FORMAT, fingerprint], "source": list(source)})
