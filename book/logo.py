"""Draw the book's logo: a small network that writes a larger one. `python book/logo.py` writes it into book/_static."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from hyperlearn.plots import PALETTE

STATIC = Path(__file__).parent / "_static"


def draw() -> Figure:
    """Two dots that point at a grid of weights, in the book's colours; readable at 16 pixels."""
    figure = plt.figure(figsize=(2, 2))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10), ylim=(0, 10), aspect="equal")
    ax.axis("off")
    for y in (3, 7):
        ax.add_patch(Circle((1.8, y), 1.3, color=PALETTE[0]))
    ax.add_patch(FancyArrowPatch((3.3, 5), (5.6, 5), arrowstyle="simple,head_width=18,head_length=12,tail_width=6",
                                 color=PALETTE[0], linewidth=0))  # fmt: skip
    for row in range(3):
        for column in range(2):
            color = PALETTE[1] if (row + column) % 2 else PALETTE[4]
            ax.add_patch(plt.Rectangle((6 + 1.9 * column, 2.1 + 2 * row), 1.6, 1.7, color=color))
    return figure


def main() -> None:
    figure = draw()
    figure.savefig(STATIC / "logo.svg", transparent=True, metadata={"Date": None})
    figure.savefig(STATIC / "favicon.png", transparent=True, dpi=32)


if __name__ == "__main__":
    main()
