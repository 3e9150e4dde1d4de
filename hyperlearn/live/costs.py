"""What holding old tasks costs in memory and in each step, computed in the page from formulas."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from .. import plots
from ..errors import InputError
from ..hypernets import ChunkedHypernet, LSTMHypernet
from ..params import ParamLayout, count
from .page import LiveFigure

MOST = 200  # old tasks
SMALLEST = 500  # the smallest chunk


@dataclass(frozen=True, repr=False)
class CostOverTasks(LiveFigure):
    r"""Numbers kept and multiplications of a step against the number of old tasks; the reader changes all sizes.

    With N parameters in :math:`n_c` chunks of :math:`d_2` from :math:`d_1` features, :math:`d = d_1 + 1` where the last
    layer has biases and :math:`d_1` where it has none, and T - 1 old tasks, the page computes

    ===================  ============================================  ===============================================
    ..                   kept                                          multiplications in the forward pass
    ===================  ============================================  ===============================================
    direct               :math:`(T-1) N`                               :math:`(T-1)(\phi + n_c d_1 d_2)`
    Gram                 :math:`d d_2 + 2 d_1^2 + (T-1) n_c d_1`       :math:`d (d + d_1) d_2 + (T-1)(\phi + \rho)`
    importance-weighted  :math:`d d_2 + (T-1)(n_c d_1 + N)`            :math:`\phi + 2 n_c d_1 d_2`
    stored images        (T - 1) times images times pixels             one more batch
    ===================  ============================================  ===============================================

    where :math:`\phi` are those for the features of a task, and :math:`\rho = k\, n_c (d + d_1)(2 d + d_1)` with k = 2
    where the last chunk is cut and 1 where it is not. The importance-weighted one draws one old task in a step.

    Args:
        target: an MLP; batches go through it.
        hypernets: those of ``target`` by their names, chunked or with an LSTM; the reader changes their chunk size.
        pixels: of a stored image.
        batch_size: images in a batch, of the present task and of stored ones.
        caption: the text below the figure, as HTML.
        old_tasks: at the start.
        images: stored for each task, at the start.

    Raises:
        InputError: a hypernetwork or the target is of another kind, or there is no hypernetwork.
    """

    target: nn.Module
    hypernets: Mapping[str, ChunkedHypernet | LSTMHypernet]
    pixels: int
    batch_size: int
    caption: str
    old_tasks: int = 20
    images: int = 10

    scripts = ("chart", "costs")
    lead = "Drag a dot to more old tasks, and change the chunks and the number of stored images."
    alt = (
        "Two pictures against the number of old tasks. What the direct form keeps and computes grows with it. The "
        "Gram form keeps and computes almost the same for few and for many. IWR keeps as much as the direct form "
        "and computes the same in each step, and so does the replay of images, which keeps the least for few tasks."
    )

    def __post_init__(self) -> None:
        if not self.hypernets:
            raise InputError("there must be a hypernetwork")
        for name, hypernet in self.hypernets.items():
            if type(hypernet) not in (ChunkedHypernet, LSTMHypernet):
                raise InputError(f"{name} is a {type(hypernet).__name__}; the page counts chunked ones and LSTMs")
        linear = [module for module in self.target.modules() if isinstance(module, nn.Linear)]
        if sum(count(module) for module in linear) != count(self.target):
            raise InputError("the target must consist of linear layers")

    def __repr__(self) -> str:
        return f"CostOverTasks({', '.join(self.hypernets)})"

    def sizes(self) -> dict[str, Any]:
        """What the page counts with, of the target and its batches."""
        weights = [parameter for parameter in self.target.parameters() if parameter.dim() == 2]
        return {
            "size": ParamLayout.of(self.target).numel,
            "perImage": sum(weight.numel() for weight in weights),
            "pixels": self.pixels,
            "batch": self.batch_size,
        }

    def settings(self) -> dict[str, Any]:
        return {
            "hypernets": [{"name": name, **parts(hypernet)} for name, hypernet in self.hypernets.items()],
            "target": self.sizes(),
            "most": MOST,
            "smallest": SMALLEST,
            "first": {"old": self.old_tasks, "images": self.images},
        }

    def still(self) -> Figure:
        """What is shown where no script runs: the first hypernetwork with its own chunk size."""
        figure, ((kept,), (work,)) = plots.new(2, 1, height=6.4)
        sizes, ours = self.sizes(), parts(next(iter(self.hypernets.values())))
        old = np.geomspace(1, MOST, 60)
        chunks = -(-sizes["size"] // ours["chunk"])
        columns, width = ours["width"] + ours["bias"], ours["width"]
        features, side = chunks * ours["feature"], columns + width
        rows = (2 if sizes["size"] % ours["chunk"] else 1) * chunks * side * (side + columns)
        last = chunks * ours["chunk"] * width
        head, one = columns * ours["chunk"], np.ones_like(old)
        lines = {
            "direct": (old * sizes["size"], old * (features + last)),
            "Gram": (head + 2 * width**2 + old * chunks * width, head * side + old * (features + rows)),
            "IWR": (head + old * (chunks * width + sizes["size"]), one * (features + 2 * last)),
            "stored images": (old * self.images * self.pixels, one * sizes["batch"] * sizes["perImage"]),
        }
        for (label, (numbers, products)), marker in zip(lines.items(), ("-.", "-", "--", ":"), strict=True):
            kept.loglog(old, numbers / sizes["size"], marker, label=label, linewidth=2)
            work.loglog(old, products / (sizes["batch"] * sizes["perImage"]), marker, label=label, linewidth=2)
        kept.set(ylabel="kept, in target networks")
        work.set(xlabel="old tasks", ylabel="multiplications a step, in batches")
        kept.legend()
        return figure


def parts(hypernet: ChunkedHypernet | LSTMHypernet) -> dict[str, int]:
    """The sizes of a hypernetwork that its costs depend on.

    Of these ``feature`` are the multiplications for the features of one chunk, and ``fixed`` the parameters that depend
    neither on the chunks nor on the tasks.
    """
    (chunk, width), bias = hypernet.head.weight.shape, int(hypernet.head.bias is not None)
    (tasks, task), (chunks, address) = hypernet.task_embeddings.shape, hypernet.chunk_embeddings.shape
    body = hypernet.lstm if isinstance(hypernet, LSTMHypernet) else hypernet.layers
    return {
        "chunk": chunk,
        "width": width,
        "bias": bias,
        "feature": sum(parameter.numel() for parameter in body.parameters() if parameter.dim() == 2),
        "fixed": count(hypernet) - tasks * task - chunks * address - (width + bias) * chunk,
        "task": task,
        "address": address,
    }
