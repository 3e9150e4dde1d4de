"""The paper's tables, its figure beside ours: how a cell compares is decided here and nowhere else."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import mean, stdev
from typing import Literal

from .errors import InputError
from .results import Result

Verdict = Literal["reproduced", "below", "not run"]

CIFAR_TASKS = ("cifar10", "cifar100-s1", "cifar100-s2", "cifar100-s3", "cifar100-s4", "cifar100-s5")


@dataclass(frozen=True)
class Cell:
    """One cell of a table; all figures in per cent."""

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
