"""Images and labels as tensors: where they come from, and how a batch is drawn.

All sources give ``uint8`` images, which take a quarter of the memory of floats; a batch becomes floats in [0, 1] when
it is drawn. Nothing is read or downloaded when this module is imported.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import file_digest
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .datasets import Images, LazyImages, concatenated
from .errors import DataError, InputError, first_line
from .files import cache_folder, check_file


class Batch(NamedTuple):
    """What one training step sees."""

    images: Tensor  # [B, *image], floats; tokens and other whole numbers as they are
    labels: Tensor  # [B], label within the task; [B, outputs], targets of regression
    tasks: Tensor  # [B], the task of each image


@dataclass(frozen=True)
class Examples:
    """Labelled images of one or more tasks.

    Args:
        images: ``[n, *image]``, ``uint8`` (0 to 255), or floats or other whole numbers (used as they are).
        labels: ``[n]``, ``int64``, the label within the task, counted from 0; or ``[n, outputs]``, floats, the targets
            of regression.
        tasks: ``[n]``, ``int64``, the task that each image belongs to.
    """

    images: Images
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
        """The batch at ``indices``, its bytes as floats."""
        return Batch(as_float(self.images[indices]), self.labels[indices], self.tasks[indices])

    def take(self, indices: Tensor | slice) -> "Examples":
        """The examples at ``indices``, their images as they are."""
        images = self.images[indices] if isinstance(self.images, Tensor) else self.images.take(indices)
        return Examples(images, self.labels[indices], self.tasks[indices])

    def to(self, device: torch.device | str) -> "Examples":
        """The same examples on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device), tasks=self.tasks.to(device))

    def batches(self, size: int) -> Iterator[Batch]:
        """All examples once, in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self[slice(start, start + size)]


def in_pieces(images: Images, size: int = 1000) -> Iterator[Tensor]:
    """All images in order: at once where they are in memory, else so many at a time as they are read."""
    if isinstance(images, Tensor):
        yield images
        return
    for start in range(0, len(images), size):
        yield images[start : start + size]


@overload
def as_float(images: Tensor) -> Tensor: ...
@overload
def as_float(images: LazyImages) -> LazyImages: ...
def as_float(images: Images) -> Images:
    """``uint8`` images as floats in [0, 1]; all others as they are.

    They lie in memory in the order of their dimensions (contiguous), as a network that calls ``view`` needs them.

    Example:
        >>> as_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    if isinstance(images, LazyImages):
        return images.changed(as_float) if images.dtype == torch.uint8 else images
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
        concatenated(images), torch.cat([part.labels for part in parts]), torch.cat([part.tasks for part in parts])
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


def keeping_shape(transform: Callable[[Tensor], Tensor], name: str) -> Callable[[Tensor], Tensor]:
    """``transform`` of a batch of images, which raises `InputError` where its result has another shape or type.

    Example:
        >>> halved = keeping_shape(lambda images: images[..., ::2], "mine")
        >>> halved(torch.rand(5, 3, 8, 8))
        Traceback (most recent call last):
        ...
        hyperlearn.errors.InputError: augment of mine makes (5, 3, 8, 4) of torch.float32 from (5, 3, 8, 8) of torch...
    """

    def made(images: Tensor) -> Tensor:
        out = transform(images)
        if not isinstance(out, Tensor) or (out.shape, out.dtype) != (images.shape, images.dtype):
            what = f"{tuple(out.shape)} of {out.dtype}" if isinstance(out, Tensor) else type(out).__name__
            raise InputError(
                f"augment of {name} makes {what} from {tuple(images.shape)} of {images.dtype}; the same shape and type "
                "are needed"
            )
        return out.as_subclass(Tensor).contiguous()

    return made


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

_LARGEST_IDX = 2**30
"""Bytes that are read of one file; MNIST's largest has 47 million."""


def check_name(name: str, known: Iterable[str]) -> None:
    """Raises `InputError` unless ``name`` is that of a known data set."""
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
    check_name(name, MNIST_LIKE)
    root = folder()
    train_images, train_labels = _mnist_part(name, root, train=True)
    test_images, test_labels = _mnist_part(name, root, train=False)
    return Source(train_images, train_labels, test_images, test_labels)


def mnist_present(name: str = "mnist") -> bool:
    """Whether the files of `mnist` are all in the data folder."""
    raw = folder() / MNIST_LIKE[name] / "raw"
    return all((raw / file).exists() for file in IDX_FILES)


def check_free(*paths: Path) -> None:
    """Raises `DataError` where something else than a file is in the place of one that a download writes."""
    for path in paths:
        if path.exists():
            check_file(path)


def _mnist_part(name: str, root: Path, train: bool) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    raw = root / MNIST_LIKE[name] / "raw"
    if not mnist_present(name):
        check_free(*(raw / f"{file}{packed}" for file in IDX_FILES for packed in ("", ".gz")))
        try:
            root.mkdir(parents=True, exist_ok=True)
            getattr(datasets, MNIST_LIKE[name])(root, download=True)  # it checks the MD5 sums of what it downloads
        # urllib's errors are OSErrors, torchvision adds RuntimeErrors
        except (OSError, RuntimeError, UnpicklingError) as error:
            raise DataError(
                f"{MNIST_LIKE[name]} is not in {raw} and could not be downloaded "
                f"({first_line(error)}); put its four unpacked IDX files there"
            ) from error
    prefix = "train" if train else "t10k"
    files = [raw / file for file in IDX_FILES if file.startswith(prefix)]
    for file in files:
        check_file(file, _LARGEST_IDX)
    try:
        # Not through torchvision's class, which takes files of an old format in their place where it finds them.
        images = datasets.mnist.read_image_file(str(files[0]))
        labels = datasets.mnist.read_label_file(str(files[1]))
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError, KeyError) as error:
        raise DataError(
            f"{raw} holds a damaged or unreadable file of the {'training' if train else 'test'} part "
            f"({first_line(error)}); remove it to download it anew"
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
