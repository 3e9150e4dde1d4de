"""The growing LSTM hypernetwork of Chandra et al. (2022): some weights are shared, the rest is a task's own."""

from typing import Literal, Unpack

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import (
    ChunkRule,
    GrowingHypernetwork,
    Part,
    Tasks,
    chunked,
    join_chunks,
    lstm_stepwise,
    pair_embeddings,
    small_head_,
    xavier_,
)


class GrowingLSTMHypernet(GrowingHypernetwork):
    r"""An LSTM hypernetwork that grows by input weights with each task and never forgets (LSTM_NET_GROW).

    .. math::
        h^t_j, s^t_j &= \mathrm{LSTM}_{w^t, u}(\langle e_t, c_j \rangle, h^t_{j-1}, s^t_{j-1}) \\
        \Theta^{(t,j)} &= h^t_j W^t

    with :math:`h_0 = s_0 = 0`, one layer and no biases (Chandra et al. 2022, arXiv 2209.07712, section 3.3). The
    recurrent weights :math:`u`, which hold the dependence between chunks, and the chunk embeddings :math:`c_j` are
    learnt with the first task, then frozen and shared. Each task has its own embedding, input weights :math:`w^t` and
    output layer :math:`W^t`. What is written for earlier tasks stays the same to the bit, without any regularizer.

    There is one task from the start; `add_task` begins each further one and freezes all that was there before.

    Args:
        target: any module; its parameters are generated, those that are not frozen.
        generate: patterns of the names of the parameters to generate, where these are not all; see `Hypernetwork`.
        base: ``"target"`` to add what is written to the target's present values; see `Hypernetwork`.
        chunk_size: values in a chunk; the last chunk is cut to fit. None for the paper's rule: the largest with which
            no more parameters are trained with the first task than are generated.
        task_dim: size of a task embedding :math:`e_t`.
        chunk_dim: size of a chunk embedding :math:`c_j`.
        hidden_size: size of the hidden state.
        head: ``"per-task"`` for an output layer :math:`W^t` of each task's own, as the equations have it; ``"shared"``
            for one that is frozen after the first task, as the text has it, which names :math:`w^t` alone.
        warm_start: start a further task from the last one's weights. Otherwise it starts like the first one. The paper
            leaves it open ("keeps learning new task specific input weights").

    Shapes:
        ``flat(tasks)`` is ``[T, N]``, ``forward(task)`` a dict of the target's parameters.

    Raises:
        InputError: a size or an option is out of range, no chunk size keeps the rule, or a pattern matches no name.

    Weights and embeddings start as those of `LSTMHypernet`. On a base a task with an output layer of its own starts as
    the target, without `warm_start`.

    Deviation from the paper: none is known; the paper does not say that the chunk embeddings are frozen, but what is
    written for old tasks would drift otherwise.

    Example:
        >>> target = torch.nn.Linear(4, 2)
        >>> hypernet = GrowingLSTMHypernet(target, chunk_size=4, task_dim=5, chunk_dim=6, hidden_size=7)
        >>> before = hypernet.flat(0)
        >>> hypernet.add_task()
        1
        >>> hypernet.flat([0, 1]).shape
        torch.Size([2, 10])
        >>> torch.equal(hypernet.flat(0), before)
        True
    """

    own_weights = "input_weights"

    def __init__(
        self,
        target: nn.Module,
        *,
        chunk_size: int | None = None,
        task_dim: int = 96,
        chunk_dim: int = 96,
        hidden_size: int = 64,
        head: Literal["per-task", "shared"] = "per-task",
        warm_start: bool = False,
        **part: Unpack[Part],
    ) -> None:
        super().__init__(target, tasks=1, **part)
        if min(task_dim, chunk_dim, hidden_size) < 1:
            raise InputError("embeddings and the hidden state need at least one unit each")
        gates = 4 * hidden_size * (task_dim + chunk_dim + hidden_size)
        rule = ChunkRule(task_dim + gates, per_chunk=chunk_dim, per_value=hidden_size)
        chunks, chunk_size = chunked(self.layout, chunk_size, rule)
        if head not in ("per-task", "shared"):
            raise InputError(f"no head {head!r}; there are per-task and shared")
        self.warm_start = warm_start
        self.chunk_embeddings = nn.Parameter(torch.randn(chunks, chunk_dim))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))  # u, gates in PyTorch's order
        self.task_embeddings = nn.ParameterList([torch.randn(task_dim)])
        self.input_weights = nn.ParameterList([torch.empty(4 * hidden_size, task_dim + chunk_dim)])  # w^t
        self.heads = nn.ParameterList([torch.empty(chunk_size, hidden_size)])  # W^t, or the one W
        xavier_(self.recurrent_weight, blocks=4)
        xavier_(self.input_weights[0], blocks=4)
        self.start_head_(self.heads[0], small_head_)
        self._own = [self.task_embeddings, self.input_weights, *([self.heads] if head == "per-task" else [])]

    @property
    def stored_per_task(self) -> int:
        """Values that each further task adds."""
        return sum(own[0].numel() for own in self._own)

    def add_task(self) -> int:
        self.freeze()
        for own in self._own:
            own.append(nn.Parameter(own[-1].clone()))
        if not self.warm_start:
            nn.init.normal_(self.task_embeddings[-1])
            xavier_(self.input_weights[-1], blocks=4)
            if self.heads is self._own[-1]:
                self.start_head_(self.heads[-1], small_head_)
        self.tasks += 1
        return self.tasks - 1

    def flat(self, tasks: Tasks) -> Tensor:
        """The generated parameters of several tasks, each as one vector: ``[T, N]``.

        A tensor of tasks is read by the host, unlike in other hypernetworks. Raises `InputError` for an unknown task.
        """
        numbers = self.read(tasks)
        if not numbers:
            return self.chunk_embeddings.new_empty(0, self.layout.numel)
        return self.on_base(torch.cat([self._write(number) for number in numbers]))

    def _write(self, task: int) -> Tensor:
        """What is written for one task, ``[1, N]``."""
        pairs = pair_embeddings(self.task_embeddings[task][None], self.chunk_embeddings)  # [1, n_chunks, a + b]
        w, u = self.input_weights[task], self.recurrent_weight
        steps = pairs.transpose(0, 1).contiguous()
        hidden = lstm_stepwise(steps, w, u) if self.stepwise else self._lstm(steps, w, u)  # [n_chunks, 1, hidden_size]
        head = self.heads[min(task, len(self.heads) - 1)]
        return join_chunks(nn.functional.linear(hidden.transpose(0, 1), head), self.layout.numel)

    def _lstm(self, steps: Tensor, w: Tensor, u: Tensor) -> Tensor:
        # torch.lstm and not a loop in Python: oneDNN and cuDNN run the whole recurrence in one call. cuDNN wants its
        # weights in one piece of memory.
        piece = torch.cat([w.flatten(), u.flatten()])
        weights = [piece[: w.numel()].view_as(w), piece[w.numel() :].view_as(u)]
        start = steps.new_zeros(1, 1, u.shape[1])
        hidden, _, _ = torch.lstm(steps, (start, start), weights, False, 1, 0.0, self.training, False, False)
        return hidden
