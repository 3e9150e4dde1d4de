"""The numbers that training gives are those that the records were made with."""

from pathlib import Path

import pytest
import torch
from loading import load
from packaging.version import Version

import hyperlearn as hl
from hyperlearn.methods import METHODS

golden = load(Path(__file__).parent / "golden" / "golden_trace.py")

STORED = golden.read()


def test_every_method_has_a_trace_of_a_version_that_was() -> None:
    assert list(STORED["methods"]) == list(METHODS)
    assert Version(STORED["version"]) <= Version(hl.__version__)


@pytest.mark.parametrize("method", METHODS)
def test_ten_steps_give_the_numbers_of_the_trace(method: str) -> None:
    assert golden.differences(method, STORED["methods"][method], golden.trace(method)) == []


@pytest.mark.parametrize("method", ["finetune", "hnet", "lstm-net-grow"])
def test_a_change_of_training_is_seen(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = hl.training.Run.new_optimizer

    def other_beta(self: hl.training.Run, parameters: object) -> object:
        optimizer = made(self, parameters)  # type: ignore[arg-type]
        for group in optimizer.param_groups:
            group["betas"] = (0.9, 0.99)
        return optimizer

    monkeypatch.setattr(hl.training.Run, "new_optimizer", other_beta)
    assert golden.differences(method, STORED["methods"][method], golden.trace(method))


def test_two_weights_that_change_places_are_seen() -> None:
    weights = torch.randn(100, generator=torch.Generator().manual_seed(0))
    swapped = weights.clone()
    swapped[[3, 50]] = weights[[50, 3]]
    there, here = ({"losses": [], "checksum": golden.checksum(s), "norm": golden.norm(s)} for s in
                   ({"w": weights}, {"w": swapped}))  # fmt: skip
    assert golden.differences("finetune", there, there) == []
    (said,) = golden.differences("finetune", there, here)
    assert said.startswith("finetune: checksum of the weights is")
