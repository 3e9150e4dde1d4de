"""The drawings can be read on a phone: large text, nothing over anything else, the same look for the same thing."""

import inspect
from collections.abc import Callable
from functools import cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon
from matplotlib.transforms import Bbox

import hyperlearn as hl
from hyperlearn import drawings
from hyperlearn.drawings import Drawing, grammar

SMALLEST = 9.0  # pixels on a phone of 390; exponents and indices are smaller, as in the formulas of the page

IMAGE = np.eye(8)
FIVE = {"images": [[IMAGE, IMAGE]] * 5, "names": ["0 and 1", "2 and 3", "4 and 5", "6 and 7", "8 and 9"]}
MADE: list[Callable[..., Drawing]] = [
    made for name in drawings.__all__ if inspect.isfunction(made := getattr(drawings, name))
]

every_drawing = pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)


def frame(part: grammar.Part) -> Bbox:
    return Bbox.from_bounds(part.x - part.width / 2, part.y - part.height / 2, part.width, part.height)


def overlap(one: Bbox, other: Bbox, slack: float = 0.5) -> bool:
    """More than touching."""
    return (
        min(one.xmax, other.xmax) - max(one.xmin, other.xmin) > slack
        and min(one.ymax, other.ymax) - max(one.ymin, other.ymin) > slack
    )


def within(inner: Bbox, outer: Bbox, slack: float = 1.0) -> bool:
    return (
        inner.xmin > outer.xmin - slack
        and inner.xmax < outer.xmax + slack
        and inner.ymin > outer.ymin - slack
        and inner.ymax < outer.ymax + slack
    )


def crossed(points: list[tuple[float, float]], box: Bbox, round_: bool = False) -> bool:
    """Whether a line of straight pieces passes through a box, or the ellipse in it, by more than its ends."""
    steps = np.linspace(0, 1, 200)[:, None]
    way = np.concatenate([(1 - steps) * np.array(start) + steps * np.array(end) for start, end in pairwise(points)])
    x, y = np.abs(way - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]).T
    half, high = box.width / 2 - 1, abs(box.height) / 2 - 1
    inside = (x / half) ** 2 + (y / high) ** 2 < 1 if round_ else (x < half) & (y < high)
    return bool(inside.any())


@cache
def drawn(make: Callable[..., Drawing]) -> Drawing:
    known: dict[str, Any] = {"image": IMAGE, **FIVE}
    return make(**{name: known[name] for name in inspect.signature(make).parameters if name in known})


@cache
def texts(drawing: Drawing) -> dict[str, Bbox]:
    """Where each text is, in the drawing's own lengths. Two of the same words are told apart by a number."""
    renderer = FigureCanvasAgg(drawing.figure).get_renderer()
    back = drawing.ax.transData.inverted()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in drawing.ax.texts if text.get_text()]
    return {f"{name} ({number})": Bbox(back.transform(box)) for number, (name, box) in enumerate(boxes)}


@every_drawing
def test_no_label_is_too_small_for_a_phone(make: Callable[..., Drawing]) -> None:
    drawing = drawn(make)
    (width, _), points = drawing.figure.get_size_inches(), [text.get_fontsize() for text in drawing.ax.texts]
    phone = (grammar.WIDTH - 16) / (72 * width)  # pixels of a point in a phone's column, less the dark theme's border
    assert min(points) * phone >= SMALLEST


@every_drawing
def test_nothing_is_cut_off(make: Callable[..., Drawing]) -> None:
    drawing = drawn(make)
    canvas = Bbox.from_bounds(0, 0, grammar.WIDTH, drawing.height)
    assert [part for part in drawing.parts if not within(frame(part), canvas, 0)] == []
    assert [text for text, box in texts(drawing).items() if not within(box, canvas, -1)] == []
    assert [end for _, points in drawing.arrows for end in points if not canvas.contains(*end)] == []


