"""The book's one visual language: what a thing is shows in its shape and colour, in every drawing alike.

A length of 1 is a CSS pixel on a phone's column of text, which is `WIDTH` pixels wide, so that a font size says how
large a label is there. On a larger screen everything is `SCALE` times as large.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Arc, Ellipse, FancyArrowPatch, FancyBboxPatch, Patch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from ..errors import InputError
from ..plots import PALETTE

WIDTH = 342.0
"""The column of text on a phone of 390 CSS pixels."""
SCALE = 1.75
SIZE, SMALL = 10.0, 9.5
"""Font sizes: of what names a part, and of notes and the legend. No label of a page on a phone is below 9 pixels, also
in the dark theme, which keeps 8 pixels free on either side of a picture."""
INK, GRAY = "#1a1a1a", "#595959"
POINT = 0.75 * SCALE  # points of one length
TINT = 0.22  # how much of its colour a part's ground has

DARK_VERMILION = "#a84300"  # for text: the palette's own has too little contrast
BLUE, VERMILION, GREEN, PINK, AMBER, SKY, _ = PALETTE


@dataclass(frozen=True)
class Kind:
    """What a part can be: its name in the legend, its colour and its shape."""

    name: str
    color: str
    shape: str


KINDS = {
    "hypernet": Kind("hypernetwork", BLUE, "octagon"),
    "target": Kind("written network", AMBER, "dashed"),
    "network": Kind("ordinary network", AMBER, "box"),
    "embedding": Kind("embedding or code", GREEN, "capsule"),
    "parameters": Kind("parameters", PINK, "cells"),
    "data": Kind("data", GRAY, "sheets"),
    "loss": Kind("loss", VERMILION, "ellipse"),
    "step": Kind("operation", INK, "plain"),
}
HELD = Kind("frozen", SKY, "box")
"""Of whatever shape: what is held has this colour and a lock."""


@dataclass(frozen=True)
class Part:
    """A part of a drawing: its kind, its frame as centre and sides, its text, and whether it is frozen."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    text: str = ""
    held: bool = False

    def left(self, shift: float = 0) -> tuple[float, float]:
        return self.x - self.width / 2, self.y + shift

    def right(self, shift: float = 0) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + shift

    def top(self, shift: float = 0) -> tuple[float, float]:
        return self.x + shift, self.y - self.height / 2

    def bottom(self, shift: float = 0) -> tuple[float, float]:
        return self.x + shift, self.y + self.height / 2


