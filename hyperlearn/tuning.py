"""Choosing hyperparameters on validation images: a search over a grid, of which every trial is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

from annotated_types import Ge, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from . import benchmarks
from .benchmarks import TASKS, Benchmark
from .errors import InputError
from .files import locked, write_atomically
from .methods import Scenario
from .provenance import commit
from .recipes import Method, configure
from .results import Fraction, Measure, as_recorded, check_writable, difference, file_part
from .spec import measure_of, method_name
from .trained import fit
from .version import __version__

HELD_OUT = 1 / 6
"""Fraction of each task's training images that is held out: 10,000 of MNIST's 60,000."""

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@validated(frozen=True, kw_only=True, config=_STRICT)
class Trial:
    """One training."""

    config: dict[str, Any]
    """All hyperparameters."""
    seed: Annotated[int, Ge(0)]
    accuracy: Annotated[dict[Scenario, float], MinLen(1)]
    """Average accuracy on the validation images after the last task, for each scenario that the training serves.

    Of a benchmark with another metric, that metric.
    """
    version: str
    commit: str | None


@validated(frozen=True, kw_only=True, config=_STRICT)
class Search:
    """All trials of a search."""

    benchmark: str
    method: str
    held_out: Fraction
    images: Annotated[int, Ge(1)]
    """How many validation images each training is measured on, all tasks together."""
    trials: list[Trial]
    tasks: Annotated[int, Ge(1)] | None = None
    """How many tasks each training learnt, the first of the benchmark; None for all."""
    measure: Measure | None = None
    """Loss and metric; None for cross-entropy and accuracy."""

    def __post_init__(self) -> None:
        if self.measure is None and not all(0 <= a <= 1 for trial in self.trials for a in trial.accuracy.values()):
            raise ValueError("accuracies are fractions in [0, 1]")
        if len({tuple(sorted(trial.accuracy)) for trial in self.trials}) > 1:
            raise ValueError("trials measured in different scenarios")

    @property
    def metric(self) -> str:
        """The name of what trials were measured by."""
        return self.measure.metric if self.measure else "accuracy"

    def varied(self) -> list[str]:
        """The hyperparameters that the search is over: those that are not the same in all trials."""
        configs = [trial.config for trial in self.trials]
        names = dict.fromkeys(name for config in configs for name in config)  # a field that is None is left out
        return [name for name in names if any(config.get(name) != configs[0].get(name) for config in configs)]

    def points(self) -> list["Point"]:
        r"""What the trials say of each configuration; the one to take first.

        Accuracy in the first scenario decides. That is CL1 where one training serves all: what was learnt and kept
        counts there, while in CL2 and CL3 the inference of the task adds several points of chance from seed to seed.
        Points within one standard error :math:`\sqrt{a (1 - a) / N}` of the best, of accuracy :math:`a` on :math:`N`
        images, are not told apart by it; the mean over all scenarios puts those in order. Another metric than accuracy
        has no such error, and its value alone decides: the lowest one first, where lower is better.

        Example:
            >>> measured = {1.0: {"cl1": 0.9738, "cl3": 0.90}, 0.1: {"cl1": 0.9734, "cl3": 0.95}}
            >>> trials = [
            ...     Trial(config={"beta": beta}, seed=0, accuracy=found, version=__version__, commit=None)
            ...     for beta, found in measured.items()
            ... ]
            >>> made = Search(benchmark="mine", method="hnet", held_out=HELD_OUT, images=50_000, trials=trials)
            >>> [point.config["beta"] for point in made.points()]
            [0.1, 1.0]
        """
        configs: list[dict[str, Any]] = []
        for trial in self.trials:
            if trial.config not in configs:
                configs.append(trial.config)
        made = [Point(config, [t for t in self.trials if t.config == config]) for config in configs]
        if self.measure is not None:
            return sorted(made, key=lambda point: point.score, reverse=not self.measure.lower_is_better)
        best = max(made, key=lambda point: point.score)
        error = (best.score * (1 - best.score) / (self.images * len(best.trials))) ** 0.5

        def order(point: Point) -> tuple[bool, float]:
            tied = point.score >= best.score - error
            return not tied, -(point.overall if tied else point.score)

        return sorted(made, key=order)


@dataclass(frozen=True)
class Point:
    """A configuration and its trials, one for each seed."""

    config: dict[str, Any]
    trials: list[Trial]

    @property
    def score(self) -> float:
        """Mean accuracy over seeds in the first scenario."""
        return mean(next(iter(trial.accuracy.values())) for trial in self.trials)

    @property
    def overall(self) -> float:
        """Mean accuracy over seeds and scenarios."""
        return mean(mean(trial.accuracy.values()) for trial in self.trials)


_SEARCH = TypeAdapter(Search)


def search_path(folder: Path, benchmark: str, method: str, scenario: Scenario | None = None) -> Path:
    """Where a search lies: ``FOLDER/tuning/BENCHMARK/METHOD.json``, or ``METHOD-SCENARIO.json``."""
    return (
        Path(folder) / "tuning" / file_part(benchmark) / f"{file_part(method)}{f'-{scenario}' if scenario else ''}.json"
    )


def read(path: Path) -> Search:
    """The search in ``path``; raises `InputError` naming the file and what is wrong in it."""
    try:
        return _SEARCH.validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise InputError(f"{path}: no valid search: {error.errors()[0]['msg']}") from error


def validation_tasks(benchmark: str, tasks: int | None = None) -> Benchmark:
    """What a search trains and measures on: all tasks of the benchmark so called, or the first so many."""
    whole = benchmarks.load(benchmark, validation=HELD_OUT)
    return benchmarks.on_validation(whole if tasks is None else benchmarks.first(whole, tasks))


def search(
    method: Method,
    benchmark: str | Benchmark,
    grid: Mapping[str, Sequence[Any]],
    folder: Path | str = "results",
    *,
    scenario: Scenario | None = None,
    seeds: int = 1,
    **options: Any,
) -> Search:
    """Train ``method`` at every point of ``grid`` and measure it on validation images.

    Test images are not loaded into any task, so that no choice can depend on them. Trials that the search's file has
    already are not run again; the file is written after each. A trial that fails does not stop the others;
    `InputError` is raised at the end.

    Args:
        method: a name in `METHODS`, a configuration of your own, or its class.
        benchmark: a name in `benchmarks.BENCHMARKS`, of which a sixth of the training images is held out; or a
            benchmark of your own that has validation images.
        grid: values to try for each of some hyperparameters; the others are the recipe's.
        folder: of the records.
        scenario: what to measure. Default: all that one training serves, CL1 for a method that serves one alone.
        seeds: how many at each point.
        options: as for `hyperlearn.fit`: ``device``, ``callbacks``, parts of your own.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = search("hnet", "split-digits", {"beta": [0.0, 0.01], "iterations": [2]}, folder)
        >>> found.varied()
        ['beta']
    """
    if isinstance(benchmark, str):
        learnt = validation_tasks(benchmark)
    else:
        measured = "measured on validation images" in benchmark.changes
        learnt = benchmark if measured else benchmarks.on_validation(benchmark)
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    configs = [configure(method, learnt.name, scenario or "cl1", **point) for point in points]  # all are valid
    if seeds < 1:
        raise InputError(f"a search needs at least one seed, got {seeds}")
    if not configs:
        raise InputError(f"{method}: a hyperparameter without values to try leaves nothing to search")
    name = method_name(type(configs[0]))
    path = search_path(Path(folder), learnt.name, name, scenario)
    check_writable(path.parent)
    sizes = {sum(len(task.test) for task in config.limited(learnt).tasks) for config in configs}
    if len(sizes) > 1:
        raise InputError(f"{name}: points that are measured on different numbers of images do not compare: {sizes}")
    tasks = len(learnt) if len(learnt) < TASKS.get(learnt.name, 0) else None
    empty = Search(
        benchmark=learnt.name,
        method=name,
        held_out=_held_out(learnt),
        images=sizes.pop(),
        trials=[],
        tasks=tasks,
        measure=measure_of(learnt),
    )
    found = read(path) if path.exists() else empty
    _check_same(path, found, empty)
    failed: list[str] = []
    for point, config in zip(points, configs, strict=True):
        plain = as_recorded(config.record())
        for seed in range(seeds):
            if any((trial.config, trial.seed) == (plain, seed) for trial in found.trials):
                continue
            try:
                made = fit(config, learnt, seed, scenarios=[scenario] if scenario else None, **options).results
            except InputError as error:  # NaN at one point says nothing of the others
                said = ", ".join(f"{name}={value}" for name, value in point.items())
                failed.append(f"{said}, seed {seed}: {error}")
                continue
            trial = Trial(
                config=plain,
                seed=seed,
                accuracy={name: result.average_accuracy for name, result in made.items()},
                version=__version__,
                commit=commit(),
            )
            found = _add(path, found, trial)
    if failed:
        total = len(configs) * seeds
        raise InputError(f"{len(failed)} of {total} trials failed, the others are kept in {path}; {failed[0]}")
    return found


def _held_out(learnt: Benchmark) -> float:
    """The fraction of the training images that the validation images are; to be measured on, they are its test images.

    To six digits: it is a fraction of another number of images in each task.
    """
    if learnt.name in benchmarks.BENCHMARKS:
        return HELD_OUT
    held, kept = sum(len(task.test) for task in learnt.tasks), sum(len(task.train) for task in learnt.tasks)
    return round(held / (held + kept), 6)


def _check_same(path: Path, found: Search, wanted: Search) -> None:
    """Raise `InputError` unless the search in ``path`` is the one that is wanted, its trials aside."""
    names = ("benchmark", "method", "held_out", "measure")
    there, here = ({name: getattr(one, name) for name in names} for one in (found, wanted))
    if other := difference(there, here):
        raise InputError(f"{path} is the search of another: {other}; remove it or name another --results folder")
    if (found.tasks, found.images) != (wanted.tasks, wanted.images):
        raise InputError(
            f"{path}: a search over {_tasks(found.tasks)} ({found.images} images), not {_tasks(wanted.tasks)} "
            f"({wanted.images} images); they do not compare"
        )


def _add(path: Path, found: Search, trial: Trial) -> Search:
    """``found`` with one more trial, and with those that other searches have written into ``path`` meanwhile."""
    with locked(path):
        found = read(path) if path.exists() else found
        others = [other for other in found.trials if (other.config, other.seed) != (trial.config, trial.seed)]
        found = replace(found, trials=[*others, trial])
        unsaid = {"measure"} if found.measure is None else None  # as in records; a commit that is not known stays
        write_atomically(path, _SEARCH.dump_json(found, indent=1, exclude=unsaid) + b"\n")
    return found


def _tasks(number: int | None) -> str:
    return "all tasks" if number is None else f"the first {number} tasks"
