"""Sequences of tasks that a learner meets one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from . import cifar, datasets
from .catalog import MADE_FOR as MADE_FOR
from .catalog import SCENARIOS as SCENARIOS
from .catalog import TASKS as TASKS
from .catalog import Scenario as Scenario
from .data import Examples, Source, channels_in_front, digits, in_pieces, mnist, rank_in_class
from .datasets import Images
from .errors import InputError
from .objectives import Loss, Metric, Objective, objective


@dataclass(frozen=True)
class Task:
    """One task of a benchmark.

    Args:
        train: what the learner sees.
        validation: held out from the training images to choose hyperparameters on; empty unless asked for.
        test: what the evaluator sees, and nobody else.
        classes: names of the task's classes; label ``i`` within the task means ``classes[i]``. None where labels are
            targets of regression, floats ``[n, outputs]``.
    """

    train: Examples
    validation: Examples
    test: Examples
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """How many outputs of a network the task needs: one for each class, or for each number of a target."""
        return len(self.classes) or self.train.labels.shape[1]


@dataclass(frozen=True)
class Benchmark:
    """Tasks of the same image shape, in the order in which they are learnt.

    Tasks may have different numbers of classes. Outputs that tasks share are then as many as the largest number, and in
    class-incremental learning the classes of all tasks come one after the other.

    Tasks without classes are tasks of regression: their labels are targets, and all have as many outputs. They are made
    for CL1, and for CL2 where ``scenarios`` says so.

    A task's number is its place: the examples' ``tasks`` are set to it, so that tasks may be taken from anywhere and in
    any order.

    Images are bytes, which become floats in [0, 1], or floats of one precision; some tasks may have these and others
    those. Other whole numbers, such as the tokens of a text, ``[n, length]``, reach the target as they are; all tasks
    have the same type of them.

    Raises `InputError` where the tasks differ in shape, where a label lies outside its task's classes, where images or
    labels have a type that cannot be learnt from, where floats are bytes that nobody divided by 255, where some tasks
    have classes and others targets, or where a loss or metric is not for them.
    """

    name: str
    tasks: tuple[Task, ...]
    changes: tuple[str, ...] = ()
    """How it differs from the benchmark of its name, for records."""
    scenarios: tuple[Scenario, ...] = SCENARIOS
    """What it is made for; in no other scenario is it measured."""
    augment: Callable[[Tensor], Tensor] | None = None
    """What is done at random to the images of each training batch, ``[B, *image]`` as a target is given them, on the
    device; the result has the same shape and type. It draws from PyTorch's random numbers, which a run's seed sets, and
    comes after what a configuration's ``augmentation`` does."""
    loss: str | Loss | None = None
    """What tasks are learnt by, as a name in `hyperlearn.objectives.LOSSES`, or a function of outputs ``[B, K]`` and
    labels. Default: cross-entropy, for targets the mean squared error. Fisher information takes it for -log p."""
    metric: str | Metric | None = None
    """What is measured of targets, as a name in `hyperlearn.objectives.METRICS`, or a `Metric`. Default: the mean
    squared error. Classes are measured by accuracy."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError(f"{self.name}: a benchmark needs at least one task")
        if not self.scenarios or not set(self.scenarios) <= set(SCENARIOS):
            raise InputError(
                f"{self.name}: scenarios={self.scenarios!r}; a tuple of some of {', '.join(SCENARIOS)} is needed"
            )
        object.__setattr__(self, "scenarios", tuple(each for each in SCENARIOS if each in self.scenarios))
        if not self.objective.classes:
            self._check_targets()
        for number, task in enumerate(self.tasks):
            for part, examples in (("training", task.train), ("validation", task.validation), ("test", task.test)):
                if len(examples) or part != "validation":
                    _check_examples(f"{self.name}: task {number}, {part} images", examples, task, self.image_shape)
        parts = [part.images.dtype for task in self.tasks for part in (task.train, task.validation, task.test)]
        kinds = {str(kind): None for kind in parts if kind != torch.uint8}  # in order
        if len(kinds) > 1:
            raise InputError(f"{self.name}: images of {' and '.join(kinds)}; give all that are not bytes one type")
        if torch.uint8 in parts and any(_is_whole(kind) for kind in parts):
            raise InputError(
                f"{self.name}: images of torch.uint8, which become floats, and of {', '.join(kinds)}, which do not"
            )
        object.__setattr__(self, "tasks", tuple(numbered(task, number) for number, task in enumerate(self.tasks)))
        said = any("tasks" in change for change in self.changes)
        if len(self) != TASKS.get(self.name, len(self)) and not said:
            object.__setattr__(self, "changes", (*self.changes, f"{len(self)} tasks"))

    def _check_targets(self) -> None:
        """Look at what all tasks of regression have in common; made for CL1 unless something else is said."""
        if any(task.train.labels.dim() != 2 or not task.train.labels.is_floating_point() for task in self.tasks):
            raise InputError(
                f"{self.name}: a task without classes needs targets, floats [n, outputs]; labels.float().unsqueeze(1) "
                "makes them of one number each"
            )
        if len({*self.class_counts}) > 1:
            raise InputError(f"{self.name}: tasks of {self.class_counts} outputs; all targets need as many")
        scenarios = ("cl1",) if self.scenarios == SCENARIOS else self.scenarios
        if "cl3" in scenarios:
            raise InputError(f"{self.name}: there is no cl3 without classes; scenarios are cl1 and cl2")
        object.__setattr__(self, "scenarios", scenarios)

    @property
    def objective(self) -> Objective:
        """What tasks are learnt and measured by."""
        classes = {bool(task.classes) for task in self.tasks}
        if len(classes) > 1:
            raise InputError(f"{self.name}: some tasks have classes and others none")
        return objective(self.name, self.loss, self.metric, classes.pop())

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image, for example (28, 28)."""
        return tuple(self.tasks[0].train.images.shape[1:])

    @property
    def image_type(self) -> torch.dtype:
        """What a target is given: floats, also of bytes, or whole numbers as they are."""
        parts = (part.images.dtype for task in self.tasks for part in (task.train, task.test))
        return next((kind for kind in parts if kind != torch.uint8), torch.float32)

    @property
    def classes_per_task(self) -> int:
        """The number of classes that each task tells apart; where they differ, that of the task with most."""
        return max(self.class_counts)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """The number of classes of each task; of outputs, where there are no classes."""
        return tuple(task.outputs for task in self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)


