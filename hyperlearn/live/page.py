"""The HTML of a figure that computes: its style, its still picture, its scripts and its numbers in one piece."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

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


def render(
    names: Sequence[str],
    settings: Mapping[str, Any],
    numbers: str,
    *,
    lead: str,
    caption: str,
    still: bytes,
    alt: str,
) -> str:
    """One ``<figure>`` with all that it needs.

    Args:
        names: of the scripts, and styles where there are any, that stand behind ``common.js``. The last is the figure's
            kind, and names the function that starts it; those before it several kinds share.
        settings: what the function is given beside the numbers.
        numbers: from `pack`.
        lead: the sentence above the figure, as HTML.
        caption: the text below it, as HTML.
        still: a PNG, shown where no script runs.
        alt: says in words what the still picture shows.
    """
    every, kind = ("common", *names), names[-1]
    style = "".join(source(f"{part}.css") for part in every if (HERE / f"{part}.css").exists())
    script = "\n".join(source(f"{part}.js") for part in every)
    classes = " ".join(f"hl-{part}" for part in ("live", *names))
    # The id depends on the content alone, so that running a notebook again gives the same output.
    name = f"hl-{uuid5(NAMESPACE_URL, kind + numbers + lead).hex[:12]}"
    given = json.dumps(settings).replace("</", "<\\/")
    image = f"data:image/png;base64,{base64.b64encode(still).decode()}"
    return (
        f'<figure class="{classes}" id="{name}" data-hyperlearn-live="{kind}">\n'
        f"<style>\n{style}</style>\n"
        f'<p class="hl-lead">{lead}</p>\n'
        f'<div class="hl-stage"><img class="hl-still" src="{image}" alt="{html.escape(alt)}">\n'
        "<p>This is a still picture. The figure moves where its script runs.</p></div>\n"
        f"<figcaption>{caption}</figcaption>\n"
        f'<script>\n(() => {{\n"use strict";\n{script}\n'
        f'start(document.getElementById("{name}"), {kind}, {given}, "{numbers}");\n}})();\n</script>\n</figure>'
    )
