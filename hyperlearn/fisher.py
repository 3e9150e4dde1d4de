"""How much each parameter of a network matters to its predictions: the diagonal of the Fisher information."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from .data import as_float
from .datasets import Images
from .errors import InputError
from .inference import batchable, evaluating
from .nets import MLP
from .params import ParamLayout, Params, Selection, others
from .swap import call_with, swapped

SampleLoss = Callable[[Tensor, Tensor], Tensor]
"""Negative log-likelihood of one sample, given as a batch of one: logits ``[1, K]`` and label ``[1]`` to a scalar."""


@torch.no_grad()
def fisher_information(
    target: nn.Module,
    params: Mapping[str, Tensor],
    images: Images,
    labels: Tensor,
    *,
    loss: SampleLoss = cross_entropy,
    names: Selection = "trainable",
    form: Literal["auto", "per-sample", "outer"] = "auto",
) -> Params:
    r"""Diagonal empirical Fisher information of the target's parameters.

    .. math::
        F_i = \frac{1}{n} \sum_{j=1}^{n}
            \left( \frac{\partial \log p(y_j \mid x_j, \theta)}{\partial \theta_i} \right)^2

    with the labels :math:`y_j` that are given: the observed ones for the empirical Fisher (Chandra et al. 2022,
    equation 4). Each sample's gradient is squared before the mean is taken. The square of a batch's mean gradient is
    another quantity, which vanishes at a minimum of the loss. The target is in evaluation mode meanwhile.

    Each sample's gradient is computed by ``vmap`` of ``grad``, or one after the other where the target has something
    that these cannot follow, such as a recurrent layer or a hook. For an `MLP` as it was made none is: the gradient of
    a linear layer's weight is the outer product of what comes back to the layer and what went into it,
    :math:`g_j a_j^\top`, so that the mean of its square is one matrix product, :math:`\frac{1}{n} (G^2)^\top A^2`.

    Args:
        target: the network; its parameters are not used, and nothing about it is changed.
        params: the parameters :math:`\theta`, as ``functional_call`` takes them. Those that have no importance, such
            as frozen ones (``requires_grad=False``), may be left out, and so may buffers (running statistics of batch
            norm); the target's own values are taken then.
        images: ``[n, *image]``, floating point, or ``uint8`` (0 to 255), which becomes floats in [0, 1].
        labels: ``[n]``, ``int64``, or whatever ``loss`` takes of each sample, such as targets ``[n, outputs]``.
        loss: the negative log-likelihood of one sample. For a network with several heads it picks the head, as in
            ``lambda logits, label: cross_entropy(logits[:, 2:4], label)``.
        names: of which parameters: ``"trainable"`` for all that are not frozen, or shell patterns of names; those that
            a hypernetwork generates are ``hypernet.layout.names``.
        form: ``"per-sample"`` for any target, ``"outer"`` for an `MLP`; ``"auto"`` takes ``"outer"`` where it can. The
            value is the same.

    Returns:
        A dictionary like ``params`` of those parameters alone, of values >= 0.

    Raises:
        InputError: parameters that do not fit the target, no images, labels that do not fit the logits (looked at with
            the default ``loss`` alone), a form that does not fit the target, or a result that is NaN or infinite.

    Example, a coin that shows heads in one of four flips, and the log-odds of heads; F = p (1 - p):
        >>> coin = torch.nn.Linear(1, 1, bias=False)
        >>> def nll(logit, heads):
        ...     return torch.nn.functional.softplus(logit).sum() - (heads * logit).sum()
        >>> log_odds = {"weight": torch.tensor([[1 / 3]]).log()}
        >>> fisher = fisher_information(coin, log_odds, torch.ones(4, 1), torch.tensor([1, 0, 0, 0]), loss=nll)
        >>> round(fisher["weight"].item(), 6)
        0.1875
    """
    layout = ParamLayout.of(target, names)
    fixed = others(target, layout)
    buffers = {name for name, _ in target.named_buffers()} & params.keys()
    layout.check({name: p for name, p in params.items() if name not in fixed and name not in buffers})
    if any(tuple(params[name].shape) != shape for name, shape in zip(layout.names, layout.shapes, strict=True)):
        raise InputError("parameters of one network are needed, and these are of several")
    if len(images) == 0 or len(labels) != len(images) or (loss is cross_entropy and labels.dim() != 1):
        raise InputError(
            f"as many labels as images are needed, and at least one: images {tuple(images.shape)}, "
            f"labels {tuple(labels.shape)}"
        )
    if form not in ("auto", "per-sample", "outer"):
        raise InputError(f"no form {form!r}; there are auto, per-sample, outer")
    theta = {name: params[name].detach() for name in layout.names}
    state = {name: params[name].detach() for name in buffers}
    state |= {name: params.get(name, p).detach() for name, p in fixed.items()}
    total = {name: torch.zeros_like(p) for name, p in theta.items()}
    with evaluating(target):
        outer = form != "per-sample" and _is_plain(target, theta, state, as_float(images[:2]), labels[:2], loss)
        if form == "outer" and not outer:
            raise InputError(
                f"the outer form needs a hyperlearn.nets.MLP as it was made, and this is a {type(target).__name__}, or "
                "one with hooks, pruning or parametrizations"
            )
        batch_size = _at_once(outer, images.device)
        squares = _outer if outer else _per_sample
        if loss is cross_entropy:
            logits = call_with(target, theta | state, as_float(images[:1]))
            _check_labels(labels, logits.shape[-1])
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            for name, square in squares(target, theta, state, as_float(images[part]), labels[part], loss).items():
                total[name] += square
    fisher = {name: value.div_(len(images)) for name, value in total.items()}
    for name, value in fisher.items():
        if not bool(value.isfinite().all()):
            raise InputError(f"the Fisher information of {name} is NaN or infinite; see to the images and parameters")
    return fisher


def _at_once(outer: bool, device: torch.device) -> int:
    """Samples whose gradients are in memory together, each as large as the network, and again for the squares.

    The outer form needs memory for activations only. On a CPU more samples are slower, because they leave the cache.
    """
    return 1000 if outer else 16 if device.type == "cpu" else 128


def _per_sample(
    target: nn.Module, theta: Params, state: Params, images: Tensor, labels: Tensor, loss: SampleLoss
) -> Params:
    """The squared gradient of each sample's loss, summed over the samples."""

    def sample_loss(theta: Params, image: Tensor, label: Tensor) -> Tensor:
        return loss(call_with(target, theta | state, image[None]), label[None])

    try:
        with batchable():
            gradients = torch.func.vmap(torch.func.grad(sample_loss), in_dims=(None, 0, 0))(theta, images, labels)
    except RuntimeError:  # as in `task_logits`: one sample at a time, for what cannot be batched
        each = [
            _gradient(target, theta, state, image[None], label[None], loss)
            for image, label in zip(images, labels, strict=True)
        ]
        gradients = {name: torch.stack([one[name] for one in each]) for name in theta}
    return {name: of_each.square().sum(0) for name, of_each in gradients.items()}


