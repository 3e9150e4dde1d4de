"""How much each parameter of a network matters to its predictions: the diagonal of the Fisher information."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .data import as_float
from .errors import InputError
from .params import ParamLayout, Params

SampleLoss = Callable[[Tensor, Tensor], Tensor]
"""Negative log-likelihood of one sample, given as a batch of one: logits ``[1, K]`` and label ``[1]`` to a scalar."""


@torch.no_grad()
def fisher_information(
    target: nn.Module,
    params: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    buffers: Mapping[str, Tensor] | None = None,
    loss: SampleLoss = cross_entropy,
    batch_size: int | None = None,
) -> Params:
    r"""Diagonal empirical Fisher information of the target's parameters.

    .. math::
        F_i = \frac{1}{n} \sum_{j=1}^{n}
            \left( \frac{\partial \log p(y_j \mid x_j, \theta)}{\partial \theta_i} \right)^2

    with the labels :math:`y_j` that are given: the observed ones for the empirical Fisher (Chandra et al. 2022,
    equation 4). Each sample's gradient is squared before the mean is taken. The square of a batch's mean gradient is
    another quantity, which vanishes at a minimum of the loss. The target is in evaluation mode meanwhile.

    Args:
        target: the network; its parameters are not used, and nothing about it is changed.
        params: the parameters :math:`\theta`, as ``functional_call`` takes them.
        images: ``[n, *image]``, floating point, or ``uint8`` (0 to 255), which becomes floats in [0, 1].
        labels: ``[n]``, ``int64``.
        buffers: the target's buffers (running statistics of batch norm); default: those it has.
        loss: the negative log-likelihood of one sample. For a network with several heads it picks the head, as in
            ``lambda logits, label: cross_entropy(logits[:, 2:4], label)``.
        batch_size: samples whose gradients are in memory at once, each as large as the network, and again for the
            squares. Default: 16 on a CPU, where larger is slower because it leaves the cache, else 128.

    Returns:
        A dictionary like ``params``, of values >= 0.

    Raises:
        InputError: parameters that do not fit the target, no images, labels that do not fit the logits, or a result
            that is NaN or infinite.

    Example, a coin that shows heads in one of four flips, and the log-odds of heads; F = p (1 - p):
        >>> coin = torch.nn.Linear(1, 1, bias=False)
        >>> def nll(logit, heads):
        ...     return torch.nn.functional.softplus(logit).sum() - (heads * logit).sum()
        >>> log_odds = {"weight": torch.tensor([[1 / 3]]).log()}
        >>> fisher = fisher_information(coin, log_odds, torch.ones(4, 1), torch.tensor([1, 0, 0, 0]), loss=nll)
        >>> round(fisher["weight"].item(), 6)
        0.1875
    """
    layout = ParamLayout.of(target)
    layout.check(params)
    if any(tuple(params[name].shape) != shape for name, shape in zip(layout.names, layout.shapes, strict=True)):
        raise InputError("parameters of one network are needed, and these are of several")
    if len(images) == 0 or labels.shape != (len(images),):
        raise InputError(
            f"as many labels as images are needed, and at least one: images {tuple(images.shape)}, "
            f"labels {tuple(labels.shape)}"
        )
    if batch_size is None:
        batch_size = 16 if images.device.type == "cpu" else 128
    if batch_size < 1:
        raise InputError(f"batch_size must be >= 1, got {batch_size}")
    theta = {name: params[name].detach() for name in layout.names}
    state = {name: buffer.detach() for name, buffer in (buffers or {}).items()}

    def sample_loss(theta: Params, image: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(target, theta | state, (image[None],))
        return loss(logits, label[None])

    gradients = torch.func.vmap(torch.func.grad(sample_loss), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(p) for name, p in theta.items()}
    with _evaluation(target):
        if loss is cross_entropy:
            logits = torch.func.functional_call(target, theta | state, (as_float(images[:1]),))
            _check_labels(labels, logits.shape[-1])
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            for name, gradient in gradients(theta, as_float(images[part]), labels[part]).items():  # [B, *shape]
                total[name] += gradient.square().sum(0)
    fisher = {name: value.div_(len(images)) for name, value in total.items()}
    for name, value in fisher.items():
        if not bool(value.isfinite().all()):
            raise InputError(f"the Fisher information of {name} is NaN or infinite; see to the images and parameters")
    return fisher


def _check_labels(labels: Tensor, classes: int) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"labels from {low} to {high}, but the target has logits 0 to {classes - 1}")


@contextmanager
def _evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within a ``with`` block; the modes that were there before come back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
