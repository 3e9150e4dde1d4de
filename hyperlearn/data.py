"""Images and labels as tensors: where they come from, and how a batch is drawn.

All sources give ``uint8`` images, which take a quarter of the memory of floats; a batch becomes floats in [0, 1] when
it is drawn. Nothing is read or downloaded when this module is imported.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .errors import DataError, InputError


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
    """``uint8`` images as floats in [0, 1]; floating-point images as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def concatenate(parts: list[Examples]) -> Examples:
    """Examples of several tasks as one set."""
    return Examples(
        torch.cat([part.images for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.tasks for part in parts]),
    )


def draw_indices(n: int, batch_size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Indices ``[steps, batch_size]`` of all batches of a task, drawn ahead.

    The ``n`` examples are shuffled anew for each pass. A batch may hold the end of one pass and the start of the
    next, so that every batch has the same size. Drawing on the CPU makes the order the same on every device.
    """
    if n < 1:
        raise InputError("no examples to draw a batch from")
    passes = -(-steps * batch_size // n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(passes)])
    return order[: steps * batch_size].view(steps, batch_size)


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
    rank = torch.zeros_like(labels)  # how many images of the same class came before
    for label in labels.unique():
        rank[labels == label] = torch.arange(int((labels == label).sum()))
    test = rank % 5 == 0
    return Source(images[~test], labels[~test], images[test], labels[test])


def folder() -> Path:
    """The data folder: ``HYPERLEARN_DATA``, or ``hyperlearn`` in the user's cache folder.

    Raises `DataError` where ``HYPERLEARN_DATA`` names something that is no readable folder.
    """
    named = os.environ.get("HYPERLEARN_DATA")
    if named is None:
        cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache_home) / "hyperlearn"
    path = Path(named)
    if not path.is_dir():
        raise DataError(f"HYPERLEARN_DATA names {path}, which is no folder; make it, or unset the variable")
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError(f"HYPERLEARN_DATA names {path}, which cannot be read; change its permissions")
    return path


MNIST_LIKE = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
"""Data sets in MNIST's file format, and the name of their torchvision class, which is also their folder's."""


@cache
def mnist(name: str = "mnist") -> Source:
    """MNIST or Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 pixels.

    Read from ``FOLDER/MNIST/raw`` in torchvision's layout, else downloaded there by torchvision.

    Raises `DataError` where a file is unreadable or damaged, or where a download fails.
    """
    root = folder()
    train_images, train_labels = _mnist_part(name, root, train=True)
    test_images, test_labels = _mnist_part(name, root, train=False)
    return Source(train_images, train_labels, test_images, test_labels)


def mnist_present(name: str = "mnist") -> bool:
    """Whether the files of `mnist` are all in the data folder."""
    raw = folder() / MNIST_LIKE[name] / "raw"
    parts = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return all((raw / part).exists() for part in parts)


def _mnist_part(name: str, root: Path, train: bool) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    raw = root / MNIST_LIKE[name] / "raw"
    if not mnist_present(name):
        try:
            root.mkdir(parents=True, exist_ok=True)
            getattr(datasets, MNIST_LIKE[name])(root, download=True)  # it checks the MD5 sums of what it downloads
        # urllib's errors are OSErrors, torchvision adds RuntimeErrors
        except (OSError, RuntimeError, UnpicklingError) as error:
            raise DataError(
                f"{MNIST_LIKE[name]} is not in {raw} and could not be downloaded "
                f"({_first_line(error)}); put its four unpacked IDX files there"
            ) from error
    try:
        # Not through torchvision's class, which takes files of an old format in their place where it finds them.
        prefix = "train" if train else "t10k"
        images = datasets.mnist.read_image_file(str(raw / f"{prefix}-images-idx3-ubyte"))
        labels = datasets.mnist.read_label_file(str(raw / f"{prefix}-labels-idx1-ubyte"))
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
    return images, labels


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
