"""Figures of results. Colours are those of Okabe and Ito, which colour-blind readers can tell apart."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .errors import InputError
from .metrics import AccuracyMatrix
from .results import Result, by_seed, shown_as
from .tables import Comparison

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Each line has a marker of its own too, so that it is known without colour."""

STYLE: Any = {
    "figure.dpi": 110,
    "figure.facecolor": "white",  # the same in light and dark pages
    "savefig.facecolor": "white",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=PALETTE),
}


def new(rows: int = 1, columns: int = 1, width: float = 6.4, height: float = 3.6) -> tuple[Figure, np.ndarray]:
    """A figure in the book's style and its axes, an array ``[rows, columns]``."""
    # Loads the backend. A notebook's turns interactive mode on as it loads; within rc_context that would be undone at
    # the end, and only the first figure of a notebook would be shown.
    plt.draw_if_interactive()
    with plt.rc_context(rc=STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, constrained_layout=True)
    return figure, axes


def accuracy_matrix(matrix: AccuracyMatrix, names: Sequence[str] | None = None, ax: Axes | None = None) -> Figure:
    """Accuracy on each task (columns) after learning each task (rows), in per cent.

    Cells above the diagonal, of tasks not learnt yet, are printed in gray; what was not measured stays empty.

    Args:
        matrix: ``[T][T]``, fractions.
        names: of the tasks; default: their numbers from 1.
        ax: where to draw; default: a new figure.
    """
    values = 100 * np.array(matrix, dtype=float)
    tasks = len(values)
    names = names or [str(number + 1) for number in range(tasks)]
    if ax is None:
        ax = new(width=1.6 + 0.75 * tasks, height=1.1 + 0.6 * tasks)[1][0, 0]
    ax.grid(False)
    learnt = np.tril(np.ones_like(values, dtype=bool))
    ax.imshow(np.where(learnt, values, np.nan), vmin=0, vmax=100, cmap="cividis", aspect="auto")
    for i in range(tasks):
        for j in range(tasks):
            if np.isnan(values[i, j]):
                continue
            dark = learnt[i, j] and values[i, j] < 55
            color = ("white" if dark else "black") if learnt[i, j] else "#767676"
            ax.text(j, i, f"{values[i, j]:.1f}", ha="center", va="center", color=color, fontsize=10)
    ax.set_xticks(range(tasks), names)
    ax.set_yticks(range(tasks), names)
    ax.set_xlabel("accuracy on task, %")
    ax.set_ylabel("after learning task")
    return _figure(ax)


def looks() -> Iterator[tuple[str, str]]:
    """A colour and a marker for each of many lines; lines of the same colour have different markers."""
    for shift in count():
        yield from ((color, MARKERS[(number + shift) % len(MARKERS)]) for number, color in enumerate(PALETTE))


def _one_curve(label: str, runs: Result | Sequence[Result]) -> list[Result]:
    """The runs of one curve, each seed once; `InputError` where they are of several scenarios or benchmarks."""
    results = [runs] if isinstance(runs, Result) else list(runs)
    measured = dict.fromkeys(f"{result.benchmark}, {result.scenario}" for result in results)
    if len(measured) > 1:
        raise InputError(f"{label}: one curve has records of {'; '.join(measured)}; draw a curve of each")
    return list(by_seed(results).values())


def accuracy_over_time(
    runs: Mapping[str, Result | Sequence[Result]], ax: Axes | None = None, chance: float | None = None
) -> Figure:
    """Mean accuracy on the tasks learnt so far, after each task; mean and standard deviation over seeds.

    Args:
        runs: for each label one result, or several of different seeds.
        ax: where to draw; default: a new figure.
        chance: accuracy of guessing, a fraction, drawn as a line.

    Raises `InputError` where a label has several scenarios or benchmarks, or runs of one seed that differ.
    """
    if ax is None:
        ax = new()[1][0, 0]
    every = [r for given in runs.values() for r in ([given] if isinstance(given, Result) else given)]
    scale, metric, unit = shown_as(every)
    tasks = 0
    for (label, given), (color, marker) in zip(runs.items(), looks(), strict=False):
        results = _one_curve(label, given)
        matrices = [scale * np.array(r.accuracy_matrix, dtype=float) for r in results]  # NaN where none was measured
        curves = np.array([[row[: i + 1].mean() for i, row in enumerate(matrix)] for matrix in matrices])
        tasks = max(tasks, curves.shape[1])
        spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else None
        ax.errorbar(
            range(1, curves.shape[1] + 1),
            curves.mean(axis=0),
            yerr=spread,
            label=f"{label} (n = {len(curves)})",
            color=color,
            marker=marker,
            capsize=3,
        )
    if chance is not None:
        ax.axhline(scale * chance, color="#767676", linestyle="--", linewidth=1)
        ax.annotate("chance", (1, scale * chance), textcoords="offset points", xytext=(0, 4), color="#595959")
    ax.set_xticks(range(1, tasks + 1))
    ax.set_xlabel("tasks learnt so far")
    ax.set_ylabel(f"{metric} on them{unit}")
    ax.legend()
    return _figure(ax)


