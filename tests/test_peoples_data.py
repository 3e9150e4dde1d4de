"""Data as people have it: right where the meaning is certain, else one line that says what is expected."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from narrowing import narrow
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import hyperlearn as hl
from hyperlearn.benchmarks import Benchmark, Task, permuted, split
from hyperlearn.data import Examples, Source, as_float, concatenate, flip_and_crop
from hyperlearn.nets.layout import channels_last
from hyperlearn.replicas import train_replicas

WHOLE: dict[str, Any] = {"iterations": 20, "batch_size": 16, "target": "mlp-10", "device": "cpu"}


def each_part(task: Task, change: Callable[[Tensor], Tensor]) -> Task:
    train, validation, test = (
        replace(part, images=change(narrow(Tensor, part.images))) for part in (task.train, task.validation, task.test)
    )
    return Task(train, validation, test, task.classes)


def one_task(images: Tensor) -> Benchmark:
    """Two classes by turns."""
    n = len(images)
    examples = Examples(images, torch.arange(n) % 2, torch.zeros(n, dtype=torch.int64))
    return Benchmark("mine", (Task(examples, examples.take(slice(0)), examples, ("a", "b")),))


def labelled(labels: Sequence[int] | Tensor, test: Sequence[int] | Tensor | None = None) -> Source:
    """An image for each label, which tells its place."""
    train = torch.as_tensor(labels)
    other = train if test is None else torch.as_tensor(test)
    images = torch.arange(max(len(train), len(other)), dtype=torch.uint8)[:, None, None].expand(-1, 8, 8)
    return Source(images[: len(train)], train, images[: len(other)], other)


# Bytes and floats


@pytest.mark.parametrize("number", [0, 4])
def test_a_task_in_floats_among_tasks_in_bytes_changes_nothing(number: int) -> None:
    """In `joint` the images of all tasks come together."""
    digits = hl.benchmarks.split_digits()
    tasks = list(digits.tasks)
    tasks[number] = each_part(tasks[number], as_float)
    mixed = replace(digits, tasks=tuple(tasks))
    for method in ("joint", "finetune"):
        made, expected = (hl.run(method, each, scenario="cl3", **WHOLE) for each in (mixed, digits))
        assert made.accuracy_matrix == expected.accuracy_matrix


def test_bytes_stay_bytes_among_themselves() -> None:
    parts = [task.train for task in hl.benchmarks.split_digits().tasks]
    assert concatenate(parts).images.dtype == torch.uint8
    assert concatenate([replace(part, images=as_float(part.images)) for part in parts]).images.dtype == torch.float32


@pytest.mark.parametrize("kinds", [(torch.float32, torch.float64), (torch.uint8, torch.float64)])
def test_floats_of_two_precisions_do_not_come_together(kinds: tuple[torch.dtype, torch.dtype]) -> None:
    parts = [task.train for task in hl.benchmarks.split_digits().tasks]
    parts = [
        replace(part, images=narrow(Tensor, part.images).to(kind)) for part, kind in zip(parts, kinds, strict=False)
    ]
    with pytest.raises(hl.InputError, match=r"images of torch.float32 and torch.float64 cannot be put together"):
        concatenate(parts)


def test_all_floats_of_a_benchmark_are_of_one_type() -> None:
    digits = hl.benchmarks.split_digits().tasks
    single = each_part(digits[0], as_float)
    double = each_part(digits[0], lambda images: as_float(images).double())
    with pytest.raises(hl.InputError, match=r"mine: images of torch.float32 and torch.float64; give all"):
        Benchmark("mine", (single, double))
    # Bytes go with any floats, but these have to be of the weights' type, whichever task has them.
    with pytest.raises(hl.InputError, match=r"images of torch.float64, but the weights are torch.float32"):
        hl.run("finetune", Benchmark("mine", (digits[0], double)), **WHOLE)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_bytes_stored_as_floats_are_refused(part: str, kind: torch.dtype) -> None:
    (task, *_) = hl.benchmarks.split_digits(validation=0.2).tasks
    task = each_part(task, lambda images: as_float(images).to(kind))
    wrong = replace(task, **{part: replace(getattr(task, part), images=(255 * getattr(task, part).images).round())})
    named = {"train": "training"}.get(part, part)
    with pytest.raises(hl.InputError, match=rf"task 0, {named} images: whole numbers up to 255 in {kind}.*torch.uint8"):
        Benchmark("mine", (wrong,))
    Benchmark("mine", (task,))


@pytest.mark.parametrize(
    "change",
    [
        lambda images: (images - 0.3) / 0.4,
        lambda images: 2 * images - 1,
        lambda images: (images > 0.5).float(),
        lambda images: torch.zeros_like(images),
        lambda images: 3 * images,
        lambda images: 1000 * (images > 0.5).float(),
    ],
    ids=["standardized", "-1 to 1", "black and white", "black", "brightened", "beyond bytes"],
)
def test_other_floats_are_taken_as_they_are(change: Callable[[Tensor], Tensor]) -> None:
    task = each_part(each_part(hl.benchmarks.split_digits().tasks[0], as_float), change)
    made = Benchmark("mine", (task,))
    assert made.tasks[0].train.images is task.train.images


# Whole numbers


class Tokens(nn.Module):
    """Words of a vocabulary of twenty, in order."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(20, 6), nn.Linear(6 * 5, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        assert not tokens.is_floating_point()
        made: Tensor = self.out(self.words(tokens.long()).flatten(1))
        return made


