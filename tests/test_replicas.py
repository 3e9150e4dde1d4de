"""Several seeds as one program: each replica against its single run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from narrowing import narrow
from test_training import stopped

import hyperlearn as hl
from hyperlearn import checkpoints, replicas, trained
from hyperlearn.benchmarks import Benchmark
from hyperlearn.data import Examples, as_float
from hyperlearn.methods import Parts
from hyperlearn.recipes import configure
from hyperlearn.replicas import train_replicas
from hyperlearn.spec import RunSpec
from hyperlearn.trained import train
from hyperlearn.training import Run

DIGITS = hl.benchmarks.split_digits()
SEEDS = (3, 0, 1)
SMALL: dict[str, dict[str, Any]] = {
    "finetune": {},
    "joint": {},
    "scratch": {},
    "hnet": {"chunk_size": 200},
    "lstm-net": {"chunk_size": 200, "hidden_size": 6},
    "lstm-net-grow": {"chunk_size": 200, "hidden_size": 6},
}


def config(method: str, **changed: Any) -> hl.methods.Config:
    return configure(
        method, "split-digits", **{"target": "mlp-10", "iterations": 6, **SMALL.get(method, {}), **changed}
    )


def weights(runs: list[Run]) -> list[dict[str, torch.Tensor]]:
    return [{n: t for n, t in run.learner.state_dict().items() if isinstance(t, torch.Tensor)} for run in runs]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Every run that is made, in order, in double precision: what is left is an error of the program, not rounding."""
    found: list[Run] = []

    class Double(Run):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.learner.double()
            found.append(self)

    monkeypatch.setattr(trained, "Run", Double)
    monkeypatch.setattr(replicas, "Run", Double)
    return found


def each_part(benchmark: Benchmark, change: Callable[[Examples], Examples]) -> Benchmark:
    tasks = [
        replace(task, train=change(task.train), validation=change(task.validation), test=change(task.test))
        for task in benchmark.tasks
    ]
    return Benchmark(benchmark.name, tuple(tasks))


def doubled(benchmark: Benchmark) -> Benchmark:
    return each_part(benchmark, lambda part: replace(part, images=as_float(narrow(torch.Tensor, part.images)).double()))


@pytest.mark.parametrize("method", SMALL)
def test_each_replica_is_its_single_run(method: str, made: list[Run]) -> None:
    """All weights after three tasks of six steps, to nine digits, and so every accuracy."""
    three = hl.benchmarks.first(doubled(DIGITS), 3)
    together = train_replicas(RunSpec(config(method), three, device="cpu"), SEEDS)
    alone = [train(RunSpec(config(method), three, seed=seed, device="cpu")).results for seed in SEEDS]
    for got, expected in zip(weights(made[:3]), weights(made[3:]), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)
    assert not torch.equal(*[list(w.values())[-1] for w in weights(made[:2])])  # the seeds differ
    for many, one in zip(together, alone, strict=True):
        assert many.keys() == one.keys()
        for scenario in many:
            assert many[scenario].accuracy_matrix == one[scenario].accuracy_matrix
            assert many[scenario].seed == one[scenario].seed
            assert all(many[scenario].seconds.train)
            assert many[scenario].environment["replicas"] == len(SEEDS)


def test_they_go_on_from_the_checkpoints_of_single_runs(tmp_path: Path, made: list[Run]) -> None:
    """Finetune keeps its optimizer's state from task to task: two tasks alone, then the third together."""
    whole = hl.benchmarks.first(doubled(DIGITS), 3)
    alone = [train(RunSpec(config("finetune"), whole, seed=seed, device="cpu")).results for seed in SEEDS]
    for seed in SEEDS:
        with stopped(2, 0):
            train(RunSpec(config("finetune"), whole, seed=seed, device="cpu"), tmp_path)
    together = train_replicas(RunSpec(config("finetune"), whole, device="cpu"), SEEDS, checkpoint=tmp_path)
    assert [r["cl1"].accuracy_matrix for r in together] == [r["cl1"].accuracy_matrix for r in alone]
    for got, expected in zip(weights(made[-3:]), weights(made[:3]), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)
    # And they leave the checkpoints that single runs go on from.
    again = train(RunSpec(config("finetune"), whole, seed=SEEDS[0], device="cpu"), tmp_path).results
    assert again["cl1"].accuracy_matrix == alone[0]["cl1"].accuracy_matrix


