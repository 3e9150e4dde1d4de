"""Growth by a little: its equations, that it forgets exactly nothing, its short step, and its checkpoints."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.hypernets.basis import Growth
from hyperlearn.methods import BasisGrowthConfig, BasisGrowthLearner

DIGITS = hl.benchmarks.split_digits()
TARGET = hl.nets.MLP(64, [12, 10, 9], 2)


def make(tasks: int = 1, **options: Any) -> hl.BasisGrowthHypernet:
    """A hypernetwork whose tasks have each added something."""
    torch.manual_seed(0)
    hypernet = hl.BasisGrowthHypernet(TARGET, **{"basis_size": 5, "rank": 2, **options})
    hypernet.learn_basis(DIGITS.tasks[0].train[:].images.flatten(1))
    hypernet.fix_base()
    for task in range(tasks):
        hypernet.begin_task(task)
        with torch.no_grad():
            hypernet.additions[task].normal_(std=0.1)
    return hypernet


def learner(**options: Any) -> BasisGrowthLearner:
    """One whose first task has grown by random numbers."""
    torch.manual_seed(0)
    config = hl.recipes.configure(
        "basis-growth",
        "split-digits",
        target="mlp-12-10-9",
        base_network="plain",
        basis_size=5,
        iterations=1,
        **options,
    )
    assert isinstance(config, BasisGrowthConfig)
    made = BasisGrowthLearner(config, config.setting(DIGITS, "cl1"))
    made.training_data([DIGITS.tasks[0].train])
    made.after_step()
    assert made.hypernet.fixed
    with torch.no_grad():
        made.hypernet.additions[0].normal_(std=0.1)
    return made


def test_it_is_the_equations() -> None:
    hypernet = make(tasks=2)
    base, own = hypernet.base_params(), hypernet.pieces(1)
    written = hypernet.forward(1)
    assert hypernet.basis is not None
    torch.testing.assert_close(
        written["layers.0.weight"], base["layers.0.weight"] + own["layers.0.weight"][0] @ hypernet.basis
    )
    for layer in ("layers.1.weight", "layers.2.weight"):
        b, a = own[layer]
        assert (b.shape[1], a.shape[0]) == (2, 2)
        torch.testing.assert_close(written[layer], base[layer] + b @ a)
    for whole in ("layers.3.weight", *(f"layers.{i}.bias" for i in range(4))):
        torch.testing.assert_close(written[whole], base[whole] + own[whole][0])


def test_the_basis_is_orthonormal_and_of_the_first_layers_inputs() -> None:
    basis = make().basis
    assert basis is not None
    assert basis.shape == (5, 64)
    torch.testing.assert_close(basis @ basis.T, torch.eye(5), atol=1e-5, rtol=0)


def test_a_task_starts_as_the_base() -> None:
    hypernet = make(tasks=3)
    hypernet.begin_task(3)
    assert torch.equal(hypernet.flat(3)[0], hypernet.base())
    assert hypernet.pieces(3)["layers.1.weight"][1].abs().min() > 0  # or neither factor would have a gradient


def test_a_new_task_leaves_earlier_ones_as_they_are_to_the_bit() -> None:
    hypernet = make()
    for task in range(1, 4):
        before = hypernet.flat(range(task)).clone()
        hypernet.begin_task(task)
        optimizer = torch.optim.Adam([p for p in hypernet.parameters() if p.requires_grad], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            hypernet.flat(task).square().sum().backward()
            optimizer.step()
        assert torch.equal(hypernet.flat(range(task)), before)
        assert not torch.equal(hypernet.flat(task)[0], hypernet.base())


def test_nothing_is_forgotten_in_a_run() -> None:
    made = hl.fit("basis-growth", DIGITS, iterations=30, device="cpu", target="mlp-20-20", chunk_size=200)
    matrix = made.results["cl1"].accuracy_matrix
    assert all(matrix[later][task] == matrix[task][task] for later in range(5) for task in range(later))


@pytest.mark.parametrize(
    ("shape", "basis", "kind", "values"),
    [
        ((400, 784), 50, "basis", 20_000),
        ((400, 784), 784, "full", 313_600),
        ((400, 400), 0, "low rank", 1_600),
        ((50, 20, 5, 5), 0, "low rank", 1_100),
        ((20, 1, 5, 5), 0, "low rank", 90),
        ((2, 400), 0, "full", 800),
        ((400,), 0, "full", 400),
        ((), 0, "full", 1),
    ],
)
def test_what_is_kept_of_each_parameter(shape: tuple[int, ...], basis: int, kind: str, values: int) -> None:
    growth = Growth.of(shape, basis, 2)
    assert (growth.kind, sum(growth.sizes)) == (kind, values)


def test_on_split_mnist_a_task_is_5_per_cent_of_a_target() -> None:
    config = hl.recipes.configure("basis-growth", "split-mnist")
    assert isinstance(config, BasisGrowthConfig)
    hypernet = config.hypernet(hl.nets.MLP(784, [400, 400], 2), 5)
    assert hypernet.stored_per_task == 400 * 50 + 2 * (400 + 400) + 2 * 400 + 400 + 400 + 2 == 23_202
    assert hypernet.stored_per_task < 0.05 * hypernet.layout.numel


@pytest.mark.parametrize("doubt", ["none", "0.5"])
def test_the_short_step_has_the_gradients_of_the_long_one(doubt: str) -> None:
    made = learner(doubt=doubt)
    train = DIGITS.tasks[0].train
    rows = torch.arange(0, 128, 2)
    batch = train[rows]
    assert made.short

    def step(drawn: Tensor | None) -> tuple[float, Tensor]:
        made.batch_rows = drawn
        made.zero_grad()
        torch.manual_seed(3)  # the same outliers
        loss = made.task_loss(batch)
        loss.backward()
        gradient = made.hypernet.additions[0].grad
        assert gradient is not None
        return loss.item(), gradient.clone()

    with_rows, without = step(rows), step(None)
    made.short = False
    long = step(None)
    for short in (with_rows, without):
        assert short[0] == pytest.approx(long[0], rel=1e-5)
        torch.testing.assert_close(short[1], long[1], atol=1e-6, rtol=1e-4)
    assert long[1].abs().min() >= 0
    assert long[1].abs().max() > 1e-3


def test_images_that_are_changed_at_random_are_not_taken_from_what_is_kept() -> None:
    """With a transform that blanks all images, nothing of them can be learnt."""
    blank = hl.benchmarks.Benchmark("blank", DIGITS.tasks[:1], augment=torch.zeros_like)
    made = hl.fit("basis-growth", blank, iterations=20, device="cpu", base_network="plain", target="mlp-20-20")
    assert isinstance(made.learner, BasisGrowthLearner)
    coefficients = made.learner.hypernet.pieces(0)["layers.0.weight"][0]
    assert torch.equal(coefficients, torch.zeros_like(coefficients))


def test_the_first_task_takes_twice_the_steps_and_learns_the_base_without_doubt() -> None:
    steps: list[tuple[int, bool, float | None]] = []

    class Watch(hl.callbacks.Callback):
        def on_step(self, run: Any, loss: Any) -> None:
            steps.append((run.task, run.learner.hypernet.fixed, run.learner.weight_of_doubt()))

    hl.fit("basis-growth", hl.benchmarks.first(DIGITS, 2), iterations=4, device="cpu", callbacks=[Watch()])
    assert steps == [(0, False, None)] * 3 + [(0, True, 0.5)] * 5 + [(1, True, 0.5)] * 4


def test_what_learnt_the_base_is_dropped_and_counted() -> None:
    made = hl.fit("basis-growth", hl.benchmarks.first(DIGITS, 3), iterations=4, device="cpu", base_network="lstm")
    assert isinstance(made.learner, BasisGrowthLearner)
    hypernet = made.learner.hypernet
    assert hypernet.writer is None
    config = hl.recipes.configure("lstm-net", "split-digits")
    lstm = hl.count(config.hypernet(hl.nets.MLP(64, [100, 100], 2), 1))  # type: ignore[attr-defined]
    sizes = made.result.parameters
    assert sizes.trainable == lstm + 3 * hypernet.stored_per_task
    assert sizes.stored_per_task == hypernet.stored_per_task


class ConvNet(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.more, self.head = nn.Conv2d(4, 30, 3), nn.Linear(30 * 16, outputs)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(self.conv(images[:, None])).relu()
        out: Tensor = self.head(self.more(x).relu().flatten(1))
        return out


class Patches(nn.Module):
    """Its first layer is asked for parts of an image."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(16, 20), nn.Linear(80, outputs)

    def forward(self, images: Tensor) -> Tensor:
        patches = images.unfold(1, 4, 4).unfold(2, 4, 4).reshape(len(images), 4, 16)
        out: Tensor = self.head(self.embed(patches).relu().flatten(1))
        return out


