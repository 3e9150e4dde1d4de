"""A pad to draw on, and the answers of all networks that a hypernetwork wrote."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import plots
from ..data import Batch
from ..errors import InputError
from ..hypernets import LSTMHypernet
from ..inference import entropy, task_logits
from .numbers import pack
from .page import picture, render


@dataclass(frozen=True, repr=False)
class DrawADigit:
    """A pad that the reader draws on; the networks of all tasks look at it, and the one in least doubt is believed.

    The page holds the hypernetwork itself and lets it write the networks. All its parameters are stored in 8 bits; use
    `round_` first, so that Python and the page have the same numbers.

    Args:
        hypernet: one embedding a task, two labels each.
        target: the MLP with ReLU on square images that it writes.
        examples: test images that the reader can choose; their labels and tasks say which digit each is.
        classes: the names of the two labels of each task.
        caption: the text below the figure, as HTML.
        box: a drawing is scaled to fit so many pixels; 20 for MNIST's 28.
        lowest: the power of ten of the entropy at the left end of the scale.
        start: the number of the example that is shown first.

    Raises:
        InputError: the hypernetwork is of another kind, or a number of tasks another one.
    """

    hypernet: LSTMHypernet
    target: nn.Module
    examples: Batch
    classes: Sequence[Sequence[str]]
    caption: str
    box: float
    lowest: float = -15.0
    start: int = 0

    def __post_init__(self) -> None:
        if type(self.hypernet) is not LSTMHypernet:
            raise InputError("the page can run an LSTMHypernet and no other hypernetwork")
        if len(self.classes) != self.hypernet.tasks or any(len(labels) != 2 for labels in self.classes):
            raise InputError("classes must have two labels for each task of the hypernetwork")
        if not 0 <= self.start < len(self.examples.labels):
            raise InputError(f"start must be from 0 to {len(self.examples.labels) - 1}, got {self.start}")

    def __repr__(self) -> str:
        return f"DrawADigit({len(self.classes)} tasks)"  # and not the tensors: a notebook stores it

    @property
    def names(self) -> list[str]:
        return [" or ".join(labels) for labels in self.classes]

    def numbers(self) -> str:
        exact = {
            "images": (255 * self.examples.images).round().to(torch.uint8),
            "labels": (2 * self.examples.tasks + self.examples.labels).to(torch.uint8),
        }
        return pack(exact, dict(self.hypernet.named_parameters()))

    def logits(self, images: Tensor) -> Tensor:
        """Of all networks: ``[T, B, 2]``."""
        with torch.no_grad():
            return task_logits(self.target, self.hypernet.params(range(self.hypernet.tasks)), images)

    def _repr_html_(self) -> str:
        settings = {
            "names": self.names,
            "classes": self.classes,
            "colors": plots.PALETTE[: len(self.names)],
            "shapes": [list(parameter.shape) for parameter in self.target.parameters()],
            "side": self.examples.images.shape[-1],
            "box": self.box,
            "lowest": self.lowest,
            "first": self.start,
        }
        lead = (
            "Draw a digit: each network has to answer with one of the two that it knows, and the one in least doubt is "
            "believed."
        )
        alt = (
            "A handwritten digit, and for each network its answer beside a bar: the smaller the entropy, the longer. "
            "The network with the longest bar is believed."
        )
        return render(
            ["drawing"], settings, self.numbers(), lead=lead, caption=self.caption, still=picture(self.still()), alt=alt
        )

    def still(self) -> Figure:
        """What is shown where no script runs: the first example and the answers to it."""
        logits = self.logits(self.examples.images[self.start : self.start + 1])[:, 0]
        doubts = entropy(logits)
        powers = doubts.clamp(min=10.0**self.lowest).log10()
        figure, ((left, right),) = plots.new(1, 2, width=7, height=2.8)
        left.imshow(self.examples.images[self.start].numpy(), cmap="gray_r")
        left.grid(False)
        left.set_axis_off()
        labels = [
            f"{name}: {two[answer]}"
            for name, two, answer in zip(self.names, self.classes, logits.argmax(-1).tolist(), strict=True)
        ]
        labels[doubts.argmin()] += ", believed"
        right.barh(labels, -powers.numpy(), color=plots.PALETTE[: len(labels)])
        right.invert_yaxis()
        right.set(xlabel="how sure: −log₁₀ of the entropy", title="network: its answer")
        return figure
