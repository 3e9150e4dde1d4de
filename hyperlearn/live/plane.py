"""A hypernetwork with embeddings of two values, moved about by the reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.func import functional_call

from .. import plots
from ..data import Batch
from ..errors import InputError
from ..params import ParamLayout
from .numbers import pack
from .page import LiveFigure


@dataclass(frozen=True, repr=False)
class EmbeddingPlane(LiveFigure):
    """A plane with a dot that the reader drags; a hypernetwork writes a network for its place, and that reads digits.

    The page holds the hypernetwork itself and computes all that it shows. Its large matrix is stored in 8 bits a value;
    use `round_` first, so that Python and the page have the same numbers.

    Args:
        net: from embeddings to the target's parameters, ``[2] -> [N]``: ``nn.Sequential`` of linear, ReLU, linear.
        embeddings: one for each task, ``[T, 2]``.
        target: an MLP with ReLU on square images, two labels a task.
        tests: test images of each task, as many of each; both labels among them.
        classes: the names of the two labels of each task.
        maps: accuracy on each task over the plane, in per cent: ``[T, rows, columns]``, from low values to high.
        reach: the plane goes from ``-reach`` to ``reach`` in both values.
        caption: the text below the figure, as HTML.
        start: the task whose embedding the dot begins at.

    Raises:
        InputError: a shape is another one.
    """

    net: nn.Sequential
    embeddings: Tensor
    target: nn.Module
    tests: Sequence[Batch]
    classes: Sequence[Sequence[str]]
    maps: Tensor
    reach: float
    caption: str
    start: int = 0

    scripts = ("plane",)

    def __post_init__(self) -> None:
        kinds = [type(layer) for layer in self.net]
        if kinds != [nn.Linear, nn.ReLU, nn.Linear] or self.net[0].in_features != 2:
            raise InputError("net must be a linear layer of two inputs, ReLU, and a linear layer")
        if self.net[2].out_features != ParamLayout.of(self.target).numel:
            raise InputError("net must write as many values as the target has parameters")
        tasks = len(self.embeddings)
        if not tasks == len(self.tests) == len(self.classes) == len(self.maps):
            raise InputError("embeddings, tests, classes and maps must be of the same tasks")
        if len({len(test.labels) for test in self.tests}) != 1:
            raise InputError("each task needs as many test images as the others")
        if any(set(test.labels.tolist()) != {0, 1} for test in self.tests):
            raise InputError("the test images of a task must have both of its two labels")

    def __repr__(self) -> str:
        return f"EmbeddingPlane({len(self.embeddings)} tasks)"  # and not the tensors: a notebook stores it

    @property
    def names(self) -> list[str]:
        return [" or ".join(labels) for labels in self.classes]

    def written(self, embedding: Tensor) -> dict[str, Tensor]:
        """The target's parameters at a place of the plane."""
        with torch.no_grad():
            return ParamLayout.of(self.target).unflatten(self.net(embedding))

    def limit(self) -> float:
        """The size of a first-layer weight that is drawn in full colour: few weights at the embeddings are larger."""
        first = [next(iter(self.written(embedding).values())).abs().flatten() for embedding in self.embeddings]
        return torch.cat(first).quantile(0.995).item()

    def numbers(self) -> str:
        images = torch.cat([test.images for test in self.tests])
        exact = {
            **dict(self.net[0].named_parameters(prefix="hidden")),
            "embeddings": self.embeddings,
            "images": (255 * images).round().to(torch.uint8),
            "labels": torch.cat([test.labels for test in self.tests]).to(torch.uint8),
            "maps": self.maps.round().to(torch.uint8),
            "limit": torch.tensor([self.limit()]),
        }
        return pack(exact, dict(self.net[2].named_parameters(prefix="head")))

    @property
    def lead(self) -> str:
        return (
            "Drag the dot: from its place, two numbers, a <b>hypernetwork</b> writes all "
            f"{self.net[2].out_features:,} weights of another network, and that one reads the digits."
        )

    @property
    def alt(self) -> str:
        return (
            "A plane with coloured regions, one for each task, and a dot in one of them; the weights that the "
            f"hypernetwork writes for the place of the dot; and how the written network reads digits of "
            f"{len(self.names)} tasks: those of {self.names[self.start]} rightly, of others often not."
        )

    def settings(self) -> dict[str, Any]:
        return {
            "names": self.names,
            "classes": self.classes,
            "colors": plots.PALETTE[: len(self.names)],
            "reach": self.reach,
            "shapes": [list(parameter.shape) for parameter in self.target.parameters()],
            "side": self.tests[0].images.shape[-1],
            "first": self.start,
        }

    def still(self) -> Figure:
        """What is shown where no script runs: the figure as it begins."""
        params = self.written(self.embeddings[self.start])
        figure, ((left, middle), (right, rest)) = plots.new(2, 2, height=4.8)
        best, task = self.maps.max(0)
        shade = (((best - 60) / 40).clamp(0, 1) ** 2 * 0.55)[..., None]
        colors = torch.tensor([to_rgb(color) for color in plots.PALETTE[: len(self.names)]])
        left.imshow(
            (1 - shade * (1 - colors[task])).numpy(),
            origin="lower",
            extent=(-self.reach, self.reach) * 2,
            interpolation="bilinear",
        )
        for (x, y), name in zip(self.embeddings.tolist(), self.names, strict=True):
            left.text(x, y + 0.1 * self.reach, name, ha="center", va="bottom")
        left.plot(*self.embeddings[self.start].tolist(), "ko", markersize=12)
        left.set_title("two numbers", fontsize=11)
        weights, side = next(iter(params.values())), self.tests[0].images.shape[-1]
        rows = max(number for number in (1, 2, 3, 4) if len(weights) % number == 0)
        tiles = nn.functional.pad(weights.view(rows, -1, side, side), (1, 1, 1, 1), value=float("nan"))
        wall, limit = tiles.transpose(1, 2).flatten(2).flatten(0, 1), self.limit()
        middle.imshow(wall.numpy(), cmap="RdBu", vmin=-limit, vmax=limit)
        middle.set_title(f"the hypernetwork writes\n{self.net[2].out_features:,} weights", fontsize=11)
        with torch.no_grad():
            answers = [functional_call(self.target, params, (test.images,)).argmax(1) for test in self.tests]
        scores = [
            100 * (answer == test.labels).float().mean().item()
            for answer, test in zip(answers, self.tests, strict=True)
        ]
        right.barh(self.names, scores, color=plots.PALETTE[: len(scores)])
        right.axvline(50, color="black", linestyle="--", linewidth=1)
        right.invert_yaxis()
        right.set_title("and what they read rightly, %", fontsize=11, loc="left")
        for axes in (left, middle, rest):
            axes.grid(False)
            axes.set_axis_off()
        return figure
