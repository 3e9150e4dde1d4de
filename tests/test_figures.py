"""Figures draw what they are given, and the slider's HTML can be used without sight or mouse."""

import html.parser
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from narrowing import narrow

import hyperlearn as hl
from hyperlearn import plots, tables, widgets
from hyperlearn.drawings import grammar

RUNS = [hl.run("finetune", hl.benchmarks.split_digits(), "cl3", seed, iterations=5, target="mlp-10") for seed in (0, 1)]


@pytest.fixture(autouse=True)
def _close() -> None:
    plt.close("all")


def axes_of(figure: Figure) -> list[Any]:
    """They hold what the figure put there, and Matplotlib's types say what might be there."""
    return list(figure.axes)


def smallest_label(figure: Figure) -> float:
    """In pixels, where the figure, with a tenth of an inch around it, is as wide as a phone's column of text."""
    figure.draw_without_rendering()
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    points = 72 * (figure.get_size_inches()[0] + 0.2)
    column = grammar.WIDTH - 16  # the dark theme keeps 8 pixels free on either side
    return min(narrow(float, text.get_fontsize()) for text in shown) * column / points


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.accuracy_matrix(np.eye(5).tolist()),
        lambda: plots.accuracy_over_time({"finetune": RUNS}, chance=0.1),
        lambda: plots.average_accuracy({"finetune": RUNS}),
        lambda: plots.memory_over_tasks({"hnet": [hl.run("hnet", hl.benchmarks.split_digits(), iterations=1)]}),
        lambda: plots.claims(tables.claims(1, "split-mnist", [])),
        lambda: plots.images(torch.zeros(10, 8, 8), ["a"] * 10),
    ],
)
def test_labels_can_be_read_on_a_phone(draw: Callable[[], Figure]) -> None:
    assert smallest_label(draw()) >= 9


def test_accuracy_matrix_writes_every_cell() -> None:
    figure = plots.accuracy_matrix([[1.0, 0.0], [0.25, 0.5]])
    (ax,) = figure.axes
    written = {text.get_position(): (text.get_text(), text.get_color() == "#767676") for text in ax.texts}
    assert written == {
        (0.5, 0.5): ("100.0", False), (1.5, 0.5): ("0.0", True),
        (0.5, 1.5): ("25.0", False), (1.5, 1.5): ("50.0", False),
    }  # fmt: skip
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_accuracy_over_time_states_n_and_means_over_learnt_tasks() -> None:
    figure = plots.accuracy_over_time({"finetune": RUNS, "one": RUNS[0]}, chance=0.1)
    (ax,) = axes_of(figure)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["finetune (n = 2)", "one (n = 1)"]
    first = 50 * sum(narrow(float, run.accuracy_matrix[0][0]) for run in RUNS)
    assert ax.lines[0].get_ydata()[0] == pytest.approx(first)
    (low, high) = ax.containers[0].lines[2][0].get_segments()[0][:, 1]
    spread = stdev(100 * narrow(float, run.accuracy_matrix[0][0]) for run in RUNS)
    assert (high - low) / 2 == pytest.approx(spread)


def test_average_accuracy_shows_every_seed() -> None:
    (ax,) = axes_of(plots.average_accuracy({"finetune": RUNS}))
    (dots,) = ax.collections
    values = [100 * run.average_accuracy for run in RUNS]
    assert list(dots.get_offsets()[:, 0]) == pytest.approx(values)
    assert [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1] == pytest.approx([mean(values)])


@pytest.mark.parametrize("draw", [plots.accuracy_over_time, plots.average_accuracy, plots.memory_over_tasks])
def test_a_curve_is_of_one_scenario_and_has_each_seed_once(draw: Callable[[Any], Figure]) -> None:
    other = replace(RUNS[1], scenario="cl2")
    with pytest.raises(hl.InputError, match="finetune: one curve has records of split-digits, cl3; split-digits, cl2"):
        draw({"finetune": [RUNS[0], other]})
    again = replace(RUNS[0], config={**RUNS[0].config, "iterations": 6})
    with pytest.raises(hl.InputError, match="seed 0: iterations = 5, this run has 6"):
        draw({"finetune": [*RUNS, again]})
    draw({"cl3": RUNS, "cl2": [other], "later": [again]})


