"""A linear layer that lies by columns is, from outside, the linear layer that it was made of."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

import hyperlearn as hl
from hyperlearn.hypernets.columns import NARROW, ColumnLinear


@pytest.fixture
def pair() -> tuple[nn.Linear, ColumnLinear]:
    torch.manual_seed(0)
    linear = nn.Linear(3, 50)
    return linear, ColumnLinear(linear)


def test_lies_by_columns(pair: tuple[nn.Linear, ColumnLinear]) -> None:
    _, narrow = pair
    assert narrow.columns.is_contiguous()
    assert narrow.weight.shape == (50, 3)
    assert {name for name, _ in narrow.named_parameters()} == {"columns", "bias"}


def test_trains_as_the_layer_that_it_was_made_of(pair: tuple[nn.Linear, ColumnLinear]) -> None:
    x, y = torch.randn(8, 3), torch.randn(8, 50)
    for layer in pair:
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
        for _ in range(5):
            optimizer.zero_grad()
            (layer(x) - y).square().sum().backward()
            optimizer.step()
    linear, narrow = pair
    torch.testing.assert_close(narrow.weight, linear.weight)
    torch.testing.assert_close(narrow.bias, linear.bias)


def test_what_is_written_into_the_weight_is_kept(pair: tuple[nn.Linear, ColumnLinear]) -> None:
    _, narrow = pair
    with torch.no_grad():
        narrow.weight[7] = 2.0
    assert narrow.columns[:, 7].tolist() == [2.0, 2.0, 2.0]


def test_state_dicts_are_those_of_a_linear_layer(pair: tuple[nn.Linear, ColumnLinear]) -> None:
    linear, narrow = pair
    state = nn.Sequential(narrow).state_dict()
    assert {name: p.shape for name, p in state.items()} == {"0.weight": (50, 3), "0.bias": (50,)}
    other = ColumnLinear(nn.Linear(3, 50))
    other.load_state_dict(linear.state_dict())
    assert torch.equal(other.weight, linear.weight)
    plain = nn.Linear(3, 50)
    nn.Sequential(plain).load_state_dict(state)
    assert torch.equal(plain.weight, linear.weight)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({"bias": linear.bias})


def test_can_be_copied_and_pickled(pair: tuple[nn.Linear, ColumnLinear]) -> None:
    linear, narrow = pair
    for copy in (deepcopy(narrow), pickle.loads(pickle.dumps(narrow))):
        assert torch.equal(copy.weight, linear.weight)
        assert list(copy.state_dict()) == list(narrow.state_dict())


@pytest.mark.parametrize(("hidden", "kind"), [([NARROW - 1], ColumnLinear), ([NARROW], nn.Linear)])
def test_a_hypernetwork_with_a_narrow_head_has_one(hidden: list[int], kind: type[nn.Linear]) -> None:
    target = nn.Linear(9, 5)
    hypernet = hl.ChunkedHypernet(target, 2, chunk_size=20, task_dim=4, chunk_dim=4, hidden=hidden)
    assert type(hypernet.head) is kind
