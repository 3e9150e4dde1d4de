"""Any map-style data set of PyTorch, its images and labels as tensors.

An item is a pair (image, label). An image is a tensor, an array, a PIL image or numbers in lists; PIL images become
bytes ``[channels, height, width]``, all others stay as they are.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset

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
        if not all(torch.equal(a, b) for a, b in zip(once, again, strict=True)):
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
        raise InputError(f"{where} take {size / 2**30:,.0f} GiB and this machine has {there / 2**30:,.0f}")


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
