"""Any torch.utils.data.Dataset as a benchmark."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrowing import narrow
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import hyperlearn as hl
from hyperlearn import datasets
from hyperlearn.benchmarks import from_datasets
from hyperlearn.datasets import LazyImages

HYPERNETS = ["hnet", "lstm-net", "lstm-net-grow"]
METHODS = ["finetune", "ewc", "joint", *HYPERNETS]
SHORT: dict[str, Any] = {"iterations": 15, "batch_size": 8, "target": "mlp-10", "device": "cpu"}


def settings(method: str) -> dict[str, Any]:
    return SHORT | ({"chunk_size": 200} if method in HYPERNETS else {})


class Items(Dataset[Any]):
    """What is in a list."""

    def __init__(self, *items: Any, **attributes: Any) -> None:
        self.items = items
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.items[number]


def grey(label: int) -> Tensor:
    return torch.full((2, 2), 20 * label, dtype=torch.uint8)


def pairs(labels: list[int], image: Callable[[int], Any] = grey, **attributes: Any) -> Items:
    """Four images of each label, which show it."""
    return Items(*[(image(label), label) for label in labels for _ in range(4)], **attributes)


def folder(root: Path, classes: list[str], images: int = 4) -> Path:
    """An ImageFolder of 8 x 8 pixels, each class of its own brightness."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for each in range(images):
            pixels = np.full((8, 8, 3), 30 * number + each, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{each}.png")
    return root


@pytest.mark.parametrize("method", METHODS)
def test_folders_of_images_go_through_a_run(method: str, tmp_path: Path) -> None:
    names = ["ant", "bee", "cat", "dog"]
    sets = [ImageFolder(folder(tmp_path / part, names, 10)) for part in ("train", "test")]
    train, test = ([Subset(each, range(first, first + 20)) for first in (0, 20)] for each in sets)
    made = from_datasets("pets", train, test, validation=0.1)
    assert [task.classes for task in made.tasks] == [("ant", "bee"), ("cat", "dog")]
    assert [len(task.validation) for task in made.tasks] == [2, 2]
    assert made.image_shape == (3, 8, 8)
    images = narrow(Tensor, made.tasks[1].test.images)
    assert images.dtype == torch.uint8
    assert (images[:, 0, 0, 0] // 30 - 2 == made.tasks[1].test.labels).all()
    result = hl.run(method, made, **settings(method))
    assert len(result.accuracy_matrix) == 2
    assert "0.1 of the training images held out" in result.changed


@pytest.mark.parametrize("labels", [[1, 2], [7, 3], [-4, 10**6]])
def test_labels_start_anywhere_in_each_task(labels: list[int]) -> None:
    data = pairs(labels, lambda label: torch.full((2, 2), float(label == max(labels))))
    other = pairs([0, 1], lambda label: torch.full((2, 2), label / 2))
    made = from_datasets("mine", [data, other], [data, other])
    assert [task.classes for task in made.tasks] == [tuple(map(str, sorted(labels))), ("0", "1")]
    for part in (made.tasks[0].train, made.tasks[0].test):
        assert part.labels.dtype == torch.int64
        assert torch.equal(part.labels, narrow(Tensor, part.images)[:, 0, 0].long())


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"classes": ["a", "b", "c"]}, ("b", "c")),
        ({"classes": ("a", "b", "c")}, ("b", "c")),
        ({"classes": ["a", "b"]}, ("1", "2")),
        ({"classes": 3}, ("1", "2")),
        ({"classes": ["a", "b", "c"], "target_transform": lambda label: label}, ("1", "2")),
        ({}, ("1", "2")),
    ],
)
def test_names_of_classes(attributes: dict[str, Any], named: tuple[str, ...]) -> None:
    data = pairs([1, 2], **attributes)
    for each in (data, Subset(Subset(data, range(8)), range(8))):
        assert from_datasets("mine", [each], [each]).tasks[0].classes == named


def test_each_kind_of_image() -> None:
    """All show the colour (10, 20, 30), or 10 where there is one."""
    colours = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(3, 4, 5)
    pixels = colours.permute(1, 2, 0).contiguous().numpy()
    rgb = Image.fromarray(pixels)
    expected = {
        "RGB": (rgb, colours),
        "palette": (rgb.convert("P", palette=Image.Palette.ADAPTIVE), colours),
        "grey": (Image.fromarray(pixels[..., 0]), colours[:1]),
        "two": (Image.new("1", (5, 4), 1), torch.full((1, 4, 5), 255, dtype=torch.uint8)),
        "array": (pixels, torch.from_numpy(pixels)),
        "tensor": (colours / 255, colours / 255),
        "lists": ([[0.5, 0.25]], torch.tensor([[0.5, 0.25]])),
        "v2": (v2.ToDtype(torch.float32, scale=True)(v2.ToImage()(rgb)), colours / 255),
    }
    for kind, (image, wanted) in expected.items():
        data = Items((image, 0), (image, np.int64(1)), (image, torch.tensor(0)))
        (task,) = from_datasets("mine", [data], [data]).tasks
        assert task.train.images.dtype == wanted.dtype, kind
        assert type(task.train.images) is Tensor
        assert torch.allclose(task.train.images, wanted.expand(3, *wanted.shape), atol=1e-7), kind


