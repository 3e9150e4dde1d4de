"""Sources, batches and benchmarks."""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import pytest
import torch
from narrowing import narrow
from torch import Tensor

import hyperlearn as hl
from hyperlearn import cifar, data
from hyperlearn.data import Examples, as_float, draw_indices, mnist


def examples(n: int = 6, classes: int = 2, task: int = 0) -> Examples:
    labels = torch.arange(n) % classes
    return Examples(torch.full((n, 2, 2), 255, dtype=torch.uint8), labels, torch.full_like(labels, task))


def task(train: Examples, classes: tuple[str, ...] = ("a", "b")) -> hl.benchmarks.Task:
    return hl.benchmarks.Task(train, examples(0), examples(), classes)


def test_bytes_become_fractions_and_floats_stay() -> None:
    assert as_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [0.0, 1.0]
    floats = torch.randn(3)
    assert as_float(floats) is floats


def test_each_pass_draws_every_example_once() -> None:
    order = draw_indices(10, batch_size=4, steps=5, generator=torch.Generator().manual_seed(0)).flatten()
    assert sorted(order[:10].tolist()) == sorted(order[10:].tolist()) == list(range(10))
    assert order[:10].tolist() != order[10:].tolist()


def test_digits_are_split_evenly_and_without_overlap() -> None:
    source = hl.data.digits()
    assert source.train_images.dtype == torch.uint8
    assert int(source.train_images.max()) == 255
    assert len(source.train_labels) + len(source.test_labels) == 1797
    assert all(35 <= int((source.test_labels == label).sum()) <= 37 for label in range(10))


def test_split_tasks_hold_their_own_classes() -> None:
    benchmark = hl.benchmarks.split_digits()
    assert len(benchmark) == 5
    assert benchmark.image_shape == (8, 8)
    assert sum(len(task.train) for task in benchmark.tasks) == len(hl.data.digits().train_labels)
    for number, one in enumerate(benchmark.tasks):
        assert one.train.labels.unique().tolist() == [0, 1]
        assert one.train.tasks.unique().tolist() == [number]


def test_tasks_take_classes_in_the_order_asked_for() -> None:
    """Another order has the same images of each digit, elsewhere; the plain order changes nothing."""
    plain, order = hl.benchmarks.split_digits(validation=0.2), [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    shuffled = hl.benchmarks.split_digits(order=order)
    source = hl.data.digits()
    for number, task in enumerate(shuffled.tasks):
        assert task.classes == tuple(str(label) for label in order[2 * number : 2 * number + 2])
        for label, name in enumerate(task.classes):
            assert torch.equal(
                task.train.images[task.train.labels == label], source.train_images[source.train_labels == int(name)]
            )
            assert torch.equal(
                task.test.images[task.test.labels == label], source.test_images[source.test_labels == int(name)]
            )
    for task, same in zip(plain.tasks, hl.benchmarks.split_digits(validation=0.2, order=range(10)).tasks, strict=True):
        assert task.classes == same.classes
        for part in ("train", "validation", "test"):
            mine, other = getattr(task, part), getattr(same, part)
            assert torch.equal(mine.images, other.images)
            assert torch.equal(mine.labels, other.labels)


@pytest.mark.parametrize("order", [[0, 1, 2], [*range(9), 8], [*range(1, 11)]])
def test_an_order_names_each_class_once(order: list[int]) -> None:
    with pytest.raises(hl.InputError, match="split-digits: an order names each class, 0 to 9, once; got"):
        hl.benchmarks.split_digits(order=order)


def test_first_permutation_is_none_and_the_others_are_fixed() -> None:
    one, two = (hl.benchmarks.permuted_digits(tasks=3) for _ in range(2))
    source = hl.data.digits()
    train = [narrow(Tensor, task.train.images) for task in one.tasks]
    assert torch.equal(train[0], source.train_images)
    assert not torch.equal(train[1], source.train_images)
    assert not torch.equal(train[1], train[2])
    for a, b in zip(one.tasks, two.tasks, strict=True):
        test = narrow(Tensor, a.test.images)
        assert torch.equal(test, narrow(Tensor, b.test.images))
        # the same pixels, in another order
        assert torch.equal(test.flatten(1).sort().values, source.test_images.flatten(1).sort().values)


def test_validation_images_are_taken_from_the_training_images() -> None:
    whole, cut = hl.benchmarks.split_digits(), hl.benchmarks.split_digits(validation=0.25)
    for a, b in zip(whole.tasks, cut.tasks, strict=True):
        assert len(b.validation) == round(0.25 * len(a.train))
        assert len(b.train) + len(b.validation) == len(a.train)
        assert torch.equal(narrow(Tensor, a.test.images), narrow(Tensor, b.test.images))
        both = torch.cat([narrow(Tensor, part.images) for part in (b.train, b.validation)])
        assert sorted(both.flatten(1).tolist()) == sorted(narrow(Tensor, a.train.images).flatten(1).tolist())


def test_tuning_sees_no_test_image() -> None:
    cut = hl.benchmarks.split_digits(validation=0.25)
    tuning = hl.benchmarks.on_validation(cut)
    for a, b in zip(cut.tasks, tuning.tasks, strict=True):
        assert b.test is a.validation
        assert b.train is a.train
    with pytest.raises(hl.InputError, match="split-digits has no validation images"):
        hl.benchmarks.on_validation(hl.benchmarks.split_digits())


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "needs at least one task"),
        ([task(examples()), task(examples(), ())], "mine: some tasks have classes and others none"),
        (
            [task(examples(), ("a", "b", "c")), task(examples(classes=3))],
            "task 1, .* labels from 0 to 2, but the task has",
        ),
        ([task(examples(classes=3))], "labels from 0 to 2, but the task has classes 0 to 1"),
        ([task(examples(0))], "task 0, training images: there are none"),
    ],
)
def test_a_benchmark_that_cannot_be_is_refused(tasks: list[hl.benchmarks.Task], message: str) -> None:
    with pytest.raises(hl.InputError, match=message):
        hl.benchmarks.Benchmark("mine", tuple(tasks))


