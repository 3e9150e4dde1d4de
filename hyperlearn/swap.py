"""A module under parameters that are not its own, and what such a module has to keep to.

`torch.func.functional_call` puts the parameters in for the time of ``forward``. Three things need more than that: a
module that computes its activations anew in the backward pass (`torch.utils.checkpoint`) needs them there too; a buffer
that is assigned, ``self.mean = ...``, has to be taken back out; and a layer that is part of two others gets back what
it had (with PyTorch 2.14 ``functional_call`` leaves the other parameters in it).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError
from .params import ParamLayout, Params, Selection

_Place = tuple[dict[str, Any], str]
"""A module's own dictionary of parameters or buffers, and a name in it."""


def _places(module: nn.Module) -> dict[str, list[_Place]]:
    """Where each parameter and buffer stands, by the name that ``named_parameters`` and ``named_buffers`` give it."""
    found: dict[int, tuple[str, list[_Place]]] = {}
    for prefix, part in module.named_modules():
        for kind in (part._parameters, part._buffers):
            for leaf, tensor in kind.items():
                if tensor is not None:  # one tensor that stands in several places is swapped in all of them
                    found.setdefault(id(tensor), (f"{prefix}.{leaf}".lstrip("."), []))[1].append((kind, leaf))
    return dict(found.values())


@contextmanager
def swapped(module: nn.Module, state: Mapping[str, Tensor]) -> Iterator[dict[str, list[_Place]]]:
    """Within, ``module`` computes with ``state``, parameters and buffers by name; afterwards with its own again.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> with swapped(layer, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}):
        ...     layer(torch.tensor([[2.0, 3.0]])).item()
        5.0
    """
    places = _places(module)
    before = [(kind, leaf, kind[leaf]) for name in state for kind, leaf in places[name]]
    try:
        for name, tensor in state.items():
            for kind, leaf in places[name]:
                kind[leaf] = tensor
        yield places
    finally:
        for kind, leaf, own in before:
            kind[leaf] = own


def call_with(module: nn.Module, state: Mapping[str, Tensor], *inputs: Any) -> Any:
    """What ``module`` makes of ``inputs`` under ``state``, as `torch.func.functional_call`."""
    with swapped(module, state):
        return module(*inputs)


def keep_assigned(places: Mapping[str, list[_Place]], buffers: Mapping[str, Tensor]) -> None:
    """Write into ``buffers`` what a module has assigned in their place within `swapped`.

    Raises `InputError` where it has another shape, so that it cannot be kept for the task.
    """
    for name, kept in buffers.items():
        kind, leaf = places[name][0]
        now = kind[leaf]
        if now is kept:
            continue
        if not isinstance(now, Tensor) or now.shape != kept.shape:
            shape = tuple(now.shape) if isinstance(now, Tensor) else type(now).__name__
            raise InputError(f"the target assigns {shape} to its buffer {name}, which has shape {tuple(kept.shape)}")
        kept.copy_(now.detach())


def check_target(target: nn.Module, images: Tensor, names: Selection = "trainable") -> None:
    """Raise `InputError` unless all that ``target`` computes with are its parameters, its buffers and its input.

    Only those can be a task's own, be kept in a checkpoint, and be swapped. The target is tried on a few
    ``images [B, *image]``, floats or whole numbers, on its own device; its parameters, buffers and modes are as before
    afterwards, and so are random numbers.

    Looked at are: parameters that can be trained, or those that ``names`` selects; parameters and buffers of the
    images' type, where these are floats; outputs ``[B, K]``; selected parameters that ``forward`` reads from elsewhere
    than their module, such as a list; values that a call leaves behind for the next one.
    """
    chosen = ParamLayout.of(target, names).names
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []), _modes_kept(target):
        target.train()
        for name, tensor in [*target.named_parameters(), *target.named_buffers()]:
            if tensor.is_floating_point() and images.is_floating_point() and tensor.dtype != images.dtype:
                raise InputError(
                    f"the target's {name} is {tensor.dtype} and the images are {images.dtype}; "
                    f"target.to({images.dtype}) helps"
                )
        params = dict(target.named_parameters())
        own = {name: params[name] for name in chosen}
        with _needing_gradients(list(own.values())):
            outputs = _call(target, images)
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or len(outputs) != len(images):
            what = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
            raise InputError(f"a target maps images to logits, a tensor [B, K]; this one's output is {what}")
        if outputs.requires_grad:
            with _needing_gradients(list(own.values())):
                reached = torch.autograd.grad(outputs.sum(), list(own.values()), allow_unused=True)
            past = [name for name, gradient in zip(own, reached, strict=True) if gradient is not None]
            if past:
                raise InputError(
                    f"the target reads {', '.join(past)} from elsewhere than its modules' attributes (a list, a "
                    "closure?), where no hypernetwork can write; use nn.ParameterList or self.NAME"
                )
        _check_stateless(target, images)


