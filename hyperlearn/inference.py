"""Which task is this image from? All tasks are tried at once, as a batch dimension."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .errors import InputError
from .params import Params
from .swap import call_with

InferenceRule = Callable[[Tensor, Tensor], Tensor]
"""Which task each image is from: of the logits ``[T, B, K]`` of all tasks' networks and the images ``[B, *image]`` that
they were computed of, the tasks ``[B]``. A rule that learns something of each task is an `nn.Module` with a method
``remember(task, examples)``, which is called when the task ends, and an attribute ``stored_per_task``, the number of
values that it keeps of each task."""


class Prediction(NamedTuple):
    """What a learner says about a batch of images."""

    labels: Tensor  # [B], label within the task; without classes [B, outputs], the outputs
    tasks: Tensor  # [B], the task that each image is taken to be from


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within a ``with`` block; afterwards each part of ``module`` is in the mode that it was in.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout().eval())
        >>> with evaluating(net):
        ...     net.training, net[0].training, net[1].training
        (False, False, False)
        >>> net.training, net[0].training, net[1].training
        (True, True, False)
    """
    was, modes = module.training, [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        module.train(was)  # a learner takes networks along that are none of its parts
        for part, mode in modes:
            part.training = mode


@contextmanager
def batchable() -> Iterator[None]:
    """Within, attention is computed by the operations that it is made of, which `torch.vmap` can batch.

    PyTorch's kernels that do all of it in one piece are called once for each network otherwise, with a warning.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def task_logits(
    target: nn.Module, state: Mapping[str, Tensor], images: Tensor, shared: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Logits of one target network under the parameters of several tasks.

    Args:
        target: the network, in evaluation mode.
        state: parameters (and buffers, if any), stacked: ``[T, *shape]`` each.
        images: ``[B, *image]``, the same for all tasks.
        shared: parameters that all tasks have in common, ``[*shape]`` each. What comes before any of a task's own is
            computed once.

    Returns:
        ``[T, B, classes]``.
    """

    def logits(one: Params) -> Tensor:
        out: Tensor = call_with(target, {**one, **(shared or {})}, images)
        return out

    try:
        with batchable():
            return torch.vmap(logits)(dict(state))
    except RuntimeError:  # not every module can be batched so: no recurrent layer, none that writes into its own tensor
        tasks = range(len(next(iter(state.values()))))
        return torch.stack([logits({name: each[task] for name, each in state.items()}) for task in tasks])


def entropy(logits: Tensor) -> Tensor:
    r"""Entropy of the predictive distribution, :math:`-\sum_k p_k \log p_k`, over the last dimension, in nats.

    Computed from ``log_softmax``. The form ``-(p * p.log()).sum()`` gives NaN where p is 0, and ``argmin`` then picks
    the NaN: a sure network would be taken for the wrong task. A logit of -inf, by which a class is masked, counts 0.

    Example:
        >>> entropy(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        tensor([0.6931, 0.3653])
    """
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(-1)


def infer_by_entropy(logits: Tensor, classes: Sequence[int] = ()) -> Prediction:
    """Take each image to be from the task whose network is surest about it (von Oswald et al. 2020, section 2.3).

    Where networks are so sure that their entropies are equal, 0 to the last digit, the one whose largest logit is
    farthest above its second largest is taken.

    Where tasks have different numbers of classes, each task's entropy is divided by the largest that it can have, log K
    of its K classes: a network that knows nothing is as unsure of two classes as of ten.

    Args:
        logits: ``[T, B, classes]``, of all tasks learnt so far; -inf for classes that a task does not have.
        classes: how many classes each of these tasks has; default: all have the same number.

    Raises:
        InputError: a logit that is NaN or +inf, an image of whose classes all are masked by -inf, or tasks of different
            numbers of classes of which one has a single class, of which it is always sure.

    Example, two tasks that leave no doubt and one that does:
        >>> infer_by_entropy(torch.tensor([[[0.0, 200.0]], [[900.0, 0.0]], [[5.0, 3.0]]]))
        Prediction(labels=tensor([0]), tasks=tensor([1]))
    """
    largest = logits.topk(min(2, logits.shape[-1]), -1).values  # [T, B, 2]
    _check_finite(largest[..., 0])
    entropies = entropy(logits)  # [T, B]
    if len({*classes}) > 1:
        if min(classes) == 1:
            raise InputError(
                f"task {list(classes).index(1)} has one class, of which it is always sure; no task can be inferred"
            )
        entropies = entropies / torch.tensor(classes, device=logits.device).log()[:, None]
    margins = largest[..., 0] - largest[..., -1]
    tasks = margins.masked_fill(entropies > entropies.amin(0), -torch.inf).argmax(0)  # [B]
    return Prediction(of_task(logits, tasks).argmax(-1), tasks)


def infer_by_density(logits: Tensor, images: Tensor) -> Tensor:
    r"""Take each image to be from the task whose network holds it for the likeliest: Bayes' rule.

    .. math::
        \begin{aligned}
        \hat t &= \arg\max_t \log p(x \mid t) \\
        p(x \mid t) &= \sum_y p(x, y \mid t)
        \end{aligned}

    where logits are log densities, as those of a `hyperlearn.nets.Density` are, and no task is likelier than another
    beforehand. Of a classifier's logits the sum is minus its free energy (Liu et al. 2020, arXiv 2010.03759), which is
    no density: it may be as high on what the network never saw.

    An `InferenceRule`, for ``infer=`` of `hyperlearn.fit`.

    Args:
        logits: ``[T, B, K]``, of all tasks learnt so far; -inf for classes that a task does not have.
        images: ``[B, *image]``, which are not looked at again.

    Returns:
        tasks ``[B]``.

    Raises:
        InputError: a logit that is NaN or +inf, or an image of whose classes all are masked by -inf.

    Example, the second task's network holds the image for likelier, though it is less sure of the class:
        >>> infer_by_density(torch.tensor([[[-90.0, -50.0]], [[-20.0, -21.0]]]), torch.zeros(1, 4))
        tensor([1])
    """
    _check_finite(logits.amax(-1))
    return logits.logsumexp(-1).argmax(0)


def _check_finite(largest: Tensor) -> None:
    """Raise `InputError` for largest logits ``[T, B]`` that are not finite; NaN counts as the largest."""
    finite = largest.isfinite()
    if not bool(finite.all()):  # a wait for the device, right before that of the evaluation
        task = int(finite.all(1).logical_not().nonzero()[0])
        raise InputError(
            f"task {task} gives logits that are NaN, +inf, or -inf for all classes, from which no task can be "
            "inferred; finite ones are needed, and -inf for a class that is masked"
        )


def of_task(logits: Tensor, tasks: Tensor) -> Tensor:
    """The logits ``[B, K]`` of each image's own task, of ``logits [T, B, K]`` and ``tasks [B]``."""
    return logits[tasks, torch.arange(len(tasks), device=tasks.device)]
