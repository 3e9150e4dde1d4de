"""The playground's scripts, put beside its page while the site is built, with the digits that they learn.

Sphinx loads this file as an extension, by `_config.yml`. The scripts stay out of `_static`, whose scripts Jupyter Book
loads on every page.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

PLAYGROUND = Path(__file__).resolve().parent / "playground"

LEVELS = 17  # of a pixel, 0 to 16
BASE = 71  # the fewest characters of which two can hold three pixels
CHARACTERS = [chr(code) for code in range(35, 107) if code != 92]  # from # on, without the backslash


def packed(pixels: list[int]) -> str:
    """Three pixels in two characters, the last ones filled up with 0.

    >>> packed([0, 0, 0, 16, 16, 16])
    '##hQ'
    """
    pixels = pixels + [0] * (-len(pixels) % 3)
    triples = zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True)
    numbers = [(a * LEVELS + b) * LEVELS + c for a, b, c in triples]
    return "".join(CHARACTERS[number // BASE] + CHARACTERS[number % BASE] for number in numbers)


def digits_script() -> str:
    """scikit-learn's digits as a script of 80 kB; `tasks.js` reads them."""
    bunch = load_digits()
    data = {
        "labels": "".join(map(str, bunch.target)),
        "pixels": packed([int(value) for value in bunch.data.ravel()]),
    }
    return f"// scikit-learn's 1,797 digits\n(globalThis.hyperlearn ??= {{}}).digitData = {json.dumps(data)};\n"


def put(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / "book" / "playground"
        shutil.copytree(PLAYGROUND, folder, dirs_exist_ok=True)
        (folder / "digits.js").write_text(digits_script(), encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    app.connect("build-finished", put)
    return {"parallel_read_safe": True}
