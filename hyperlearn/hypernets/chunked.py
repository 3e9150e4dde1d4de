"""The chunked hypernetwork of von Oswald et al. (2020)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Unpack

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import ChunkRule, EmbeddingHypernet, Part, chunked, pair_embeddings, write_chunks, xavier_
from .columns import NARROW, ColumnLinear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "elu": nn.functional.elu, "tanh": torch.tanh}


class ChunkedHypernet(EmbeddingHypernet):
    r"""A small multilayer perceptron that writes the target chunk by chunk, each chunk independently (HNET).

    .. math:: \Theta^t = [f_h(e_t, c_1), \dots, f_h(e_t, c_{n_c})]

    where :math:`f_h` is the same network for all chunks (von Oswald et al. 2020, arXiv 1906.00695, section 2.2).

    Args:
        target: any module; its parameters are generated, those that are not frozen.
        tasks: number of tasks, each with a learnt embedding :math:`e_t`.
        generate: patterns of the names of the parameters to generate, where these are not all; see `Hypernetwork`.
        base: ``"target"`` to add what is written to the target's present values; see `Hypernetwork`.
        chunk_size: values in a chunk; the last chunk is cut to fit. None for the paper's rule: the largest with which
            no more parameters are trained than are generated.
        task_dim: size of a task embedding.
        chunk_dim: size of a chunk embedding.
        hidden: sizes of the hidden layers; empty for a linear hypernetwork.
        activation: ``"relu"``, ``"elu"`` or ``"tanh"``.

    Shapes:
        ``flat(tasks)`` is ``[T, N]``, ``forward(task)`` a dict of the target's parameters.

    Raises:
        InputError: a size is out of range, no chunk size keeps the rule, the activation is not known, or a pattern
            matches no name.

    Weights start Xavier-uniform, biases at 0, embeddings from N(0, 1), as in the reference implementation. On a base
    the head's weight starts at 0.

    Example:
        >>> target = torch.nn.Linear(4, 2)
        >>> hypernet = ChunkedHypernet(target, tasks=3, chunk_size=4, task_dim=5, chunk_dim=6, hidden=[7])
        >>> params = hypernet(task=0)
        >>> torch.func.functional_call(target, params, (torch.zeros(1, 4),)).shape
        torch.Size([1, 2])
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
        hidden: Sequence[int] = (),
        activation: str = "relu",
        **part: Unpack[Part],
    ) -> None:
        super().__init__(target, tasks, task_dim, **part)
        if activation not in ACTIVATIONS:
            raise InputError(f"no activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
        sizes = [task_dim + chunk_dim, *hidden]
        if min(task_dim, chunk_dim, *sizes) < 1:
            raise InputError("embeddings and hidden layers need at least one unit each")
        layers = sum((a + 1) * b for a, b in pairwise(sizes))
        rule = ChunkRule(tasks * task_dim + layers, per_chunk=chunk_dim, per_value=sizes[-1] + 1)
        chunks, chunk_size = chunked(self.layout, chunk_size, rule)
        self.activation = activation
        self.chunk_embeddings = nn.Parameter(torch.randn(chunks, chunk_dim))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        head = nn.Linear(sizes[-1], chunk_size)
        for layer in [*self.layers, head]:
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.bias)
            if layer is not head:
                xavier_(layer.weight)
        self.start_head_(head.weight, xavier_)
        self.head = ColumnLinear(head) if sizes[-1] < NARROW else head

    def features(self, embeddings: Tensor) -> Tensor:
        """Last hidden layer for the task embeddings ``[T, task_dim]``: ``[T, n_chunks, d1]``."""
        x = pair_embeddings(embeddings, self.chunk_embeddings)
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](layer(x))
        return x

    def write(self, embeddings: Tensor) -> Tensor:
        return write_chunks(self.head, self.features(embeddings), self.layout.numel)
