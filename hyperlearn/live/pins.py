"""A hypernetwork small enough to draw, and what holds it at its old embeddings."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import plots
from ..errors import InputError
from .numbers import pack
from .page import LiveFigure

STEPS, RATE = 400, 0.01  # of Adam, in each of the three trainings
REACH, HEIGHT = 3.0, 2.2  # of the embedding and of the value


@dataclass(frozen=True, repr=False)
class PinnedCurve(LiveFigure):
    r"""A curve of one embedding value, trained for a new task; the reader drags the old tasks' places and the strength.

    The page trains three times, each time with 400 steps of Adam at a rate of 0.01, all points in a step: ``net`` to
    have the values of the old tasks; from there the new task alone; and from the same place the new task with

    .. math:: \frac{\beta}{T-1} \sum_{t<T} \big( f(e_t; \Theta^*) - f(e_t; \Theta) \big)^2

    added to its squared error, as in equation 2 of Chandra et al. (2022) without the step ahead.

    Args:
        net: before any task, ``[n, 1] -> [n, 1]``: ``nn.Sequential`` of linear, tanh, linear.
        places: embedding and value of each task, the new one last.
        caption: the text below the figure, as HTML.
        beta: the strength at the start.

    Raises:
        InputError: the network is of another kind, or there are fewer than two tasks.
    """

    net: nn.Sequential
    places: Sequence[tuple[float, float]]
    caption: str
    beta: float = 2.0

    scripts = ("chart", "pins")
    lead = "Drag the points of the tasks, and make the pins stronger or weaker."
    alt = (
        "A curve through the points of the old tasks before the new task is learnt; after the new task alone it "
        "goes far from the old points; with the old points held it goes through all of them."
    )

    def __post_init__(self) -> None:
        if [type(layer) for layer in self.net] != [nn.Linear, nn.Tanh, nn.Linear]:
            raise InputError("net must be a linear layer, tanh, and a linear layer")
        if self.net[0].in_features != 1 or self.net[2].out_features != 1:
            raise InputError("net must have one input and one output")
        if len(self.places) < 2:
            raise InputError("there must be an old task and a new one")

    def __repr__(self) -> str:
        return f"PinnedCurve({len(self.places)} tasks)"

    def settings(self) -> dict[str, Any]:
        return {
            "places": [list(place) for place in self.places],
            "beta": self.beta,
            "training": {"steps": STEPS, "rate": RATE},
            "reach": REACH,
            "height": HEIGHT,
        }

    def numbers(self) -> str:
        return pack(dict(self.net.named_parameters()), {})

    def curves(self) -> dict[str, nn.Sequential]:
        """The curve before the new task, after it alone, and after it with the old points held."""
        at, values = torch.tensor(self.places).split(1, dim=1)
        ones = torch.ones(len(at), 1)
        before = fit(self.net, at[:-1], values[:-1], ones[:-1])
        with torch.no_grad():
            held = torch.cat([before(at[:-1]), values[-1:]])
        weights = torch.cat([ones[:-1] * self.beta / (len(at) - 1), ones[-1:]])
        return {
            "before the new task": before,
            "the new task alone": fit(before, at[-1:], values[-1:], ones[-1:]),
            "old points held": fit(before, at, held, weights),
        }

    def still(self) -> Figure:
        """What is shown where no script runs: the three curves at the start."""
        figure, ((axes,),) = plots.new()
        at = torch.linspace(-REACH, REACH, 121)[:, None]
        styles = ((":", "#57606a"), ("-.", plots.PALETTE[1]), ("-", plots.PALETTE[0]))
        for (label, net), (style, color) in zip(self.curves().items(), styles, strict=True):
            axes.plot(at, net(at).detach(), style, color=color, linewidth=2.5, label=label)
        for task, (embedding, value) in enumerate(self.places, start=1):
            axes.plot(embedding, value, "o", color="black", markersize=9)
            axes.annotate(f"task {task}", (embedding, value), textcoords="offset points", xytext=(8, 8))
        axes.set(xlabel="embedding e", ylabel="generated parameter", ylim=(-HEIGHT, HEIGHT))
        axes.legend(loc="lower right")
        return figure


def fit(net: nn.Sequential, at: Tensor, values: Tensor, weights: Tensor) -> nn.Sequential:
    """A copy, trained to have these values ``[n, 1]`` at these places ``[n, 1]``."""
    net = deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (weights * (net(at) - values).square()).sum().backward()
        optimizer.step()
    return net
