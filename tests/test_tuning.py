"""Hyperparameters are chosen on validation images, and what was chosen is what the committed searches say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import hyperlearn as hl
from hyperlearn import benchmarks, recipes, tuning
from hyperlearn.callbacks import Callback
from hyperlearn.cli import main
from hyperlearn.data import Examples
from hyperlearn.methods import METHODS, SCENARIOS

RESULTS = Path(__file__).parent.parent / "results"
SHORT = {"iterations": [3], "chunk_size": [1_400]}


class Guarded(Examples):
    """Examples that must not be looked at."""

    def __getattribute__(self, name: str) -> object:
        if name in ("images", "labels", "tasks"):
            raise AssertionError("the test images were touched")
        return object.__getattribute__(self, name)


def guard(benchmark: hl.benchmarks.Benchmark) -> hl.benchmarks.Benchmark:
    """The same benchmark, its test images out of reach."""
    for task in benchmark.tasks:
        object.__setattr__(task.test, "__class__", Guarded)
    return benchmark


def test_the_guard_guards() -> None:
    with pytest.raises(AssertionError, match="touched"):
        hl.run("finetune", guard(benchmarks.split_digits()), iterations=1)


def test_a_search_never_touches_the_test_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = benchmarks.load
    monkeypatch.setattr(benchmarks, "load", lambda name, **options: guard(load(name, **options)))
    found = tuning.search("hnet", "split-digits", {"beta": [0.01], **SHORT}, tmp_path)
    assert len(found.trials) == 1


@pytest.mark.parametrize("method", METHODS)
def test_training_never_touches_the_test_images(method: str) -> None:
    """The hooks of a learner are given training images alone."""
    from hyperlearn.training import fit_task

    digits = guard(benchmarks.split_digits())
    config = recipes.configure(method, "split-digits", iterations=2)
    torch.manual_seed(0)
    learner = config.learner_class(config, config.setting(benchmarks.split_digits(), "cl1"))
    for number in range(2):
        data = learner.training_data([task.train for task in digits.tasks[: number + 1]])
        learner.begin_task(number)
        optimizer = torch.optim.Adam(learner.trainable(), lr=1e-3)
        fit_task(learner, optimizer, data, torch.arange(32).reshape(2, 16))
        learner.end_task(number, digits.tasks[number].train)
    assert learner.learned == 2


def test_a_search_goes_on_where_it_stopped_and_finds_the_best(tmp_path: Path) -> None:
    grid = {"learning_rate": ["0.003", "1e-9"], "iterations": ["20"]}
    first = tuning.search("finetune", "split-digits", grid, tmp_path, scenario="cl1", seeds=2)
    path = tmp_path / "tuning" / "split-digits" / "finetune-cl1.json"
    assert tuning.read(path) == first
    assert first.varied() == ["learning_rate"]
    assert [len(point.trials) for point in first.points()] == [2, 2]
    assert first.images == sum(len(task.test) for task in tuning.validation_tasks("split-digits").tasks)
    best = first.points()[0]
    assert best.config["learning_rate"] == 0.003
    # A trial that is there is not run again, and nothing is lost when the grid grows.
    made = json.loads(path.read_text())
    made["trials"][0]["accuracy"]["cl1"] = 0.123
    path.write_text(json.dumps(made))
    grown = tuning.search("finetune", "split-digits", {**grid, "learning_rate": ["0.003", "0.001"]}, tmp_path,
                          scenario="cl1", seeds=2)  # fmt: skip
    assert grown.trials[0].accuracy == {"cl1": 0.123}
    assert len(grown.trials) == 6


@pytest.mark.parametrize(("other", "kept"), [(0.01, [0.01, 0.02]), (0.02, [0.02])])
def test_two_searches_at_once_keep_each_others_trials(other: float, kept: list[float], tmp_path: Path) -> None:
    """And a point that both have trained counts once."""

    def search(rate: float, *callbacks: Callback) -> tuning.Search:
        grid: dict[str, list[Any]] = {"learning_rate": [rate], "iterations": [2]}
        return tuning.search("finetune", "split-digits", grid, tmp_path, scenario="cl1", callbacks=callbacks)

    beside = [other]

    class Meanwhile(Callback):
        def on_step(self, run: Any, loss: Any) -> None:
            if beside:
                search(beside.pop())

    assert [trial.config["learning_rate"] for trial in search(0.02, Meanwhile()).trials] == kept


def test_a_search_without_a_value_or_a_benchmark_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(hl.InputError, match="hnet: a hyperparameter without values to try"):
        tuning.search("hnet", "split-digits", {"beta": []}, tmp_path)
    with pytest.raises(hl.InputError, match="no benchmark 'digits'"):
        tuning.search("hnet", "digits", {"beta": [0.1]}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_search_over_the_first_tasks_alone(tmp_path: Path) -> None:
    """Where a training on all tasks is long. It says so, and does not mix with a search over all."""
    grid: dict[str, list[Any]] = {"beta": [0.01], **SHORT}
    two = tuning.validation_tasks("split-digits", 2)
    found = tuning.search("hnet", two, grid, tmp_path)
    assert found.tasks == 2
    assert tuning.read(tuning.search_path(tmp_path, "split-digits", "hnet")) == found
    config = recipes.configure("hnet", "split-digits", beta=0.01, iterations=3, chunk_size=1_400)
    made = hl.fit(config, two).results
    assert found.trials[0].accuracy == {name: result.average_accuracy for name, result in made.items()}
    with pytest.raises(hl.InputError, match=r"the first 2 tasks \(\d+ images\), not all tasks"):
        tuning.search("hnet", "split-digits", grid, tmp_path)


@pytest.mark.parametrize(("images", "seeds", "first"), [(50_000, 1, 0.1), (500_000, 1, 1.0), (50_000, 10, 1.0)])
def test_points_that_the_first_scenario_does_not_tell_apart(images: int, seeds: int, first: float) -> None:
    """Four in ten thousand are less than a standard error of .00071; with ten times the answers they are more."""
    measured = {1.0: (0.9738, 0.90), 0.1: (0.9734, 0.95), 0.01: (0.9712, 0.99)}
    trials = [
        tuning.Trial(config={"beta": beta}, seed=seed, accuracy={"cl1": one, "cl3": three}, version="", commit=None)
        for beta, (one, three) in measured.items()
        for seed in range(seeds)
    ]
    found = tuning.Search(benchmark="", method="", held_out=1 / 6, images=images, trials=trials)
    points = found.points()
    assert points[0].config["beta"] == first
    assert points[-1].config["beta"] == 0.01  # far below the best in CL1, whatever it has in CL3
    assert replace(found, trials=trials[::-1]).points()[0].config["beta"] == first


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["tune", "split-digits", "hnet", "--results", str(tmp_path)]
    assert main([*options, "--beta", "0.1", "0.01", "--iterations", "2"]) == 0
    assert "beta" in capsys.readouterr().out
    for wrong, message in {
        (): "name hyperparameters and the values to try",
        ("--beta",): "name hyperparameters and the values to try",
        ("0.1",): "not understood: 0.1",
        ("--gamma", "1"): "hnet has no hyperparameter 'gamma'",
        ("--beta", "-1"): "beta: input should be greater than or equal to 0",
        ("--beta", "1", "--scenario", "cl4"): "no scenario 'cl4'",
        ("--beta", "1", "--tasks", "0"): "split-digits: 0 tasks asked for, it has 5",
        ("--beta", "1", "--tasks", "6"): "split-digits: 6 tasks asked for, it has 5",
        ("--beta", "1", "--seeds", "0"): "a search needs at least one seed, got 0",
        ("--images-per-class", "3", "5"): "measured on different numbers of images do not compare",
    }.items():
        assert main([*options, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_a_broken_search_is_named(tmp_path: Path) -> None:
    path = tuning.search_path(tmp_path, "split-digits", "hnet")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(hl.InputError, match=r"hnet.json: no valid search"):
        tuning.search("hnet", "split-digits", {"beta": [0.1]}, tmp_path)


TUNED = [
    (method, benchmark, scenario)
    for method, kind in METHODS.items()
    for benchmark in ("split-mnist", "permuted-mnist", "split-digits", "permuted-digits")
    for scenario in ([None] if kind.learner_class.serves else SCENARIOS)
    if "tuned" in recipes.recipe(method, benchmark, scenario or "cl1").sources.values()
]


@pytest.mark.parametrize(("method", "benchmark", "scenario"), TUNED)
def test_what_a_recipe_calls_tuned_won_a_committed_search(
    method: str, benchmark: str, scenario: hl.methods.Scenario | None
) -> None:
    found = tuning.read(tuning.search_path(RESULTS, benchmark, method, scenario))
    recipe = recipes.recipe(method, benchmark, scenario or "cl1")
    assert found.points()[0].config == hl.results.as_recorded(recipe.config.record())
    tuned = {name for name, source in recipe.sources.items() if source == "tuned"}
    assert tuned == set(found.varied())


@pytest.mark.parametrize(("lower", "first"), [(True, 0.5), (False, 3.0)])
def test_by_another_metric_the_value_alone_decides(lower: bool, first: float) -> None:
    measure = hl.results.Measure(loss="mse", metric="mse", lower_is_better=lower)
    trials = [
        tuning.Trial(config={"beta": value}, seed=0, accuracy={"cl1": value}, version=hl.__version__, commit=None)
        for value in (3.0, 0.5, 1.0)
    ]
    made = tuning.Search(benchmark="mine", method="hnet", held_out=0.1, images=10, trials=trials, measure=measure)
    assert made.points()[0].config == {"beta": first}
    with pytest.raises(ValueError, match="accuracies are fractions"):
        replace(made, measure=None)


def test_a_search_over_regression(tmp_path: Path) -> None:
    points = torch.linspace(-1, 1, 80)[:, None]
    lines = [TensorDataset(points, slope * points) for slope in (1.0, -1.0)]
    learnt = benchmarks.from_datasets("lines", lines, lines, validation=0.2, loss="mse")
    found = tuning.search("finetune", learnt, {"learning_rate": [1e-2, 1e-6], "iterations": [60]}, tmp_path)
    assert found.measure is not None
    assert [point.config["learning_rate"] for point in found.points()] == [1e-2, 1e-6]
    assert tuning.read(tuning.search_path(tmp_path, "lines", "finetune")) == found


def test_a_search_goes_on_where_no_commit_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a package that was installed, and not in a checkout."""
    monkeypatch.setattr(tuning, "commit", lambda: None)
    one = tuning.search("finetune", "split-digits", {"iterations": [1], "target": ["mlp-4"]}, tmp_path)
    two = tuning.search("finetune", "split-digits", {"iterations": [1, 2], "target": ["mlp-4"]}, tmp_path)
    assert two.trials[:1] == one.trials
    assert [trial.commit for trial in two.trials] == [None, None]