def numbered(task: Task, number: int) -> Task:
    """The same task in the place ``number``; itself, if it is there already."""
    parts = task.train, task.validation, task.test
    if all(part.tasks.dtype == torch.int64 and bool((part.tasks == number).all()) for part in parts):
        return task
    train, validation, test = (_examples(part.images, part.labels, number) for part in parts)
    return Task(train, validation, test, task.classes)


def _check_examples(where: str, examples: Examples, task: Task, shape: tuple[int, ...]) -> None:
    if len(examples) == 0:
        raise InputError(f"{where}: there are none")
    if tuple(examples.images.shape[1:]) != shape:
        raise InputError(f"{where}: shape {tuple(examples.images.shape[1:])}, expected {shape} as in task 0")
    images, labels = examples.images.dtype, examples.labels.dtype
    wanted = torch.int64 if task.classes else images if images.is_floating_point else torch.float32
    if not (images == torch.uint8 or images.is_floating_point or _is_whole(images)) or labels != wanted:
        raise InputError(
            f"{where}: {images} with labels of {labels}; images are torch.uint8, 0 to 255, floating point, or whole "
            f"numbers such as tokens of torch.int64, and labels {wanted}"
        )
    if images.is_floating_point:
        _check_floats(where, next(in_pieces(examples.images, size=10), torch.empty(0)))
    found = tuple(examples.labels.shape)
    if not task.classes:
        if found[1:] != (task.outputs,):
            raise InputError(f"{where}: targets of shape {found}, expected [n, {task.outputs}] as in training")
        if not bool(examples.labels.isfinite().all()):
            raise InputError(f"{where}: targets that are NaN or infinite")
        return
    if found != (len(examples),):
        raise InputError(f"{where}: labels of shape {found}, expected one for each image, [n]")
    low, high = int(examples.labels.min()), int(examples.labels.max())
    if low < 0 or high >= len(task.classes):
        raise InputError(f"{where}: labels from {low} to {high}, but the task has classes 0 to {len(task.classes) - 1}")


def _is_whole(kind: torch.dtype) -> bool:
    """Whether images of this type are whole numbers that are no bytes, which a target takes as they are."""
    return kind in (torch.int8, torch.int16, torch.int32, torch.int64)


