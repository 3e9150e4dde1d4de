"""Figures that move in a built page, without a kernel and without the network.

Each state of the figure is drawn ahead. A plain HTML slider chooses which one is shown; a few lines of script beside it
are all that runs. The same HTML works in Jupyter, on Colab and in the built book, and with the keyboard.
"""

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from .errors import InputError

_SCRIPT = """
(function () {
  const figure = document.getElementById("ID");
  const slider = figure.querySelector("input");
  const frames = figure.querySelectorAll("[data-frame]");
  const shown = figure.querySelector("output");
  slider.addEventListener("input", function () {
    const now = Number(slider.value);
    frames.forEach(function (frame, number) { frame.hidden = number !== now; });
    shown.textContent = frames[now].dataset.value;
    slider.setAttribute("aria-valuetext", frames[now].dataset.value);
  });
})();
"""

_PLAY = """
(function () {
  const figure = document.getElementById("ID");
  const slider = figure.querySelector("input");
  const button = figure.querySelector("button");
  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }
  function go(place) {
    slider.value = place;
    slider.dispatchEvent(new Event("input"));
  }
  function step() {
    const next = Number(slider.value) + 1;
    go(next);
    if (next >= Number(slider.max)) stop();
  }
  button.addEventListener("click", function () {
    if (timer !== null) return stop();
    if (slider.value === slider.max) go(0);
    button.textContent = "Pause";
    timer = setInterval(step, MILLISECONDS);
  });
  slider.addEventListener("pointerdown", stop);
  slider.addEventListener("keydown", stop);
})();
"""
_MILLISECONDS = 900  # for a frame


@dataclass(frozen=True, repr=False)
class Slider:
    """A figure with a slider under it; shows itself as HTML in a notebook.

    Args:
        frames: PNG images, one for each place of the slider.
        values: what the slider says at each place.
        alts: what each frame shows, for readers who do not see it.
        label: what the slider changes.
        caption: stands under the figure.
        start: the place that is shown first.
        plays: whether there is a button that goes through the frames.

    Raises:
        InputError: the lists differ in length, hold fewer than two frames, or a text is empty.
    """

    frames: Sequence[bytes]
    values: Sequence[str]
    alts: Sequence[str]
    label: str
    caption: str
    start: int = 0
    plays: bool = False

    def __post_init__(self) -> None:
        if not 2 <= len(self.frames) == len(self.values) == len(self.alts):
            raise InputError(
                "a slider needs two or more frames, and as many values and alts: "
                f"{len(self.frames)}, {len(self.values)}, {len(self.alts)}"
            )
        if not all([self.label, self.caption, *self.values, *self.alts]):
            raise InputError("label, caption, values and alts must not be empty")
        if not 0 <= self.start < len(self.frames):
            raise InputError(f"start must be from 0 to {len(self.frames) - 1}, got {self.start}")

    def __repr__(self) -> str:
        return f"Slider({self.label!r}, {len(self.frames)} frames)"  # and not the images: a notebook stores it

    def _repr_html_(self) -> str:
        # The id depends on the content alone, so that running a notebook again gives the same output.
        name = f"hl-{uuid5(NAMESPACE_URL, self.label + self.caption + ''.join(self.values)).hex[:12]}"
        frames = "\n".join(
            f'<div data-frame="{number}" data-value="{html.escape(value)}"{"" if number == self.start else " hidden"}>'
            f'<img src="data:image/png;base64,{base64.b64encode(frame).decode()}" alt="{html.escape(alt)}" '
            'style="max-width: 100%; height: auto; background: white;"></div>'
            for number, (frame, value, alt) in enumerate(zip(self.frames, self.values, self.alts, strict=True))
        )
        # Beside the label and not in it: a label names one thing.
        button = '<button type="button" style="min-width: 5em;">Play</button>\n' if self.plays else ""
        script = _SCRIPT + _PLAY.replace("MILLISECONDS", str(_MILLISECONDS)) if self.plays else _SCRIPT
        label, first = html.escape(self.label), html.escape(self.values[self.start])
        return (
            f'<figure class="hl-slider" id="{name}" data-hyperlearn-slider style="margin: 1em 0;">\n{frames}\n'
            f'<label style="display: flex; flex-wrap: wrap; gap: 0.5em; align-items: center;">{label}: '
            f'<input type="range" min="0" max="{len(self.frames) - 1}" step="1" value="{self.start}" '
            f'aria-label="{label}" aria-valuetext="{first}" style="flex: 1 1 12em;">'
            f'<output style="min-width: 5em;">{first}</output></label>\n'
            f"{button}<figcaption>{html.escape(self.caption)}</figcaption>\n"
            f"<script>{script.replace('ID', name)}</script>\n</figure>"
        )


def slider(
    draw: Callable[[Any], Figure],
    states: Sequence[Any],
    *,
    alt: Callable[[Any], str],
    label: str,
    caption: str,
    value: Callable[[Any], str] = str,
    start: int = 0,
) -> Slider:
    """Draw a figure for each of ``states`` and put a slider under them.

    Args:
        draw: draws the figure of one state.
        states: what the slider goes through.
        alt: says in words what the figure of a state shows.
        label: what the slider changes.
        caption: stands under the figure.
        value: what the slider says in a state.
        start: index of the state that is shown first.
    """
    frames = []
    for state in states:
        figure = draw(state)
        drawn, small = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=100)
        plt.close(figure)
        # 128 colours are enough for lines and maps, and a third of the bytes; a page carries all frames at once.
        Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "png", optimize=True)
        frames.append(small.getvalue())
    return Slider(frames, [value(s) for s in states], [alt(s) for s in states], label, caption, start)


def sequence(draw: Callable[[Any], Figure], states: Sequence[Any], **given: Any) -> Slider:
    """A `slider` over states that follow each other in time, with a button that plays them.

    Args:
        draw: draws the figure of one state.
        states: what the slider goes through.
        given: what `slider` takes besides.
    """
    return replace(slider(draw, states, **given), plays=True)
