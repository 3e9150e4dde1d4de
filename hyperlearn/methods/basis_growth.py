r"""Growth by a little: one network is learnt and frozen, and each task adds coefficients on a basis and low rank.

`basis-growth` answers the growth of LSTM_NET_GROW (Chandra et al. 2022, section 3.3), which adds a hypernetwork's head
with each task. What a task adds here is said by `hyperlearn.hypernets.BasisGrowthHypernet`: with 50 directions and rank
2 in a perceptron 784-400-400-2, 23,202 values, 4.88% of it. Networks of earlier tasks stay the same to the bit.

The first task takes twice the steps of a further one. In the first half the base is learnt, as an ordinary network or
by an LSTM hypernetwork, as LSTM_NET_GROW learns its first task (``base_network``). The basis are the principal
directions of the first task's images. Then the base is frozen, and the first task grows from it as all others do:
trained in full, it would be surer than the rest, and tasks are told apart by how sure they are. Growth alone is taught
to doubt.

For a perceptron a step never writes the first layer. With the images x of a task, :math:`x W_1^\top` and
:math:`x \Phi^\top` are computed once, and each step takes

.. math:: z_1 = (x W_1^\top) + (x \Phi^\top) (C^t)^\top + b_1 + d_1^t

from what is kept. Other targets, and images that are changed at random, give the same numbers by the longer way.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..data import Examples
from ..errors import InputError
from ..hypernets import BasisGrowthHypernet
from ..inference import evaluating
from ..nets import MLP
from .base import Count, Setting, configuration
from .hypernet import ClassifierConfig, HypernetLearner, LSTMConfig

LOOKED_AT = 10_000
"""Images of the first task that the basis is learnt from, at most."""

KEPT = 2**28
"""Numbers that are kept of a task's images while it is learnt, at most: a gigabyte."""


