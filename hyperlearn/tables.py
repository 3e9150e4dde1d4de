"""The paper's tables, claims and figure beside ours: how they compare is decided here and nowhere else."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from statistics import mean, stdev
from typing import Literal

from . import intervals
from .errors import InputError
from .results import Result, by_seed, read_all

Verdict = Literal["above", "agrees", "below", "inconclusive", "one run", "not run"]
Outcome = Literal["holds", "reversed", "undecided", "one run", "not run"]

NARROW = {"cl1": 0.1, "cl2": 1.0, "cl3": 1.0}
"""Half the width, in points, up to which an interval that holds the paper's mean agrees with it."""

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
    def gap(self) -> float | None:
        """Our mean less the paper's, in points; None without a run."""
        return None if self.mean is None else self.mean - self.paper_mean

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% confidence interval of our mean, by `hyperlearn.intervals`; None with fewer than 2 runs."""
        return intervals.around(self.mean, self.std, self.n)

    @property
    def verdict(self) -> Verdict:
        """Where the paper's mean lies, as it is printed, by our `interval`.

        ``above`` and ``below``: our interval lies on one side of it. ``agrees``: the interval holds it, and is no wider
        than `NARROW` says. ``inconclusive``: the interval holds it and is wider, so it would hold much else.
        """
        if self.interval is None:
            return "one run" if self.n else "not run"
        low, high = self.interval
        if low > self.paper_mean:
            return "above"
        if high < self.paper_mean:
            return "below"
        return "agrees" if (high - low) / 2 <= NARROW[self.scenario] else "inconclusive"


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
    """A claim "A over B": two methods on the same seeds; figures in per cent, or points of them."""

    benchmark: str
    scenario: str
    better: str
    """The method that is claimed to be the better one."""
    worse: str
    paper: float | None
    """The difference of the paper's means; None where its tables lack one of the two."""
    difference: float | None
    """Mean over seeds of the claimed better one's average accuracy less the other's; None without a common seed."""
    std: float | None
    """Of the difference over seeds; None for a single one."""
    n: int
    p: float | None
    """Of the paired t test, on two sides; see `hyperlearn.intervals.p_value`. None for a single seed."""
    corrected: float | None
    """``p`` after Holm's correction for the claims tested together with this one; ``p`` itself where there are none."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% confidence interval of the difference, of this claim alone; None with fewer than 2 common seeds."""
        return intervals.around(self.difference, self.std, self.n)

    @property
    def verdict(self) -> Outcome:
        """``holds`` or ``reversed``, by the sign of the difference, where the corrected p is below .05."""
        if self.difference is None:
            return "not run"
        if self.corrected is None:
            return "one run"
        if self.corrected >= 1 - intervals.CONFIDENCE:
            return "undecided"
        return "holds" if self.difference > 0 else "reversed"


def compare(better: str, worse: str, benchmark: str, scenario: str, results: Iterable[Result]) -> Comparison:
    """How a method that is claimed to be better does beside another one, seed by seed.

    Runs of the same seed see the same images in the same order, so that what the order does to both cancels.

    Raises `InputError` where one of the two has two runs of one seed that differ: which of them is meant?

    Example:
        >>> compare("lstm-net", "hnet", "split-mnist", "cl1", []).verdict
        'not run'
    """
    measured = list(results)
    a, b = (_runs(method, benchmark, scenario, measured) for method in (better, worse))
    differences = [100 * (a[seed].average_accuracy - b[seed].average_accuracy) for seed in sorted(a.keys() & b.keys())]
    paper = {(c.benchmark, c.scenario, c.method): c.mean for c in _paper() if c.task == "all"}
    means = [paper.get((benchmark, scenario, method)) for method in (better, worse)]
    difference = mean(differences) if differences else None
    std = stdev(differences) if len(differences) > 1 else None
    p = None if difference is None or std is None else intervals.p_value(difference, std, len(differences))
    return Comparison(
        benchmark,
        scenario,
        better,
        worse,
        None if means[0] is None or means[1] is None else means[0] - means[1],
        difference,
        std,
        len(differences),
        p,
        p,
    )