def _check_floats(where: str, images: Tensor) -> None:
    if not bool(images.isfinite().all()):
        raise InputError(f"{where}: NaN or infinite values")
    if images.numel() == 0:
        return
    low, high = (float(value) for value in images.aminmax())
    # Standardized images are below 0 or between whole numbers somewhere, those in [0, 1] end at 1.
    if low >= 0 and 1 < high <= 255 and bool((images == images.trunc()).all()):
        raise InputError(
            f"{where}: whole numbers up to {high:g} in {images.dtype} look like bytes, which are not in [0, 1]; pass "
            "torch.uint8, 0 to 255, or divide by the largest value there can be, 255 for bytes"
        )


def split(
    name: str,
    source: Source,
    classes_per_task: int = 2,
    validation: float = 0.0,
    order: Sequence[int] | None = None,
) -> Benchmark:
    """Cut a data set into tasks of consecutive classes: (0, 1), (2, 3), ...

    Classes are the labels that occur among the training images, whatever whole numbers these are, from low to high.

    Args:
        name: the benchmark's name.
        source: the whole data set.
        classes_per_task: how many classes each task has; must divide the number of classes.
        validation: the fraction of each task's training images to hold out, in [0, 1).
        order: all classes, in the order in which tasks take them; default: from low to high.

    Raises:
        InputError: classes that cannot be cut so, test images of a class that training lacks, labels that are no whole
            numbers, one for each image, or a fraction out of range.

    Example:
        >>> [task.classes for task in split("shuffled", digits(), order=[3, 1, 4, 0, 5, 9, 2, 6, 8, 7]).tasks]
        [('3', '1'), ('4', '0'), ('5', '9'), ('2', '6'), ('8', '7')]
        >>> letters = Source(*2 * (torch.zeros(4, 28, 28, dtype=torch.uint8), torch.tensor([1, 5, 7, 3])))
        >>> [task.classes for task in split("letters", letters).tasks]
        [('1', '3'), ('5', '7')]
    """
    counted, classes = _counted(name, source, order)
    tasks = tuple(_tasks(name, counted, classes_per_task, validation, classes))
    usual = order is None or list(order) == sorted(order)
    ordered = () if usual else (f"classes in the order {' '.join(classes)}",)
    return Benchmark(name, tasks, ordered + _held_out(validation))


def _counted(name: str, source: Source, order: Sequence[int] | None = None) -> tuple[Source, tuple[str, ...]]:
    """The same images with their classes counted from 0, in ``order``, and the names of the classes, their labels."""
    for part, images, labels in (("training", *source[:2]), ("test", *source[2:])):
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise InputError(f"{name}: {part} labels of {labels.dtype}; whole numbers are needed, such as torch.int64")
        if labels.shape != (len(images),):
            raise InputError(
                f"{name}: {part} labels of shape {tuple(labels.shape)} for {len(images)} images, expected one for each"
            )
        if len(labels) == 0:
            raise InputError(f"{name}: there are no {part} images")
    train, test = source.train_labels.long(), source.test_labels.long()
    labels = train.unique()  # [classes], sorted
    lacking = sorted({*test.unique().tolist()} - {*labels.tolist()})
    if lacking:
        raise InputError(
            f"{name}: test images of {_in_words(lacking)}, of which there are no training images; training has "
            f"{_in_words(labels.tolist())}"
        )
    if order is None:
        order = labels.tolist()
    elif sorted(order) != labels.tolist():
        raise InputError(f"{name}: an order names each class, {_in_words(labels.tolist())}, once; got {list(order)}")
    place = torch.searchsorted(labels, torch.tensor(order)).argsort()  # [classes], of each class in the order
    train, test = (place[torch.searchsorted(labels, each)] for each in (train, test))
    return source._replace(train_labels=train, test_labels=test), tuple(str(int(label)) for label in order)


def _in_words(labels: list[int]) -> str:
    """Labels from low to high: ``0 to 9``, or ``1, 3, 5``."""
    if len(labels) > 2 and labels[-1] - labels[0] == len(labels) - 1:
        return f"{labels[0]} to {labels[-1]}"
    return ", ".join(map(str, labels[:10])) + (f", ... ({len(labels)} in all)" if len(labels) > 10 else "")


def _tasks(
    name: str,
    source: Source,
    classes_per_task: int,
    validation: float,
    classes: Sequence[str],
) -> list[Task]:
    """Tasks of consecutive ``classes``, by whose places in the sequence the images are labelled."""
    if classes_per_task < 1 or len(classes) % classes_per_task:
        raise InputError(f"{name}: {len(classes)} classes cannot be cut into tasks of {classes_per_task}")
    tasks = []
    for number, first in enumerate(range(0, len(classes), classes_per_task)):

        def part(images: Tensor, labels: Tensor, first: int = first, number: int = number) -> Examples:
            mine = (labels >= first) & (labels < first + classes_per_task)
            return _examples(images[mine], labels[mine] - first, number)

        train = part(source.train_images, source.train_labels)
        tasks.append(
            Task(
                *_hold_out(train, validation),
                part(source.test_images, source.test_labels),
                tuple(classes[first : first + classes_per_task]),
            )
        )
    return tasks