class Transformer(nn.Module):
    """One layer of attention over words and their places."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Embedding(5, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.out = nn.Linear(8, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.out(self.layer(self.words(tokens) + self.places.weight).mean(1))
        return made


class Recurrent(nn.Module):
    """An LSTM over words."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words, self.lstm, self.out = nn.Embedding(20, 8), nn.LSTM(8, 8, batch_first=True), nn.Linear(8, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.out(self.lstm(self.words(tokens))[0][:, -1])
        return made


def sentences(kind: torch.dtype = torch.int64) -> Benchmark:
    """Of five words; the first is from the lower or the upper half of the vocabulary, in task 1 the other way round."""
    generator = torch.Generator().manual_seed(0)

    def examples(n: int, turned: int) -> Examples:
        tokens = torch.randint(20, (n, 5), generator=generator)
        return Examples(tokens.to(kind), (tokens[:, 0] < 10).long() ^ turned, torch.zeros(n, dtype=torch.int64))

    parts = [(examples(200, turned), examples(100, turned)) for turned in (0, 1)]
    return Benchmark("sentences", tuple(Task(a, a.take(slice(0)), b, ("a", "b")) for a, b in parts))


TEXT: dict[str, Any] = {"iterations": 150, "batch_size": 32, "learning_rate": 1e-2, "device": "cpu"}
TEXT_METHODS = ["finetune", "scratch", "ewc", "joint", "hnet", "hnet-iwr", "lstm-net", "lstm-net-grow"]


def text(method: str) -> dict[str, Any]:
    return TEXT | ({"chunk_size": 100} if method not in ("finetune", "scratch", "ewc", "joint") else {})


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_tokens_reach_the_target_as_they_are(method: str) -> None:
    seen: set[torch.dtype] = set()

    def watched(outputs: int) -> nn.Module:
        net = Tokens(outputs)
        net.register_forward_pre_hook(lambda _, given: seen.add(given[0].dtype))
        return net

    result = hl.run(method, sentences(), target=watched, **text(method))
    assert seen == {torch.int64}
    assert narrow(float, result.accuracy_matrix[0][0]) > 0.9


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # attention under vmap
@pytest.mark.parametrize("target", [Transformer, Recurrent])
@pytest.mark.parametrize("method", ["joint", "ewc", "hnet-iwr", "scratch"])
def test_networks_for_text(method: str, target: type[nn.Module]) -> None:
    for scenario in ("cl1", "cl3"):
        hl.run(
            method, sentences(), scenario, target=target, **(text(method) | {"iterations": 3, "images_per_class": 5})
        )


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16, torch.int8])
def test_all_whole_numbers_are_taken_but_bytes(kind: torch.dtype) -> None:
    made = sentences(kind)
    assert made.image_type == kind
    assert made.tasks[0].train[:3].images.dtype == kind
    hl.run("hnet", made, target=Tokens, **text("hnet") | {"iterations": 2})


