"""Images and labels as tensors: where they come from, and how a batch is drawn.

All sources give ``uint8`` images, which take a quarter of the memory of floats; a batch becomes floats in [0, 1] when
it is drawn. Nothing is read or downloaded when this module is imported.
"""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .errors import DataError, InputError
from .files import cache_folder, load_tensors, save_tensors


class Batch(NamedTuple):
    """What one training step sees."""

    images: Tensor  # [B, *image], float in [0, 1]
    labels: Tensor  # [B], label within the task
    tasks: Tensor  # [B], the task of each image


@dataclass(frozen=True)
class Examples:
    """Labelled images of one or more tasks.

    Args:
        images: ``[n, *image]``, ``uint8`` (0 to 255) or floating point (used as it is).
        labels: ``[n]``, ``int64``, the label within the task, counted from 0.
        tasks: ``[n]``, ``int64``, the task that each image belongs to.
    """

    images: Tensor
    labels: Tensor
    tasks: Tensor

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.labels) == len(self.tasks):
            raise InputError(
                f"as many images, labels and tasks are needed: "
                f"{len(self.images)}, {len(self.labels)}, {len(self.tasks)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Tensor | slice) -> Batch:
        """The batch at ``indices``, its images as floats."""
        return Batch(as_float(self.images[indices]), self.labels[indices], self.tasks[indices])

    def take(self, indices: Tensor | slice) -> "Examples":
        """The examples at ``indices``, their images as they are."""
        return Examples(self.images[indices], self.labels[indices], self.tasks[indices])

    def to(self, device: torch.device | str) -> "Examples":
        """The same examples on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device), tasks=self.tasks.to(device))

    def batches(self, size: int) -> Iterator[Batch]:
        """All examples once, in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self[slice(start, start + size)]


def as_float(images: Tensor) -> Tensor:
    """``uint8`` images as floats in [0, 1]; floating-point images as they are.

    Both lie in memory in the order of their dimensions (contiguous), as a network that calls ``view`` needs them.

    Example:
        >>> as_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    if images.dtype != torch.uint8:
        return images.contiguous()
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def concatenate(parts: list[Examples]) -> Examples:
    """Examples of several tasks as one set.

    Where some images are bytes and others floats, bytes become floats in [0, 1] first.

    Raises `InputError` where floats of several precisions would come together.

    Example:
        >>> bytes_, floats = torch.full((1, 2), 255, dtype=torch.uint8), torch.tensor([[0.5, 1.0]])
        >>> number = torch.zeros(1, dtype=torch.int64)
        >>> concatenate([Examples(images, number, number) for images in (bytes_, floats)]).images
        tensor([[1.0000, 1.0000],
                [0.5000, 1.0000]])
    """
    images = [part.images for part in parts]
    if len({each.dtype for each in images}) > 1:
        images = [as_float(each) for each in images]
        kinds = {str(each.dtype): None for each in images}  # in order
        if len(kinds) > 1:
            raise InputError(
                f"images of {' and '.join(kinds)} cannot be put together (bytes count as torch.float32); give all "
                "floating-point images one type"
            )
    return Examples(
        torch.cat(images), torch.cat([part.labels for part in parts]), torch.cat([part.tasks for part in parts])
    )


def draw_indices(n: int, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Indices ``[steps, batch_size]`` of all batches of a task, drawn ahead.

    The ``n`` examples are shuffled anew for each pass. A batch may hold the end of one pass and the start of the
    next, so that every batch has the same size. Drawing on the CPU makes the order the same on every device.
    """
    return torch.stack(list(draw_rows(n, batch_size, steps, generator)))


def draw_rows(
    n: int,
    batch_size: int,
    steps: int,
    generator: torch.Generator,
    start: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """The rows of `draw_indices` from row ``start`` on, ``[batch_size]`` each, of which only a pass is in memory.

    Example:
        >>> rows = [list(draw_rows(10, 4, 5, torch.Generator().manual_seed(0), start)) for start in (0, 3)]
        >>> torch.equal(rows[0][3], rows[1][0])
        True
    """
    if n < 1:
        raise InputError("no examples to draw a batch from")
    drawn = torch.empty(0, dtype=torch.int64, device=device)
    for step in range(steps):
        if len(drawn) < batch_size:
            passes = [torch.randperm(n, generator=generator) for _ in range(-(-(batch_size - len(drawn)) // n))]
            drawn = torch.cat([drawn, *(each.to(device, non_blocking=True) for each in passes)])
        if step >= start:
            yield drawn[:batch_size]
        drawn = drawn[batch_size:]


def check_augmentable(shape: Sequence[int], name: str) -> None:
    """Raises `InputError` unless images of ``shape``, one of those of ``name``, can go through `flip_and_crop`.

    Channels in another place than in front would be mirrored and cropped as if they were columns.

    Example:
        >>> check_augmentable((3, 32, 32), "mine")
        >>> check_augmentable((32, 32, 3), "mine")
        Traceback (most recent call last):
        ...
        hyperlearn.errors.InputError: augmentation flip-crop is for images [channels, height, width]; ...
    """
    if channels_in_front(shape):
        return
    behind = len(shape) == 3 and channels_in_front(shape[::-1])
    raise InputError(
        f"augmentation flip-crop is for images [channels, height, width]; those of {name} have shape {tuple(shape)}: "
        + ("images.permute(0, 3, 1, 2) puts the channels in front" if behind else "1, 3 or 4 channels are needed")
    )


def channels_in_front(shape: Sequence[int]) -> bool:
    """Whether an image of ``shape`` is ``[channels, height, width]``: gray, colours, or colours with alpha.

    Example:
        >>> channels_in_front((3, 32, 32)), channels_in_front((32, 32, 3)), channels_in_front((28, 28))
        (True, False, False)
    """
    return len(shape) == 3 and shape[0] in (1, 3, 4)


def flip_and_crop(images: Tensor, padding: int = 4) -> Tensor:
    """Augmentation for small images: each is mirrored or not, padded with zeros and cropped to its size at random.

    As He et al. (2016, section 4.2) and von Oswald et al. (2020) train on CIFAR. All images are changed at once, by
    random numbers of the device that they are on.

    Args:
        images: ``[B, channels, h, w]``, of 1, 3 or 4 channels.
        padding: zeros on each side.

    Returns:
        Images of the same shape and type.

    Raises:
        InputError: images of another shape (`check_augmentable`).

    Example:
        >>> flip_and_crop(torch.rand(5, 3, 32, 32)).shape
        torch.Size([5, 3, 32, 32])
    """
    check_augmentable(images.shape[1:], "the batch")
    n, device = len(images), images.device
    flips = torch.rand(n, device=device) < 0.5
    tops, lefts = torch.randint(2 * padding + 1, (2, n), device=device)
    return flipped_and_cropped(images, flips, tops, lefts, padding)


def flipped_and_cropped(images: Tensor, flips: Tensor, tops: Tensor, lefts: Tensor, padding: int) -> Tensor:
    """What `flip_and_crop` makes of ``images`` ``[B, channels, h, w]`` where it draws these numbers.

    Args:
        images: ``[B, channels, h, w]``.
        flips: ``[B]``, bool, which are mirrored.
        tops: ``[B]``, int64, the first row of the crop out of the padded image, from 0 to twice the padding.
        lefts: ``[B]``, its first column.
        padding: zeros on each side.
    """
    n, channels, height, width = images.shape
    padded = functional.pad(images, (padding,) * 4)  # [B, channels, h + 2p, w + 2p]
    rows = tops[:, None] + torch.arange(height, device=images.device)  # [B, h]
    columns = lefts[:, None] + torch.arange(width, device=images.device)  # [B, w]
    columns = torch.where(flips[:, None], padded.shape[3] - 1 - columns, columns)  # of the image before it is mirrored
    places = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).flatten(1)  # [B, h * w], in the padded image
    return padded.flatten(2).gather(2, places[:, None].expand(n, channels, -1)).view(images.shape)


def rank_in_class(labels: Tensor) -> Tensor:
    """For each of ``labels`` [n], how many before it are the same: ``[n]``.

    Example:
        >>> rank_in_class(torch.tensor([3, 5, 3, 3, 5]))
        tensor([0, 0, 1, 2, 1])
    """
    rank = torch.zeros_like(labels)
    for label in labels.unique():
        rank[labels == label] = torch.arange(int((labels == label).sum()))
    return rank


class Source(NamedTuple):
    """A whole data set: training and test images with their class."""

    train_images: Tensor  # [n, *image], uint8
    train_labels: Tensor  # [n], int64
    test_images: Tensor
    test_labels: Tensor


@cache
def digits() -> Source:
    """The 1,797 handwritten digits of 8 x 8 pixels that ship inside scikit-learn; no file, no network.

    Every fifth image of each class is test data (scikit-learn defines no split). Intensities 0 to 16 become 0 to 255.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).

    Example:
        >>> source = digits()
        >>> tuple(source.train_images.shape), tuple(source.test_images.shape)
        ((1433, 8, 8), (364, 8, 8))
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    if bunch.images.shape != (1797, 8, 8) or bunch.target.shape != (1797,):
        raise DataError(f"scikit-learn's digits have shape {bunch.images.shape}, expected (1797, 8, 8); reinstall it")
    images = torch.from_numpy(np.round(bunch.images * (255 / 16)).astype(np.uint8))
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    test = rank_in_class(labels) % 5 == 0
    return Source(images[~test], labels[~test], images[test], labels[test])


def folder() -> Path:
    """The data folder: ``HYPERLEARN_DATA``, or ``hyperlearn`` in the user's cache folder.

    Raises `DataError` where ``HYPERLEARN_DATA`` names something that is no readable folder.
    """
    named = os.environ.get("HYPERLEARN_DATA")
    if named is None:
        return cache_folder()
    path = Path(named)
    if not path.is_dir():
        raise DataError(f"HYPERLEARN_DATA names {path}, which is no folder; make it, or unset the variable")
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError(f"HYPERLEARN_DATA names {path}, which cannot be read; change its permissions")
    return path


MNIST_LIKE = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
"""Data sets in MNIST's file format, and the name of their torchvision class, which is also their folder's."""

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""Of MNIST and of all data sets in its format, unpacked."""

IDX_MD5 = {
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion-mnist": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}
"""The checksums of their `IDX_FILES`: other data of the same shape and labels is found out by them alone."""

_LARGEST_IDX, _LARGEST_IMAGE = 2**30, 2**20
"""Bytes that are read of one file: MNIST's largest has 47 million, an image of 32 x 32 pixels some thousands."""


def _check_file(path: Path, largest: int | None = None) -> None:
    """Raises `DataError` unless ``path`` is a regular file of at most so many bytes; pipes may never end."""
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is no regular file; put a file there, or nothing")
    if largest and found.st_size > largest:
        raise DataError(f"{path} has {found.st_size:,} bytes, more than the {largest:,} that are read")


def _check_name(name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise InputError(f"no data set {name!r}; there are {', '.join(known)}")


@cache
def mnist(name: str = "mnist") -> Source:
    """MNIST or Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 pixels.

    Read from ``FOLDER/MNIST/raw`` (``FOLDER/FashionMNIST/raw``) in torchvision's layout, else downloaded there by
    torchvision.

    Raises `InputError` for another name, and `DataError` where a file is unreadable, damaged or of another data set, or
    a download fails.
    """
    _check_name(name, MNIST_LIKE)
    root = folder()
    train_images, train_labels = _mnist_part(name, root, train=True)
    test_images, test_labels = _mnist_part(name, root, train=False)
    return Source(train_images, train_labels, test_images, test_labels)


def mnist_present(name: str = "mnist") -> bool:
    """Whether the files of `mnist` are all in the data folder."""
    raw = folder() / MNIST_LIKE[name] / "raw"
    return all((raw / file).exists() for file in IDX_FILES)


def _check_free(*paths: Path) -> None:
    """Raises `DataError` where something else than a file is in the place of one that a download writes."""
    for path in paths:
        if path.exists():
            _check_file(path)


def _mnist_part(name: str, root: Path, train: bool) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    raw = root / MNIST_LIKE[name] / "raw"
    if not mnist_present(name):
        _check_free(*(raw / f"{file}{packed}" for file in IDX_FILES for packed in ("", ".gz")))
        try:
            root.mkdir(parents=True, exist_ok=True)
            getattr(datasets, MNIST_LIKE[name])(root, download=True)  # it checks the MD5 sums of what it downloads
        # urllib's errors are OSErrors, torchvision adds RuntimeErrors
        except (OSError, RuntimeError, UnpicklingError) as error:
            raise DataError(
                f"{MNIST_LIKE[name]} is not in {raw} and could not be downloaded "
                f"({_first_line(error)}); put its four unpacked IDX files there"
            ) from error
    prefix = "train" if train else "t10k"
    files = [raw / file for file in IDX_FILES if file.startswith(prefix)]
    for file in files:
        _check_file(file, _LARGEST_IDX)
    try:
        # Not through torchvision's class, which takes files of an old format in their place where it finds them.
        images = datasets.mnist.read_image_file(str(files[0]))
        labels = datasets.mnist.read_label_file(str(files[1]))
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError, KeyError) as error:
        raise DataError(
            f"{raw} holds a damaged or unreadable file of the {'training' if train else 'test'} part "
            f"({_first_line(error)}); remove it to download it anew"
        ) from error
    expected = 60_000 if train else 10_000
    if images.shape != (expected, 28, 28) or labels.shape != (expected,):
        raise DataError(
            f"{raw}: expected {expected} images of 28 x 28 and as many labels, found images "
            f"{tuple(images.shape)} and labels {tuple(labels.shape)}"
        )
    if labels.unique().tolist() != list(range(10)):
        raise DataError(f"{raw}: expected labels 0 to 9 in {prefix}-labels-idx1-ubyte, found others or not all of them")
    for file in files:
        _check_contents(name, file)
    return images, labels


def _check_contents(name: str, file: Path) -> None:
    """Raises `DataError` unless ``file`` is that of the data set, by its checksum."""
    with file.open("rb") as content:
        found = file_digest(content, "md5").hexdigest()
    if found == IDX_MD5[name][IDX_FILES.index(file.name)]:
        return
    owners = (
        f"{MNIST_LIKE[other]}'s {IDX_FILES[sums.index(found)]}" for other, sums in IDX_MD5.items() if found in sums
    )
    raise DataError(
        f"{file} is not {MNIST_LIKE[name]}'s but {next(owners, 'other data, or damaged')} (MD5 {found}); move it away, "
        f"and {MNIST_LIKE[name]} is downloaded anew"
    )


CIFAR_CLASSES = {
    "cifar-10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar-100": (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
        "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
        "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    ),
}  # fmt: skip
"""Classes that `cifar` gives, in the order of their labels: of CIFAR-100 the first fifty, which the benchmark uses."""

_TORCHVISION = {"cifar-10": ("CIFAR10", "cifar-10-batches-py"), "cifar-100": ("CIFAR100", "cifar-100-python")}
_CIFAR_SHAPE = (3, 32, 32)
_CIFAR_CACHE = 1
"""Format of the file of decoded images."""


@cache
def cifar(name: str) -> Source:
    """CIFAR-10, or the first fifty classes of CIFAR-100 in alphabetical order: images of 3 x 32 x 32 pixels.

    Read from the first that is there (`cifar_place`), else downloaded by torchvision:

    - ``FOLDER/cifar-10-batches-py``, torchvision's layout (CIFAR-100: ``cifar-100-python``)
    - ``FOLDER/cifar10``, an ImageFolder: ``train/CLASS/*.png`` and ``test/CLASS/*.png`` (CIFAR-100: ``cifar100``)
    - ``FOLDER/cifar10.zip``, a zip of an ImageFolder; any ``cifar10*.zip`` (CIFAR-100: ``cifar100*.zip``)

    The order of images does not depend on where they are from. Images of an ImageFolder or a zip are decoded once and
    kept in `cifar_cache`, which is made anew where it is damaged or where the images are others.

    Raises `InputError` for another name, and `DataError` for a class that is missing or has fewer images than others,
    for an image that is damaged, not of 32 x 32 pixels, not RGB or of another format than its name says, for damaged
    files, for what is no file in a file's place, and where a download fails.
    """
    _check_name(name, _TORCHVISION)
    root = folder()
    place = cifar_place(name) or _download_cifar(name, root)
    if place.name == _TORCHVISION[name][1]:
        return _checked(name, place, _torchvision_cifar(name, root))
    listed = _list_images(place)
    file = cifar_cache(name)
    found = _read_cache(file, listed.fingerprint)
    if found is None:
        found = _checked(name, place, _decode(name, place, listed))
        with suppress(InputError):  # a folder that cannot be written into: the images are decoded each time
            _write_cache(file, listed.fingerprint, found)
    return found


def cifar_place(name: str) -> Path | None:
    """The folder or zip that `cifar` reads; None where there is none."""
    root, short = folder(), name.replace("-", "")
    for place in (root / _TORCHVISION[name][1], root / short):
        if place.is_dir():
            return place
    # cifar100.zip begins like cifar10.zip
    zips = (path for path in sorted(root.glob(f"{short}*.zip")) if re.fullmatch(rf"{short}(\D.*)?", path.stem))
    return next(zips, None)


def cifar_cache(name: str) -> Path:
    """The file of images that were decoded from an ImageFolder or a zip, beside the data: ``FOLDER/cifar-10.pt``."""
    return folder() / f"{name}.pt"


def cifar_wanted(name: str) -> str:
    """What to put where, in words, for `cifar` to find it."""
    short = name.replace("-", "")
    return (
        f"put torchvision's folder {_TORCHVISION[name][1]} there, or an ImageFolder {short} with train/CLASS and "
        f"test/CLASS, or a zip of one, {short}.zip"
    )


def _download_cifar(name: str, root: Path) -> Path:
    from torchvision import datasets

    kind, inner = _TORCHVISION[name]
    _check_free(root / getattr(datasets, kind).filename)
    try:
        root.mkdir(parents=True, exist_ok=True)
        getattr(datasets, kind)(root, download=True)  # it checks the MD5 sums of what it downloads
    except (OSError, RuntimeError, UnpicklingError) as error:  # urllib's errors are OSErrors
        raise DataError(
            f"{kind} is not in {root} and could not be downloaded ({_first_line(error)}); {cifar_wanted(name)}"
        ) from error
    return root / inner


def _torchvision_cifar(name: str, root: Path) -> Source:
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
                f"{root / inner} holds a damaged or unreadable file ({_first_line(error)}); remove the folder to "
                "download it anew"
            ) from error
        wanted = labels < len(CIFAR_CLASSES[name])
        parts += _in_order(images[wanted], labels[wanted])
    return Source(*parts)


class _Listing(NamedTuple):
    """The images of an ImageFolder or of a zip of one."""

    images: list[tuple[str, str, str]]  # part, class and path, sorted
    fingerprint: str  # changes with any of the files


def _list_images(place: Path) -> _Listing:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not _is_folder(place):
        _check_file(place)
    try:
        if _is_folder(place):
            files = {path: path.stat() for path in place.glob("*/*/*")}
            stamps = {path.relative_to(place).as_posix(): (s.st_size, s.st_mtime_ns) for path, s in files.items()}
        else:
            with ZipFile(place) as archive:
                stamps = {entry.filename: (entry.file_size, entry.CRC) for entry in archive.infolist()}
    # A damaged zip may make its reader raise anything.
    except Exception as error:
        raise DataError(f"{place} cannot be read ({_first_line(error)})") from error
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
            for label, kind in enumerate(CIFAR_CLASSES[name]):
                for path in [path for p, k, path in listed.images if (p, k) == (part, kind)]:
                    images.append(_image(place, path, archive))
                    labels.append(label)
            made = torch.from_numpy(np.stack(images)) if images else torch.empty(0, *_CIFAR_SHAPE, dtype=torch.uint8)
            parts += _in_order(made, torch.tensor(labels, dtype=torch.int64))
    return Source(*parts)


def _image(place: Path, path: str, archive: ZipFile | None) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """One image, ``[3, 32, 32]``, read by the decoder of its name's ending alone: others may start programs."""
    from PIL import Image, UnidentifiedImageError

    if archive is None:
        _check_file(place / path, _LARGEST_IMAGE)
    elif (unpacked := archive.getinfo(path).file_size) > _LARGEST_IMAGE:  # of which no more is ever read
        raise DataError(
            f"{place}: {path} unpacks to {unpacked:,} bytes, more than the {_LARGEST_IMAGE:,} that are read"
        )
    try:
        content = (place / path).read_bytes() if archive is None else archive.read(path)
        kind = Image.registered_extensions()[Path(path).suffix.lower()]
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            size, mode = image.size, image.mode
            if (size, mode) == (_CIFAR_SHAPE[1:], "RGB"):
                return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)
    except UnidentifiedImageError as error:
        raise DataError(f"{place}: {path} is no readable image (its content is not {kind})") from error
    # A damaged file may make a decoder raise anything.
    except Exception as error:
        raise DataError(f"{place}: {path} is no readable image ({_first_line(error)})") from error
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
    classes = CIFAR_CLASSES[name]
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
        _check_file(file)
        state = load_tensors(file)
        return Source(*state["source"]) if state["of"] == [_CIFAR_CACHE, fingerprint] else None
    except Exception:  # a file may hold anything
        return None


def _write_cache(file: Path, fingerprint: str, source: Source) -> None:
    save_tensors(file, {"of": [_CIFAR_CACHE, fingerprint], "source": list(source)})


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