@every_drawing
def test_parts_lie_beside_each_other(make: Callable[..., Drawing]) -> None:
    parts = [part for part in drawn(make).parts if part.kind != "block"]  # a stack of matrices is one thing
    assert [(one, other) for one, other in combinations(parts, 2) if overlap(frame(one), frame(other))] == []


@every_drawing
def test_texts_are_inside_of_a_part_or_free(make: Callable[..., Drawing]) -> None:
    drawing = drawn(make)
    found = texts(drawing)
    cut = {
        text: part
        for text, box in found.items()
        for part in drawing.parts
        if overlap(box, frame(part)) and not within(box, frame(part))
    }
    assert cut == {}
    pairs = combinations(found, 2)
    assert [(one, other) for one, other in pairs if overlap(found[one], found[other])] == []


@every_drawing
def test_arrows_pass_by_what_they_do_not_join(make: Callable[..., Drawing]) -> None:
    drawing = drawn(make)
    for _, points in drawing.arrows:
        assert [part for part in drawing.parts if crossed(points, frame(part), part.kind == "loss")] == []
        assert [text for text, box in texts(drawing).items() if crossed(points, box)] == []


@every_drawing
def test_the_legend_names_all_that_is_drawn(make: Callable[..., Drawing]) -> None:
    drawing = drawn(make)
    kinds = {part.kind for part in drawing.parts if part.kind in grammar.KINDS} - {"step"}
    named = {text.get_text() for text in drawing.ax.texts}
    assert {grammar.KINDS[kind].name for kind in kinds} <= named
    if kinds:
        assert {kind for kind, _ in drawing.arrows} <= named


def test_the_same_drawing_is_the_same_text_twice() -> None:
    first, second = (drawings.equation_2()._repr_svg_() for _ in range(2))
    assert first == second
    assert "<svg" in first
    assert repr(drawings.equation_2()) == "Drawing(embedding, hypernet, parameters, target, loss, data)"


def test_kinds_differ_in_shape_and_in_colour() -> None:
    """The ordinary and the written network are both networks, and differ in their edge."""
    kinds = grammar.KINDS.values()
    assert len({kind.shape for kind in kinds}) == len(kinds)
    assert len({kind.color for kind in kinds}) == len(kinds) - 1


def test_what_is_held_keeps_its_shape_and_changes_its_colour() -> None:
    drawing = Drawing(60)
    drawing.put("hypernet", 60, 30, "a", 60)
    assert grammar.SKY.lower() not in drawing._repr_svg_()
    drawing.put("hypernet", 160, 30, "b", 60, held=True)
    free, held = (patch for patch in drawing.ax.patches if isinstance(patch, Polygon))
    assert free.get_xy().shape == held.get_xy().shape == (9, 2)  # the first corner closes it
    assert [to_rgb(patch.get_edgecolor()) for patch in (free, held)] == [to_rgb(grammar.BLUE), to_rgb(grammar.SKY)]
    assert "frozen" in {text.get_text() for text in drawing.legend().ax.texts}


def test_the_gradient_of_equation_2_reaches_nothing_that_is_held() -> None:
    drawing = drawings.equation_2()
    ends = [points[-1] for kind, points in drawing.arrows if kind == "gradient"]
    old, copy = drawing.parts[1], drawing.parts[4]
    assert (old.text, copy.text) == ("$e_1, \\dots, e_{T-1}$", "before task $T$\n$\\Theta_h^*$")
    for part in (old, copy):
        assert part.held
        grown = frame(part).expanded(1.05, 1.2)
        assert not any(grown.contains(*end) for end in ends)
    assert sum(frame(drawing.parts[2]).expanded(1.05, 1.2).contains(*end) for end in ends) == 2


def test_the_importance_of_si_is_half_the_curvature() -> None:
    """In a valley that is a parabola, and where the steps are small, as chapter 3 says."""
    numbers = [text.get_text() for text in drawings.path_of_si(steep=4, flat=1).ax.texts]
    assert numbers[-4:] == ["1", "2.0", "2", "0.5"]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(hl.InputError, match="kind must be one of hypernet, target"):
        Drawing(10).put("brain", 5, 5, "b", 5)