def average_accuracy(runs: Mapping[str, Sequence[Result]], ax: Axes | None = None) -> Figure:
    """Average accuracy of methods side by side: mean and standard deviation over seeds, and every seed as a dot.

    Raises `InputError` where a label has several scenarios or benchmarks, or runs of one seed that differ.
    """
    if ax is None:
        ax = new(height=0.9 + 0.5 * len(runs))[1][0, 0]
    labels = list(runs)
    shown = {label: _one_curve(label, runs[label]) for label in labels}
    scale, metric, unit = shown_as(result for made in shown.values() for result in made)
    for row, (label, (color, _)) in enumerate(zip(labels, looks(), strict=False)):
        values = [scale * result.average_accuracy for result in shown[label]]
        ax.errorbar(
            mean(values),
            row,
            xerr=stdev(values) if len(values) > 1 else None,
            color=color,
            marker="o",
            capsize=4,
        )
        ax.plot(values, [row + 0.18] * len(values), linestyle="none", marker=".", color=color, alpha=0.6)
    ax.set_yticks(range(len(labels)), [f"{label} (n = {len(shown[label])})" for label in labels])
    ax.invert_yaxis()
    ax.set_xlabel(f"average {metric} after the last task{unit}")
    return _figure(ax)


OUTCOMES: dict[str, dict[str, Any]] = {
    "holds": {"color": PALETTE[0], "marker": "o"},
    "reversed": {"color": PALETTE[1], "marker": "s"},
    "undecided": {"color": "#595959", "marker": "o", "markerfacecolor": "white"},
    "one run": {"color": "#595959", "marker": "x"},
}
"""How `claims` draws each verdict; one that is not run has no mark."""


def method_name(method: str) -> str:
    """A method as the paper writes it.

    Example:
        >>> method_name("lstm-net-iwr-r")
        'LSTM_NET_IWR+R'
    """
    name, _, extra = method.rpartition("-")
    added = {"r": "+R", "distill": "+distill"}.get(extra)
    return name.upper().replace("-", "_") + added if added else method.upper().replace("-", "_")


