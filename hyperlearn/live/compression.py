"""What hypernetworks of many sizes train, counted in the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from .. import plots
from ..errors import InputError
from ..params import ParamLayout
from .page import LiveFigure

SMALLEST = 50  # the smallest chunk
KINDS = (
    {"kind": "chunked", "name": "chunked MLP (HNET)", "width": 10},
    {"kind": "lstm", "name": "LSTM (LSTM_NET)", "width": 64},
)


@dataclass(frozen=True, repr=False)
class CompressionRatio(LiveFigure):
    r"""The compression ratio against the chunk size, for hypernetworks whose sizes the reader chooses.

    The page counts what `ChunkedHypernet` with two hidden layers and `LSTMHypernet` train. With embeddings of
    :math:`d_e` and :math:`d_c` values, layers or a state of :math:`d_1` and chunks of :math:`d_2` this is

    .. math::
        \begin{aligned}
        & T d_e + \lceil N / d_2 \rceil d_c \\
        & + (d_e + d_c + 1) d_1 + (d_1 + 1) d_1 \\
        & + (d_1 + 1) d_2
        \end{aligned}

    of a chunked one, and of an LSTM

    .. math::
        \begin{aligned}
        & T d_e + \lceil N / d_2 \rceil d_c \\
        & + 4 d_1 (d_e + d_c + d_1) + d_1 d_2 .
        \end{aligned}

    Args:
        targets: networks by the name that the reader chooses them by; the first is shown first.
        tasks: T, the number of tasks.
        caption: the text below the figure, as HTML.
        chunk_size: at the start, as the following.
        task_dim: size of a task embedding.
        chunk_dim: size of a chunk embedding.

    Raises:
        InputError: there is no target, or the chunk size is out of range.
    """

    targets: Mapping[str, nn.Module]
    tasks: int
    caption: str
    chunk_size: int
    task_dim: int = 96
    chunk_dim: int = 96

    scripts = ("chart", "compression")
    lead = "Drag the dot to another chunk size, and change the hypernetwork and its target beside it."
    alt = (
        "The compression ratio against the chunk size falls from the left, where the chunk embeddings are what is "
        "trained, and rises to the right, where the last layer is; it is smallest where the two are equal."
    )

    def __post_init__(self) -> None:
        if not self.targets:
            raise InputError("there must be a target")
        if not SMALLEST <= self.chunk_size <= self.size:
            raise InputError(f"chunk size must be from {SMALLEST} to {self.size}, got {self.chunk_size}")

    def __repr__(self) -> str:
        return f"CompressionRatio({', '.join(self.targets)})"

    @property
    def size(self) -> int:
        """Parameters of the first target."""
        return ParamLayout.of(next(iter(self.targets.values()))).numel

    def settings(self) -> dict[str, Any]:
        return {
            "targets": [
                {"name": name, "layers": [prod(shape) for shape in ParamLayout.of(target).shapes]}
                for name, target in self.targets.items()
            ],
            "kinds": KINDS,
            "tasks": self.tasks,
            "smallest": SMALLEST,
            "first": {
                "kind": KINDS[0]["kind"],
                "chunk": self.chunk_size,
                "width": KINDS[0]["width"],
                "task": self.task_dim,
                "address": self.chunk_dim,
            },
        }

    def still(self) -> Figure:
        """What is shown where no script runs: the first target and the chunked hypernetwork."""
        figure, ((axes,),) = plots.new()
        size, width = self.size, int(str(KINDS[0]["width"]))
        fixed = self.tasks * self.task_dim + (self.task_dim + self.chunk_dim + 1 + width + 1) * width
        chunks = np.geomspace(SMALLEST, size, 160)
        embeddings = np.array([ceil(size / chunk) * self.chunk_dim for chunk in chunks])
        last = (width + 1) * chunks
        axes.loglog(chunks, (fixed + embeddings + last) / size, color=plots.PALETTE[0], linewidth=2.5, label="ratio")
        axes.loglog(chunks, embeddings / size, "--", color=plots.PALETTE[1], label="chunk embeddings")
        axes.loglog(chunks, last / size, "--", color=plots.PALETTE[2], label="last layer")
        axes.axhline(1, color="black", linestyle=":")
        axes.axvline(self.chunk_size, color="black", linewidth=1)
        axes.set(xlabel="chunk size", ylabel="parts of the target's size", title=next(iter(self.targets)))
        axes.legend()
        return figure
