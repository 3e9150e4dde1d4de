"""The output regularizer against its definition, and its two forms against each other."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import hyperlearn as hl


def make_chunked(
    seed: int, sizes: list[int], hidden: list[int], chunk_size: int, activation: str
) -> hl.ChunkedHypernet:
    torch.manual_seed(seed)
    target = hl.nets.MLP(sizes[0], [sizes[1]], sizes[2])
    return hl.ChunkedHypernet(
        target, 4, chunk_size=chunk_size, task_dim=3, chunk_dim=2, hidden=hidden, activation=activation
    ).double()


def move(hypernet: hl.EmbeddingHypernet, scale: float) -> None:
    with torch.no_grad():
        for p in hypernet.parameters():
            p.add_(scale * torch.randn_like(p))


def value_and_gradients(penalty: hl.OutputRegularizer) -> tuple[torch.Tensor, list[torch.Tensor]]:
    value = penalty()
    parameters = list(penalty.hypernet.parameters())
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    return value, [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]


def compare_forms(hypernet: hl.EmbeddingHypernet, tasks: int, scale: float) -> None:
    penalties = [hl.OutputRegularizer(hypernet, 0.3, form) for form in ("direct", "gram")]
    for task in range(tasks):
        for penalty in penalties:
            penalty.remember(task)
        move(hypernet, scale)
    (direct, direct_gradients), (gram, gram_gradients) = map(value_and_gradients, penalties)
    torch.testing.assert_close(gram, direct, rtol=1e-5, atol=0)
    for expected, got in zip(direct_gradients, gram_gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    hidden=st.lists(st.integers(1, 6), max_size=2),
    chunk=st.floats(0.01, 1.0),
    activation=st.sampled_from(["relu", "elu", "tanh"]),
    tasks=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 0.1, 1.0]),
)
def test_gram_form_equals_direct_form(
    seed: int, sizes: list[int], hidden: list[int], chunk: float, activation: str, tasks: int, scale: float
) -> None:
    """Over random sizes, activations, numbers of tasks and remainders of the last chunk."""
    numel = sizes[0] * sizes[1] + sizes[1] + sizes[1] * sizes[2] + sizes[2]
    compare_forms(make_chunked(seed, sizes, hidden, max(1, round(chunk * numel)), activation), tasks, scale)


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**31), hidden_size=st.integers(1, 8), chunk_size=st.integers(1, 40), tasks=st.integers(1, 3)
)
def test_gram_form_equals_direct_form_for_the_lstm(seed: int, hidden_size: int, chunk_size: int, tasks: int) -> None:
    torch.manual_seed(seed)
    target = hl.nets.MLP(6, [4], 3)
    hypernet = hl.LSTMHypernet(
        target, 4, chunk_size=chunk_size, task_dim=3, chunk_dim=2, hidden_size=hidden_size
    ).double()
    compare_forms(hypernet, tasks, 0.1)


def test_direct_form_is_the_definition() -> None:
    """beta / (T - 1) times the sum over old tasks of squared differences, by hand."""
    hypernet = make_chunked(0, [5, 4, 2], [3], 7, "relu")
    penalty = hl.OutputRegularizer(hypernet, 0.5, "direct")
    penalty.remember(0)
    move(hypernet, 0.1)
    penalty.remember(1)  # both targets are from now
    targets = hypernet.flat([0, 1]).detach()
    move(hypernet, 0.1)
    embeddings = hypernet.task_embeddings.detach()
    expected = 0.5 / 2 * ((hypernet.write(embeddings[:2]) - targets) ** 2).sum()
    torch.testing.assert_close(penalty(), expected)


@pytest.mark.parametrize("form", ["direct", "gram"])
def test_old_embeddings_get_no_gradient_and_all_else_does(form: Any) -> None:
    hypernet = make_chunked(0, [5, 4, 2], [3], 7, "tanh")
    penalty = hl.OutputRegularizer(hypernet, 0.5, form)
    penalty.remember(0)
    move(hypernet, 0.1)
    penalty().backward()
    for name, p in hypernet.named_parameters():
        assert (p.grad is None) == (name == "task_embeddings"), name


def test_nothing_remembered_costs_nothing_and_beta_scales() -> None:
    hypernet = make_chunked(0, [5, 4, 2], [3], 7, "relu")
    one, three = hl.OutputRegularizer(hypernet, 1.0), hl.OutputRegularizer(hypernet, 3.0)
    assert one() == 0
    one.remember(0)
    three.remember(0)
    assert one() == 0  # nothing has moved
    move(hypernet, 0.1)
    torch.testing.assert_close(three(), 3 * one())


def test_state_dict_restores_the_memory() -> None:
    hypernet = make_chunked(0, [5, 4, 2], [3], 7, "relu")
    for form in ("direct", "gram"):
        first, second = (hl.OutputRegularizer(hypernet, 1.0, form) for _ in range(2))
        first.remember(2)
        move(hypernet, 0.1)
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(), second())
        assert second.tasks == [2]


@pytest.mark.parametrize(("form", "other"), [("direct", "gram"), ("gram", "direct")])
def test_the_state_of_another_form_is_refused(form: Any, other: Any) -> None:
    hypernet = make_chunked(0, [5, 4, 2], [3], 7, "tanh")
    penalty = hl.OutputRegularizer(hypernet, 1.0, form)
    penalty.remember(0)
    with pytest.raises(hl.InputError, match="the state of a regularizer of another form"):
        hl.OutputRegularizer(hypernet, 1.0, other).load_state_dict(penalty.state_dict())


def test_the_gram_form_stores_no_targets() -> None:
    """What a further task adds to memory is its features: d1 numbers a chunk."""
    hypernet = make_chunked(0, [9, 9, 2], [3], 10, "relu")
    penalty = hl.OutputRegularizer(hypernet, 1.0)

    def stored() -> int:
        return sum(tensor.numel() for tensor in penalty.state_dict()["memory"].values())

    penalty.remember(0)
    one = stored()
    penalty.remember(1)
    assert stored() - one == 3 * len(hypernet.chunk_embeddings)


def test_of_many_old_tasks_some_are_drawn_and_right_on_average() -> None:
    """Up to MOST_TASKS all are looked at; beyond, each call takes as many at random, from torch's global generator."""
    torch.manual_seed(0)
    most = hl.regularizers.MOST_TASKS
    hypernet = hl.ChunkedHypernet(nn.Linear(4, 3), most + 4, chunk_size=6, task_dim=3, chunk_dim=2, hidden=[4]).double()
    drawn, exact = hl.OutputRegularizer(hypernet, 0.3), hl.OutputRegularizer(hypernet, 0.3, "gram")
    for task in range(most + 2):
        for penalty in (drawn, exact):
            penalty.remember(task)
        move(hypernet, 0.1)
        assert torch.equal(drawn(), exact()) == (task < most)
    values = torch.stack([drawn().detach() for _ in range(2000)])
    spread = float(values.std() / values.mean())
    assert 0.01 < spread < 1
    assert abs(float(values.mean() / exact().detach()) - 1) < 5 * spread / 2000**0.5
    torch.manual_seed(1)
    first = value_and_gradients(drawn)
    torch.manual_seed(1)
    torch.testing.assert_close(value_and_gradients(drawn), first, rtol=0, atol=0)