def test_whole_numbers_are_of_one_type_and_not_beside_bytes_or_floats() -> None:
    (first, second) = sentences().tasks
    for kind, message in [
        (torch.int32, "mine: images of torch.int64 and torch.int32; give all that are not bytes one type"),
        (torch.float32, "mine: images of torch.int64 and torch.float32; give all"),
        (torch.uint8, "images of torch.uint8, which become floats, and of torch.int64, which do not"),
    ]:
        other = each_part(second, lambda images, kind=kind: images.to(kind))  # type: ignore[misc]
        if kind.is_floating_point:
            other = each_part(other, lambda images: images / 20)
        with pytest.raises(hl.InputError, match=message):
            Benchmark("mine", (first, other))


@pytest.mark.parametrize("kind", [torch.bool, torch.complex64])
def test_what_is_no_number_is_refused(kind: torch.dtype) -> None:
    with pytest.raises(hl.InputError, match=rf"{kind} with labels of torch.int64; images are torch.uint8.* tokens of"):
        one_task(torch.randint(2, (8, 20)).to(kind))


@pytest.mark.parametrize("method", ["finetune", "hnet"])
def test_the_librarys_own_networks_take_floats(method: str) -> None:
    with pytest.raises(hl.InputError, match=r"sentences: mlp-20 takes floats, and the images are torch.int64; give a"):
        hl.run(method, sentences(), target="mlp-20", **text(method))


@pytest.mark.parametrize("method", ["dgr", "hnet-r"])
def test_tokens_are_not_replayed(method: str) -> None:
    settings: dict[str, Any] = {"encoder_hidden": (5,), "decoder_hidden": (5,)}
    settings |= {"chunk_size": 50} if method == "hnet-r" else {}
    with pytest.raises(hl.InputError, match=r"task 0: replay needs images with values in \[0, 1\], these have 0 to 19"):
        hl.run(method, sentences(), target=Tokens, **TEXT, **settings)


# Labels


@pytest.mark.parametrize(
    ("labels", "tasks"),
    [
        ([*range(1, 5)], [("1", "2"), ("3", "4")]),
        ([7, 1, 5, 3], [("1", "3"), ("5", "7")]),
        ([-1, 1], [("-1", "1")]),
        ([10**12, 4], [("4", str(10**12))]),
    ],
)
@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8])
def test_classes_are_the_labels_that_occur(labels: list[int], tasks: list[tuple[str, ...]], kind: torch.dtype) -> None:
    if not all(torch.iinfo(kind).min <= label <= torch.iinfo(kind).max for label in labels):
        kind = torch.int64
    source = labelled(torch.tensor(labels * 3, dtype=kind))
    made = split("mine", source)
    assert [task.classes for task in made.tasks] == tasks
    for task in made.tasks:
        for part in (task.train, task.test):
            found = [str(labels[int(place) % len(labels)]) for place in narrow(Tensor, part.images)[:, 0, 0]]
            assert found == [task.classes[label] for label in part.labels]
    for task in permuted("mine", source, tasks=2).tasks:
        assert task.classes == tuple(name for pair in tasks for name in pair)
        found = [str(labels[int(place) % len(labels)]) for place in narrow(Tensor, task.train.images).amax((1, 2))]
        assert found == [task.classes[label] for label in task.train.labels]


def test_twenty_six_letters() -> None:
    """EMNIST's letters have labels 1 to 26."""
    letters = labelled(torch.arange(1, 27).repeat(2))
    made = split("letters", letters)
    assert len(made) == 13
    assert all(task.train.labels.unique().tolist() == [0, 1] for task in made.tasks)
    with pytest.raises(hl.InputError, match="letters: 26 classes cannot be cut into tasks of 3"):
        split("letters", letters, classes_per_task=3)


def test_an_order_names_the_labels_that_occur() -> None:
    source = labelled([1, 3, 5, 7])
    made = split("mine", source, order=[7, 1, 3, 5])
    assert [task.classes for task in made.tasks] == [("7", "1"), ("3", "5")]
    assert [task.train.images[task.train.labels == 0][0, 0, 0].item() for task in made.tasks] == [3, 1]
    for order in ([0, 1, 2, 3], [1, 3, 5], [1, 3, 5, 5], [1, 3, 5, 7, 9]):
        with pytest.raises(hl.InputError, match="an order names each class, 1, 3, 5, 7, once; got"):
            split("mine", source, order=order)


