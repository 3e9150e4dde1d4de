"""Target networks in bfloat16: the same network, rounded; nothing else of a run is."""

from copy import deepcopy
from typing import ClassVar

import pytest
import torch
from narrowing import narrow
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.nets import InPrecision, ResNet

DIGITS = hl.benchmarks.split_digits()


class Seen(nn.Linear):
    """Notes the types of its logits."""

    types: ClassVar[set[torch.dtype]]  # the class's, since a run trains copies of its targets

    def __init__(self) -> None:
        super().__init__(64, 2)
        Seen.types = set()

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images.flatten(1))
        self.types.add(logits.dtype)
        return logits


def test_products_are_taken_in_bfloat16_and_all_else_is_not() -> None:
    seen = Seen()
    logits = InPrecision(seen, "bfloat16")(torch.rand(5, 8, 8))
    logits.sum().backward()
    assert seen.types == {torch.bfloat16}
    assert logits.dtype == seen.weight.dtype == narrow(Tensor, seen.weight.grad).dtype == torch.float32


def test_a_residual_network_is_the_same_but_for_rounding() -> None:
    torch.manual_seed(0)
    net = ResNet((3, 32, 32), 8, 10, "group")
    images = torch.rand(16, 3, 32, 32)
    with torch.no_grad():
        exact, rounded = net(images), InPrecision(net, "bfloat16")(images)
    assert not torch.equal(exact, rounded)
    assert float((exact - rounded).norm() / exact.norm()) < 0.02  # bfloat16 has 8 bits: 0.4% a rounding


def test_a_copy_computes_with_its_own_weights() -> None:
    net = InPrecision(nn.Linear(3, 2), "bfloat16")
    copy = deepcopy(net)
    linear = narrow(nn.Linear, copy.net)
    nn.init.zeros_(linear.weight)
    nn.init.ones_(linear.bias)
    assert torch.equal(copy(torch.rand(4, 3)), torch.ones(4, 2))


@pytest.mark.parametrize("method", ["finetune", "ewc", "lwf", "hnet", "lstm-net-iwr", "lstm-net-grow"])
def test_methods_learn_as_much(method: str) -> None:
    """Also where a network is copied, or differentiated image by image."""
    results = [
        hl.run(method, DIGITS, "cl1", iterations=60, batch_size=32, precision=precision)
        for precision in (None, "bfloat16")
    ]
    assert results[1].average_accuracy == pytest.approx(results[0].average_accuracy, abs=0.05)
    assert [result.config.get("precision") for result in results] == [None, "bfloat16"]


def test_a_given_target_is_rounded_too() -> None:
    target = Seen()
    result = hl.run(
        "hnet", DIGITS, "cl1", target=lambda outputs: target, iterations=3, chunk_size=50, precision="bfloat16"
    )
    assert torch.bfloat16 in target.types
    assert result.parameters.target == 130


def test_seeds_together_round_as_each_alone() -> None:
    config = hl.recipes.configure("hnet", "split-digits", iterations=30, precision="bfloat16")
    together = hl.replicas.train_replicas(hl.RunSpec(config, DIGITS, ("cl1",), device="cpu"), [0, 1])
    for seed, made in enumerate(together):
        alone = hl.run("hnet", DIGITS, "cl1", seed, iterations=30, precision="bfloat16")
        assert made["cl1"].average_accuracy == pytest.approx(alone.average_accuracy, abs=0.05)


def test_another_precision_is_refused() -> None:
    with pytest.raises(hl.InputError, match="precision: input should be 'bfloat16'"):
        hl.recipes.configure("hnet", "split-digits", precision="float8")
