"""Parameters of a target network as data: a dictionary of tensors, and the same numbers as one vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from textwrap import shorten
from typing import Literal

import torch
from torch import Tensor, nn

from .errors import InputError

Params = dict[str, Tensor]
"""The parameters of a network by name, as ``torch.func.functional_call`` takes them."""

Selection = Literal["trainable"] | Sequence[str]
"""Some parameters of a network: those that need a gradient, or those whose names match patterns like ``"head.*"``."""


@dataclass(frozen=True)
class ParamLayout:
    """Names and shapes of a module's parameters, in the order of ``module.named_parameters()``.

    The order fixes how one vector of length ``N = layout.numel`` stands for all of them, which is what a hypernetwork
    generates. Parameters that are not selected have no place in it: they stay as they are. Unless it is said otherwise
    these are the frozen ones (``requires_grad=False``).

    Example:
        >>> layout = ParamLayout.of(torch.nn.Linear(3, 2))
        >>> layout.names, layout.numel
        (('weight', 'bias'), 8)
        >>> {name: tuple(p.shape) for name, p in layout.unflatten(torch.zeros(8)).items()}
        {'weight': (2, 3), 'bias': (2,)}
        >>> ParamLayout.of(torch.nn.Linear(3, 2), ["b*"]).names
        ('bias',)
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, module: nn.Module, selection: Selection = "trainable") -> "ParamLayout":
        """The layout of ``module``'s parameters, or of some.

        Args:
            module: any module with parameters.
            selection: ``"trainable"`` for those that need a gradient, or shell patterns of names. A frozen parameter is
                selected by a pattern that matches it.

        Raises `InputError` where the module has no parameters or only frozen ones, one that has no shape yet, or one
        that is spread over devices; and for a pattern that no name matches.
        """
        refuse_parallel(module)
        kind = type(module).__name__
        named = list(module.named_parameters())
        if not named:
            raise InputError(f"{kind} has no parameters")
        for name, p in named:
            if nn.parameter.is_lazy(p):
                raise InputError(f"{kind}: {name} has no shape yet; run the module on a batch first")
        if selection == "trainable":
            named = [(name, p) for name, p in named if p.requires_grad]
            if not named:
                raise InputError(f"all parameters of {kind} are frozen; call requires_grad_() on those to be trained")
        else:
            chosen = matching([name for name, _ in named], selection, f"parameter of {kind}")
            named = [(name, p) for name, p in named if name in chosen]
        return cls(tuple(name for name, _ in named), tuple(tuple(p.shape) for _, p in named))

    @property
    def sizes(self) -> list[int]:
        """The number of values in each parameter."""
        return [prod(shape) for shape in self.shapes]

    @property
    def numel(self) -> int:
        """N, the number of values in all parameters together."""
        return sum(self.sizes)

    def unflatten(self, flat: Tensor) -> Params:
        """Cut ``flat [..., N]`` into parameters ``[..., *shape]``; they are views, so nothing is copied.

        Raises `InputError` for another number of values.
        """
        if flat.shape[-1] != self.numel:
            raise InputError(f"expected {self.numel} values in the last dimension, got {flat.shape[-1]}")
        pieces = flat.split(self.sizes, dim=-1)
        return {
            name: piece.unflatten(-1, shape) if shape else piece.squeeze(-1)
            for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True)
        }

    def flatten(self, params: Mapping[str, Tensor], what: str = "parameters") -> Tensor:
        """The inverse of `unflatten`: parameters ``[..., *shape]`` to one tensor ``[..., N]``.

        Raises `InputError`, in which they are called ``what``, as `check` does, and where some are of more networks
        than others.
        """
        self.check(params, what)
        named = zip(self.names, self.shapes, strict=True)
        batches = {tuple(params[name].shape[: params[name].dim() - len(shape)]) for name, shape in named}
        if len(batches) > 1:
            raise InputError(f"{what}: of different numbers of networks, {sorted(batches)}")
        (batch,) = batches
        return torch.cat([params[name].reshape(*batch, -1) for name in self.names], dim=-1)

    def check(self, params: Mapping[str, Tensor], what: str = "parameters") -> None:
        """Raise `InputError` unless ``params`` has exactly this layout's names and (trailing) shapes."""
        missing, extra = set(self.names) - set(params), set(params) - set(self.names)
        if missing or extra:
            raise InputError(f"{what}: missing {sorted(missing)}, not expected {sorted(extra)}")
        for name, shape in zip(self.names, self.shapes, strict=True):
            got = tuple(params[name].shape)
            if got[len(got) - len(shape) :] != shape:
                raise InputError(f"{what}: {name} has shape {got}, expected {shape}")


def matching(names: Sequence[str], patterns: Sequence[str], what: str) -> set[str]:
    """The names that match one of the shell patterns.

    Raises `InputError` where there are no patterns, or one that no name matches; it calls what is named ``what``.
    """
    if isinstance(patterns, str) or not patterns:
        raise InputError(f'a list of patterns such as ["head.*"] is needed, not {patterns!r}')
    chosen: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found:
            there = shorten(", ".join(dict.fromkeys(names)), 200, placeholder=" ...")
            raise InputError(f"no {what} matches {pattern!r}" + (f"; there are {there}" if there else ""))
        chosen |= found
    return chosen


def others(module: nn.Module, layout: ParamLayout) -> Params:
    """The parameters of ``module`` that are not in ``layout``, by name: a pretrained backbone, fixed position codes.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> _ = layer.weight.requires_grad_(False)
        >>> layout = ParamLayout.of(layer)
        >>> layout.names, list(others(layer, layout))
        (('bias',), ['weight'])
    """
    taken = set(layout.names)
    return {name: p for name, p in module.named_parameters() if name not in taken}


def refuse_parallel(module: nn.Module) -> None:
    """Raise `InputError` for a module whose parameters are copied to several devices in each call."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    for name, part in module.named_modules():
        if isinstance(part, parallel):
            where = f" ({name})" if name else ""
            raise InputError(f"a target cannot be a {type(part).__name__}{where}; give the module that it wraps")


def count(module: nn.Module, trainable: bool = False) -> int:
    """Number of values in the parameters of ``module``; with ``trainable``, of those that need a gradient."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def compression_ratio(hypernet: nn.Module, target: nn.Module) -> float:
    """Trainable parameters of the hypernetwork over those that it generates (Chandra et al. 2022, Figure 2a).

    Below 1 what is trained is smaller than the one network that it writes. What does not need a gradient is left out: a
    part that you froze, and in a growing hypernetwork all that earlier tasks have. A record's ratio has the sum over
    all tasks, frozen or not. Parameters of the target that are not generated count on neither side: with a frozen
    backbone the ratio compares with training the rest directly.

    Example:
        >>> from hyperlearn.hypernets import ChunkedHypernet
        >>> target = nn.Linear(4, 2)
        >>> hypernet = ChunkedHypernet(target, tasks=2, chunk_size=5, task_dim=1, chunk_dim=1, hidden=())
        >>> compression_ratio(hypernet, target)
        1.9
        >>> bias = ChunkedHypernet(target, tasks=2, generate=["bias"], chunk_size=1, task_dim=1, chunk_dim=1)
        >>> compression_ratio(bias, target)
        3.5
    """
    layout = getattr(hypernet, "layout", None)
    generated = layout.numel if isinstance(layout, ParamLayout) else count(target, trainable=True)
    return count(hypernet, trainable=True) / generated
