"""The HTML of a figure that computes: its style, its still picture, its scripts and its numbers in one piece."""

import base64
import html
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from .numbers import pack

HERE = Path(__file__).parent


@cache
def source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def picture(figure: Figure) -> bytes:
    """A figure as a small PNG; closes it."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


class LiveFigure(ABC):
    """A figure that computes in the page: one ``<figure>`` with all that it needs, as a notebook shows it.

    A subclass is a dataclass with a ``caption``, the text below the figure, as HTML.
    """

    caption: str
    scripts: ClassVar[tuple[str, ...]]
    """Names of the scripts, and styles where there are any, that stand behind ``common.js``. The last is the figure's
    kind, and names the function that starts it; those before it several kinds share."""

    @property
    @abstractmethod
    def lead(self) -> str:
        """The sentence above the figure, as HTML."""

    @property
    @abstractmethod
    def alt(self) -> str:
        """Says in words what the still picture shows."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What the script is given beside the numbers."""

    def numbers(self) -> str:
        """From `pack`."""
        return pack({}, {})

    @abstractmethod
    def still(self) -> Figure:
        """What is shown where no script runs."""

    def _repr_html_(self) -> str:
        every, kind, numbers = ("common", *self.scripts), self.scripts[-1], self.numbers()
        style = "".join(source(f"{part}.css") for part in every if (HERE / f"{part}.css").exists())
        script = "\n".join(source(f"{part}.js") for part in every)
        classes = " ".join(f"hl-{part}" for part in ("live", *self.scripts))
        # The id depends on the content alone, so that running a notebook again gives the same output.
        name = f"hl-{uuid5(NAMESPACE_URL, kind + numbers + self.lead).hex[:12]}"
        given = json.dumps(self.settings()).replace("</", "<\\/")
        image = f"data:image/png;base64,{base64.b64encode(picture(self.still())).decode()}"
        return (
            f'<figure class="{classes}" id="{name}" data-hyperlearn-live="{kind}">\n'
            f"<style>\n{style}</style>\n"
            f'<p class="hl-lead">{self.lead}</p>\n'
            f'<div class="hl-stage"><img class="hl-still" src="{image}" alt="{html.escape(self.alt)}">\n'
            "<p>This is a still picture. The figure moves where its script runs.</p></div>\n"
            f"<figcaption>{self.caption}</figcaption>\n"
            f'<script>\n(() => {{\n"use strict";\n{script}\n'
            f'start(document.getElementById("{name}"), {kind}, {given}, "{numbers}");\n}})();\n</script>\n</figure>'
        )
