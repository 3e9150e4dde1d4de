"""The network that chapter 11 reads is one that the library wrote, to 8 bits a value."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import load

import hyperlearn as hl
from hyperlearn.live.numbers import unpack

ROOT = Path(__file__).parents[1]
script = load(ROOT / "book" / "stored_network.py")


def test_a_trained_network_is_kept_to_8_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 6
    benchmark = hl.benchmarks.split("pictures", hl.data.Source(images, labels, images, labels), classes_per_task=2)
    config = hl.methods.LSTMNetGrowConfig(
        chunk_size=500,
        hidden_size=8,
        task_dim=4,
        chunk_dim=4,
        iterations=3,
        batch_size=4,
        learning_rate=1e-3,
        target="resnet-8",
    )
    trained = hl.fit(config, benchmark, scenarios=["cl1"], device="cpu")
    trained.save(tmp_path / "trained.pt")
    monkeypatch.setattr("sys.argv", ["", str(tmp_path / "trained.pt"), str(tmp_path / "deep" / "kept.json")])
    script.main()
    kept = unpack(json.loads((tmp_path / "deep" / "kept.json").read_text())["tensors"])
    learner: Any = trained.learner
    for name, exact in learner.hypernet(0).items():
        columns = exact.detach().reshape(len(exact), -1)
        error = (kept[name].reshape(len(exact), -1) - columns).abs()
        assert bool((error <= columns.abs().amax(0) / 254 * 1.001 + 1e-9).all()), name
    for task in range(script.TASKS):
        for name, exact in learner.target_buffers(task).items():
            torch.testing.assert_close(kept[f"{task}.{name}"], exact.float(), rtol=1e-5, atol=1e-6)


def test_the_one_that_is_kept_fits_the_target_of_the_recipe() -> None:
    place = ROOT / "results" / "networks" / "cifar-10-100" / "lstm-net-grow.json"
    kept = unpack(json.loads(place.read_text())["tensors"])
    target = hl.nets.parse("resnet-32")((3, 32, 32), 10)
    shapes = {name: p.shape for name, p in target.named_parameters()}
    for task in range(script.TASKS):
        shapes |= {f"{task}.{name}": buffer.shape for name, buffer in target.named_buffers()}
    assert {name: values.shape for name, values in kept.items()} == shapes
    for name, values in kept.items():
        assert bool(values.isfinite().all()), name
