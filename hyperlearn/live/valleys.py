"""The quadratic losses of two tasks over two weights, and where a penalty lets training end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .. import plots
from ..errors import InputError
from .page import LiveFigure

WINDOW = ((-1.5, 3.3), (-1.3, 2.7))  # of weight 1 and weight 2
LEVELS = ((0.2, 1.0, 3.0), (0.1, 0.4, 1.0))  # heights that are drawn, of each valley
STRENGTHS = (1e-3, 1e4)
TILTS = (0, 50)  # of the still picture


@dataclass(frozen=True, repr=False)
class TwoValleys(LiveFigure):
    r"""Two quadratic losses over two weights; the reader moves EWC's strength and tilts the first valley.

    The loss of task :math:`t` is :math:`\frac{1}{2} (\Theta - \Theta^t)^\top H_t (\Theta - \Theta^t)`. The page
    computes where :math:`L_2` plus a penalty on the way from :math:`\Theta^1` is smallest,

    .. math:: (H_2 + \lambda\,\mathrm{diag}(F))\, \Theta = H_2 \Theta^2 + \lambda\,\mathrm{diag}(F)\, \Theta^1,

    with the diagonal of :math:`H_1` for :math:`F`, which is EWC (Kirkpatrick et al. 2017, equation 3), and with ones.

    Args:
        bottoms: :math:`\Theta^1` and :math:`\Theta^2`, two weights each.
        curvatures: of the first valley, across it and along it.
        second: :math:`H_2`, ``[2, 2]``.
        caption: the text below the figure, as HTML.
        tilt: in degrees, what the first valley is turned by at the start.
        strength: :math:`\lambda` at the start.

    Raises:
        InputError: a curvature is not positive, or :math:`H_2` is not symmetric.
    """

    bottoms: Sequence[Sequence[float]]
    curvatures: tuple[float, float]
    second: NDArray[np.float64]
    caption: str
    tilt: int = 0
    strength: float = 0.01

    scripts = ("chart", "valleys")
    lead = "Drag the dot on the solid path, or turn the blue valley by its end."
    alt = (
        "Two pictures of two valleys and of the paths from the bottom of the second to that of the first. Where "
        "the first valley lies along the axes, the path of EWC goes through the best place for both tasks. Where "
        f"it is tilted by {TILTS[1]} degrees, the path misses it, and the one with equal weights misses it by more."
    )

    def __post_init__(self) -> None:
        if min(*self.curvatures, *np.linalg.eigvalsh(self.second)) <= 0:
            raise InputError("a valley needs positive curvatures")
        if not np.allclose(self.second, self.second.T):
            raise InputError("second must be symmetric")

    def __repr__(self) -> str:
        return f"TwoValleys(tilt={self.tilt}, strength={self.strength:g})"

    def settings(self) -> dict[str, Any]:
        return {
            "bottoms": np.asarray(self.bottoms).tolist(),
            "curvatures": list(self.curvatures),
            "second": [self.second[0, 0], self.second[0, 1], self.second[1, 1]],
            "window": WINDOW,
            "levels": LEVELS,
            "strengths": {"from": STRENGTHS[0], "to": STRENGTHS[1]},
            "angle": self.tilt,
            "strength": self.strength,
        }

    def still(self) -> Figure:
        """What is shown where no script runs: the paths for a valley along the axes and for a tilted one."""
        figure, panels = plots.new(2, 1, height=8.4)
        for axes, tilt in zip(panels[:, 0], TILTS, strict=True):
            angle = np.deg2rad(tilt)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            first = turn @ np.diag(self.curvatures) @ turn.T
            plane = np.stack(np.meshgrid(*(np.linspace(*ends, 120) for ends in WINDOW)), -1)
            for number, (matrix, bottom) in enumerate(zip((first, self.second), self.bottoms, strict=True)):
                way = plane - np.asarray(bottom)
                loss = np.einsum("...i,ij,...j->...", way, matrix, way) / 2
                axes.contour(
                    *np.moveaxis(plane, -1, 0), loss, LEVELS[number], colors=plots.PALETTE[number], linewidths=1
                )
                axes.plot(*bottom, "o", color=plots.PALETTE[number], markersize=8)
            for importance, label, style in ((first.diagonal(), "EWC", "-"), (np.ones(2), "equal weights", "--")):
                path = [self.minimum(importance, strength) for strength in np.geomspace(*STRENGTHS, 60)]
                axes.plot(*np.array(path).T, style, color="black", label=label)
            one, two = (np.asarray(bottom) for bottom in self.bottoms)
            best = np.linalg.solve(first + self.second, first @ one + self.second @ two)
            axes.plot(
                *best, "*", color=plots.PALETTE[2], markersize=15, markeredgecolor="black", label="best for both", ls=""
            )
            axes.set(title=f"tilted by {tilt}°", xlabel="weight 1", ylabel="weight 2", aspect="equal")
        panels[0, 0].legend(loc="upper left")
        return figure

    def minimum(self, importance: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
        """Where the loss of task 2 plus the penalty is smallest, ``[2]``."""
        one, two = (np.asarray(bottom) for bottom in self.bottoms)
        pull = strength * np.diag(importance)
        return np.linalg.solve(self.second + pull, self.second @ two + pull @ one)