@torch.enable_grad()
def _gradient(
    target: nn.Module, theta: Params, state: Params, image: Tensor, label: Tensor, loss: SampleLoss
) -> Params:
    """The gradient of one sample's loss by a backward pass, throughout which the target has ``theta``."""
    leaves = {name: p.clone().requires_grad_() for name, p in theta.items()}
    with swapped(target, leaves | {name: kept.clone() for name, kept in state.items()}):
        loss(target(image), label).backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in leaves.items()}


def _is_plain(
    target: nn.Module, theta: Params, state: Params, images: Tensor, labels: Tensor, loss: SampleLoss
) -> bool:
    """Whether `_outer` computes what the module itself does.

    The type alone does not say so: hooks, pruning, parametrizations and layers that were replaced change what an `MLP`
    computes. So both forms are compared on a few images.
    """
    if type(target) is not MLP or any(type(layer) is not nn.Linear for layer in target.layers):
        return False
    if any(_hooked(part) for part in target.modules()):
        return False
    outer = _outer(target, theta, state, images, labels, loss)
    per_sample = _per_sample(target, theta, state, images, labels, loss)
    return all(bool((outer[name] - each).abs().max() <= 1e-3 * each.max()) for name, each in per_sample.items())


def _hooked(module: nn.Module) -> bool:
    """Whether anything is called beside the module's own forward: what it does may depend on the images."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(vars(module).get(name) for name in hooks) or "forward" in vars(module)


def _outer(target: nn.Module, theta: Params, state: Params, images: Tensor, labels: Tensor, loss: SampleLoss) -> Params:
    """The same of an `MLP`, from what goes into its layers and what comes back to them."""
    assert isinstance(target, MLP)
    inputs: list[Tensor] = []  # of each layer, [B, in]
    outputs: list[Tensor] = []  # of each layer, [B, out]
    with torch.enable_grad():
        x = images.flatten(1)
        every = theta | state
        for number in range(len(target.layers)):
            inputs.append(x)
            outputs.append(linear(x, every[f"layers.{number}.weight"], every[f"layers.{number}.bias"]))
            outputs[-1].requires_grad_()  # the first has nothing before it that needs a gradient
            x = outputs[-1].relu()
        losses = torch.vmap(lambda logits, label: loss(logits[None], label[None]))(outputs[-1], labels)
        returned = torch.autograd.grad(losses.sum(), outputs)  # [B, out] each, a row for each sample
    squares = {}
    for number, (a, g) in enumerate(zip(inputs, returned, strict=True)):
        if (name := f"layers.{number}.weight") in theta:
            squares[name] = g.square().T @ a.detach().square()
        if (name := f"layers.{number}.bias") in theta:
            squares[name] = g.square().sum(0)
    return squares


def _check_labels(labels: Tensor, classes: int) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"labels from {low} to {high}, but the target has logits 0 to {classes - 1}")
