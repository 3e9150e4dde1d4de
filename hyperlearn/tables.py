"""The paper's tables, its figure beside ours: how a cell compares is decided here and nowhere else."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from statistics import mean, stdev
from typing import Literal

from .errors import InputError
from .results import Result, read_all

Verdict = Literal["reproduced", "below", "not run"]

CIFAR_TASKS = ("cifar10", "cifar100-s1", "cifar100-s2", "cifar100-s3", "cifar100-s4", "cifar100-s5")


@dataclass(frozen=True)
class Cell:
    """One cell of a table; all figures in per cent.

    ``paper_std`` is what the paper prints after its ±. For the baselines, whose figures are those of van de Ven and
    Tolias (2019), it is the standard error of the mean of 20 runs; for the other methods the paper does not say.
    """

    table: int
    method: str
    benchmark: str
    scenario: str
    task: str
    paper_mean: float
    paper_std: float | None
    mean: float | None
    std: float | None
    n: int

    @property
    def verdict(self) -> Verdict:
        """``reproduced`` where the paper's mean lies inside our mean +- 2 std, or where ours is higher.

        With one run there is no std, and only a mean at least as high as the paper's counts.
        """
        if self.mean is None:
            return "not run"
        # Tables are read to two decimals, so that is how finely figures are compared.
        return "reproduced" if round(self.mean + 2 * (self.std or 0.0), 2) >= self.paper_mean else "below"


@dataclass(frozen=True)
class _PaperCell:
    table: int
    method: str
    benchmark: str
    scenario: str
    task: str
    mean: float
    std: float | None


@cache
def _paper() -> tuple[_PaperCell, ...]:
    with files("hyperlearn").joinpath("paper_tables.csv").open() as file:
        return tuple(
            _PaperCell(
                int(row["table"]),
                row["method"],
                row["benchmark"],
                row["scenario"],
                row["task"],
                float(row["mean"]),
                float(row["std"]) if row["std"] else None,
            )
            for row in csv.DictReader(file)
        )


def table(number: int, results: Iterable[Result]) -> list[Cell]:
    """All cells of the paper's Table 1, 2 or 3 with what ``results`` say of each.

    Args:
        number: 1, 2 or 3.
        results: records; those of other benchmarks or methods are passed over.

    Raises `InputError` for a table there is not.

    Example:
        >>> cell = table(1, [])[0]
        >>> cell.method, cell.paper_mean, cell.verdict
        ('ewc', 98.64, 'not run')
    """
    if number not in (1, 2, 3):
        raise InputError(f"no table {number}; there are 1, 2, 3")
    measured = list(results)
    return [_cell(paper, measured) for paper in _paper() if paper.table == number]


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same seeds; figures in per cent."""

    benchmark: str
    scenario: str
    better: str
    """The method that is claimed to be the better one."""
    worse: str
    difference: float | None
    """Mean over seeds of the claimed better one's average accuracy less the other's; None without a common seed."""
    std: float | None
    """Of the difference over seeds."""
    n: int

    @property
    def verdict(self) -> Literal["holds", "reversed", "undecided", "not run"]:
        """Whether the difference is more than two standard errors from 0, and on which side."""
        if self.difference is None:
            return "not run"
        if self.std is None or abs(self.difference) <= 2 * self.std / self.n**0.5:
            return "undecided"
        return "holds" if self.difference > 0 else "reversed"


def compare(better: str, worse: str, benchmark: str, scenario: str, results: Iterable[Result]) -> Comparison:
    """How a method that is claimed to be better does beside another one, seed by seed.

    Runs of the same seed see the same images in the same order, so that what the order does to both cancels.

    Example:
        >>> compare("lstm-net", "hnet", "split-mnist", "cl1", []).verdict
        'not run'
    """
    found: dict[str, dict[int, float]] = {better: {}, worse: {}}
    for result in results:
        if (result.benchmark, result.scenario) == (benchmark, scenario) and result.method in found:
            found[result.method][result.seed] = 100 * result.average_accuracy
    seeds = found[better].keys() & found[worse].keys()
    differences = [found[better][seed] - found[worse][seed] for seed in sorted(seeds)]
    return Comparison(
        benchmark,
        scenario,
        better,
        worse,
        mean(differences) if differences else None,
        stdev(differences) if len(differences) > 1 else None,
        len(differences),
    )


@dataclass(frozen=True)
class Point:
    """One point of Figure 2: a method with one value of what is varied; accuracies in per cent."""

    benchmark: str
    method: str
    scenario: str
    x: float
    """The compression ratio, or beta."""
    mean: float
    std: float | None
    """Over seeds; None for a single one."""
    n: int
    during: float
    """Mean of the accuracy right after learning each task; what lies between the two was forgotten."""


def figure(name: Literal["compression", "beta"], folder: Path) -> list[Point]:
    """The records of the sweep called ``name`` below ``folder`` as points of Figure 2a or 2b, x rising in each curve.

    Raises `InputError` for another name, and for a record whose configuration is not what its folder's name says.

    Example:
        >>> figure("beta", Path("no such folder"))
        []
    """
    if name not in ("compression", "beta"):
        raise InputError(f"no figure {name!r}; there are compression, beta")
    found: dict[tuple[str, str, str, float], list[Result]] = {}
    for varied in sorted(Path(folder, name).glob("*=*")):
        values = dict(part.split("=", 1) for part in varied.name.split(","))
        for result in read_all(varied):
            for field, value in values.items():
                if str(result.config.get(field)) != value:
                    raise InputError(f"{varied} holds a record with {field} = {result.config.get(field)}")
            x = result.parameters.compression_ratio if name == "compression" else result.config["beta"]
            curve = (result.benchmark, result.method, result.scenario, x)
            found.setdefault(curve, []).append(result)
    points = []
    for key, runs in sorted(found.items()):
        ends = [100 * run.average_accuracy for run in runs]
        during = mean(100 * run.metrics.during_accuracy for run in runs)
        points.append(Point(*key, mean(ends), stdev(ends) if len(ends) > 1 else None, len(ends), during))
    return points


def _cell(paper: _PaperCell, results: list[Result]) -> Cell:
    during = paper.method.endswith("-during")
    method = paper.method.removesuffix("-during")
    values = [
        100 * _value(result, paper.task, during)
        for result in results
        if (result.benchmark, result.method, result.scenario) == (paper.benchmark, method, paper.scenario)
    ]
    return Cell(
        paper.table,
        paper.method,
        paper.benchmark,
        paper.scenario,
        paper.task,
        paper.mean,
        paper.std,
        mean(values) if values else None,
        stdev(values) if len(values) > 1 else None,
        len(values),
    )


def _value(result: Result, task: str, during: bool) -> float:
    if task == "all":
        return result.metrics.during_accuracy if during else result.metrics.average_accuracy
    index = CIFAR_TASKS.index(task)
    return result.accuracy_matrix[index if during else -1][index]