def test_no_run_is_left_out_of_a_figure() -> None:
    many = {f"run {number}": RUNS[:1] for number in range(2 * len(plots.PALETTE) + 1)}
    for figure in (plots.accuracy_over_time(many), plots.average_accuracy(many), plots.memory_over_tasks(many)):
        labels = [ax.get_legend_handles_labels()[1] for ax in figure.axes] + [
            [text.get_text() for text in ax.get_yticklabels()] for ax in figure.axes
        ]
        assert any(len(found) == len(many) and "run 14" in found[-1] for found in labels)
    looks = [look for look, _ in zip(plots.looks(), many, strict=False)]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("method", ["hnet", "hnet-iwr", "lstm-net-grow", "scratch"])
def test_what_is_kept_is_what_a_learner_of_so_many_tasks_keeps(method: str) -> None:
    """The record of five tasks says what is kept after fewer: as much as that of a benchmark that ends there."""
    digits = hl.benchmarks.split_digits()
    runs = {}
    for tasks in (2, 5):
        benchmark = hl.benchmarks.first(digits, tasks)
        sizes = {} if method == "scratch" else {"chunk_size": 300}
        runs[tasks] = hl.run(method, benchmark, "cl1", iterations=1, target="mlp-10", **sizes)
    kept = plots.kept_values(runs[5])
    assert kept[:2] == plots.kept_values(runs[2])
    added = {b - a for a, b in pairwise(kept)}
    assert added == {runs[5].parameters.stored_per_task}
    fisher = 5 * runs[5].parameters.target if method == "hnet-iwr" else 0
    assert kept[-1] == runs[5].parameters.trainable + fisher


def test_what_importance_weights_of_a_decoder_keep() -> None:
    """Replay weighs the decoder, which is a part of the target that the record names."""
    digits = hl.benchmarks.first(hl.benchmarks.split_digits(), 2)
    weighted, plain = (
        hl.run(method, digits, "cl1", iterations=1, target="mlp-10", chunk_size=300)
        for method in ("hnet-iwr-r", "hnet-r")
    )
    decoder = weighted.parameters.stored_per_task - plain.parameters.stored_per_task
    assert 0 < decoder < weighted.parameters.target
    assert plots.kept_values(weighted)[-1] == weighted.parameters.trainable + 2 * decoder


def test_memory_over_tasks_is_in_units_of_a_target() -> None:
    (ax,) = axes_of(plots.memory_over_tasks({"finetune": RUNS}))
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert list(ax.lines[0].get_ydata()) == [1.0] * 5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["finetune"]


def claim(verdict: str, difference: float | None, **changed: Any) -> tables.Comparison:
    """A made-up comparison with that verdict: with two runs or more its p decides."""
    n, p = {"not run": (0, None), "one run": (1, None), "undecided": (3, 0.5)}.get(verdict, (3, 0.01))
    std = 0.1 if n > 1 else None
    made = tables.Comparison("split-mnist", "cl1", "lstm-net", "hnet", 0.03, difference, std, n, p, p)
    assert made.verdict == verdict
    return replace(made, **changed)


def marks(ax: Any) -> dict[str, list[tuple[float, float]]]:
    points = [dots for dots in ax.collections if isinstance(dots, PathCollection)]
    return {str(dots.get_label()): [(x, y) for x, y in np.asarray(dots.get_offsets())] for dots in points}