def from_datasets(
    name: str,
    train: Sequence["Dataset[Any]"],
    test: Sequence["Dataset[Any]"],
    validation: float = 0.0,
    lazy: bool = False,
    **options: Any,
) -> Benchmark:
    """A benchmark of your own data: one data set of PyTorch for each task, and one to test it by.

    Items are pairs (image, label). Labels are whole numbers, whichever: a task's classes are those that occur in its
    training data, from low to high. They are called what the data set's ``classes`` says, as torchvision's have them,
    else by their number. Labels that are floats, one or several, are targets of regression.

    Each data set is read once and kept in memory, bytes as bytes. With ``lazy`` its images stay where they are, so that
    they may be larger than memory: each is read when a batch needs it, and once more for the fingerprint in the record.
    What is done to an image at random belongs into ``augment``.

    Args:
        name: the benchmark's name.
        train: for each task a map-style data set, such as an ``ImageFolder`` or a ``Subset``.
        test: as many.
        validation: the fraction of each task's training images to hold out, in [0, 1).
        lazy: whether to read images as they are needed.
        options: other fields of `Benchmark`, such as ``scenarios``.

    Raises:
        InputError: not as many test as training sets, data that `hyperlearn.datasets.read` or `split` refuses, or tasks
            that do not make a `Benchmark`.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> pairs = torch.tensor([5, 9, 5, 9]), torch.tensor([1, 2, 2, 1])
        >>> made = [TensorDataset(torch.rand(4, 3, 8, 8), labels) for labels in pairs]
        >>> [task.classes for task in from_datasets("mine", made, made).tasks]
        [('5', '9'), ('1', '2')]
    """
    if len(train) != len(test):
        raise InputError(f"{name}: {len(train)} training sets and {len(test)} test sets; one of each is needed a task")
    tasks = tuple(
        _task_of(f"{name}: task {number}", number, pair, validation, datasets.lazily if lazy else datasets.read)
        for number, pair in enumerate(zip(train, test, strict=True))
    )
    return Benchmark(name, tasks, _held_out(validation), **options)


def _task_of(
    where: str,
    number: int,
    pair: "tuple[Dataset[Any], Dataset[Any]]",
    validation: float,
    read: "Callable[[Dataset[Any], str], tuple[Images, Tensor]]",
) -> Task:
    train, test = pair
    found = (*read(train, f"{where}, training images"), *read(test, f"{where}, test images"))
    source = Source(*found)  # type: ignore[arg-type]  # of images that are not read their number is enough
    if source.train_labels.is_floating_point() and source.test_labels.is_floating_point():
        kind = source.train_images.dtype
        kind = kind if kind.is_floating_point else torch.float32
        targets = [labels.to(kind).view(len(labels), -1) for labels in (source.train_labels, source.test_labels)]
        held = _hold_out(_examples(source.train_images, targets[0], number), validation)
        return Task(*held, _examples(source.test_images, targets[1], number), ())
    source, classes = _counted(where, source)
    names = datasets.class_names(train)
    if names is not None and all(0 <= int(label) < len(names) for label in classes):
        classes = tuple(names[int(label)] for label in classes)
    held = _hold_out(_examples(source.train_images, source.train_labels, number), validation)
    return Task(*held, _examples(source.test_images, source.test_labels, number), classes)