def test_a_task_is_numbered_by_its_place() -> None:
    """Tasks may be taken from another benchmark, in any order: the number decides which outputs are trained."""
    digits = hl.benchmarks.split_digits()
    turned = hl.benchmarks.Benchmark("turned", digits.tasks[::-1])
    for number, (made, given) in enumerate(zip(turned.tasks, digits.tasks[::-1], strict=True)):
        assert (made.train.tasks == number).all()
        assert (made.test.tasks == number).all()
        assert made.train.images is given.train.images
        assert (given.train.tasks == 4 - number).all()  # the other benchmark is as it was
    assert hl.benchmarks.Benchmark("same", digits.tasks).tasks[0] is digits.tasks[0]
    learnt = hl.run("finetune", turned, "cl1", iterations=30, target="mlp-20")
    assert learnt.metrics.during_accuracy > 0.9


def test_task_numbers_of_another_type_are_set_too() -> None:
    part = replace(examples(), tasks=torch.zeros(6))
    (made,) = hl.benchmarks.Benchmark("own", (task(part),)).tasks
    assert made.train.tasks.dtype == torch.int64


def test_labels_are_one_for_each_image() -> None:
    part = examples()
    with pytest.raises(hl.InputError, match=r"own: task 0, training images: labels of shape \(6, 1\), expected one"):
        hl.benchmarks.Benchmark("own", (task(replace(part, labels=part.labels[:, None])),))


@pytest.mark.parametrize("read", [mnist, cifar.load])
def test_a_data_set_there_is_not(read: Callable[[str], object]) -> None:
    with pytest.raises(hl.InputError, match="no data set 'emnist'; there are "):
        read("emnist")


@pytest.mark.parametrize(
    ("images", "labels"), [(torch.bool, torch.int64), (torch.uint8, torch.int32), (torch.float32, torch.float32)]
)
def test_types_that_cannot_be_learnt_from_are_refused(images: torch.dtype, labels: torch.dtype) -> None:
    good = examples()
    bad = replace(good, images=narrow(Tensor, good.images).to(images), labels=good.labels.to(labels))
    with pytest.raises(hl.InputError, match=f"mine: task 0, training images: {images} with labels of {labels}"):
        hl.benchmarks.Benchmark("mine", (task(bad),))