def claims(comparisons: Iterable[Comparison]) -> Figure:
    """Claims "A over B", a row for each, a column for each scenario, panels one below the other for benchmarks.

    A mark is our mean difference in points over the seeds that both methods have, with its 95% confidence interval; its
    look is the verdict. A tick is the difference of the paper's means. Differences are of hundredths of a point up to
    tens of points, so the axis is logarithmic on both sides of 0, and linear between -0.1 and 0.1.

    Args:
        comparisons: as `hyperlearn.tables.claims` gives them; the order of rows and columns is theirs.
    """
    panels: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        panels.setdefault((comparison.benchmark, comparison.scenario), []).append(comparison)
    benchmarks, scenarios = (list(dict.fromkeys(key[place] for key in panels)) for place in (0, 1))
    rows = sum(max(len(found) for key, found in panels.items() if key[0] == name) for name in benchmarks)
    figure, axes = new(len(benchmarks), len(scenarios), width=7.0, height=0.23 * rows + 0.7 * len(benchmarks) + 0.5)
    shown: dict[str, Any] = {}
    for i, benchmark in enumerate(benchmarks):
        for j, scenario in enumerate(scenarios):
            ax, found = axes[i, j], panels.get((benchmark, scenario), [])
            for row, comparison in enumerate(found):
                shown |= _claim(ax, row, comparison)
            names = [f"{method_name(c.better)} over {method_name(c.worse)}" for c in found]
            ax.set_yticks(range(len(found)), names if j == 0 else [""] * len(found), fontsize=8)
            ax.set_ylim(len(found) - 0.5, -0.5)
            ax.axvline(0, color="black", linewidth=1, zorder=1)
            ax.set_xscale("symlog", linthresh=0.1, linscale=0.6)
            ax.set_xlim(-40, 80)
            ax.set_xticks([-10, -1, -0.1, 0.1, 1, 10], ["-10", "-1", "-.1", ".1", "1", "10"], fontsize=8)
            ax.minorticks_off()
            ax.set_title(
                f"{benchmark.title().replace('-', ' ').replace('Mnist', 'MNIST')}, {scenario.upper()}", fontsize=9
            )
    axes[-1, len(scenarios) // 2].set_xlabel("difference, points (left of 0: the claim's reverse)", fontsize=9)
    order = [name for name in ("paper", *OUTCOMES) if name in shown]
    marks = [shown[name] for name in order]
    figure.legend(marks, order, loc="outside upper center", ncols=len(order), fontsize=9, frameon=False)
    return figure


def _claim(ax: Axes, row: int, comparison: Comparison) -> dict[str, Any]:
    """Draw one claim; what is to stand in the legend for it."""
    shown: dict[str, Any] = {}
    if comparison.paper is not None:
        look: dict[str, Any] = {
            "color": "black",
            "marker": "|",
            "markersize": 11,
            "markeredgewidth": 2,
            "linestyle": "none",
        }
        (shown["paper"],) = ax.plot(comparison.paper, row, zorder=4, **look)
    if comparison.difference is None:
        ax.text(0.03, row, "not run", va="center", color="#595959", fontsize=7, transform=ax.get_yaxis_transform())
        return shown
    low, high = comparison.interval or (comparison.difference, comparison.difference)
    error = [[comparison.difference - low], [high - comparison.difference]] if comparison.interval else None
    style = {"markersize": 5, "linestyle": "none", **OUTCOMES[comparison.verdict]}
    shown[comparison.verdict] = ax.errorbar(comparison.difference, row, xerr=error, capsize=2, zorder=3, **style)
    return shown


def kept_values(result: Result) -> list[int]:
    """Values that are kept after 1, 2, ... tasks, by the record of a hypernetwork or of separate networks.

    The importance weights of IWR are kept beside what is trained; all else that a task adds is a part of it.
    """
    sizes, tasks = result.parameters, len(result.accuracy_matrix)
    weighted = "normalization" in result.config  # the embedding is trained, the importance weights are not
    trained = result.config["task_dim"] if weighted else sizes.stored_per_task
    return [sizes.trainable - tasks * trained + task * sizes.stored_per_task for task in range(1, tasks + 1)]


def memory_over_tasks(runs: Mapping[str, Sequence[Result]], ax: Axes | None = None) -> Figure:
    """Values that are kept against the number of tasks, in units of one target network; see `kept_values`.

    Time has no such figure: the seconds of a record contain what else the machine did.

    Args:
        runs: for each label results that differ in their seed alone, at least one.
        ax: where to draw; default: a new figure.

    Raises `InputError` where a label has several scenarios or benchmarks, or runs of one seed that differ.
    """
    if ax is None:
        ax = new()[1][0, 0]
    tasks = 0
    for (label, results), (color, marker) in zip(runs.items(), looks(), strict=False):
        first = _one_curve(label, results)[0]
        kept = np.array(kept_values(first)) / first.parameters.target
        tasks = max(tasks, len(kept))
        ax.plot(range(1, len(kept) + 1), kept, color=color, marker=marker, label=label)
    ax.set(xticks=range(1, tasks + 1), xlabel="tasks learnt", ylabel="values kept, in target networks", ylim=(0, None))
    ax.legend()
    return _figure(ax)


def images(pictures: Tensor, titles: Sequence[str] | None = None, columns: int = 10) -> Figure:
    """A grid of gray images ``[n, h, w]``, dark on light."""
    rows = -(-len(pictures) // columns)
    figure, axes = new(rows, columns, width=0.8 * columns, height=(0.8 + (0.25 if titles else 0)) * rows)
    for number, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if number < len(pictures):
            ax.imshow(pictures[number].numpy(force=True), cmap="gray_r")
            if titles:
                ax.set_title(titles[number], fontsize=9)
    return figure


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    return figure
