"""The dependency-preserving LSTM hypernetwork of Chandra et al. (2022)."""

from typing import Unpack

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import (
    ChunkRule,
    EmbeddingHypernet,
    Part,
    chunked,
    lstm_stepwise,
    pair_embeddings,
    small_head_,
    write_chunks,
    xavier_,
)


class LSTMHypernet(EmbeddingHypernet):
    r"""An LSTM that writes the target chunk by chunk, each chunk in view of those before it (LSTM_NET).

    .. math::
        h_j, s_j &= \mathrm{LSTM}(\langle e_t, c_j \rangle, h_{j-1}, s_{j-1}) \\
        \Theta^{(t,j)} &= h_j W

    with :math:`h_0 = s_0 = 0`, one layer and no biases (Chandra et al. 2022, arXiv 2209.07712, section 3.1).

    Args:
        target: any module; its parameters are generated, those that are not frozen.
        tasks: number of tasks, each with a learnt embedding :math:`e_t`.
        generate: patterns of the names of the parameters to generate, where these are not all; see `Hypernetwork`.
        base: ``"target"`` to add what is written to the target's present values; see `Hypernetwork`.
        chunk_size: values in a chunk; the last chunk is cut to fit. None for the paper's rule: the largest with which
            no more parameters are trained than are generated.
        task_dim: size of a task embedding.
        chunk_dim: size of a chunk embedding :math:`c_j`.
        hidden_size: size of the hidden state.

    Shapes:
        ``flat(tasks)`` is ``[T, N]``, ``forward(task)`` a dict of the target's parameters.

    Raises:
        InputError: a size is out of range, no chunk size keeps the rule, or a pattern matches no name.

    The gates' weights start Xavier-uniform (each gate by itself), the head from U(-b, b) with b = 0.08 / sqrt(H), 0.01
    for 64 units, and embeddings from N(0, 1). The paper does not say; this was chosen on validation images. On a base
    the head starts at 0.

    Example:
        >>> target = torch.nn.Linear(4, 2)
        >>> hypernet = LSTMHypernet(target, tasks=3, chunk_size=4, task_dim=5, chunk_dim=6, hidden_size=7)
        >>> hypernet.flat([0, 2]).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        target: nn.Module,
        tasks: int,
        *,
        chunk_size: int | None = None,
        task_dim: int = 96,
        chunk_dim: int = 96,
        hidden_size: int = 64,
        **part: Unpack[Part],
    ) -> None:
        super().__init__(target, tasks, task_dim, **part)
        if min(task_dim, chunk_dim, hidden_size) < 1:
            raise InputError("embeddings and the hidden state need at least one unit each")
        gates = 4 * hidden_size * (task_dim + chunk_dim + hidden_size)
        rule = ChunkRule(tasks * task_dim + gates, per_chunk=chunk_dim, per_value=hidden_size)
        chunks, chunk_size = chunked(self.layout, chunk_size, rule)
        self.chunk_embeddings = nn.Parameter(torch.randn(chunks, chunk_dim))
        # torch.nn.LSTM and not a loop in Python: oneDNN and cuDNN run the whole recurrence in one call.
        self.lstm = nn.LSTM(task_dim + chunk_dim, hidden_size, bias=False)
        for weight in self.lstm.parameters():
            xavier_(weight, blocks=4)
        self.head = nn.Linear(hidden_size, chunk_size, bias=False)
        self.start_head_(self.head.weight, small_head_)

    def features(self, embeddings: Tensor) -> Tensor:
        """All hidden states for the task embeddings ``[T, task_dim]``: ``[T, n_chunks, hidden_size]``."""
        pairs = pair_embeddings(embeddings, self.chunk_embeddings).transpose(0, 1).contiguous()
        if self.stepwise:
            hidden = lstm_stepwise(pairs, *self.lstm.parameters())
        else:
            hidden, _ = self.lstm(pairs)
        return hidden.transpose(0, 1)

    def write(self, embeddings: Tensor) -> Tensor:
        return write_chunks(self.head, self.features(embeddings), self.layout.numel)
