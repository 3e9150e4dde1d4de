"""Penalties that keep a hypernetwork writing the same parameters for the tasks that it has learnt."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from .errors import InputError
from .hypernets.base import EmbeddingHypernet, SharedHead


class OutputRegularizer:
    r"""Distance of the generated parameters of old tasks from what they were before the present task.

    .. math::
        \frac{\beta}{T-1} \sum_{t<T} \lVert f_h(e_t, c, \Theta_h^*) - f_h(e_t, c, \Theta_h) \rVert^2

    a sum over parameters, not a mean (Chandra et al. 2022, equation 2; von Oswald et al. 2020, equation 2).
    :math:`\Theta_h^*` is the hypernetwork as it was at the last `remember`. Old task embeddings are constants: no
    gradient reaches them. With `lookahead` the present weights are :math:`\Theta_h + \Delta\Theta_h`.

    Two forms give the same value and gradient:

    - ``"direct"`` generates all parameters of all old tasks and stores as many targets.
    - ``"gram"`` needs a `SharedHead`. With chunk = A W, where A = [features, 1] and W stacks the head's weight and
      bias, and d for the difference to what is remembered,

      .. math::
          \lVert A W - A^* W^* \rVert^2 = \lVert A\,dW + dA\,W^* \rVert^2
          = \sum A (dW\,dW^\top) A^\top + 2 A (dW\,W^{*\top}) dA^\top + dA (W^* W^{*\top}) dA^\top

      takes three Gram matrices of the size of A's rows. No old parameters are generated, and a task adds only its
      features to memory. Nothing cancels, because every factor is a difference already.

    Args:
        hypernet: the hypernetwork.
        beta: the constant :math:`\beta` >= 0.
        form: ``"auto"`` takes ``"gram"`` wherever it can.

    Raises:
        InputError: beta is negative or no number, or the form does not fit the hypernetwork.

    Example:
        >>> from hyperlearn.hypernets import ChunkedHypernet
        >>> hypernet = ChunkedHypernet(torch.nn.Linear(4, 2), tasks=2, chunk_size=4, task_dim=3, chunk_dim=3)
        >>> penalty = OutputRegularizer(hypernet, beta=0.01)
        >>> penalty().item()  # nothing to remember yet
        0.0
        >>> penalty.remember(0)
        >>> with torch.no_grad():
        ...     hypernet.head.bias += 1  # each of the 10 generated values moves by 1
        >>> round(penalty().item(), 6)
        0.1
    """

    def __init__(
        self, hypernet: EmbeddingHypernet, beta: float, form: Literal["auto", "gram", "direct"] = "auto"
    ) -> None:
        if not 0 <= beta < float("inf"):
            raise InputError(f"beta must be a number >= 0, got {beta}")
        shared = isinstance(hypernet, SharedHead)
        if form == "gram" and not shared:
            raise InputError(f"the Gram form needs a hypernetwork with one linear head, not {type(hypernet).__name__}")
        self.hypernet = hypernet
        self.beta = beta
        self.memory: _Gram | _Direct
        if isinstance(hypernet, SharedHead) and form != "direct":
            self.memory = _Gram(hypernet)
        else:
            self.memory = _Direct(hypernet)
        self.tasks: list[int] = []

    def remember(self, task: int) -> None:
        """Hold on to what the hypernetwork writes now, for ``task`` and for all tasks remembered before."""
        if task in self.tasks:
            raise InputError(f"task {task} is remembered already")
        self.hypernet.index(task)  # refuses a task there is not
        self.tasks.append(task)
        self.memory.store(self.tasks)

    def __call__(self) -> Tensor:
        """The penalty at the hypernetwork's present weights, a scalar; 0 while nothing is remembered."""
        if not self.tasks:
            return next(self.hypernet.parameters()).new_zeros(())
        return self.beta / len(self.tasks) * self.memory.distance()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: the remembered tasks and tensors."""
        return {"tasks": list(self.tasks), "memory": dict(self.memory.tensors)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.tasks = list(state["tasks"])
        self.memory.tensors = dict(state["memory"])
        if self.tasks:
            self.memory.numbers = self.hypernet.index(self.tasks)


class _Direct:
    """Targets are generated once and stored: [T, N]."""

    def __init__(self, hypernet: EmbeddingHypernet) -> None:
        self.hypernet = hypernet
        self.tensors: dict[str, Tensor] = {}
        self.numbers: Tensor

    @torch.no_grad()
    def store(self, tasks: list[int]) -> None:
        self.numbers = self.hypernet.index(tasks)
        self.tensors = {"targets": self.hypernet.flat(self.numbers)}

    def distance(self) -> Tensor:
        flat = self.hypernet.write(self.hypernet.task_embeddings.detach()[self.numbers])
        return (flat - self.tensors["targets"]).square().sum()


class _Gram:
    """Features [T, n_chunks, d1] and the head's weight are stored."""

    def __init__(self, hypernet: SharedHead) -> None:
        self.hypernet = hypernet
        self.tensors: dict[str, Tensor] = {}
        self.numbers: Tensor

    @torch.no_grad()
    def store(self, tasks: list[int]) -> None:
        self.numbers = torch.tensor(tasks, device=self.hypernet.task_embeddings.device)
        features = self.hypernet.features(self.hypernet.task_embeddings[self.numbers])
        self.tensors = {"features": features, "head": self._head().clone()}

    def _head(self) -> Tensor:
        """Weight and bias as one matrix, [d2, d1] or [d2, d1 + 1]."""
        head = self.hypernet.head
        return head.weight if head.bias is None else torch.cat([head.weight, head.bias[:, None]], dim=1)

    def distance(self) -> Tensor:
        return self.distance_of(self.hypernet.features(self.hypernet.task_embeddings.detach()[self.numbers]))

    def distance_of(self, features: Tensor) -> Tensor:
        """The distance, from features [T, n_chunks, d1] that were computed already."""
        old = self.tensors["head"]
        new = self._head()
        moved = new - old  # dW
        change = features - self.tensors["features"]  # dA, without the constant 1, whose change is 0
        width = change.shape[-1]
        with_one = features if old.shape[1] == width else torch.nn.functional.pad(features, (0, 1), value=1.0)

        # The last chunk uses only the first rows of the head: `rest` of them.
        chunk_size, chunks = len(old), features.shape[1]
        rest = self.hypernet.layout.numel - (chunks - 1) * chunk_size
        total = features.new_zeros(())
        for rows, part in ((slice(0, rest), slice(0, chunks)), (slice(rest, None), slice(0, chunks - 1))):
            if rest == chunk_size and rows.start:
                break
            d, w, a, da = moved[rows], old[rows, :width], with_one[:, part], change[:, part]
            total = total + (a @ (d.t() @ d) * a).sum() + ((2 * a @ (d.t() @ w) + da @ (w.t() @ w)) * da).sum()
        return total