class BasisGrowthLearner(HypernetLearner):
    """One network that each task adds a little to."""

    takes: ClassVar[tuple[str, ...]] = ("target", "infer")
    infers_alike = True

    hypernet: BasisGrowthHypernet

    def __init__(self, config: "BasisGrowthConfig", setting: Setting) -> None:
        super().__init__(config, setting)
        everything = tuple(name for name, _ in self.target.named_parameters())
        whole = self.hypernet.basis is not None and self.hypernet.layout.names == everything
        self.short = whole and type(self.target) is MLP  # whether the first layer need not be written
        self.base_steps: int | None = None
        self.taken = 0  # steps that the base was learnt for
        self._data: Examples | None = None  # of the present task
        self._frozen: tuple[Tensor, Tensor] | None = None  # see `frozen_part`

    def steps(self, images: int) -> int:
        return self.config.steps(images) * (1 if self.learned else 2)

    def training_data(self, seen: Sequence[Examples]) -> Examples:
        data = seen[-1]
        if not self.hypernet.fixed:
            self.base_steps = self.config.steps(len(data))
            self.learn_basis(data)
        self._data, self._frozen = data, None
        return data

    @torch.no_grad()
    def learn_basis(self, data: Examples) -> None:
        """Learn the basis from what goes into the target's first layer, if it has one.

        Raises `InputError` where the target does not call that layer.
        """
        if self.hypernet.basis is None:
            return
        assert self.hypernet.first is not None
        found: list[Tensor] = []
        layer = self.target.get_submodule(self.hypernet.first.rpartition(".")[0])
        handle = layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].flatten(0, -2)))
        device = next(self.target.parameters()).device
        try:
            with evaluating(self.target):
                for batch in data.take(slice(0, LOOKED_AT)).batches(1000):
                    self.target.forward(batch.images.to(device))  # not the call, which may be compiled
        finally:
            handle.remove()
        if not found:
            raise InputError(f"the target does not call the layer of {self.hypernet.first}, whose inputs are needed")
        self.hypernet.learn_basis(torch.cat(found))

    def weight_of_doubt(self) -> float | None:
        return self.doubt if self.hypernet.fixed else None

    def outputs(self, images: Tensor, rows: Tensor | None) -> Tensor:
        if not (self.short and self.hypernet.fixed):
            return super().outputs(images, rows)
        wide, kept = self.frozen_part()
        known = 0 if rows is None or not len(kept) else len(rows)
        entered = linear(images[known:].flatten(1), wide)  # [n, h + k]
        return self.grown(entered if not known else torch.cat([kept[rows], entered]))

    @torch.no_grad()
    def frozen_part(self) -> tuple[Tensor, Tensor]:
        r"""What of the first layer stays the same during a task, worked out when it is first asked for.

        The base's weights with the basis below them, ``[h + k, n]``, and what they make of the task's images,
        :math:`(x W_1^\top, x \Phi^\top)`: ``[images, h + k]``, without rows where these would be too many.
        """
        if self._frozen is None:
            assert self.hypernet.basis is not None
            assert self.hypernet.first is not None
            wide = torch.cat([self.hypernet.base_params()[self.hypernet.first], self.hypernet.basis])
            kept = wide.new_empty(0, len(wide))
            if self._data is not None and len(self._data) * len(wide) <= KEPT:
                parts = (batch.images.to(wide.device).flatten(1) for batch in self._data.batches(1000))
                kept = torch.cat([linear(part, wide) for part in parts])
            self._frozen = wide, kept
        return self._frozen

    def grown(self, entered: Tensor) -> Tensor:
        """The logits ``[B, K]`` of the present task's network, of ``entered [B, h + k]`` as `frozen_part` makes it."""
        base, own = self.hypernet.base_params(), self.hypernet.pieces(self.learned)
        last = len(base) // 2 - 1  # a weight and a bias for each layer
        h = base["layers.0.weight"].shape[0]
        x = entered
        for number in range(last + 1):
            name = f"layers.{number}.weight"
            growth, bias = own[name], base[f"layers.{number}.bias"] + own[f"layers.{number}.bias"][0]
            if number == 0:
                x = torch.addmm(x[:, :h] + bias, x[:, h:], growth[0].T)
            elif len(growth) == 2:
                x = linear(x, base[name], bias).addmm(linear(x, growth[1]), growth[0].T)
            else:
                x = linear(x, base[name] + growth[0], bias)
            x = x if number == last else x.relu()
        return x

    def after_step(self) -> None:
        super().after_step()
        if not self.hypernet.fixed:
            self.taken += 1
            if self.base_steps is not None and self.taken >= self.base_steps:
                self.hypernet.fix_base()

    def end_task(self, task: int, train: Examples) -> None:
        if not self.hypernet.fixed:  # the task was ended early
            self.hypernet.fix_base()
        super().end_task(task, train)
        self.hypernet.drop_writer()
        self._data = self._frozen = None

    def get_extra_state(self) -> dict[str, object]:
        return {**super().get_extra_state(), "taken": self.taken}

    def set_extra_state(self, state: dict[str, object]) -> None:
        super().set_extra_state(state)
        self.taken = int(state["taken"])  # type: ignore[call-overload]

    def check_state(self, finished: int, begun: int) -> None:
        super().check_state(finished, begun)
        if self.taken < 0 or (finished and not self.hypernet.fixed):
            raise InputError("the base is not learnt")


@configuration
class BasisGrowthConfig(ClassifierConfig, LSTMConfig):
    """A frozen network to which each task adds coefficients on a basis and low rank."""

    learner_class = BasisGrowthLearner

    base_network: Literal["plain", "lstm"] = "plain"
    """How the network is learnt that tasks add to: as it is, or by an LSTM hypernetwork of the sizes above."""
    basis_size: Count = 50
    """k, the number of principal directions that the first layer's coefficients are for."""
    rank: Count = 2
    """r, of what is added to the layers between the first and the last."""

    def hypernet(self, target: nn.Module, tasks: int) -> BasisGrowthHypernet:  # type: ignore[override]
        writer = super().hypernet(target, 1) if self.base_network == "lstm" else None
        generated = self.generated(target)
        return BasisGrowthHypernet(target, writer, generate=generated, basis_size=self.basis_size, rank=self.rank)

    def regularizer(self, hypernet: object) -> None:
        return None