@pytest.mark.parametrize("stop", [(1, 0), (1, 3)])
def test_those_behind_catch_up_first(
    stop: tuple[int, int], made: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of several seeds that was killed while it wrote its checkpoints goes on, as any other."""
    whole = hl.benchmarks.first(doubled(DIGITS), 3)
    alone = [train(RunSpec(config("finetune"), whole, seed=seed, device="cpu")).results for seed in SEEDS]
    monkeypatch.setattr(checkpoints, "EVERY", 1)
    with stopped(*stop):
        train(RunSpec(config("finetune"), whole, seed=SEEDS[1], device="cpu"), tmp_path)
    together = train_replicas(RunSpec(config("finetune"), whole, device="cpu"), SEEDS, checkpoint=tmp_path)
    assert [r["cl1"].accuracy_matrix for r in together] == [r["cl1"].accuracy_matrix for r in alone]
    for got, expected in zip(weights(made[-3:]), weights(made[:3]), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_a_target_that_draws_random_numbers_is_refused() -> None:
    def dropping(outputs: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(64, outputs))

    with pytest.raises(hl.InputError, match="the target draws random numbers"):
        train_replicas(RunSpec(config("finetune"), DIGITS, device="cpu", parts=Parts(target=dropping)), (0, 1))


def test_so_many_tasks_that_the_regularizer_draws_some_are_refused() -> None:
    most = hl.regularizers.MOST_TASKS
    many = hl.benchmarks.permuted_digits(most + 2)

    def together(benchmark: hl.benchmarks.Benchmark) -> list[Any]:
        settings = config("hnet", iterations=1, regularizer_form="auto")
        return list(train_replicas(RunSpec(settings, benchmark, ("cl1",), device="cpu"), (0, 1)))

    assert len(together(hl.benchmarks.first(many, most + 1))) == 2
    with pytest.raises(hl.InputError, match="its regularizer draws random numbers"):
        together(many)


@pytest.mark.parametrize(
    ("method", "changed", "reason"),
    [
        ("ewc", {}, "its step needs more than parameters and a batch"),
        ("si", {}, "its step needs more than parameters and a batch"),
        ("lwf", {}, "its step needs more than parameters and a batch"),
        ("dgr", {}, "its step needs more than parameters and a batch"),
        ("hnet-r", {}, "its step needs more than parameters and a batch"),
        ("hnet-iwr", {}, "its regularizer draws random numbers"),
        ("hnet", {"augmentation": "flip-crop"}, "augmentation draws random numbers"),
    ],
)
def test_methods_that_cannot_say_why(method: str, changed: dict[str, Any], reason: str) -> None:
    chosen = configure(method, "split-digits", iterations=1, **changed)
    with_channels = each_part(DIGITS, lambda part: replace(part, images=narrow(torch.Tensor, part.images)[:, None]))
    with pytest.raises(hl.InputError, match=f"{method} cannot train several seeds at once: {reason}"):
        train_replicas(RunSpec(chosen, with_channels, device="cpu"), (0, 1))


def test_a_subclass_says_for_itself_that_it_can() -> None:
    class Own(hl.methods.plain.Finetune):
        """A method of the reader's own, whose loss may use anything."""

    @hl.methods.configuration
    class OwnConfig(hl.methods.Config):
        learner_class = Own

    with pytest.raises(hl.InputError, match="own cannot train several seeds at once: its step needs more"):
        train_replicas(RunSpec(OwnConfig(target="mlp-10", iterations=1), DIGITS, device="cpu"), (0, 1))


def test_a_target_with_buffers_is_refused() -> None:
    def target(outputs: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(64), torch.nn.Linear(64, outputs))

    with pytest.raises(hl.InputError, match="its target has buffers"):
        train_replicas(RunSpec(config("hnet"), DIGITS, device="cpu", parts=Parts(target=target)), (0, 1))


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_must_differ(seeds: tuple[int, ...]) -> None:
    with pytest.raises(hl.InputError, match="one seed each, all different"):
        train_replicas(RunSpec(config("hnet"), DIGITS, device="cpu"), seeds)
