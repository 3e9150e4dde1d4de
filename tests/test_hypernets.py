"""Contracts that every hypernetwork keeps, and comparisons with implementations that are not ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrowing import narrow
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

import hyperlearn as hl

TARGET = hl.nets.MLP(20, [8, 8], 3)  # 267 parameters; no chunk size below divides that

HYPERNETS: dict[str, Callable[..., hl.EmbeddingHypernet]] = {
    "chunked": lambda target=TARGET, tasks=3, chunk_size=37: hl.ChunkedHypernet(
        target, tasks, chunk_size=chunk_size, task_dim=5, chunk_dim=4, hidden=[10, 7], activation="elu"
    ),
    "wide": lambda target=TARGET, tasks=3, chunk_size=37: hl.ChunkedHypernet(
        target, tasks, chunk_size=chunk_size, task_dim=5, chunk_dim=4, hidden=[20]
    ),
    "linear": lambda target=TARGET, tasks=3, chunk_size=37: hl.ChunkedHypernet(
        target, tasks, chunk_size=chunk_size, task_dim=5, chunk_dim=4
    ),
    "lstm": lambda target=TARGET, tasks=3, chunk_size=37: hl.LSTMHypernet(
        target, tasks, chunk_size=chunk_size, task_dim=5, chunk_dim=4, hidden_size=6
    ),
}
every_hypernet = pytest.mark.parametrize("make", HYPERNETS.values(), ids=HYPERNETS.keys())


@every_hypernet
def test_generates_every_parameter_in_the_order_of_the_target(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    params = make()(task=1)
    assert {name: p.shape for name, p in params.items()} == {n: p.shape for n, p in TARGET.named_parameters()}
    assert list(params) == [name for name, _ in TARGET.named_parameters()]


@every_hypernet
def test_gradients_reach_every_parameter(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    hypernet = make()
    hypernet.flat([0, 1, 2]).square().sum().backward()
    for name, p in hypernet.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


@every_hypernet
def test_tasks_in_a_batch_equal_tasks_one_by_one(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    hypernet = make()
    batch = hypernet.flat([2, 0])
    assert batch.shape == (2, 267)
    torch.testing.assert_close(batch[0], hypernet.flat(2)[0])
    torch.testing.assert_close(batch[1], hypernet.flat(torch.tensor(0))[0])
    assert not torch.allclose(batch[0], batch[1])


@every_hypernet
def test_state_dict_restores_the_generated_parameters(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    first, second = make(), make()
    assert not torch.equal(first.flat([0, 1, 2]), second.flat([0, 1, 2]))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.flat([0, 1, 2]), second.flat([0, 1, 2]))


@every_hypernet
def test_same_seed_same_hypernet(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    flats = []
    for _ in range(2):
        torch.manual_seed(7)
        flats.append(make().flat([0, 1, 2]))
    assert torch.equal(*flats)


@every_hypernet
@pytest.mark.parametrize("chunk_size", [0, -1, 268])
def test_refuses_a_chunk_size_out_of_range(make: Callable[..., hl.EmbeddingHypernet], chunk_size: int) -> None:
    with pytest.raises(hl.InputError, match="from 1 to the 267 generated parameters"):
        make(chunk_size=chunk_size)


@every_hypernet
def test_one_chunk_and_chunks_of_one_value_work(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    for chunk_size in (1, 267):
        assert make(chunk_size=chunk_size).flat(0).shape == (1, 267)


@every_hypernet
def test_refuses_a_task_there_is_not(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    with pytest.raises(hl.InputError, match="no task 3: the hypernetwork has tasks 0 to 2"):
        make().flat([0, 3])


@every_hypernet
def test_any_module_works_as_target(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    """A model from torchvision: convolutions, no line of ours in it."""
    model = squeezenet1_1(num_classes=2).eval()
    params = make(model, chunk_size=20_000)(task=0)
    logits = torch.func.functional_call(model, params, (torch.rand(1, 3, 64, 64),))
    logits.sum().backward()
    assert logits.shape == (1, 2)


@every_hypernet
def test_a_target_may_have_buffers(make: Callable[..., hl.EmbeddingHypernet]) -> None:
    """Batch norm: gamma and beta are generated; the running statistics are the caller's to give."""
    norm = nn.BatchNorm2d(4)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Flatten(), nn.Linear(4 * 36, 2))
    params = make(model)(task=0)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    torch.func.functional_call(model, {**params, **buffers}, (torch.rand(5, 1, 8, 8),))
    own = narrow(Tensor, norm.running_mean)
    assert not torch.equal(buffers["1.running_mean"], own)  # moved in ours ...
    assert torch.equal(own, torch.zeros(4))  # ... and not in the model's own