@pytest.mark.parametrize(
    ("target", "kinds"),
    [(ConvNet, {"more.weight": "low rank", "head.weight": "full"}), (Patches, {"embed.weight": "basis"})],
)
def test_other_targets_grow_too(target: type[nn.Module], kinds: dict[str, str]) -> None:
    made = hl.fit("basis-growth", DIGITS, target=target, iterations=60, chunk_size=200, device="cpu")
    assert isinstance(made.learner, BasisGrowthLearner)
    hypernet = made.learner.hypernet
    assert {name: hypernet.growths[name].kind for name in kinds} == kinds
    assert not made.learner.short
    assert hypernet.stored_per_task < 0.7 * hypernet.layout.numel
    assert made.results["cl1"].metrics.average_accuracy > 0.85


def test_a_layer_that_is_not_called_is_named() -> None:
    class Silent(Patches):
        def forward(self, images: Tensor) -> Tensor:
            patches = images.unfold(1, 4, 4).unfold(2, 4, 4).reshape(len(images), 4, 16)
            made = nn.functional.linear(patches, self.embed.weight, self.embed.bias)
            out: Tensor = self.head(made.relu().flatten(1))
            return out

    with pytest.raises(hl.InputError, match=r"does not call the layer of embed\.weight"):
        hl.fit("basis-growth", DIGITS, target=Silent, iterations=2, chunk_size=200)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.learn_basis(torch.rand(9, 64)), "tasks have grown on the basis already"),
        (lambda h: hl.BasisGrowthHypernet(TARGET).learn_basis(torch.rand(9, 63)), "has 64 inputs, got 63"),
        (lambda h: hl.BasisGrowthHypernet(TARGET).begin_task(1), "the base is not fixed yet"),
        (lambda h: hl.BasisGrowthHypernet(TARGET).drop_writer(), "the base is not fixed yet"),
        (lambda h: hl.BasisGrowthHypernet(TARGET, rank=0), "at least one direction, got 50 and 0"),
        (lambda h: hl.BasisGrowthHypernet(TARGET, make(generate=["layers.0.*"])), "generate the same parameters"),
        (lambda h: h.flat(7), "no task 7"),
    ],
)
def test_wrong_use_is_named(change: Any, message: str) -> None:
    with pytest.raises(hl.InputError, match=message):
        change(make())
