"""The dependency-preserving LSTM hypernetwork of Chandra et al. (2022)."""

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import EmbeddingHypernet, chunk_count, lstm_stepwise, pair_embeddings, small_head_, write_chunks, xavier_


class LSTMHypernet(EmbeddingHypernet):
    r"""An LSTM that writes the target chunk by chunk, each chunk in view of those before it (LSTM_NET).

    .. math::
        h_j, s_j = \mathrm{LSTM}(\langle e_t, c_j \rangle, h_{j-1}, s_{j-1}), \qquad \Theta^{(t,j)} = h_j W

    with :math:`h_0 = s_0 = 0`, one layer and no biases (Chandra et al. 2022, arXiv 2209.07712, section 3.1).

    Args:
        target: any module; all its parameters are generated.
        tasks: number of tasks, each with a learnt embedding :math:`e_t`.
        chunk_size: values in a chunk; the last chunk is cut to fit.
        task_dim: size of a task embedding.
        chunk_dim: size of a chunk embedding :math:`c_j`.
        hidden_size: size of the hidden state.

    Shapes:
        ``flat(tasks)`` is ``[T, N]``, ``forward(task)`` a dict of the target's parameters.

    Raises:
        InputError: a size is out of range.

    The gates' weights start Xavier-uniform (each gate by itself), the head from U(-b, b) with b = 0.08 / sqrt(H), 0.01
    for 64 units, and embeddings from N(0, 1). The paper does not say; this was chosen on validation images.

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
        chunk_size: int,
        task_dim: int,
        chunk_dim: int,
        hidden_size: int,
    ) -> None:
        super().__init__(target, tasks, task_dim)
        chunks = chunk_count(self.layout, chunk_size)
        if min(task_dim, chunk_dim, hidden_size) < 1:
            raise InputError("embeddings and the hidden state need at least one unit each")
        self.chunk_embeddings = nn.Parameter(torch.randn(chunks, chunk_dim))
        # torch.nn.LSTM and not a loop in Python: oneDNN and cuDNN run the whole recurrence in one call.
        self.lstm = nn.LSTM(task_dim + chunk_dim, hidden_size, bias=False)
        for weight in self.lstm.parameters():
            xavier_(weight, blocks=4)
        self.head = nn.Linear(hidden_size, chunk_size, bias=False)
        small_head_(self.head.weight)

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
