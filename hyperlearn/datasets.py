"""Any map-style data set of PyTorch, its images and labels as tensors: all at once, or as they are asked for.

An item is a pair (image, label). An image is a tensor, an array, a PIL image or numbers in lists; PIL images become
bytes ``[channels, height, width]``, all others stay as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from .errors import InputError
from .memory import physical_memory

_LOOKED_AT = 8
"""Items that are read a second time, to see whether a data set gives the same ones."""


def read(dataset: "Dataset[Any]", where: str) -> tuple[Tensor, Tensor]:
    """All images ``[n, *image]`` and labels ``[n, ...]`` of a data set, which is read once.

    Args:
        dataset: map style, of items (image, label).
        where: what errors call it.

    Raises:
        InputError: no items, items that are no pairs, images or labels of several shapes or types, items that are
            others when they are read again, or more images than the memory holds.
    """
    image, label = first_item(dataset, where)
    n = len(dataset)  # type: ignore[arg-type]
    _check_memory(n * image.numel() * image.element_size(), where)
    images, labels = image.new_empty(n, *image.shape), label.new_empty(n, *label.shape)
    for number in range(n):
        images[number], labels[number] = item(dataset, number, where, image, label)
    return images, labels


def first_item(dataset: "Dataset[Any]", where: str) -> tuple[Tensor, Tensor]:
    """Image and label of the first item; raises `InputError` where the data set is not of the right kind."""
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise InputError(f"{where}: a map-style Dataset is needed, with __len__ and __getitem__")
    if len(dataset) == 0:
        raise InputError(f"{where}: there are none")
    image, label = item(dataset, 0, where)
    for number in range(min(_LOOKED_AT, len(dataset))):
        once, again = (item(dataset, number, where, image, label) for _ in range(2))
        if not all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(once, again, strict=True)):
            raise InputError(
                f"{where}: item {number} is another when it is read again; take random transforms out of the data set "
                "and give them as augment="
            )
    return image, label


def item(
    dataset: "Dataset[Any]", number: int, where: str, image: Tensor | None = None, label: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Image and label of one item; raises `InputError` unless they are of the kind of ``image`` and ``label``."""
    found = dataset[number]
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise InputError(f"{where}: items (image, label) are needed; item {number} is {type(found).__name__}")
    made = _tensor(found[0], where, number), _tensor(found[1], where, number)
    for what, like, each in (("image", image, made[0]), ("label", label, made[1])):
        if like is not None and (each.shape, each.dtype) != (like.shape, like.dtype):
            raise InputError(
                f"{where}: the {what} of item {number} has shape {tuple(each.shape)} and type {each.dtype}, that of "
                f"item 0 {tuple(like.shape)} and {like.dtype}; a transform of the data set makes them alike"
            )
    return made


def _tensor(value: Any, where: str, number: int) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    if isinstance(value, Image.Image):
        if value.mode in ("1", "P"):  # two colours, or a palette of them
            value = value.convert("L" if value.mode == "1" else "RGB")
        made: Tensor = pil_to_tensor(value)
        return made
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{where}: item {number} holds {type(value).__name__}, which is no image, array or tensor"
        ) from error


def _check_memory(size: int, where: str) -> None:
    there = physical_memory()
    if there is not None and size > there:
        raise InputError(
            f"{where} take {size / 2**30:,.0f} GiB and this machine has {there / 2**30:,.0f}; lazy=True reads each "
            "image when it is needed"
        )