@dataclass(eq=False)
class Drawing:
    """An empty drawing. Its methods add to it; ``y`` grows downwards.

    A notebook shows it as an SVG, which is sharp at any size.

    Args:
        height: without the legend, in CSS pixels on a phone.

    `parts`, `arrows`, `figure` and `ax` are what was drawn so far, and where.

    Example:
        >>> drawing = Drawing(height=60)
        >>> code = drawing.put("embedding", 60, 30, "$e_t$", 40)
        >>> writer = drawing.put("hypernet", 200, 30, "hypernetwork", 90)
        >>> drawing.arrow(code.right(), writer.left())
        >>> drawing.legend()
        Drawing(embedding, hypernet)
    """

    height: float
    parts: list[Part] = field(default_factory=list, init=False)
    arrows: list[tuple[str, list[tuple[float, float]]]] = field(default_factory=list, init=False)
    figure: Figure = field(init=False)
    ax: Axes = field(init=False)

    def __post_init__(self) -> None:
        self.figure = Figure(facecolor="white")
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        self.ax.set_axis_off()
        self.ax.autoscale(False)
        self._fit()

    def _fit(self) -> None:
        self.figure.set_size_inches(WIDTH * SCALE / 96, self.height * SCALE / 96)
        self.ax.set(xlim=(0, WIDTH), ylim=(self.height, 0))

    def __repr__(self) -> str:
        return f"Drawing({', '.join(dict.fromkeys(part.kind for part in self.parts))})"

    def _repr_svg_(self) -> str:
        text = StringIO()
        with mpl.rc_context({"svg.hashsalt": "hyperlearn"}):  # the same drawing is the same text
            self.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        svg = text.getvalue()
        return " ".join(svg[svg.index("<svg") :].split())  # one line: a notebook would store hundreds

    # -- what a drawing is made of ---------------------------------------------------------------------------------

    def put(
        self, kind: str, x: float, y: float, text: str, width: float, height: float = 24, held: bool = False
    ) -> Part:
        """A part with its text in it.

        Args:
            kind: one of `KINDS`.
            x: of the centre.
            y: of the centre.
            text: its name; ``\\n`` breaks it.
            width: of the frame.
            height: of the frame.
            held: it is frozen, and is not trained.
        """
        if kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        part = Part(kind, x, y, width, height, text, held)
        color = HELD.color if held else KINDS[kind].color
        self._shape(part, color)
        shift = {"cells": -2.5, "sheets": 1.5}.get(KINDS[kind].shape, 0.0)
        self._text(x - (1.5 if kind == "data" else 0), y + shift, text, SIZE)
        if held:
            self._lock(x + width / 2 - 1, y - height / 2 + 1)
        self.parts.append(part)
        return part

    def frame(self, x: float, y: float, width: float, height: float, color: str = GRAY) -> None:
        """A thin line around several parts, ``x`` and ``y`` the upper left corner."""
        style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=5", "facecolor": "none", "linewidth": 0.9}
        self.ax.add_patch(FancyBboxPatch((x, y), width, height, edgecolor=color, zorder=0.5, **style))

    def arrow(self, *points: tuple[float, float], gradient: bool = False, head: bool = True) -> None:
        """An arrow along these points: solid forwards, dashed where a gradient flows back."""
        codes = [Path.MOVETO] + [Path.LINETO] * (len(points) - 1)
        color = VERMILION if gradient else INK
        self.ax.add_patch(
            FancyArrowPatch(
                path=Path(np.array(points), codes),
                arrowstyle="-|>,head_length=4.5,head_width=2.4" if head else "-",
                color=color,
                linewidth=1.5,
                linestyle=(0, (3, 2)) if gradient else "-",
                joinstyle="round",
                capstyle="butt",
                shrinkA=0,
                shrinkB=0,
                mutation_scale=1.5,
                zorder=2,
            )
        )
        self.arrows.append(("gradient" if gradient else "forward", list(points)))

    def both(self, start: tuple[float, float], end: tuple[float, float], apart: float = 7) -> None:
        """Forwards, and beside it the gradient that flows back the same way."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = float(np.hypot(dx, dy))
        x, y = -dy / length * apart / 2, dx / length * apart / 2
        self.arrow((start[0] + x, start[1] + y), (end[0] + x, end[1] + y))
        self.arrow((end[0] - x, end[1] - y), (start[0] - x, start[1] - y), gradient=True)

    def say(self, x: float, y: float, text: str, color: str = INK, align: str = "center", bold: bool = False) -> None:
        """A note that stands free."""
        self._text(x, y, text, SMALL, color=color, ha=align, fontweight="bold" if bold else "normal")

    def sign(self, x: float, y: float, text: str) -> Part:
        """A small circle with the sign of an operation."""
        self.ax.add_patch(Ellipse((x, y), 17, 17, facecolor="white", edgecolor=INK, linewidth=1.1, zorder=2.5))
        self._text(x, y, text, SIZE)
        part = Part("step", x, y, 17, 17)
        self.parts.append(part)
        return part

    def rule(self, y: float) -> None:
        """A faint line from side to side, between two drawings in one."""
        self.ax.plot([8, WIDTH - 8], [y, y], color="#cccccc", linewidth=0.8)

    def interval(self, mean: float, y: float, half: float, color: str = BLUE) -> None:
        """An interval on a horizontal axis, ``half`` to either side, and its mean unless it is gray."""
        marker = "" if color == GRAY else "o"
        self.ax.errorbar(mean, y, xerr=half or None, color=color, marker=marker, markersize=7, capsize=5, linewidth=2)

    def strike(self, *line: float) -> None:
        """A stroke through what is gone: from ``x, y`` to ``x, y``."""
        x, y, to_x, to_y = line
        self.ax.plot([x, to_x], [y, to_y], color=GRAY, linewidth=1.6, zorder=3)

    def output(self, x: float, y: float, text: str, allowed: bool, right: bool) -> None:
        """One output of a network: blue where it may answer, with a ring where it is the right answer."""
        fill, ink = (BLUE, "white") if allowed else ("#dedede", GRAY)
        self.ax.add_patch(Ellipse((x, y), 22, 22, facecolor=fill, edgecolor="none", zorder=2))
        if right:
            self.ax.add_patch(Ellipse((x, y), 27, 27, fill=False, edgecolor=VERMILION, linewidth=2.4, zorder=2))
        self._text(x, y, text, SMALL, color=ink)
        self.parts.append(Part("output", x, y, 27, 27))

    def bars(self, x: float, y: float, values: Sequence[float], color: str = AMBER, width: float = 30) -> Part:
        """Probabilities, as bars of at most 22 on a line; ``x`` and ``y`` are the centre."""
        part = Part("bars", x, y, width, 26)
        each = width / len(values)
        for number, value in enumerate(values):
            left, height = part.left()[0] + each * (number + 0.15), 24 * value
            self.ax.add_patch(Rectangle((left, y + 13), 0.7 * each, -height, color=color, zorder=2, linewidth=0))
        self.ax.plot([part.left()[0], part.right()[0]], [y + 13, y + 13], color=INK, linewidth=1, zorder=2)
        self.parts.append(part)
        return part

    def block(self, x: float, y: float, width: float, height: float, text: str, color: str, held: bool = False) -> None:
        """A matrix, as wide and as high as it is; ``x`` and ``y`` are the centre."""
        color = SKY if held else color
        style: dict[str, Any] = {"facecolor": tinted(color), "edgecolor": color, "linewidth": 1.4, "zorder": 1.5}
        self.ax.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, **style))
        self._text(x, y, text, SIZE)
        if held:
            self._lock(x + width / 2 - 1, y - height / 2 + 1)
        self.parts.append(Part("block", x, y, width, height, text, held))

    def image(self, x: float, y: float, pixels: Any, size: float = 26, faint: bool = False) -> Part:
        """A gray image ``[h, w]``, dark on light, on a sheet; ``x`` and ``y`` are the centre."""
        box = (x - size / 2, x + size / 2, y + size / 2, y - size / 2)
        shown, alpha = np.asarray(pixels, dtype=float), 0.3 if faint else 1
        self.ax.imshow(shown, cmap="gray_r", extent=box, zorder=2, aspect="auto", alpha=alpha)
        edge = "#bbbbbb" if faint else GRAY
        self.ax.add_patch(Rectangle((box[0], box[3]), size, size, fill=False, edgecolor=edge, linewidth=1, zorder=2.1))
        self._fit()  # imshow changes the limits
        part = Part("image", x, y, size, size)
        self.parts.append(part)
        return part

    def legend(self, *others: str) -> "Drawing":
        """Samples of all that is in the drawing, below it; the last thing to call.

        Args:
            others: kinds that need no sample.
        """
        held = any(part.held for part in self.parts)
        entries = [kind for kind in KINDS if kind not in (*others, "step") and kind in {p.kind for p in self.parts}]
        entries += ["held"] if held else []
        entries += [kind for kind in ("forward", "gradient") if kind in {kind for kind, _ in self.arrows}]
        names = {"held": HELD.name, "forward": "forward", "gradient": "gradient"}
        needed = [26 + measure(names.get(entry) or KINDS[entry].name, SMALL)[0] for entry in entries]
        x, y = 8.0, self.height + 12
        self.rule(self.height)
        for number, entry in enumerate(entries):
            together = sum(needed[number:]) + 6 if entry == "forward" else needed[number]  # both arrows in one row
            if x + together > WIDTH - 4:
                x, y = 8.0, y + 17
            self._sample(entry, x + 9, y)
            self._text(x + 22, y, names.get(entry) or KINDS[entry].name, SMALL, ha="left", color=GRAY)
            x += needed[number] + 6
        self.height = y + 11
        self._fit()
        return self

    # -- how the parts look ----------------------------------------------------------------------------------------

    def _sample(self, entry: str, x: float, y: float) -> None:
        if entry in ("forward", "gradient"):
            before = list(self.arrows)
            self.arrow((x - 9, y), (x + 9, y), gradient=entry == "gradient")
            self.arrows = before
        elif entry == "held":
            self._shape(Part("network", x, y, 18, 11), SKY)
            self._lock(x, y)
        else:
            self._shape(Part(entry, x, y, 18, 11), KINDS[entry].color)

    def _shape(self, part: Part, color: str) -> None:
        (x, _), (_, y), w, h = part.left(), part.top(), part.width, part.height
        shape = KINDS[part.kind].shape
        style: dict[str, Any] = {"facecolor": tinted(color), "edgecolor": color, "linewidth": 1.4, "zorder": 1.5}
        patch: Patch
        if shape == "octagon":
            cut = min(6.0, h / 3)
            corners = [(x + cut, y), (x + w - cut, y), (x + w, y + cut), (x + w, y + h - cut)]
            corners += [(x + w - cut, y + h), (x + cut, y + h), (x, y + h - cut), (x, y + cut)]
            patch = Polygon(corners, closed=True, **{**style, "linewidth": 2})
        elif shape == "capsule":
            patch = FancyBboxPatch((x, y), w, h, boxstyle=f"round,pad=0,rounding_size={0.49 * h}", **style)
        elif shape == "ellipse":
            patch = Ellipse((part.x, part.y), w, h, **style)
        elif shape == "dashed":
            patch = Rectangle((x, y), w, h, linestyle=(0, (4, 2)), **style)
        elif shape == "plain":
            patch = FancyBboxPatch(
                (x, y), w, h, boxstyle="round,pad=0,rounding_size=3", **{**style, "facecolor": "white", "linewidth": 1}
            )
        elif shape == "sheets":
            for shift in (3.0, 1.5):
                self.ax.add_patch(Rectangle((x + shift, y + 3 - shift), w - 3, h - 3, **{**style, "linewidth": 1}))
            patch = Rectangle((x, y + 3), w - 3, h - 3, **{**style, "linewidth": 1})
        else:
            patch = Rectangle((x, y), w, h, **style)
        self.ax.add_patch(patch)
        if shape == "cells":
            self._cells(part, color)

    def _cells(self, part: Part, color: str) -> None:
        """Numbers of any value along the lower edge."""
        (x, _), (_, bottom) = part.left(), part.bottom()
        count, height = max(3, round(part.width / 6)), min(5.0, part.height / 2)
        for number in range(count):
            strength = 0.15 + 0.75 * ((number * 0.618) % 1)  # of irregular look, and the same each time
            self.ax.add_patch(
                Rectangle(
                    (x + number * part.width / count, bottom - height),
                    part.width / count,
                    height,
                    facecolor=tinted(color, strength),
                    edgecolor=color,
                    linewidth=0.6,
                    zorder=1.6,
                )
            )

    def _lock(self, x: float, y: float) -> None:
        """A padlock, its centre on a corner."""
        for color, more, order in (("white", 2.4, 3.0), (INK, 0.0, 3.1)):  # first a seam around it
            place: dict[str, Any] = {"theta1": 180, "theta2": 360, "color": color, "zorder": order}
            self.ax.add_patch(Arc((x, y - 0.3), 5.4, 8.0, linewidth=1.4 + more * POINT, **place))
            body = (x - 4.2 - more / 2, y - 0.6 - more / 2)
            self.ax.add_patch(
                Rectangle(body, 8.4 + more, 5.8 + more, facecolor=color, linewidth=0, zorder=order + 0.05)
            )

    def _text(self, x: float, y: float, text: str, size: float, **style: Any) -> Text:
        look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "color": INK, "zorder": 4, "linespacing": 1.15}
        return self.ax.text(x, y, text, fontsize=size * POINT, **{**look, **style})


def tinted(color: str, strength: float = TINT) -> tuple[float, float, float]:
    """The colour on white."""
    red, green, blue = (1 - strength + strength * part for part in mpl.colors.to_rgb(color))
    return red, green, blue


def measure(text: str, size: float) -> tuple[float, float]:
    """Width and height of a line of text, in CSS pixels on a phone."""
    extents = TextPath((0, 0), text, size=size, prop=FontProperties()).get_extents()
    return float(extents.width), float(extents.height)