@contextmanager
def lookahead(optimizer: Optimizer) -> Iterator[None]:
    r"""Move the weights to where the optimiser's next step would take them, and back at the end.

    Inside, :math:`\Theta_h + \Delta\Theta_h` of equation 2 stands in the place of :math:`\Theta_h`, where
    :math:`\Delta\Theta_h` is the step of Adam on the gradients that the weights have now. It is a constant: no gradient
    flows through it (the reference implementation's default).

    Args:
        optimizer: `torch.optim.Adam` without weight decay and AMSGrad.

    Example, one training step with the regularizer evaluated ahead::

        task_loss.backward()
        with lookahead(optimizer):
            penalty().backward()
        optimizer.step()
    """
    if not isinstance(optimizer, Adam):
        raise InputError(f"lookahead simulates a step of torch.optim.Adam, not of {type(optimizer).__name__}")
    params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    kept = [p.detach().clone() for p in params]
    with torch.no_grad():
        torch._foreach_add_(params, _adam_steps(optimizer))
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(params, kept)


def _adam_steps(optimizer: Adam) -> list[Tensor]:
    """The change that ``optimizer.step()`` would make to each parameter that has a gradient."""
    steps = []
    for group in optimizer.param_groups:
        beta1, beta2 = group["betas"]
        for p in group["params"]:
            if p.grad is None:
                continue
            state = optimizer.state[p]
            if state:
                count = float(state["step"]) + 1
                mean = torch.lerp(state["exp_avg"], p.grad, 1 - beta1)
                square = (state["exp_avg_sq"] * beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            else:  # before the first step
                count, mean, square = 1.0, p.grad * (1 - beta1), p.grad.square() * (1 - beta2)
            scale = square.sqrt_().div_((1 - beta2**count) ** 0.5).add_(group["eps"])
            steps.append(mean.div_(scale).mul_(-group["lr"] / (1 - beta1**count)))
    return steps