@dataclass(frozen=True)
class LazyImages:
    """Images that stay in their data set: indexed like a tensor ``[n, *image]``, and read anew each time.

    Args:
        dataset: of items (image, label).
        rows: ``[n]``, ``int64``, which of its items, in order.
        like: one of the images; all others have its shape and type.
        where: what errors call them.
        device: where images go when they are read.

    Example:
        >>> squares = TensorDataset(torch.arange(5)[:, None] ** 2.0, torch.zeros(5))
        >>> images = LazyImages(squares, torch.tensor([4, 2, 0]), torch.zeros(1), "squares")
        >>> images.shape, images[torch.tensor([1, 0])].tolist()
        (torch.Size([3, 1]), [[4.0], [16.0]])
    """

    dataset: "Dataset[Any]"
    rows: Tensor
    like: Tensor
    where: str
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def shape(self) -> torch.Size:
        """``[n, *image]``."""
        return torch.Size((len(self.rows), *self.like.shape))

    @property
    def dtype(self) -> torch.dtype:
        """Of each image."""
        return self.like.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        rows = self.rows[indices.cpu() if isinstance(indices, Tensor) else indices]
        images = self.like.new_empty(rows.numel(), *self.like.shape)
        for place, row in enumerate(rows.flatten().tolist()):
            images[place] = item(self.dataset, row, self.where, self.like)[0]
        return images.view(*rows.shape, *self.like.shape).to(self.device)

    def take(self, indices: Tensor | slice) -> "LazyImages":
        """The images at ``indices``, not read yet."""
        return replace(self, rows=self.rows[indices])

    def to(self, device: torch.device | str) -> "LazyImages":
        """The same images, which go to another device when they are read."""
        return replace(self, device=torch.device(device))

    def changed(self, change: Callable[[Tensor], Tensor]) -> "LazyImages":
        """The same images, to each of which ``change`` is done when it is read."""
        return replace(self, dataset=_Changed(self.dataset, change), like=change(self.like))


class _Changed(Dataset[Any]):
    """The items of another data set with their images changed."""

    def __init__(self, dataset: "Dataset[Any]", change: Callable[[Tensor], Tensor]) -> None:
        self.dataset, self.change = dataset, change

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        image, label = item(self.dataset, number, "an item")
        return self.change(image), label


Images = Tensor | LazyImages
"""Images in memory, or in their data set."""


def lazily(dataset: "Dataset[Any]", where: str) -> tuple[LazyImages, Tensor]:
    """As `read`, but with images that stay where they are.

    Labels are taken from the data set's ``targets``, as torchvision's have them, where these agree with its items; else
    all items are read for them, and their images are not kept.
    """
    image, label = first_item(dataset, where)
    n = len(dataset)  # type: ignore[arg-type]
    images = LazyImages(dataset, torch.arange(n), image, where)
    known = _targets(dataset)
    looked_at = {*range(min(_LOOKED_AT, n)), n - 1}
    alike = known is not None and known.dtype == label.dtype and label.dim() == 0
    if known is not None and alike and all(item(dataset, i, where)[1].equal(known[i]) for i in looked_at):
        return images, known
    return images, torch.stack([item(dataset, number, where, image, label)[1] for number in range(n)])


def _targets(dataset: "Dataset[Any]") -> Tensor | None:
    """The labels of all items, where the data set says them without its images."""
    if isinstance(dataset, Subset):
        known = _targets(dataset.dataset)
        return None if known is None else known[torch.as_tensor(dataset.indices)]
    targets = getattr(dataset, "targets", None)
    if getattr(dataset, "target_transform", None) is not None or not isinstance(targets, list | Tensor):
        return None
    try:
        known = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):
        return None
    return known if known.dim() == 1 and len(known) == len(dataset) else None  # type: ignore[arg-type]


def concatenated(parts: Sequence[Images]) -> Images:
    """Images ``[n, *image]`` of one shape and type, one part after the other; in memory where all are."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts):
        return torch.cat(tensors)
    sets: list[Dataset[Any]] = []
    rows, before = [], 0
    for part in parts:
        own = TensorDataset(part, torch.zeros(len(part))) if isinstance(part, Tensor) else part.dataset
        rows.append(before + (torch.arange(len(part)) if isinstance(part, Tensor) else part.rows))
        before += len(own)  # type: ignore[arg-type]
        sets.append(own)
    lazy = next(part for part in parts if isinstance(part, LazyImages))
    return replace(lazy, dataset=ConcatDataset(sets), rows=torch.cat(rows))


def class_names(dataset: "Dataset[Any]") -> Sequence[str] | None:
    """What a data set calls its labels, from 0 on: its ``classes``; None where it has none or changes its labels.

    Example:
        >>> class_names(torch.utils.data.TensorDataset(torch.zeros(2, 3), torch.tensor([0, 1]))) is None
        True
    """
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", None)
    if getattr(dataset, "target_transform", None) is not None or not isinstance(names, list | tuple):
        return None
    return [str(name) for name in names]