def test_images_in_another_precision_than_the_weights_are_refused() -> None:
    good = examples()
    images = as_float(narrow(Tensor, good.images)).double()
    double = hl.benchmarks.Benchmark("mine", (task(replace(good, images=images)),))
    with pytest.raises(hl.InputError, match=r"images of torch.float64, but the weights are torch.float32"):
        hl.run("finetune", double, iterations=1, target="mlp-5")


def test_nan_images_are_refused_with_the_task_named() -> None:
    good = examples()
    bad = Examples(torch.full((6, 2, 2), float("nan")), good.labels, good.tasks)
    with pytest.raises(hl.InputError, match="mine: task 1, training images: NaN or infinite"):
        hl.benchmarks.Benchmark("mine", (task(good), task(bad)))


def test_unequal_images_are_refused() -> None:
    with pytest.raises(hl.InputError, match="as many images, labels and tasks"):
        Examples(torch.zeros(3, 2, 2), torch.zeros(4).long(), torch.zeros(3).long())
    other = Examples(torch.zeros(6, 3, 3, dtype=torch.uint8), examples().labels, examples().tasks)
    with pytest.raises(hl.InputError, match=r"shape \(3, 3\), expected \(2, 2\) as in task 0"):
        hl.benchmarks.Benchmark("mine", (task(examples()), task(other)))


def test_classes_must_divide_evenly() -> None:
    with pytest.raises(hl.InputError, match="10 classes cannot be cut into tasks of 3"):
        hl.benchmarks.split("mine", hl.data.digits(), classes_per_task=3)


# What may be in a file's place and is none: reading a pipe waits without end, some devices never end.

NO_FILES: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
}

# MNIST's files: from the local copy where there is one.

here = os.environ.get("HYPERLEARN_DATA", "")
needs_mnist = pytest.mark.skipif(
    not (Path(here or "/nowhere") / "MNIST" / "raw" / "train-images-idx3-ubyte").exists(),
    reason="no local copy of MNIST: HYPERLEARN_DATA names none",
)


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    mnist.cache_clear()
    yield
    mnist.cache_clear()


@needs_mnist
def test_mnist_has_the_images_it_should() -> None:
    source = mnist()
    assert tuple(source.train_images.shape) == (60_000, 28, 28)
    assert source.test_labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert hl.benchmarks.permuted_mnist(tasks=2).image_shape == (32, 32)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with its own copy of MNIST's files, to damage."""
    shutil.copytree(Path(here) / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path))
    return tmp_path / "MNIST" / "raw"


@needs_mnist
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "compressed"])
def test_a_damaged_file_is_named(copy: Path, name: str, damage: str) -> None:
    content = (copy / name).read_bytes()
    new = {
        "truncated": content[: len(content) // 2],
        "empty": b"",
        "text": b"<html>not found</html>",
        "compressed": gzip.compress(content[:5000]),
    }
    (copy / name).write_bytes(new[damage])
    with pytest.raises(hl.DataError, match="holds a damaged or unreadable file"):
        mnist()


@needs_mnist
def test_swapped_files_are_noticed(copy: Path) -> None:
    shutil.copy(copy / "t10k-images-idx3-ubyte", copy / "train-images-idx3-ubyte")
    with pytest.raises(hl.DataError, match="expected 60000 images of 28 x 28"):
        mnist()


# Files that only look like MNIST's


def write_idx(file: Path, *shape: int, tail: bytes = b"") -> None:
    """Zeros in MNIST's format, which take no room on most disks, and ``tail`` at the end."""
    with file.open("wb") as out:
        out.write(bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape))
        out.truncate(out.tell() + torch.Size(shape).numel())
        out.seek(-len(tail), os.SEEK_END)
        out.write(tail)