class Unsized(Dataset[Any]):
    def __getitem__(self, number: int) -> Any:
        return grey(0), 0


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([(grey(0), 0)])

    def __len__(self) -> int:
        return 1


class Noisy(Items):
    def __getitem__(self, number: int) -> Any:
        return torch.rand(2, 2), 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Unsized(), "task 1, training images: a map-style Dataset is needed"),
        (Stream(), "a map-style Dataset is needed"),
        (Items(), "task 1, training images: there are none"),
        (Items(grey(0)), r"items \(image, label\) are needed; item 0 is Tensor"),
        (Items((grey(0), 0, 1)), r"items \(image, label\) are needed; item 0 is tuple"),
        (Items((grey(0), "cat")), "item 0 holds str, which is no image, array or tensor"),
        (Items((grey(0), 0), (torch.zeros(2, 3).byte(), 1)), r"image of item 1 has shape \(2, 3\) and type"),
        (Items((grey(0), 0), (torch.zeros(2, 2), 1)), r"image of item 1 has shape \(2, 2\) and type torch.float32"),
        (Items((grey(0), 0), (grey(1), 0.5)), "label of item 1 has shape .* and type torch.float32, that of item 0"),
        (Items((grey(0), True)), "task 1: training labels of torch.bool"),
        (Items((grey(0), [1])), r"task 1: training labels of shape \(1, 1\) for 1 images"),
        (Noisy(None), "item 0 is another when it is read again; take random transforms .* give them as augment="),
        (pairs([0, 2]), "task 1: test images of 1, of which there are no training images; training has 0, 2"),
    ],
)  # fmt: skip
def test_data_sets_that_make_no_task(data: "Dataset[Any]", message: str) -> None:
    good = pairs([0, 1])
    with pytest.raises(hl.InputError, match=f"mine: .*{message}"):
        from_datasets("mine", [good, data], [good, good])


def test_a_test_set_for_each_task() -> None:
    with pytest.raises(hl.InputError, match="mine: 2 training sets and 1 test sets; one of each is needed a task"):
        from_datasets("mine", [pairs([0, 1])] * 2, [pairs([0, 1])])
    with pytest.raises(hl.InputError, match="mine: a benchmark needs at least one task"):
        from_datasets("mine", [], [])


def test_more_images_than_memory_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl.datasets, "physical_memory", lambda: 31)
    with pytest.raises(hl.InputError, match="mine: task 0, training images take 0 GiB and this machine has 0; lazy"):
        from_datasets("mine", [pairs([0, 1])], [pairs([0, 1])])
    monkeypatch.setattr(hl.datasets, "physical_memory", lambda: 32)
    from_datasets("mine", [pairs([0, 1])], [pairs([0, 1])])


def test_options_are_fields_of_the_benchmark() -> None:
    data = [pairs([0, 1])] * 2
    assert from_datasets("mine", data, data, scenarios=("cl1",)).scenarios == ("cl1",)
    with pytest.raises(TypeError, match="colour"):
        from_datasets("mine", data, data, colour="red")


# Images that stay where they are


class Counted(Dataset[Any]):
    """Digits, of which it is counted how often each was read."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels, self.reads = images, labels, [0] * len(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        self.reads[number] += 1
        return self.images[number], int(self.labels[number])


class Targets(Counted):
    """They also say their labels without their images."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__(images, labels)
        self.targets = labels.tolist()