def test_claims_show_the_papers_difference_and_our_interval() -> None:
    some = [claim("holds", 0.5), claim("reversed", -2.0, worse="dgr-distill"), claim("undecided", 0.01, paper=None)]
    other = [claim("one run", 3.0, scenario="cl2"), claim("not run", None, scenario="cl2", better="hnet-iwr-r")]
    figure = plots.claims([*some, *other])
    first, second = axes_of(figure)
    assert [text.get_text() for text in first.get_yticklabels()] == [
        "Split MNIST", "LSTM_NET\nover HNET", "LSTM_NET\nover DGR+distill", "LSTM_NET\nover HNET",
    ]  # fmt: skip
    assert [ax.get_title() for ax in (first, second)] == ["CL1", "CL2"]
    assert marks(first) == {
        "paper": [(0.03, 0), (0.03, 1)], "holds": [(0.5, 0)], "reversed": [(-2.0, 1)], "undecided": [(0.01, 2)],
    }  # fmt: skip
    ends = [bar[:, 0].tolist() for lines in first.collections if isinstance(lines, LineCollection)
            for bar in lines.get_segments()]  # fmt: skip
    assert ends == [pytest.approx(c.interval) for c in some]
    (shaded,) = [patch for patch in second.patches if patch.get_label() == "not run"]
    assert shaded.get_y() == 0.5  # the second row
    assert not [patch for patch in first.patches if patch.get_label() == "not run"]
    assert marks(second) == {"paper": [(0.03, 0), (0.03, 1)], "one run": [(3.0, 0)]}
    assert not [lines for lines in second.collections if isinstance(lines, LineCollection) and lines.get_segments()]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "paper", "holds", "reversed", "undecided", "one run", "not run",
    ]  # fmt: skip


def test_images_fill_a_grid() -> None:
    figure = plots.images(torch.zeros(7, 8, 8), columns=5)
    assert len(figure.axes) == 10
    assert sum(bool(ax.images) for ax in figure.axes) == 7


def slider() -> widgets.Slider:
    def draw(k: int) -> Figure:
        figure, axes = plots.new()
        axes[0, 0].plot([0, k])
        return figure

    return widgets.slider(
        draw, [1, 2, 3], alt=lambda k: f'a line up to "{k}"', label="height", caption="A line.", start=1
    )


class _Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_slider_html_is_labelled_and_self_contained() -> None:
    text = slider()._repr_html_()
    tags = _Tags(text).tags
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert [attrs["alt"] for attrs in images] == [f'a line up to "{k}"' for k in (1, 2, 3)]
    assert all((attrs["src"] or "").startswith("data:image/png;base64,") for attrs in images)
    frames = [attrs for tag, attrs in tags if "data-frame" in attrs]
    assert ["hidden" in attrs for attrs in frames] == [True, False, True]
    (range_,) = [attrs for tag, attrs in tags if tag == "input"]
    assert (range_["aria-label"], range_["max"], range_["value"]) == ("height", "2", "1")
    assert not re.search(r"https?://", text)


def test_a_sequence_is_a_slider_that_plays() -> None:
    def draw(k: int) -> Figure:
        return plots.new()[0]

    given: dict[str, Any] = {"alt": str, "label": "tasks", "caption": "A caption."}
    still, played = (kind(draw, [1, 2], **given)._repr_html_() for kind in (widgets.slider, widgets.sequence))
    assert "<button" not in still
    buttons = [attrs for tag, attrs in _Tags(played).tags if tag == "button"]
    assert [button["type"] for button in buttons] == ["button"]
    assert "MILLISECONDS" not in played


def test_drawing_again_gives_the_same_html() -> None:
    assert slider()._repr_html_() == slider()._repr_html_()


@pytest.mark.parametrize(
    "wrong", [{"frames": [b""]}, {"values": ["a"]}, {"label": ""}, {"start": 2}, {"alts": ["", "b"]}]
)
def test_a_slider_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    good = {"frames": [b"x", b"y"], "values": ["a", "b"], "alts": ["a", "b"], "label": "l", "caption": "c"}
    widgets.Slider(**good)  # type: ignore[arg-type]
    with pytest.raises(hl.InputError):
        widgets.Slider(**{**good, **wrong})  # type: ignore[arg-type]
