"""Figures of results. Colours are those of Okabe and Ito, which colour-blind readers can tell apart."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .results import Result, shown_as

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


def accuracy_matrix(
    matrix: Sequence[Sequence[float]], names: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """Accuracy on each task (columns) after learning each task (rows), in per cent.

    Cells above the diagonal, of tasks not learnt yet, are printed in gray.

    Args:
        matrix: ``[T][T]``, fractions.
        names: of the tasks; default: their numbers from 1.
        ax: where to draw; default: a new figure.
    """
    values = 100 * np.array(matrix)
    tasks = len(values)
    names = names or [str(number + 1) for number in range(tasks)]
    if ax is None:
        ax = new(width=1.6 + 0.75 * tasks, height=1.1 + 0.6 * tasks)[1][0, 0]
    ax.grid(False)
    learnt = np.tril(np.ones_like(values, dtype=bool))
    ax.imshow(np.where(learnt, values, np.nan), vmin=0, vmax=100, cmap="cividis", aspect="auto")
    for i in range(tasks):
        for j in range(tasks):
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


def accuracy_over_time(
    runs: Mapping[str, Result | Sequence[Result]], ax: Axes | None = None, chance: float | None = None
) -> Figure:
    """Mean accuracy on the tasks learnt so far, after each task; mean and standard deviation over seeds.

    Args:
        runs: for each label one result, or several of different seeds.
        ax: where to draw; default: a new figure.
        chance: accuracy of guessing, a fraction, drawn as a line.
    """
    if ax is None:
        ax = new()[1][0, 0]
    every = [r for given in runs.values() for r in ([given] if isinstance(given, Result) else given)]
    scale, metric, unit = shown_as(every)
    tasks = 0
    for (label, given), (color, marker) in zip(runs.items(), looks(), strict=False):
        results = [given] if isinstance(given, Result) else list(given)
        curves = np.array([[scale * mean(row[: i + 1]) for i, row in enumerate(r.accuracy_matrix)] for r in results])
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
    """Average accuracy of methods side by side: mean and standard deviation over seeds, and every seed as a dot."""
    if ax is None:
        ax = new(height=0.9 + 0.5 * len(runs))[1][0, 0]
    labels = list(runs)
    scale, metric, unit = shown_as(result for made in runs.values() for result in made)
    for row, (label, (color, _)) in enumerate(zip(labels, looks(), strict=False)):
        values = [scale * result.average_accuracy for result in runs[label]]
        ax.errorbar(
            mean(values),
            row,
            xerr=stdev(values) if len(values) > 1 else None,
            color=color,
            marker="o",
            capsize=4,
        )
        ax.plot(values, [row + 0.18] * len(values), linestyle="none", marker=".", color=color, alpha=0.6)
    ax.set_yticks(range(len(labels)), [f"{label} (n = {len(runs[label])})" for label in labels])
    ax.invert_yaxis()
    ax.set_xlabel(f"average {metric} after the last task{unit}")
    return _figure(ax)


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
    """
    if ax is None:
        ax = new()[1][0, 0]
    tasks = 0
    for (label, results), (color, marker) in zip(runs.items(), looks(), strict=False):
        kept = np.array(kept_values(results[0])) / results[0].parameters.target
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
