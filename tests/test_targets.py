"""Targets as people write them: trained right by every method, or refused with a line that says why.

Each well-behaved target is trained beside a plain one that computes the same, and both have to end in the same numbers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import hyperlearn as hl
from hyperlearn.methods import Parts
from hyperlearn.replicas import train_replicas
from hyperlearn.spec import RunSpec
from hyperlearn.swap import check_target
from hyperlearn.training import Run

BENCHMARK = hl.benchmarks.first(hl.benchmarks.limited(hl.benchmarks.split_digits(), 20), 2)
OFTEN = ("finetune", "scratch", "ewc", "si", "dgr", "hnet", "hnet-iwr", "lstm-net", "lstm-net-grow")
METHODS = [m if m in OFTEN else pytest.param(m, marks=pytest.mark.whole) for m in hl.methods.METHODS]
NETS = [method for method in hl.methods.METHODS if method.startswith(("hnet", "lstm-net"))]


class Layers(nn.Module):
    """One hidden layer, standardized by a tensor that each kind holds in its own way."""

    position: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(64, 9), nn.Linear(9, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x.flatten(1) * self.position).tanh())


class Plain(Layers):
    """The tensor is a buffer."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.register_buffer("position", torch.linspace(0.5, 1, 64))


class Recomputed(Plain):
    """Keeps no activations for the backward pass."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=False)


class Frozen(Layers):
    """A parameter that needs no gradient."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.position = nn.Parameter(torch.linspace(0.5, 1, 64), requires_grad=False)


class Attribute(Layers):
    """An attribute that never changes."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.position = torch.linspace(0.5, 1, 64)


class Normed(Plain):
    """Keeps a running mean of its input, in place."""

    mean: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.keep(0.5 * self.mean + 0.5 * x.mean().detach())
        return super().forward(x - self.mean)

    def keep(self, mean: Tensor) -> None:
        self.mean.copy_(mean)


class Assigned(Normed):
    """The same by assignment."""

    def keep(self, mean: Tensor) -> None:
        self.mean = mean


class Tied(Plain):
    """A layer that stands in two places."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1) * self.position
        return self.head((self.first(x) + self.again(x)).tanh())


class NotTied(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1) * self.position
        return self.head((self.first(x) + self.first(x)).tanh())


PAIRS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "recomputed": (Recomputed, Plain),
    "frozen": (Frozen, Plain),
    "attribute": (Attribute, Plain),
    "assigned": (Assigned, Normed),
    "tied": (Tied, NotTied),
}


def small_config(method: str) -> Any:
    small: dict[str, Any] = {"chunk_size": 200, "task_dim": 4, "chunk_dim": 4} if method in NETS else {}
    return hl.recipes.configure(method, BENCHMARK.name, iterations=6, batch_size=16, **small)


def made(method: str, target: Any, folder: Path | None = None) -> Run:
    run = Run(RunSpec(small_config(method), BENCHMARK, device="cpu", parts=Parts(target=target)))
    run.go(folder)
    return run


def trained(run: Run) -> list[Tensor]:
    return [p.detach() for p in run.learner.parameters() if p.requires_grad]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", PAIRS)
def test_a_target_is_trained_as_one_that_computes_the_same(kind: str, method: str) -> None:
    tricky, plain = (made(method, target) for target in PAIRS[kind])
    for found, expected in zip(trained(tricky), trained(plain), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert tricky.accuracy == plain.accuracy
    sizes = [run.learner.sizes(run.scenarios[0]) for run in (tricky, plain)]
    assert sizes[0].trainable == sizes[1].trainable
    assert sizes[0].target - sizes[1].target == (64 if kind == "frozen" else 0)


@pytest.mark.parametrize("kind", ["frozen", "assigned"])
@pytest.mark.parametrize("method", ["finetune", "ewc", "hnet", "lstm-net-grow"])
def test_what_a_target_holds_is_part_of_a_checkpoint(kind: str, method: str, tmp_path: Path) -> None:
    """A run that stops within its second task goes on as if it had not, statistics and all."""
    target, whole = PAIRS[kind][0], made(method, PAIRS[kind][0])

    class Stop(Exception):
        pass

    def stop(run: Run, file: Path) -> None:
        save(run, file)
        if run.task == 1:
            raise Stop

    save = Run.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hl.checkpoints, "EVERY", 3)
        patch.setattr(Run, "save", stop)
        with pytest.raises(Stop):
            made(method, target, tmp_path)
    again = made(method, target, tmp_path)
    assert all(map(torch.equal, trained(again), trained(whole)))
    assert again.accuracy == whole.accuracy


@pytest.mark.parametrize("method", ["finetune", "scratch", "hnet"])
def test_a_function_that_returns_one_module_gives_independent_runs(method: str) -> None:
    one = Plain(4 if method == "finetune" else 2)
    first, second = (made(method, lambda outputs: one) for _ in range(2))
    assert all(map(torch.equal, trained(first), trained(second)))
    if method == "scratch":
        assert first.learner.nets[0] is not first.learner.nets[1]  # type: ignore[index]


