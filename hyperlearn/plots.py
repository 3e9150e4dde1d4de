"""Figures of results, drawn by seaborn from tidy tables.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .errors import InputError
from .metrics import AccuracyMatrix
from .results import Result, by_seed, frame, shown_as
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


WIDTH = 4.8
"""Of a figure in inches: on a phone, whose column has 326 pixels, a label of 10 points still has 9 pixels."""


def new(rows: int = 1, columns: int = 1, width: float = WIDTH, height: float = 3.1) -> tuple[Figure, np.ndarray]:
    """A figure in the book's style and its axes, an array ``[rows, columns]``.

    Args:
        rows: of axes.
        columns: of axes.
        width: in inches. In a wider figure labels of 10 points cannot be read on a phone, see `WIDTH`.
        height: in inches.
    """
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
    tasks = len(matrix)
    names = names or [str(number + 1) for number in range(tasks)]
    table = pd.DataFrame(100 * np.array(matrix, dtype=float), names, names)
    if ax is None:
        ax = new(width=1.4 + 0.68 * tasks, height=1.1 + 0.6 * tasks)[1][0, 0]
    ax.grid(False)
    learnt = np.tril(np.ones(table.shape, dtype=bool))
    cells: Any = {"annot": True, "fmt": ".1f", "vmin": 0, "vmax": 100, "cbar": False, "ax": ax}
    sns.heatmap(table, mask=~learnt, cmap="cividis", annot_kws={"fontsize": 11}, **cells)
    sns.heatmap(table, mask=learnt, cmap=["white"], annot_kws={"fontsize": 11, "color": "#767676"}, **cells)
    ax.tick_params("y", rotation=0)
    ax.set(xlabel="accuracy on task, %", ylabel="after learning task")
    return _figure(ax)


def looks() -> Iterator[tuple[str, str]]:
    """A colour and a marker for each of many lines; lines of the same colour have different markers."""
    for shift in count():
        yield from ((color, MARKERS[(number + shift) % len(MARKERS)]) for number, color in enumerate(PALETTE))


def _seaborn_looks(labels: Iterable[str]) -> dict[str, Any]:
    """`looks` as seaborn asks for them, which gives a marker by default to few lines only."""
    chosen = list(zip(labels, looks(), strict=False))
    colors = {label: color for label, (color, _) in chosen}
    return {"hue": "label", "palette": colors, "style": "label", "markers": {k: marker for k, (_, marker) in chosen}}


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
    every = [r for given in runs.values() for r in ([given] if isinstance(given, Result) else given)]
    scale, metric, unit = shown_as(every)
    table = pd.DataFrame(
        {"label": f"{label} (n = {len(results)})", "tasks": learnt, "value": scale * mean}
        for label, results in ((label, _one_curve(label, given)) for label, given in runs.items())
        for result in results
        for learnt, row in enumerate(np.array(result.accuracy_matrix, dtype=float), start=1)  # NaN: not measured
        for mean in [row[:learnt].mean()]
    )
    if ax is None:
        ax = new()[1][0, 0]
    looking = _seaborn_looks(table.label.unique())
    bars: Any = {"errorbar": "sd", "err_style": "bars", "err_kws": {"capsize": 3}}
    sns.lineplot(table, x="tasks", y="value", dashes=False, markeredgewidth=0, ax=ax, **bars, **looking)
    if chance is not None:
        ax.axhline(scale * chance, color="#767676", linestyle="--", linewidth=1)
        ax.annotate("chance", (1, scale * chance), textcoords="offset points", xytext=(0, 4), color="#595959")
    ax.set(xticks=table.tasks.unique(), xlabel="tasks learnt so far", ylabel=f"{metric} on them{unit}")
    ax.legend()
    return _figure(ax)


def average_accuracy(runs: Mapping[str, Sequence[Result]], ax: Axes | None = None) -> Figure:
    """Average accuracy of methods side by side: mean and standard deviation over seeds, and every seed as a dot.

    Raises `InputError` where a label has several scenarios or benchmarks, or runs of one seed that differ.
    """
    shown = {label: _one_curve(label, given) for label, given in runs.items()}
    scale, metric, unit = shown_as(result for made in shown.values() for result in made)
    labels = {f"{label} (n = {len(made)})": made for label, made in shown.items()}
    table = pd.concat([frame(made).assign(label=label) for label, made in labels.items()])
    table["value"] = scale * table.average_accuracy
    if ax is None:
        ax = new(height=0.9 + 0.5 * len(runs))[1][0, 0]
    look: Any = {"x": "value", "y": "label", "hue": "label", "palette": _seaborn_looks(labels)["palette"], "ax": ax}
    sns.pointplot(table, errorbar="sd", capsize=0.2, markersize=6, err_kws={"linewidth": 1.5}, **look)
    sns.stripplot(table, jitter=False, size=5, alpha=0.6, **look)
    for dots in ax.collections:  # below the mean, and not on it
        dots.set_offsets(np.add(dots.get_offsets(), (0, 0.22)))
    ax.set(xlabel=f"average {metric} after the last task{unit}", ylabel="")
    return _figure(ax)


OUTCOMES: dict[str, dict[str, Any]] = {
    "holds": {"color": PALETTE[0], "marker": "o"},
    "reversed": {"color": PALETTE[1], "marker": "s"},
    "undecided": {"color": "#595959", "marker": "o", "facecolor": "white"},
    "one run": {"color": "#595959", "marker": "X"},
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
    look is the verdict. A tick is the difference of the paper's means. Where nothing was run, the row is shaded.
    Differences are of hundredths of a point up to tens of points, so the axis is linear between -0.1 and 0.1 and
    logarithmic outside, with ticks at 0.1, 1 and 10.

    Args:
        comparisons: as `hyperlearn.tables.claims` gives them; the order of rows and columns is theirs.
    """
    table = pd.DataFrame({**vars(c), "verdict": c.verdict, "interval": c.interval} for c in comparisons)
    table["claim"] = [f"{method_name(c.better)}\nover {method_name(c.worse)}" for c in table.itertuples()]
    table["row"] = table.groupby(["benchmark", "scenario"]).cumcount()
    benchmarks, scenarios = table.benchmark.unique(), table.scenario.unique()
    rows = sum(table[table.benchmark == name].row.max() + 1 for name in benchmarks)
    figure, axes = new(len(benchmarks), len(scenarios), height=0.36 * (rows + len(benchmarks)) + 1.2)
    for (i, benchmark), (j, scenario) in product(enumerate(benchmarks), enumerate(scenarios)):
        ax = axes[i, j]
        _claims(ax, table[(table.benchmark == benchmark) & (table.scenario == scenario)])
        ax.set_title(scenario.upper())
        if j:
            ax.set_yticklabels([])
    figure.supxlabel("difference, points (left of 0: the claim's reverse)", fontsize=11)
    marks = {name: mark for ax in axes.flat for mark, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    order = [name for name in ("paper", *OUTCOMES, "not run") if name in marks]
    figure.legend([marks[name] for name in order], order, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _claims(ax: Axes, table: pd.DataFrame) -> None:
    """One panel of `claims`."""
    where: Any = {"y": "row", "ax": ax}
    sns.scatterplot(
        table.dropna(subset="paper"), x="paper", marker="|", color="black", s=110, linewidth=2, label="paper", **where
    )
    for verdict, look in OUTCOMES.items():
        found = table[table.verdict == verdict]
        if len(found):
            look = {"edgecolor": look["color"], "s": 28, "linewidth": 1.2, "zorder": 3, **look}
            sns.scatterplot(found, x="difference", label=verdict, **look, **where)
        known = found.dropna(subset="interval")
        ends = known.interval.to_list()
        ax.hlines(known.row, [low for low, _ in ends], [high for _, high in ends], color=look["color"], zorder=2)
    for row in table.row[table.verdict == "not run"]:
        ax.axhspan(row - 0.5, row + 0.5, color="#eeeeee", linewidth=0, zorder=0, label="not run")
    if legend := ax.get_legend():
        legend.remove()
    benchmark = table.benchmark.iloc[0].title().replace("-", " ").replace("Mnist", "MNIST")
    ax.set_yticks([-1, *table.row], [benchmark, *table.claim], fontsize=10, linespacing=0.9)
    ax.get_yticklabels()[0].set_fontweight("bold")
    ax.axvline(0, color="black", linewidth=1, zorder=1)
    ax.set_xscale("symlog", linthresh=0.1, linscale=0.6)
    ax.set_xticks([-10, 0, 10], ["-10", "0", "10"])
    ax.set_xticks([-1, -0.1, 0.1, 1], minor=True)
    ax.grid(visible=True, axis="x", which="minor", linewidth=0.4)
    ax.set(xlim=(-40, 80), ylim=(len(table) - 0.5, -1.5), xlabel="", ylabel="")


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
    table = pd.DataFrame(
        {"label": label, "tasks": tasks, "kept": kept / first.parameters.target}
        for label, first in ((label, _one_curve(label, results)[0]) for label, results in runs.items())
        for tasks, kept in enumerate(kept_values(first), start=1)
    )
    if ax is None:
        ax = new()[1][0, 0]
    sns.lineplot(table, x="tasks", y="kept", dashes=False, markeredgewidth=0, ax=ax, **_seaborn_looks(runs))
    ax.set(xticks=table.tasks.unique(), xlabel="tasks learnt", ylabel="values kept, in target networks", ylim=(0, None))
    ax.legend()
    return _figure(ax)


def images(pictures: Tensor, titles: Sequence[str] | None = None, columns: int = 10) -> Figure:
    """A grid of gray images ``[n, h, w]``, dark on light."""
    rows = -(-len(pictures) // columns)
    side = min(0.8, WIDTH / columns)
    figure, axes = new(rows, columns, width=side * columns, height=(side + (0.25 if titles else 0)) * rows)
    for number, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if number < len(pictures):
            ax.imshow(pictures[number].numpy(force=True), cmap="gray_r")
            if titles:
                ax.set_title(titles[number], fontsize=10)
    return figure


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    return figure