def permuted(
    name: str, source: Source, tasks: int = 10, padding: int = 2, validation: float = 0.0, seed: int = 0
) -> Benchmark:
    """The same classes in every task, each task with its own fixed permutation of the pixels.

    The first task is not permuted (von Oswald et al. 2020). Images are padded with zeros on all sides before. Classes
    are the labels that occur among the training images, as for `split`.

    Args:
        name: the benchmark's name.
        source: the whole data set, images ``[n, h, w]`` or ``[n, channels, h, w]``; of any shape without padding.
        tasks: how many permutations.
        padding: zeros to add on each side (Permuted MNIST: 2, so 32 x 32).
        validation: the fraction of training images to hold out, in [0, 1).
        seed: of the permutations; they belong to the benchmark and not to a run.

    Raises:
        InputError: no task, images that cannot be padded, labels that `split` refuses, or a fraction out of range.
    """
    source, classes = _counted(name, source)
    image_shape = tuple(source.train_images.shape[1:])
    if padding and len(image_shape) != 2 and not channels_in_front(image_shape):
        raise InputError(
            f"{name}: images of shape {image_shape} cannot be padded, only [height, width] and [channels, height, "
            "width] with 1, 3 or 4 channels; padding=0 takes all"
        )
    generator = torch.Generator().manual_seed(seed)
    train_images, test_images = (
        functional.pad(images, (padding,) * 4) for images in (source.train_images, source.test_images)
    )
    shape = train_images.shape[1:]
    pixels = shape.numel()
    made = []
    for number in range(tasks):
        order = torch.randperm(pixels, generator=generator) if number else torch.arange(pixels)

        def shuffle(images: Tensor, order: Tensor = order) -> Tensor:
            return images.flatten(1)[:, order].unflatten(1, shape)

        train = _examples(shuffle(train_images), source.train_labels, number)
        test = _examples(shuffle(test_images), source.test_labels, number)
        made.append(Task(*_hold_out(train, validation), test, classes))
    return Benchmark(name, tuple(made), _held_out(validation))


def _examples(images: Images, labels: Tensor, task: int) -> Examples:
    return Examples(images, labels, torch.full((len(labels),), task, device=labels.device))


def _held_out(validation: float) -> tuple[str, ...]:
    """How a benchmark differs from the one of its name where it is trained on fewer images."""
    return (f"{validation:.3g} of the training images held out",) if validation else ()


def _hold_out(examples: Examples, fraction: float) -> tuple[Examples, Examples]:
    """Cut off a validation part, always the same one, drawn at random because some sources are sorted."""
    if not 0 <= fraction < 1:
        raise InputError(f"validation must be a fraction in [0, 1), got {fraction}")
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))
    held = round(fraction * len(examples))
    return examples.take(order[held:].sort().values), examples.take(order[:held].sort().values)


def on_validation(benchmark: Benchmark) -> Benchmark:
    """The same tasks measured on their validation images: what hyperparameters are chosen on.

    The test images are not part of what this returns, so that no choice can depend on them.

    Raises `InputError` where the benchmark was made without validation images.
    """
    if any(len(task.validation) == 0 for task in benchmark.tasks):
        raise InputError(f"{benchmark.name} has no validation images; make it with validation=0.1, for example")
    tasks = tuple(replace(task, test=task.validation) for task in benchmark.tasks)
    return _changed(benchmark, tasks, "measured on validation images")


def _changed(benchmark: Benchmark, tasks: tuple[Task, ...], how: str) -> Benchmark:
    return replace(benchmark, tasks=tasks, changes=(*benchmark.changes, how))


def first(benchmark: Benchmark, tasks: int) -> Benchmark:
    """The first so many tasks of ``benchmark``; raises `InputError` where it has fewer, or where none are asked for.

    Example:
        >>> [task.classes for task in first(split_digits(), 2).tasks]
        [('0', '1'), ('2', '3')]
    """
    if not 1 <= tasks <= len(benchmark):
        raise InputError(f"{benchmark.name}: {tasks} tasks asked for, it has {len(benchmark)}; 1 is the least")
    if tasks == len(benchmark):
        return benchmark
    return _changed(benchmark, benchmark.tasks[:tasks], f"the first {tasks} tasks")


def limited(benchmark: Benchmark, images_per_class: int) -> Benchmark:
    """The same tasks with the first so many training, validation and test images of each class, or all if fewer.

    For a look at a large benchmark on a small machine; the numbers that come out are not those of the benchmark.
    """

    benchmark.objective.check_classes(f"{benchmark.name}: a number of images of each class")

    def part(examples: Examples) -> Examples:
        return examples.take(rank_in_class(examples.labels) < images_per_class)

    tasks = tuple(
        replace(task, train=part(task.train), validation=part(task.validation), test=part(task.test))
        for task in benchmark.tasks
    )
    return _changed(benchmark, tasks, f"{images_per_class} images of each class")


def split_digits(validation: float = 0.0, order: Sequence[int] | None = None) -> Benchmark:
    """Five tasks of two digits each, 8 x 8 pixels: needs no file and no network. ``order`` as for `split`.

    Example:
        >>> [task.classes for task in split_digits().tasks]
        [('0', '1'), ('2', '3'), ('4', '5'), ('6', '7'), ('8', '9')]
    """
    return split("split-digits", digits(), validation=validation, order=order)