def together(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """The same claims, tested as one family: ``corrected`` is p after Holm's correction for all that have one.

    Example:
        >>> together([compare("lstm-net", "hnet", "split-mnist", "cl1", [])])[0].corrected is None
        True
    """
    family = list(comparisons)
    corrected = iter(intervals.holm([c.p for c in family if c.p is not None]))
    return [replace(c, corrected=None if c.p is None else next(corrected)) for c in family]


CLAIMS: dict[int, dict[str, tuple[tuple[str, str], ...]]] = {
    1: {
        "a dependency between chunks helps": (("lstm-net", "hnet"),),
        "importance weights help": (("hnet-iwr", "hnet"), ("lstm-net-iwr", "lstm-net")),
        "growth helps more": (("lstm-net-grow", "lstm-net"), ("lstm-net-grow", "lstm-net-iwr")),
    },
    2: {
        "a dependency helps with replay too": (("lstm-net-r", "hnet-r"),),
        "importance weights help with replay too": (("hnet-iwr-r", "hnet-r"), ("lstm-net-iwr-r", "lstm-net-r")),
        "growth helps more with replay too": (
            ("lstm-net-grow-r", "lstm-net-r"),
            ("lstm-net-grow-r", "lstm-net-iwr-r"),
        ),
        "replay helps": (("hnet-r", "hnet"), ("lstm-net-r", "lstm-net"), ("lstm-net-grow-r", "lstm-net-grow")),
        "generated decoders beat one drifting generator": (("hnet-r", "dgr-distill"), ("lstm-net-r", "dgr-distill")),
    },
}
"""The paper's claims about order, by the table that they are about: in words, and as pairs (better, worse)."""


def claims(number: int, benchmark: str, results: Iterable[Result]) -> list[Comparison]:
    """The `CLAIMS` about the paper's Table 1 or 2 on a benchmark, in each scenario, corrected for being so many.

    Raises `InputError` for another table, and as `compare` does.

    Example:
        >>> len(claims(1, "split-mnist", []))
        15
    """
    if number not in CLAIMS:
        raise InputError(f"no claims about table {number}; there are some about {', '.join(map(str, CLAIMS))}")
    measured = list(results)
    scenarios = dict.fromkeys(c.scenario for c in _paper() if c.benchmark == benchmark)
    pairs = [pair for group in CLAIMS[number].values() for pair in group]
    return together(compare(*pair, benchmark, scenario, measured) for pair in pairs for scenario in scenarios)


def latex(rows: Sequence[Cell] | Sequence[Comparison]) -> str:
    r"""Cells of a table, or comparisons, as a ``tabular`` of LaTeX with rules of the package booktabs.

    Cells: two lines a method, the paper's figures and ours as mean ± standard deviation. Comparisons: a line each, with
    the difference in points, its 95% interval, the number of common seeds and p, corrected.

    Args:
        rows: of `table`; or of `compare`, `together` or `claims`.

    Example:
        >>> print(latex([compare("lstm-net", "hnet", "split-mnist", "cl1", [])]))
        \begin{tabular}{lllllll}
        \toprule
        claim & benchmark & scenario & difference & interval & n & p \\
        \midrule
        lstm-net over hnet & split-mnist & cl1 & -- & -- & 0 & -- \\
        \bottomrule
        \end{tabular}
        <BLANKLINE>
    """
    import pandas

    if not rows:
        raise InputError("a table needs at least one cell or comparison")
    first = rows[0]
    if isinstance(first, Comparison):
        made = pandas.DataFrame([_claim_in_latex(c) for c in rows if isinstance(c, Comparison)])
        shown = made.style.hide(axis="index")
    else:
        cells = [cell for cell in rows if isinstance(cell, Cell)]
        columns: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
        for cell in cells:
            column = columns.setdefault((cell.benchmark, cell.scenario if cell.task == "all" else cell.task), {})
            column[cell.method, "paper"] = _in_latex(cell.paper_mean, cell.paper_std)
            column[cell.method, "measured"] = _in_latex(cell.mean, cell.std)
        order = [
            (method, whose) for method in dict.fromkeys(c.method for c in cells) for whose in ("paper", "measured")
        ]
        made = pandas.DataFrame(columns).reindex(pandas.MultiIndex.from_tuples(order))
        shown = made.style.format(na_rep="--")
    shown = shown.format_index(escape="latex", axis=0).format_index(escape="latex", axis=1)
    return str(shown.to_latex(hrules=True, multicol_align="c", multirow_align="naive"))


def _claim_in_latex(claim: Comparison) -> dict[str, str]:
    interval, p = claim.interval, claim.corrected
    return {
        "claim": f"{claim.better} over {claim.worse}".replace("_", r"\_"),
        "benchmark": claim.benchmark.replace("_", r"\_"),
        "scenario": claim.scenario,
        "difference": _in_latex(claim.difference, claim.std),
        "interval": "--" if interval is None else "${:+.2f}$ to ${:+.2f}$".format(*interval),
        "n": str(claim.n),
        "p": "--" if p is None else "$< 0.001$" if p < 0.001 else f"{p:.3f}",
    }


def _in_latex(value: float | None, std: float | None) -> str:
    if value is None:
        return "--"
    return f"${value:.2f}$" if std is None else rf"${value:.2f} \pm {std:.2f}$"


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
    by_seed: dict[int, float]
    """The accuracy of each run."""


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
        ends = {seed: 100 * run.average_accuracy for seed, run in by_seed(runs).items()}
        during = mean(100 * run.metrics.during_accuracy for run in runs)
        spread = stdev(ends.values()) if len(ends) > 1 else None
        points.append(Point(*key, mean(ends.values()), spread, len(ends), during, ends))
    return points


@dataclass(frozen=True)
class Lead:
    """How far one curve of Figure 2a lies above another at one ratio; figures in points of accuracy."""

    x: float
    mean: float
    std: float | None
    """Over seeds; None for a single one."""
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% confidence interval of the mean; None with fewer than 2 seeds."""
        return intervals.around(self.mean, self.std, self.n)


def lead(better: Sequence[Point], worse: Sequence[Point]) -> list[Lead]:
    """One curve less another one *at equal ratios*: at each ratio of the first that lies within the second.

    Two methods are never measured at quite the same ratios. So the second curve is interpolated, seed by seed, on a
    straight line between its neighbours over the logarithm of the ratio.

    Args:
        better: points of one curve of `figure`, x rising.
        worse: those of the other, on the same benchmark and in the same scenario; seeds that some point lacks are left
            out.

    Example:
        >>> points = [Point("", "", "cl1", x, y, None, 1, y, {0: y}) for x, y in ((0.1, 80.0), (10.0, 90.0))]
        >>> lead([Point("", "", "cl1", 1.0, 87.0, None, 1, 87.0, {0: 87.0})], points)
        [Lead(x=1.0, mean=2.0, std=None, n=1)]
    """
    import numpy as np

    seeds = sorted(set.intersection(*(set(point.by_seed) for point in (*better, *worse)))) if better and worse else []
    logs = np.log([point.x for point in worse])
    leads = []
    for point in better:
        if seeds and worse[0].x <= point.x <= worse[-1].x:
            below = [np.interp(np.log(point.x), logs, [other.by_seed[seed] for other in worse]) for seed in seeds]
            values = [point.by_seed[seed] - float(y) for seed, y in zip(seeds, below, strict=True)]
            leads.append(Lead(point.x, mean(values), stdev(values) if len(values) > 1 else None, len(values)))
    return leads


def _runs(method: str, benchmark: str, scenario: str, results: Iterable[Result]) -> dict[int, Result]:
    wanted = (benchmark, method, scenario)
    return by_seed(result for result in results if (result.benchmark, result.method, result.scenario) == wanted)


def _cell(paper: _PaperCell, results: list[Result]) -> Cell:
    during = paper.method.endswith("-during")
    runs = _runs(paper.method.removesuffix("-during"), paper.benchmark, paper.scenario, results)
    values = [100 * _value(result, paper.task, during) for result in runs.values()]
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
    value = result.accuracy_matrix[index if during else -1][index]
    assert value is not None  # both are measured in every run
    return value