def digit_sets(kind: type[Counted] = Counted, floats: tuple[int, ...] = ()) -> tuple[list[Counted], list[Counted]]:
    """Training and test sets of three tasks of two digits, some of them in floats."""

    def part(images: Tensor, labels: Tensor) -> list[Counted]:
        rows = [(labels // 2 == task).nonzero()[:40, 0] for task in range(3)]
        shown = [hl.data.as_float(images) if task in floats else images for task in range(3)]
        return [kind(shown[task][own], labels[own]) for task, own in enumerate(rows)]

    source = hl.data.digits()
    return part(*source[:2]), part(*source[2:])


@pytest.mark.parametrize("method", [*METHODS, "scratch", "hnet-iwr", "dgr", "hnet-iwr-r"])
@pytest.mark.parametrize("floats", [(), (1,), (0, 1, 2)], ids=["bytes", "some floats", "floats"])
def test_a_run_is_the_same_whether_images_are_in_memory_or_not(method: str, floats: tuple[int, ...]) -> None:
    sets = digit_sets(floats=floats)
    own = SHORT | ({"chunk_size": 200} if "net" in method and method != "finetune" else {})
    if method in ("dgr", "hnet-iwr-r"):
        own |= {"encoder_hidden": (9,), "decoder_hidden": (9,), "latent": 3}
    lazy, held = (from_datasets("mine", *sets, validation=0.1, lazy=each) for each in (True, False))
    assert isinstance(lazy.tasks[0].train.images, LazyImages)
    made, expected = (hl.run(method, each, "cl3", **own) for each in (lazy, held))
    assert made.same_measurement(expected)
    assert made.images == expected.images  # the fingerprint


def test_images_are_read_when_they_are_needed() -> None:
    train, test = digit_sets(Targets)
    made = from_datasets("mine", train, test, lazy=True)
    looked_at = datasets._LOOKED_AT
    assert (
        sum(reads > 0 for reads in train[0].reads) <= looked_at + 3
    )  # the first ones, some to look at floats, the last
    before = list(train[0].reads)
    batch = made.tasks[0].train[torch.tensor([30, 5, 30])]
    assert [place for place, reads in enumerate(train[0].reads) if reads > before[place]] == [5, 30]
    assert torch.equal(batch.images[0], hl.data.as_float(train[0].images[30]))
    assert batch.images.shape == (3, 8, 8)
    assert made.tasks[0].train[torch.tensor([[1, 2], [3, 4]])].images.shape == (2, 2, 8, 8)


def test_labels_are_taken_from_items_where_targets_say_others() -> None:
    train, test = digit_sets(Targets)
    train[0].targets = [7] * len(train[0])  # type: ignore[attr-defined]
    made = from_datasets("mine", train, test, lazy=True)
    assert made.tasks[0].classes == ("0", "1")
    assert min(train[0].reads) == 1
    assert torch.equal(made.tasks[0].train.labels, train[0].labels)


def test_folders_are_read_lazily(tmp_path: Path) -> None:
    sets = [ImageFolder(folder(tmp_path / part, ["ant", "bee"], 10)) for part in ("train", "test")]
    train, test = ([Subset(each, range(0, 20, 2))] for each in sets)
    lazy, held = (from_datasets("mine", train, test, validation=0.2, lazy=each) for each in (True, False))
    assert lazy.tasks[0].classes == ("ant", "bee")
    for part in ("train", "validation", "test"):
        a, b = (getattr(each.tasks[0], part) for each in (lazy, held))
        assert torch.equal(a[:].images, b[:].images)
        assert torch.equal(a.labels, b.labels)
    few = hl.benchmarks.limited(lazy, 2).tasks[0].train
    assert isinstance(few.images, LazyImages)
    assert len(few) == 4


def test_lazy_images_may_be_larger_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "physical_memory", lambda: 100)
    with pytest.raises(hl.InputError, match="lazy=True reads each image when it is needed"):
        from_datasets("mine", *digit_sets())
    hl.run("joint", from_datasets("mine", *digit_sets(), lazy=True), **SHORT)


def test_an_item_that_is_another_later_is_named() -> None:
    data = Items(*[(grey(0), 0)] * 10, (torch.zeros(3, 3).byte(), 1))
    with pytest.raises(hl.InputError, match=r"the image of item 10 has shape \(3, 3\) and type torch.uint8"):
        from_datasets("mine", [data], [data], lazy=True)
    data.targets = [0] * 10 + [1]  # type: ignore[attr-defined]
    later = from_datasets("mine", [data], [data], lazy=True).tasks[0].train
    with pytest.raises(hl.InputError, match="mine: task 0, training images: the image of item 10"):
        later[:]


def test_lazy_targets_of_regression() -> None:
    data = [TensorDataset(torch.rand(20, 3), torch.rand(20))]
    lazy, held = (from_datasets("mine", data, data, lazy=each) for each in (True, False))
    made, expected = (hl.run("hnet", each, **SHORT, chunk_size=20) for each in (lazy, held))
    assert made.same_measurement(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_lazy_images_go_to_the_device() -> None:
    images = from_datasets("mine", *digit_sets(), lazy=True).tasks[0].train.to("cuda")[:5].images
    assert images.device.type == "cuda"