def write_likeness(raw: Path, pixel: int) -> tuple[str, ...]:
    """Images of little but black with the labels 0 to 9 by turns, as many as MNIST has; returns their checksums."""
    raw.mkdir(parents=True)
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        write_idx(raw / f"{part}-images-idx3-ubyte", n, 28, 28, tail=bytes([pixel]))
        labels = bytes((label + pixel) % 10 for label in range(10))
        write_idx(raw / f"{part}-labels-idx1-ubyte", n, tail=labels * (n // 10))
    return tuple(md5((raw / file).read_bytes()).hexdigest() for file in data.IDX_FILES)


@pytest.fixture
def likeness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that count as MNIST's and Fashion-MNIST's own, since their checksums stand in the place of those."""
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path))
    for pixel, (name, kind) in enumerate(data.MNIST_LIKE.items(), 1):
        monkeypatch.setitem(data.IDX_MD5, name, write_likeness(tmp_path / kind / "raw", pixel))
    return tmp_path


def test_files_with_the_right_checksums_are_read(likeness: Path) -> None:
    assert mnist().train_labels[:3].tolist() == [1, 2, 3]
    assert mnist("fashion-mnist").train_labels[:3].tolist() == [2, 3, 4]
    assert hl.benchmarks.split_mnist().image_shape == (28, 28)


@pytest.mark.parametrize("name", data.MNIST_LIKE)
@pytest.mark.parametrize("file", data.IDX_FILES)
def test_other_data_under_mnists_file_names_is_named(name: str, file: str, likeness: Path) -> None:
    """Of the right shape, with the right labels: Kuzushiji-MNIST's, say, or one that is damaged."""
    path = likeness / data.MNIST_LIKE[name] / "raw" / file
    content = bytearray(path.read_bytes())
    content[-2:] = content[:-3:-1]
    path.write_bytes(content)
    with pytest.raises(
        hl.DataError, match=rf"raw/{file} is not {data.MNIST_LIKE[name]}'s but other data, or damaged \("
    ):
        mnist(name)


@pytest.mark.parametrize("file", data.IDX_FILES)
def test_files_of_one_data_set_in_the_place_of_the_other_are_named(file: str, likeness: Path) -> None:
    mine, other = (likeness / kind / "raw" / file for kind in ("MNIST", "FashionMNIST"))
    aside = mine.read_bytes()
    shutil.copy(other, mine)
    other.write_bytes(aside)
    with pytest.raises(hl.DataError, match=f"/MNIST/raw/{file} is not MNIST's but FashionMNIST's {file} "):
        mnist()
    with pytest.raises(hl.DataError, match=f"/FashionMNIST/raw/{file} is not FashionMNIST's but MNIST's {file} "):
        mnist("fashion-mnist")


@pytest.mark.parametrize("name", data.MNIST_LIKE)
@pytest.mark.parametrize("file", data.IDX_FILES)
@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_what_is_no_file_is_not_read(
    name: str, file: str, kind: str, packed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything downloaded into it, where the other files are missing."""
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path))
    raw = tmp_path / data.MNIST_LIKE[name] / "raw"
    raw.mkdir(parents=True)
    NO_FILES[kind](raw / f"{file}{packed}")
    with pytest.raises(hl.DataError, match=f"{file}{packed} is no regular file"):
        mnist(name)
    if not packed:
        for other in data.IDX_FILES:
            if other != file:
                write_idx(
                    raw / other, *((60_000 if "train" in other else 10_000), 28, 28)[: 3 if "idx3" in other else 1]
                )
        assert data.mnist_present(name)
        with pytest.raises(hl.DataError, match=rf"{file} is no regular file|expected labels 0 to 9 in train"):
            mnist(name)


def test_a_file_without_end_is_not_read(likeness: Path) -> None:
    os.truncate(likeness / "MNIST" / "raw" / "train-images-idx3-ubyte", 2**31)
    with pytest.raises(hl.DataError, match="train-images-idx3-ubyte has 2,147,483,648 bytes, more than"):
        mnist()


def test_a_missing_data_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path / "nothing"))
    with pytest.raises(hl.DataError, match=r"HYPERLEARN_DATA names .*nothing, which is no folder"):
        mnist()


def test_an_unreadable_data_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads everything, so the answer of the operating system is given for it."""
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(hl.DataError, match="which cannot be read"):
        mnist()


def test_no_network_where_a_download_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not there stands for a network that is not there."""
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(hl.DataError, match=r"MNIST is not in .* and could not be downloaded .*; put its four unpacked"):
        mnist()
