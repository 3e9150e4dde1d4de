"""What a regularizer remembers of a hypernetwork: the parameters themselves, or the features and head that write them.

The second way has a distance from what is written now that needs no parameters at all, the Gram form.
"""

from abc import ABC, abstractmethod
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .hypernets.base import EmbeddingHypernet, SharedHead, join_chunks
from .swap import call_with

Tensors = dict[str, Tensor]


class _BothWays(torch.nn.Module):
    """What a hypernetwork writes for its first embedding, and what its head makes of its features, ``[2, N]``."""

    def __init__(self, hypernet: SharedHead) -> None:
        super().__init__()
        self.hypernet = hypernet

    def forward(self) -> Tensor:
        hypernet: Any = self.hypernet
        embedding, head = hypernet.task_embeddings[:1], hypernet.head
        # Not head(...): the Gram form reads the weights, and a hook would be passed over.
        chunks = torch.nn.functional.linear(hypernet.features(embedding), head.weight, head.bias)
        return torch.cat([hypernet.write(embedding), join_chunks(chunks, hypernet.layout.numel)])


@torch.no_grad()
def writes_by_one_head(hypernet: EmbeddingHypernet) -> TypeGuard[SharedHead]:
    """Whether it is a `SharedHead` that writes what a `SharedHead` writes: a subclass may do something else.

    Both ways of writing are compared at the present weights and at three others, since a part that starts at zero does
    not show at the start.
    """
    if not (
        isinstance(getattr(hypernet, "head", None), torch.nn.Linear) and callable(getattr(hypernet, "features", 0))
    ):
        return False
    both = _BothWays(hypernet)  # type: ignore[arg-type]  # as far as its parts go
    generator = torch.Generator().manual_seed(0)  # the run's own random numbers stay as they are
    for scale in (0.0, 0.01, 0.1, 1.0):
        moved = {
            name: p + scale * torch.randn(p.shape, generator=generator).to(p.device, p.dtype)
            for name, p in both.named_parameters()
        }
        try:
            written, by_head = call_with(both, moved)
        except (RuntimeError, TypeError, ValueError):  # features of another shape, or that need more than an embedding
            return False
        if written.is_meta:
            return True  # there are no numbers to compare
        if not torch.allclose(written, by_head, rtol=1e-4, atol=1e-5 * float(by_head.abs().max())):
            return False
    return True


def _embeddings(every: Tensor, numbers: Tensor, shared: int | None) -> Tensor:
    """The shared task's of ``every [tasks, task_dim]``, if there is one, and as constants those of ``numbers``."""
    old = every.detach()[numbers]
    return old if shared is None else torch.cat([every[shared : shared + 1], old])