@contextmanager
def _modes_kept(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def _needing_gradients(params: list[nn.Parameter]) -> Iterator[None]:
    needed = [p.requires_grad for p in params]
    try:
        for p in params:
            p.requires_grad_()
        yield
    finally:
        for p, before in zip(params, needed, strict=True):
            p.requires_grad_(before)


def deepcopy_or_itself(module: nn.Module) -> nn.Module:
    """A copy; the module itself where it holds what cannot be copied, such as a weight that a hook has computed."""
    try:
        return deepcopy(module)
    except Exception:  # whatever its parts raise
        return module


def _call(target: nn.Module, images: Tensor) -> Any:
    """The outputs with copies of all parameters and buffers swapped in, and the same random numbers in each call."""
    state = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in target.named_parameters()}
    state |= {name: buffer.clone() for name, buffer in target.named_buffers()}
    torch.manual_seed(0)
    return call_with(target, state, images)


@torch.no_grad()
def _check_stateless(target: nn.Module, images: Tensor) -> None:
    """Raise `InputError` where calls with other images change what later calls compute."""

    def outputs(training: bool) -> Tensor:
        target.train(training)
        made: Tensor = _call(target, images)
        return made

    # Evaluation first: what training leaves behind shows there, and training may overwrite it.
    before, plain = {mode: outputs(mode) for mode in (False, True)}, _plain_tensors(target)
    target.train()
    _call(target, 1 - images if images.is_floating_point() else images.flip(0))  # 1 minus a token may be none
    changed = [name for name, value in _plain_tensors(target).items() if not _same(plain.get(name), value)]
    for mode, once in before.items():
        if not torch.allclose(outputs(mode), once, rtol=1e-3, atol=1e-5, equal_nan=True):
            named = f", {', '.join(changed)}," if changed else ""
            raise InputError(
                f"the target keeps something{named} from call to call that is neither a parameter nor a buffer; make "
                "it a buffer, which every task then has for itself"
            )


def _plain_tensors(module: nn.Module) -> Params:
    """Copies of tensors among a module's attributes, its classes' and in lists and dictionaries there."""
    found: Params = {}
    for prefix, part in module.named_modules():
        held = {k: v for kind in reversed(type(part).__mro__) for k, v in vars(kind).items()} | vars(part)
        for name, value in held.items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            for leaf, tensor in [("", value), *((f"[{key!r}]", each) for key, each in inside)]:
                if isinstance(tensor, Tensor):
                    found[f"{prefix}.{name}{leaf}".lstrip(".")] = tensor.detach().clone()
    return found


def _same(a: Tensor | None, b: Tensor) -> bool:
    return a is not None and a.shape == b.shape and torch.equal(a, b)


def as_written(module: nn.Module) -> nn.Module:
    """A copy that is not compiled, in evaluation mode."""
    copied = deepcopy(module).eval()
    for part in copied.modules():
        part._compiled_call_impl = None
    return copied


@torch.no_grad()
def load_into(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy parameters and buffers by name into ``module``, which then computes with them."""
    for name, place in _places(module).items():
        if name in state:
            for kind, leaf in place:
                kind[leaf].copy_(state[name])