@pytest.mark.parametrize("make", [split, permuted])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (labelled([0, 1, 2, 3], [0, 1, 4, 9]), "test images of 4, 9, of which there are no .*; training has 0 to 3"),
        (labelled([1, 2], [0, 1, 2]), "mine: test images of 0, of which there are no .*; training has 1, 2"),
        (labelled([0, 1], range(40)), "test images of 2 to 39, of which"),
        (labelled([0, 1], range(0, 40, 2)), r"test images of 2, 4, .*, 20, ... \(19 in all\), of which"),
        (labelled(torch.tensor([0.0, 1.0])), "mine: training labels of torch.float32; whole numbers are needed"),
        (labelled([0, 1], torch.tensor([True, False])), "mine: test labels of torch.bool; whole numbers are needed"),
        (labelled(torch.tensor([[0], [1]])), r"mine: training labels of shape \(2, 1\) for 2 images, expected one"),
        (labelled([0, 1])._replace(test_labels=torch.arange(3)), r"test labels of shape \(3,\) for 2 images"),
        (labelled(torch.arange(0)), "mine: there are no training images"),
        (labelled([0, 1], torch.arange(0)), "mine: there are no test images"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_classes(make: Callable[..., Benchmark], source: Source, message: str) -> None:
    with pytest.raises(hl.InputError, match=message):
        make("mine", source)


# Channels


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((32, 32, 3), r"shape \(32, 32, 3\): images.permute\(0, 3, 1, 2\) puts the channels in front"),
        ((28, 28, 1), r"puts the channels in front"),
        ((32, 32, 4), r"puts the channels in front"),
        ((2, 32, 32), r"shape \(2, 32, 32\): 1, 3 or 4 channels are needed"),
        ((28, 28), r"shape \(28, 28\): 1, 3 or 4 channels are needed"),
        ((784,), r"shape \(784,\): 1, 3 or 4 channels are needed"),
        ((3, 8, 32, 32), r"1, 3 or 4 channels are needed"),
    ],
)
def test_images_whose_columns_are_no_columns_are_not_augmented(shape: tuple[int, ...], hint: str) -> None:
    images = torch.rand(4, *shape)
    with pytest.raises(hl.InputError, match=f"those of the batch have .*{hint}"):
        flip_and_crop(images)
    with pytest.raises(hl.InputError, match=r"augmentation flip-crop is for images .*those of mine have shape"):
        hl.run("finetune", one_task(images), augmentation="flip-crop", **WHOLE)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_colour_stays_one_colour(channels: int) -> None:
    colour = torch.arange(1, channels + 1)
    made = flip_and_crop(colour[None, :, None, None].repeat(50, 1, 9, 9))
    found = {tuple(pixel.tolist()) for pixel in made.movedim(1, 3).reshape(-1, channels)}
    assert found == {tuple(colour.tolist()), (0,) * channels}


def test_colours_behind_are_not_padded_as_columns() -> None:
    labels = torch.tensor([0, 1])
    for shape in ((32, 32, 3), (784,), (2, 8, 8)):
        images = torch.arange(2 * torch.Size(shape).numel()).view(2, *shape).to(torch.uint8)
        source = Source(images, labels, images, labels)
        with pytest.raises(hl.InputError, match=r"mine: images of shape .* cannot be padded.*padding=0 takes all"):
            permuted("mine", source)
        assert permuted("mine", source, padding=0).image_shape == shape
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    assert permuted("mine", Source(images, labels, images, labels)).image_shape == (3, 12, 12)