class Memory(ABC):
    """What the hypernetwork wrote for the remembered tasks when the last of them ended."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.numbers: Tensor  # [T], the remembered tasks

    @abstractmethod
    def store(self, numbers: Tensor) -> None:
        """Take what is written now for the tasks ``numbers``."""

    @abstractmethod
    def target(self, i: int) -> Tensor:
        """The parameters ``[N]`` of the i-th remembered task."""


class Targets(Memory):
    """The parameters themselves: [T, N]."""

    def __init__(self, hypernet: EmbeddingHypernet) -> None:
        super().__init__()
        self.hypernet = hypernet

    @torch.no_grad()
    def store(self, numbers: Tensor) -> None:
        self.numbers = numbers
        self.tensors = {"targets": self.hypernet.write(self.hypernet.task_embeddings[numbers])}

    def target(self, i: int) -> Tensor:
        return self.tensors["targets"][i]

    def distance(self, which: Tensor | None = None) -> Tensor:
        """Squared distance from what is written now, summed over the remembered tasks, or over those in ``which``.

        Within `Hypernetwork.sharing` the shared task is written in the same call.
        """
        numbers, targets = self.numbers, self.tensors["targets"]
        if which is not None:
            numbers, targets = numbers[which], targets[which]
        written = self.hypernet.write(_embeddings(self.hypernet.task_embeddings, numbers, self.hypernet.shared))
        if self.hypernet.shared is not None:
            self.hypernet.share(written[0])
        return (written[-len(targets) :] - targets).square().sum()


class Features(Memory):
    """Features [T, n_chunks, d1] and the head, from which the parameters can be written again."""

    def __init__(self, hypernet: SharedHead) -> None:
        super().__init__()
        self.hypernet = hypernet

    @torch.no_grad()
    def store(self, numbers: Tensor) -> None:
        self.numbers = numbers
        head = self.hypernet.head
        self.tensors = {
            "features": self.hypernet.features(self.hypernet.task_embeddings[numbers]),
            "weight": head.weight.clone(),
        }
        if head.bias is not None:
            self.tensors["bias"] = head.bias.clone()

    @torch.no_grad()
    def target(self, i: int) -> Tensor:
        old = self.tensors
        chunks = torch.nn.functional.linear(old["features"][i], old["weight"], old.get("bias"))
        return chunks.flatten()[: self.hypernet.layout.numel]


class Gram(Features):
    """The same, and the squared distance from it without writing anything."""

    @torch.no_grad()
    def store(self, numbers: Tensor) -> None:
        super().store(numbers)
        weight = self.tensors["weight"]
        parts = weight[: self.rest], weight[self.rest :]
        self.tensors["squares"] = torch.stack([part.T @ part for part in parts])

    @property
    def rest(self) -> int:
        """Rows of the head that the last chunk uses, where it is cut."""
        chunks = self.tensors["features"].shape[1]
        return self.hypernet.layout.numel - (chunks - 1) * len(self.tensors["weight"])

    def distance(self, which: Tensor | None = None) -> Tensor:
        """As `Targets.distance`, but what would be written for the remembered tasks is not."""
        numbers, old, head = self.numbers, self.tensors, self.hypernet.head
        if which is not None:
            numbers, old = numbers[which], old | {"features": old["features"][which]}
        shared = None if head._forward_hooks or head._forward_pre_hooks else self.hypernet.shared
        features = self.hypernet.features(_embeddings(self.hypernet.task_embeddings, numbers, shared))
        distance: Tensor
        written, distance = _WrittenAndDistance.apply(features, head.weight, head.bias, old, self.rest)
        if shared is not None:
            self.hypernet.share(written[0])
        return distance


class _WrittenAndDistance(torch.autograd.Function):
    r"""What is written for some tasks, and the squared distance of A W from A* W* for others; backward is written out.

    With d = W - W* (a row for each output), X = [A, dA] and V = [d, W*], the difference is E = X V^T, which is never
    formed. With the Gram matrix M = V^T V, whose corner W*^T W* is remembered, value and gradients are

        <X M, X>,    by W: 2 E^T A = 2 V X^T A,    by A: 2 E (d + W*) = 2 X M summed over its two halves

    Autograd would come to the same with several more passes over memory of the size of W, which are what this costs.
    Here the gradients of both results by W are added up as they are made.

    Shapes: features ``[P + T, n_chunks, d1]``, of which the last T are those of ``old``; weight ``[d2, d1]``, bias
    ``[d2]`` or None. ``old`` has the same of what is remembered, and its W*^T W* ``[2, d1, d1]`` over the first
    ``rest`` rows of the head, which all chunks use, and over the others. What is written is ``[P, N]``.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, old: Tensors, rest: int
    ) -> tuple[Tensor, Tensor]:
        width, present = features.shape[2], len(features) - len(old["features"])
        written = torch.nn.functional.linear(features[:present], weight, bias).flatten(1)
        change = features[present:] - old["features"]
        if bias is not None:
            features = torch.nn.functional.pad(features, (0, 1), value=1.0)  # the constant 1, whose change is 0
        columns = features.shape[2]
        d = _empty_as(weight, columns)
        torch.sub(weight, old["weight"], out=d[:, :width])
        if bias is not None:
            torch.sub(bias, old["bias"], out=d[:, width])
        parts = [(d[rows], old["weight"][rows]) for rows in (slice(rest), slice(rest, None))]
        parts = [part for part in parts if len(part[0])]
        m = d.new_empty(len(parts), columns + width, columns + width)
        for (moved, kept), products in zip(parts, m, strict=True):
            products[:columns, :columns] = _tall_product(moved, moved)
            products[:columns, columns:] = _tall_product(moved, kept)
        m[:, columns:, :columns] = m[:, :columns, columns:].mT
        m[:, columns:, columns:] = old["squares"][: len(parts)]
        x = torch.cat([features[present:], change], dim=2).repeat(len(parts), 1, 1, 1)
        x[1:, :, -1] = 0  # the last chunk of a task has no second part
        x = x.flatten(1, 2)
        xm = x @ m
        by_features = (xm[..., :width] + xm[..., columns:]).sum(0).view_as(change)
        ctx.save_for_backward(features[:present], weight, d, old["weight"], by_features, x.mT @ x[..., :columns])
        ctx.rest, ctx.has_bias = rest, bias is not None
        return written[:, : rest + written.shape[1] - len(weight)], (xm * x).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_written: Tensor, by_distance: Tensor) -> tuple[Tensor | None, ...]:
        own, weight, d, old_weight, by_features, xa = ctx.saved_tensors
        columns, width, by_d = d.shape[1], weight.shape[1], torch.empty_like(d)
        for rows, products in zip((slice(ctx.rest), slice(ctx.rest, None)), 2 * by_distance * xa, strict=False):
            torch.mm(d[rows], products[:columns], out=by_d[rows]).addmm_(old_weight[rows], products[columns:])
        by_features = 2 * by_distance * by_features
        if len(own):
            by_chunks = own.new_empty(len(own), own.shape[1] * len(weight))
            by_chunks[:, : by_written.shape[1]] = by_written
            by_chunks[:, by_written.shape[1] :] = 0  # the surplus of the last chunk
            by_chunks = by_chunks.view(-1, len(weight))
            by_d.addmm_(by_chunks.T, own.flatten(0, 1))
            by_own = _tall_product(by_chunks.T, weight).view(*own.shape[:2], width)
            by_features = torch.cat([by_own, by_features])
        by_weight, by_bias = (by_d[:, :width], by_d[:, width]) if ctx.has_bias else (by_d, None)
        return by_features, by_weight, by_bias, None, None


SLICE = 2048
"""Rows that are multiplied at once by `_tall_product`."""


def _tall_product(a: Tensor, b: Tensor) -> Tensor:
    """``a.T @ b`` for ``a [K, m]`` and ``b [K, n]``, where K is far larger than m and n.

    Where columns lie side by side in memory, and are few, it is a sum over slices of the rows. A processor's library
    would leave the whole product to one core, and takes longer even there.
    """
    slices = len(a) // SLICE
    if slices < 2 or b.stride(0) != 1 or a.device.type != "cpu":
        return a.T @ b
    cut = slices * SLICE
    main = torch.bmm(a[:cut].T.unflatten(1, (slices, SLICE)).transpose(0, 1), b[:cut].unflatten(0, (slices, SLICE)))
    return main.sum(0).addmm_(a[cut:].T, b[cut:])


def _empty_as(weight: Tensor, columns: int) -> Tensor:
    """A new ``[len(weight), columns]``, whose rows or whose columns lie side by side in memory, as ``weight``'s do."""
    if weight.stride(0) == 1:
        return weight.new_empty(columns, len(weight)).T
    return weight.new_empty(len(weight), columns)
