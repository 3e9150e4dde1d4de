"""A pad to draw on, and the answers of all networks that a hypernetwork wrote."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import plots
from ..data import Batch
from ..errors import InputError
from ..hypernets import LSTMHypernet
from ..inference import entropy, evaluating, task_logits
from ..nets import ConditionalAutoencoder
from ..nets.autoencoder import half_masks
from ..params import count
from ..swap import swapped
from .numbers import pack
from .page import LiveFigure


@dataclass(frozen=True, repr=False)
class Sketch(LiveFigure):
    """A pad that the reader draws on, and the networks of all tasks that look at the drawing.

    The page holds the hypernetwork itself and lets it write the networks. All its parameters are stored in 8 bits; use
    `round_` first, so that Python and the page have the same numbers.

    Args:
        hypernet: one embedding a task, two labels each.
        target: the network that it writes.
        examples: test images that the reader can choose; their labels and tasks say which digit each is.
        classes: the names of the two labels of each task.
        caption: the text below the figure, as HTML.
        box: a drawing is scaled to fit so many pixels; 20 for MNIST's 28.
        lowest: the end of the scale that bad answers stand at or beyond, see the subclass.
        start: the number of the example that is shown first.

    Raises:
        InputError: the hypernetwork is of another kind, or a number of tasks another one.
    """

    hypernet: LSTMHypernet
    target: nn.Module
    _: KW_ONLY
    examples: Batch
    classes: Sequence[Sequence[str]]
    caption: str
    box: float
    lowest: float
    start: int = 0

    def __post_init__(self) -> None:
        if type(self.hypernet) is not LSTMHypernet:
            raise InputError("the page can run an LSTMHypernet and no other hypernetwork")
        if self.hypernet.base_values is not None or self.hypernet.layout.numel != count(self.target):
            raise InputError("the page needs a hypernetwork that writes all of its target, and on no base")
        if len(self.classes) != self.hypernet.tasks or any(len(labels) != 2 for labels in self.classes):
            raise InputError("classes must have two labels for each task of the hypernetwork")
        if not 0 <= self.start < len(self.examples.labels):
            raise InputError(f"start must be from 0 to {len(self.examples.labels) - 1}, got {self.start}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.classes)} tasks)"  # and not the tensors: a notebook stores it

    @property
    def names(self) -> list[str]:
        return [" or ".join(labels) for labels in self.classes]

    def exact(self) -> dict[str, Tensor]:
        """What is stored as it is."""
        return {
            "images": (255 * self.examples.images).round().to(torch.uint8),
            "labels": (2 * self.examples.tasks + self.examples.labels).to(torch.uint8),
        }

    def logits(self, images: Tensor) -> Tensor:
        """Of all networks: ``[T, B, 2]``."""
        with torch.no_grad(), evaluating(self.target):
            return task_logits(self.target, self.hypernet.params(range(self.hypernet.tasks)), images)

    def settings(self) -> dict[str, Any]:
        return {
            "names": self.names,
            "classes": self.classes,
            "colors": plots.PALETTE[: len(self.names)],
            "side": self.examples.images.shape[-1],
            "box": self.box,
            "lowest": self.lowest,
            "first": self.start,
        }

    def numbers(self) -> str:
        return pack(self.exact(), dict(self.hypernet.named_parameters()))


@dataclass(frozen=True, repr=False)
class DrawADigit(Sketch):
    """The networks are classifiers, MLPs with ReLU on square images, and the one in least doubt is believed.

    Args:
        lowest: the power of ten of the entropy at the left end of the scale.

    The others are those of `Sketch`.
    """

    _: KW_ONLY
    lowest: float = -15.0

    scripts = ("lstm", "sketch", "drawing")
    lead = (
        "Draw a digit: each network has to answer with one of the two that it knows, and the one in least doubt is "
        "believed."
    )
    alt = (
        "A handwritten digit, and for each network its answer beside a bar: the smaller the entropy, the longer. "
        "The network with the longest bar is believed."
    )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "shapes": [list(parameter.shape) for parameter in self.target.parameters()]}

    def still(self) -> Figure:
        logits = self.logits(self.examples.images[self.start : self.start + 1])[:, 0]
        doubts = entropy(logits)
        powers = doubts.clamp(min=10.0**self.lowest).log10()
        figure, ((left, right),) = plots.new(1, 2, height=2.6)
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
        right.set(xlabel="−log₁₀ of the entropy", title="network: its answer")
        return figure


@dataclass(frozen=True, repr=False)
class DrawItAgain(Sketch):
    """The networks are autoencoders that draw the image again as each of their classes, and the best one is believed.

    Which one is best a density says, as in `hyperlearn.inference.infer_by_density`. Where no density is as high as a
    threshold, the image is said to be of none of the tasks.

    Args:
        target: a `hyperlearn.nets.ConditionalAutoencoder`.
        threshold: the log density below which an image is of none of the tasks.
        lowest: the log density at the right end of the scale; its left end is 0, a perfect drawing.

    The others are those of `Sketch`. Raises `InputError` also for another kind of target.
    """

    _: KW_ONLY
    threshold: float

    scripts = ("lstm", "sketch", "redrawing")
    lead = (
        "Draw a digit, or anything else: each network draws it again as each of its two digits. The one that draws it "
        "best is believed, if it draws it well enough."
    )
    alt = (
        "A handwritten digit, and what each of the networks draws of it as each of its two digits. One network draws "
        "the same digit; the others draw something that is like one of theirs."
    )

    def __post_init__(self) -> None:
        if type(self.target) is not ConditionalAutoencoder:
            raise InputError("the page can run a ConditionalAutoencoder and no other network")
        super().__post_init__()

    @property
    def autoencoder(self) -> ConditionalAutoencoder:
        assert isinstance(self.target, ConditionalAutoencoder)
        return self.target

    def exact(self) -> dict[str, Tensor]:
        masks = half_masks(self.autoencoder.copies, len(self.autoencoder.bias))
        return {**super().exact(), "masks": masks.to(torch.uint8)}

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "layout": [[name, list(parameter.shape)] for name, parameter in self.target.named_parameters()],
            "pooled": self.autoencoder.pooled,
            "threshold": self.threshold,
        }

    def still(self) -> Figure:
        image = self.examples.images[self.start]
        densities = self.logits(image[None])[:, 0].logsumexp(-1)
        figure, axes = plots.new(2, 1 + len(self.names), height=2.4)
        for ax in axes.flat:
            ax.set_axis_off()
        axes[0, 0].imshow(image.numpy(), cmap="gray_r")
        axes[0, 0].set_title("image")
        for task, two in enumerate(self.classes):
            with torch.no_grad(), swapped(self.target, self.hypernet(task)):
                drawn = self.autoencoder.reconstruct(image[None])[0]
            for k, label in enumerate(two):
                ax = axes[k, 1 + task]
                ax.imshow(drawn[k].numpy(), cmap="gray_r", vmin=0, vmax=1)
                best = task == int(densities.argmax())
                ax.set_title(f"as {label}", weight="bold" if best else None)
        return figure