def permuted_digits(tasks: int = 10, validation: float = 0.0) -> Benchmark:
    """Ten digits under ``tasks`` permutations of their 8 x 8 pixels: needs no file and no network."""
    return permuted("permuted-digits", digits(), tasks, padding=0, validation=validation)


def split_mnist(validation: float = 0.0, order: Sequence[int] | None = None) -> Benchmark:
    """Split MNIST (Zenke et al. 2017): five tasks (0, 1) (2, 3) (4, 5) (6, 7) (8, 9) of 28 x 28 pixels.

    van de Ven & Tolias (2019) draw another ``order`` of the digits (see `split`) for each seed.
    """
    return split("split-mnist", mnist(), validation=validation, order=order)


def split_fashion_mnist(validation: float = 0.0, order: Sequence[int] | None = None) -> Benchmark:
    """Split Fashion-MNIST: five tasks of two kinds of clothing each, 28 x 28 pixels. ``order`` as for `split`."""
    return split("split-fashion-mnist", mnist("fashion-mnist"), validation=validation, order=order)


def permuted_mnist(tasks: int = 10, validation: float = 0.0) -> Benchmark:
    """Permuted MNIST: ten digits under ``tasks`` permutations of 32 x 32 pixels (padded by 2)."""
    return permuted("permuted-mnist", mnist(), tasks, validation=validation)


def cifar_10_100(validation: float = 0.0) -> Benchmark:
    """CIFAR-10/100: ten classes of CIFAR-10, then five times ten of CIFAR-100, 3 x 32 x 32 pixels; CL1 only.

    Task 1 is all of CIFAR-10, tasks 2 to 6 are classes 0-9, 10-19, ..., 40-49 of CIFAR-100 (von Oswald et al. 2020).
    The first task has ten times as many images as each other one.
    """
    name = "cifar-10-100"
    tasks = [
        task
        for source in ("cifar-10", "cifar-100")
        for task in _tasks(name, cifar.load(source), 10, validation, cifar.CLASSES[source])
    ]
    return Benchmark(name, tuple(tasks), _held_out(validation), MADE_FOR[name])


def polynomials(images: int = 100, noise: float = 0.05, seed: int = 0) -> Benchmark:
    r"""Regression of one number from one: von Oswald et al.'s three polynomials, each on an interval of its own.

    .. math::
        & x + 3 \text{ on } [-4, -2], \quad 2 x^2 - 1 \text{ on } [-1, 1], \\
        & (x - 3)^3 \text{ on } [2, 4]

    (von Oswald et al. 2020, figure 2.) Test points lie evenly and have no noise.

    Args:
        images: points to learn from in each task, drawn uniformly.
        noise: standard deviation of what is added to their targets.
        seed: of points and noise; they belong to the benchmark and not to a run.

    Example:
        >>> made = polynomials()
        >>> made.scenarios, made.objective.metric.name, tuple(made.tasks[0].train.labels.shape)
        (('cl1',), 'mse', (100, 1))
    """
    generator = torch.Generator().manual_seed(seed)
    tasks = []
    for number, (low, polynomial) in enumerate(
        [(-4.0, lambda x: x + 3), (-1.0, lambda x: 2 * x**2 - 1), (2.0, lambda x: (x - 3) ** 3)]
    ):
        x = low + 2 * torch.rand(images, 1, generator=generator)
        y = polynomial(x) + noise * torch.randn(images, 1, generator=generator)
        even = torch.linspace(low, low + 2, 50)[:, None]
        train, test = _examples(x, y, number), _examples(even, polynomial(even), number)
        tasks.append(Task(train, train.take(slice(0)), test, ()))
    return Benchmark("polynomials", tuple(tasks))


BENCHMARKS: dict[str, Callable[..., Benchmark]] = {
    "split-digits": split_digits,
    "permuted-digits": permuted_digits,
    "split-mnist": split_mnist,
    "permuted-mnist": permuted_mnist,
    "split-fashion-mnist": split_fashion_mnist,
    "cifar-10-100": cifar_10_100,
}
"""Every benchmark by its name on the command line."""


def check_name(name: str) -> None:
    """Raise `InputError` with the names there are, unless ``name`` is one."""
    if name not in BENCHMARKS:
        raise InputError(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")


def load(name: str, **options: float) -> Benchmark:
    """The benchmark called ``name``; raises `InputError` with the names there are."""
    check_name(name)
    return BENCHMARKS[name](**options)