class Tutorial(nn.Module):
    """As in PyTorch's tutorial on CIFAR: ``view`` takes what lies in memory in the order of its dimensions alone."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 5), nn.Linear(6 * 14 * 14, outputs)

    def forward(self, x: Tensor) -> Tensor:
        assert x.is_contiguous()
        x = nn.functional.max_pool2d(self.conv(x).relu(), 2)
        out: Tensor = self.fc(x.view(-1, 6 * 14 * 14))
        return out


@pytest.mark.parametrize("method", ["finetune", "hnet", "ewc", "joint"])
@pytest.mark.parametrize("augmentation", [None, "flip-crop"])
def test_a_network_that_calls_view(method: str, augmentation: str | None) -> None:
    """Whatever the images' type, and also where somebody has put their channels in front by ``permute``."""
    images = torch.randint(256, (12, 32, 32, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    settings: dict[str, Any] = {"iterations": 2, "batch_size": 4, "augmentation": augmentation, "device": "cpu"}
    settings |= {"chunk_size": 200} if method == "hnet" else {}
    made = [
        hl.run(method, one_task(each), target=Tutorial, **settings)
        for each in (images.contiguous(), images, images / 255, (images / 255).contiguous())
    ]
    assert all(each.accuracy_matrix == made[0].accuracy_matrix for each in made)


def test_fisher_information_of_a_network_that_calls_view() -> None:
    net, images = Tutorial(2), torch.randint(256, (6, 32, 32, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    fishers = [
        hl.fisher_information(net, dict(net.named_parameters()), each, torch.arange(6) % 2)
        for each in (images, as_float(images))
    ]
    assert all(torch.equal(a, b) for a, b in zip(*(fisher.values() for fisher in fishers), strict=True))


@pytest.mark.parametrize("vmapped", [False, True])
def test_colours_side_by_side(vmapped: bool) -> None:
    images = torch.rand(5, 3, 8, 8)
    made = torch.vmap(lambda one: channels_last(one[None])[0])(images) if vmapped else channels_last(images)
    assert torch.equal(made, images)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert channels_last(made).data_ptr() == made.data_ptr()


@pytest.mark.parametrize(("name", "first"), [("resnet-8", "conv"), ("resnet-8-group", "conv"), ("lenet", "conv1")])
def test_the_librarys_networks_put_colours_side_by_side_themselves(name: str, first: str) -> None:
    """Their convolutions are faster so; a layout that is lost on the way shows in no result."""
    net = hl.nets.parse(name)((3, 32, 32), 10).eval()
    seen: list[bool] = []
    getattr(net, first).register_forward_pre_hook(
        lambda _, given: seen.append(given[0].is_contiguous(memory_format=torch.channels_last))
    )
    images = flip_and_crop(as_float(torch.randint(256, (5, 3, 32, 32), dtype=torch.uint8)))
    assert images.is_contiguous()
    assert torch.equal(net(images), net(images.contiguous(memory_format=torch.channels_last)))
    assert seen == [True, True]


# Scenarios


def test_a_benchmark_says_what_it_is_made_for() -> None:
    digits = hl.benchmarks.split_digits()
    made = replace(digits, name="mine", scenarios=("cl3", "cl1"))
    assert made.scenarios == ("cl1", "cl3")
    assert list(hl.fit("hnet", made, iterations=1).results) == ["cl1", "cl3"]
    assert hl.benchmarks.first(made, 2).scenarios == made.scenarios
    for method in ("hnet", "finetune", "joint"):
        with pytest.raises(hl.InputError, match="mine is made for cl1, cl3 alone, not for cl2"):
            hl.run(method, made, "cl2")


@pytest.mark.parametrize("scenarios", [(), "cl1", ("cl4",), ("cl1", "task")])
def test_scenarios_there_are_not(scenarios: Any) -> None:
    with pytest.raises(hl.InputError, match=r"mine: scenarios=.*; a tuple of some of cl1, cl2, cl3 is needed"):
        replace(hl.benchmarks.split_digits(), name="mine", scenarios=scenarios)


def test_named_benchmarks_are_made_for_what_the_table_says() -> None:
    assert set(hl.benchmarks.MADE_FOR) == set(hl.benchmarks.BENCHMARKS)
    assert hl.benchmarks.MADE_FOR["split-digits"] == hl.benchmarks.split_digits().scenarios


# Augmentation of one's own


def noise(images: Tensor) -> Tensor:
    return images + 0.1 * torch.randn_like(images)


def mirror(images: Tensor) -> Tensor:
    return images.flip(-1)


@pytest.mark.parametrize("method", ["finetune", "ewc", "joint", "hnet", "lstm-net", "lstm-net-grow"])
def test_a_transform_of_ones_own(method: str) -> None:
    """Training sees what it makes, evaluation the images as they are; the same seed gives the same."""
    digits, calls = hl.benchmarks.first(hl.benchmarks.split_digits(), 2), []

    def black(images: Tensor) -> Tensor:
        calls.append((tuple(images.shape), float(images.max())))
        return torch.zeros_like(images)

    settings = WHOLE | ({"chunk_size": 100} if method not in ("finetune", "ewc", "joint") else {})
    learnt = hl.run(method, replace(digits, augment=black), **settings)
    assert len(calls) == 2 * WHOLE["iterations"]
    assert all(shape == (16, 8, 8) and high == 1 for shape, high in calls)
    assert learnt.metrics.during_accuracy < 0.75
    assert learnt.config["augment"].endswith("test_a_transform_of_ones_own.<locals>.black")
    noisy = [hl.run(method, replace(digits, augment=noise), **settings, seed=seed) for seed in (0, 0, 1)]
    assert noisy[0].same_measurement(noisy[1])
    assert not noisy[0].same_measurement(noisy[2])


def test_it_comes_after_what_the_configuration_says() -> None:
    torch.manual_seed(0)
    images = torch.rand(20, 3, 8, 8)
    benchmark = one_task(images)
    seen: list[Tensor] = []

    def watch(images: Tensor) -> Tensor:
        seen.append(images)
        return images

    for augmentation in (None, "flip-crop"):
        hl.run("finetune", replace(benchmark, augment=watch), augmentation=augmentation, **WHOLE | {"iterations": 1})
    originals = {tuple(image.flatten().tolist()) for image in images}
    plain, cropped = ({tuple(image.flatten().tolist()) for image in batch} for batch in seen)
    assert plain <= originals
    assert not cropped <= originals


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            lambda images: images[:, :4],
            r"augment of split-digits makes \(16, 4, 8\) of torch.float32 from \(16, 8, 8\)",
        ),
        (lambda images: images.double(), r"makes \(16, 8, 8\) of torch.float64 from"),
        (lambda images: None, r"makes NoneType from \(16, 8, 8\) of torch.float32; the same shape and type are needed"),
    ],
)
def test_a_transform_that_makes_something_else(transform: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(hl.InputError, match=message):
        hl.run("finetune", replace(hl.benchmarks.split_digits(), augment=transform), **WHOLE)


def test_transforms_of_torchvision_and_modules() -> None:
    from torchvision.transforms import v2

    digits = hl.benchmarks.split_digits()
    transform = v2.Compose([v2.RandomHorizontalFlip(p=1.0), v2.GaussianNoise()])
    result = hl.run("hnet", replace(digits, augment=transform), **WHOLE | {"chunk_size": 100})
    assert "RandomHorizontalFlip(p=1.0)" in result.config["augment"]
    dropped = hl.run("hnet", replace(digits, augment=nn.Dropout(0.5)), **WHOLE | {"chunk_size": 100})
    assert dropped.config["augment"] == "Dropout(p=0.5, inplace=False)"


def test_a_run_goes_on_under_the_same_transform_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = hl.benchmarks.first(hl.benchmarks.split_digits(), 2)
    noisy = replace(digits, augment=noise)
    whole = hl.run("finetune", noisy, **WHOLE)
    monkeypatch.setattr(hl.checkpoints, "EVERY", 7)

    class Stop(hl.callbacks.Callback):
        def on_step(self, run: Any, loss: Tensor | None) -> None:
            if run.task == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hl.run("finetune", noisy, checkpoint=tmp_path, callbacks=[Stop()], **WHOLE)
    for other in (digits, replace(digits, augment=mirror)):
        with pytest.raises(hl.InputError, match=r"is the checkpoint of a run with augment = test_peoples_data.noise"):
            hl.run("finetune", other, checkpoint=tmp_path, **WHOLE)
    assert hl.run("finetune", noisy, checkpoint=tmp_path, **WHOLE).same_measurement(whole)


def test_replicas_draw_no_random_numbers() -> None:
    noisy = replace(hl.benchmarks.split_digits(), augment=noise)
    with pytest.raises(hl.InputError, match="cannot train several seeds at once: augmentation draws random numbers"):
        train_replicas(hl.recipes.specify("finetune", noisy, iterations=1), [0, 1])


def test_data_sets_bring_their_transform() -> None:
    data = [TensorDataset(torch.rand(8, 3, 8, 8), torch.arange(8) % 2)]
    assert hl.benchmarks.from_datasets("mine", data, data, augment=mirror).augment is mirror