@pytest.mark.parametrize("form", ["direct", "gram"])
def test_drawn_tasks_are_those_of_the_definition(form: Any) -> None:
    hypernet = make_chunked(0, [5, 4, 2], [3], 7, "tanh")
    penalty = hl.OutputRegularizer(hypernet, 1.0, form)
    for task in range(3):
        penalty.remember(task)
    targets = hypernet.flat([2, 0]).detach()
    move(hypernet, 0.1)
    expected = (hypernet.write(hypernet.task_embeddings.detach()[[2, 0]]) - targets).square().sum()
    torch.testing.assert_close(penalty.memory.distance(torch.tensor([2, 0])), expected)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(hl.InputError, match="no form 'fast'; there are auto, gram and direct"):
        hl.OutputRegularizer(make_chunked(0, [5, 4, 2], [3], 7, "relu"), 1.0, "fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("beta", [-1.0, float("nan"), float("inf")])
def test_a_wrong_beta_is_refused(beta: float) -> None:
    with pytest.raises(hl.InputError, match="beta must be a number >= 0"):
        hl.OutputRegularizer(make_chunked(0, [5, 4, 2], [3], 7, "relu"), beta)


def test_a_task_is_remembered_once_and_must_exist() -> None:
    penalty = hl.OutputRegularizer(make_chunked(0, [5, 4, 2], [3], 7, "relu"), 1.0)
    penalty.remember(0)
    with pytest.raises(hl.InputError, match="task 0 is remembered already"):
        penalty.remember(0)
    with pytest.raises(hl.InputError, match="no task 9"):
        penalty.remember(9)


@pytest.mark.parametrize(
    "kind",
    [
        torch.optim.Adam,
        partial(torch.optim.Adam, fused=True),
        partial(torch.optim.AdamW, amsgrad=True),
        torch.optim.SGD,
        partial(torch.optim.SGD, momentum=0.9),
    ],
)
def test_lookahead_is_the_step_that_the_optimizer_takes(kind: Callable[..., torch.optim.Optimizer]) -> None:
    """Inside the block the weights are those after optimizer.step(); afterwards all is back, to the bit."""
    hypernet = make_chunked(0, [5, 4, 2], [3], 7, "relu")
    optimizer = kind(hypernet.parameters(), lr=0.01)
    for _ in range(3):
        before = [p.detach().clone() for p in hypernet.parameters()]
        optimizer.zero_grad()
        hypernet.flat([0, 1]).square().sum().backward()
        state = deepcopy(optimizer.state_dict())
        with hl.lookahead(optimizer):
            ahead = [p.detach().clone() for p in hypernet.parameters()]
        assert all(map(torch.equal, hypernet.parameters(), before))
        torch.testing.assert_close(optimizer.state_dict(), state, rtol=0, atol=0)
        optimizer.step()
        assert all(map(torch.equal, hypernet.parameters(), ahead))
        assert not any(map(torch.equal, before, ahead))


def test_lookahead_may_move_some_weights_only() -> None:
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    optimizer = torch.optim.Adam([*layers[0].parameters(), *layers[1].parameters()], lr=0.1)
    layers[1](layers[0](torch.ones(1, 2))).sum().backward()
    before = [layer.weight.detach().clone() for layer in layers]
    with hl.lookahead(optimizer, only=layers[0].parameters()):
        assert not torch.equal(layers[0].weight, before[0])
        assert torch.equal(layers[1].weight, before[1])
        assert layers[1].weight.grad is not None  # what is computed inside adds to it
    assert all(torch.equal(layer.weight, value) for layer, value in zip(layers, before, strict=True))


def test_a_step_that_fails_loses_no_gradient() -> None:
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    (p.sum() + q.sum()).backward()
    with pytest.raises(TypeError, match="closure"), hl.lookahead(torch.optim.LBFGS([p, q]), only=[p]):
        pass
    assert q.grad is not None
    assert torch.equal(p, torch.ones(2))


def test_lookahead_without_a_gradient_moves_nothing() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    with hl.lookahead(torch.optim.Adam(layer.parameters())):
        assert torch.equal(layer.weight, before)