def test_chunked_equals_hypnettorch() -> None:
    """The reference implementation's own weights and what it generated from them (vectors/record_hypnettorch.py)."""
    recorded = np.load(Path(__file__).parent / "vectors" / "hypnettorch_chunked.npz")
    for case in ("relu", "linear", "elu"):
        config = json.loads(str(recorded[f"{case}/config"]))
        activation = config["activation"] or "relu"
        hypernet = hl.ChunkedHypernet(
            TARGET, 3, chunk_size=37, task_dim=5, chunk_dim=4, hidden=() if case == "linear" else (10, 7),
            activation=activation,
        )  # fmt: skip

        def get(name: str, case: str = case) -> Tensor:
            return torch.from_numpy(recorded[f"{case}/{name}"])

        with torch.no_grad():
            hypernet.task_embeddings.copy_(get("task_embeddings"))
            hypernet.chunk_embeddings.copy_(get("chunk_embeddings"))
            for number, layer in enumerate([*hypernet.layers, hypernet.head]):
                weight = get(f"weight{number}")
                if number == 0:  # hypnettorch's input is <c, e>, ours is <e, c>
                    weight = torch.cat([weight[:, 4:], weight[:, :4]], dim=1)
                layer.weight.copy_(weight)
                layer.bias.copy_(get(f"bias{number}"))
        expected = torch.stack([get(f"generated/{task}") for task in range(3)])
        error = (hypernet.flat([0, 1, 2]) - expected).abs().max() / expected.abs().max()
        assert error < 1e-6, case


def test_lstm_equals_the_papers_equations() -> None:
    """Section 3.1 of the paper written out by hand, which also has to equal torch.nn.LSTM."""
    hypernet = narrow(hl.LSTMHypernet, HYPERNETS["lstm"]().double())
    lstm: Any = hypernet.lstm  # nn.LSTM does not declare its weights
    size = lstm.hidden_size
    wi, wf, wg, wo = lstm.weight_ih_l0.split(size)
    ui, uf, ug, uo = lstm.weight_hh_l0.split(size)
    for task in range(3):
        h = s = torch.zeros(size, dtype=torch.float64)
        chunks = []
        for c in hypernet.chunk_embeddings:
            x = torch.cat([hypernet.task_embeddings[task], c])
            i = torch.sigmoid(wi @ x + ui @ h)
            f = torch.sigmoid(wf @ x + uf @ h)
            o = torch.sigmoid(wo @ x + uo @ h)
            g = torch.tanh(wg @ x + ug @ h)
            s = f * s + i * g
            h = o * torch.tanh(s)
            chunks.append(h @ hypernet.head.weight.t())
        torch.testing.assert_close(hypernet.flat(task)[0], torch.cat(chunks)[:267])


def test_chunks_depend_on_earlier_chunks_in_the_lstm_only() -> None:
    """The paper's point: what is before a chunk matters in LSTM_NET, and does not in HNET."""
    for name, depends in (("chunked", False), ("lstm", True)):
        hypernet: Any = HYPERNETS[name]()
        before = hypernet.flat(0)[0].detach().clone()
        with torch.no_grad():
            hypernet.chunk_embeddings[2] += 1.0
        moved = (hypernet.flat(0)[0] != before).split(37)
        assert not any(part.any() for part in moved[:2]), name
        assert moved[2].any(), name
        assert all(bool(part.any()) == depends for part in moved[3:]), name


def test_a_target_without_parameters_is_refused() -> None:
    with pytest.raises(hl.InputError, match="Flatten has no parameters"):
        hl.ChunkedHypernet(nn.Flatten(), 1, chunk_size=1, task_dim=1, chunk_dim=1)