@pytest.mark.parametrize(("method", "kind"), [("finetune", "frozen"), ("finetune", "attribute"), ("hnet", "attribute")])
def test_replicas_of_such_targets_end_where_single_runs_do(method: str, kind: str) -> None:
    config = small_config(method)
    target = PAIRS[kind][0]
    together = train_replicas(RunSpec(config, BENCHMARK, device="cpu", parts=Parts(target=target)), [0, 1])
    for seed, results in enumerate(together):
        (scenario, result), *_ = results.items()
        alone = hl.fit(config, BENCHMARK, seed, device="cpu", target=target).results[scenario]
        assert result.accuracy_matrix == alone.accuracy_matrix


class RecomputedAttribute(Attribute):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=False)


@pytest.mark.parametrize(
    ("method", "target"),
    [("finetune", RecomputedAttribute), ("hnet", RecomputedAttribute), ("hnet", Assigned), ("hnet", Frozen)],
)
def test_replicas_that_cannot_be_are_refused(method: str, target: type[nn.Module]) -> None:
    with pytest.raises(hl.InputError, match=r"cannot train several seeds at once|several seeds cannot train at once"):
        train_replicas(RunSpec(small_config(method), BENCHMARK, device="cpu", parts=Parts(target=target)), [0, 1])


class Listed(Plain):
    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.layers = [self.first.weight, self.first.bias]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.linear(x.flatten(1), *self.layers))


class Closure(Plain):
    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        weight = self.first.weight
        self.apply_first = lambda x: x @ weight.T

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.apply_first(x.flatten(1)))


class Remembering(Attribute):
    """Its state is a tensor that is no buffer."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.position = 0.9 * self.position + 0.1 * x.flatten(1).mean(0).detach()
        return super().forward(x)


class RememberingInPlace(Attribute):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.position.lerp_(x.flatten(1).mean(0).detach(), 0.1)
        return super().forward(x)


class RememberingInAList(Plain):
    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.seen = [torch.zeros(64)]

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen[0] = x.flatten(1).mean(0).detach()
        return super().forward(x.flatten(1) - self.seen[0])


class RememberingByClass(Plain):
    seen = torch.zeros(64)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            type(self).seen = x.flatten(1).mean(0).detach()
        return super().forward(x.flatten(1) - self.seen)


class Counting(Plain):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


class TwoOutputs(Plain):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class OneOutput(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, 0]


class Reshaping(Normed):
    def keep(self, mean: Tensor) -> None:
        self.mean = mean.repeat(3)[:1]


REFUSED: dict[str, tuple[Callable[[int], nn.Module], str]] = {
    "list": (Listed, "reads first.weight, first.bias from elsewhere"),
    "closure": (Closure, "reads first.weight from elsewhere"),
    "assigned attribute": (Remembering, "keeps something, position, from call to call"),
    "attribute in place": (RememberingInPlace, "keeps something, position, from call to call"),
    "in a list": (RememberingInAList, r"keeps something, seen\[0\], from call to call"),
    "of the class": (RememberingByClass, "keeps something, seen, from call to call"),
    "a count": (Counting, "keeps something from call to call"),
    "tuple": (TwoOutputs, r"a target maps images to logits, a tensor \[B, K\]; this one's output is tuple"),
    "vector": (OneOutput, r"this one's output is shape \(4,\)"),
    "float64": (
        lambda outputs: Plain(outputs).double(),
        r"first.weight is torch.float64 and the images are torch.float32",
    ),
    "parallel": (lambda outputs: nn.DataParallel(Plain(outputs)), "a target cannot be a DataParallel"),
    "all frozen": (lambda outputs: Plain(outputs).requires_grad_(False), "all parameters of Plain are frozen"),
}


@pytest.mark.parametrize("method", ["finetune", "ewc", "hnet", "lstm-net"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_target_that_cannot_be_trained_is_refused(kind: str, method: str) -> None:
    target, said = REFUSED[kind]
    with pytest.raises(hl.InputError, match=said):
        made(method, target)


def test_a_buffer_that_changes_its_shape_is_named() -> None:
    with pytest.raises(hl.InputError, match=r"assigns \(1,\) to its buffer mean, which has shape \(\)"):
        made("hnet", Reshaping)


def test_a_look_at_a_target_changes_nothing() -> None:
    torch.manual_seed(0)
    target, images = (
        nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 2)),
        torch.rand(4, 64),
    )
    before, state, modes = (
        {k: v.clone() for k, v in target.state_dict().items()},
        torch.get_rng_state(),
        target.training,
    )
    check_target(target, images)
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert target.training == modes
    assert all(p.grad is None for p in target.parameters())
