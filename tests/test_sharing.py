"""The present task is written along with what the penalty needs of the old ones, and nothing changes by that."""

from typing import Any

import pytest
import torch
from torch import Tensor

import hyperlearn as hl
from hyperlearn import remembered

TARGET = hl.nets.MLP(7, [5], 3)  # 58 values: chunks of 8 are cut, those of 29 are not
KINDS: dict[str, dict[str, Any]] = {
    "chunked, cut": {"chunk_size": 8, "hidden": [4]},
    "chunked, whole": {"chunk_size": 29, "hidden": [4]},
    "chunked, wide": {"chunk_size": 8, "hidden": [20]},
    "lstm, cut": {"chunk_size": 8, "hidden_size": 6},
    "lstm, whole": {"chunk_size": 29, "hidden_size": 6},
    "on a base": {"chunk_size": 8, "hidden": [4], "base": "target"},
    "a part": {"chunk_size": 8, "hidden": [4], "generate": ["layers.0.*"]},
}


def hypernet_of(kind: str) -> hl.EmbeddingHypernet:
    torch.manual_seed(0)
    make: Any = hl.LSTMHypernet if kind.startswith("lstm") else hl.ChunkedHypernet
    hypernet: hl.EmbeddingHypernet = make(TARGET, 4, task_dim=3, chunk_dim=2, **KINDS[kind]).double()
    return hypernet


def after_two_tasks(hypernet: hl.EmbeddingHypernet, form: Any, kind: Any = hl.OutputRegularizer) -> Any:
    penalty = kind(hypernet, 0.3, form)
    for task in range(2):
        penalty.remember(task)
        with torch.no_grad():
            for p in hypernet.parameters():
                p.add_(0.1 * torch.randn_like(p))
    return penalty


def loss_of(hypernet: hl.EmbeddingHypernet) -> Tensor:
    """A loss of the parameters for task 2, each of which counts otherwise."""
    flat = torch.cat([p.flatten() for p in hypernet(2).values()])
    return (flat.sin() * torch.arange(1, len(flat) + 1)).sum()


def gradients(loss: Tensor, hypernet: hl.EmbeddingHypernet) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(hypernet.parameters())))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["gram", "direct"])
def test_value_and_gradients_are_those_of_two_calls(kind: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "SLICE", 3)
    hypernet = hypernet_of(kind)
    penalty = after_two_tasks(hypernet, form)
    apart = loss_of(hypernet) + penalty()
    with hypernet.sharing(2):
        together = penalty() + loss_of(hypernet)
    torch.testing.assert_close(together, apart)
    for got, expected in zip(gradients(together, hypernet), gradients(apart, hypernet), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("form", ["gram", "direct"])
def test_features_are_computed_once_and_for_the_shared_task_alone(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hypernet: Any = hypernet_of("chunked, cut")
    penalty, rows, features = after_two_tasks(hypernet, form), [], hypernet.features

    def counted(embeddings: Tensor) -> Any:
        rows.append(len(embeddings))
        return features(embeddings)

    monkeypatch.setattr(hypernet, "features", counted)
    with hypernet.sharing(2):
        penalty()
        hypernet(2)
        assert rows == [3]
        torch.testing.assert_close(hypernet(3), hypernet.complete(hypernet.flat(3)[0]))  # another is written by itself
    rows.clear()
    hypernet(2)
    assert rows == [1]  # nothing is kept


def test_a_penalty_of_ones_own_is_called_and_not_passed_over() -> None:
    class Doubled(hl.OutputRegularizer):
        def __call__(self) -> Tensor:
            return 2 * super().__call__()

    hypernet = hypernet_of("chunked, cut")
    single, double = after_two_tasks(hypernet, "auto"), Doubled(hypernet, 0.3)
    double.load_state_dict(single.state_dict())
    with hypernet.sharing(2):
        torch.testing.assert_close(double(), 2 * single())


def test_a_hook_on_the_head_is_called() -> None:
    hypernet: Any = hypernet_of("chunked, cut")
    penalty, seen = after_two_tasks(hypernet, "gram"), []
    hypernet.head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    with hypernet.sharing(2):
        penalty()
        hypernet(2)
    assert len(seen) == 1


def test_under_autocast_each_is_computed_by_itself() -> None:
    """What is written for the loss may be rounded then, and what a penalty takes differences of may not."""
    hypernet = hypernet_of("chunked, cut").float()
    penalty = after_two_tasks(hypernet, "gram")
    with torch.autocast("cpu", dtype=torch.bfloat16), hypernet.sharing(2):
        exact = penalty()
        rounded = hypernet(2)
    assert exact.dtype == torch.float32
    torch.testing.assert_close(exact, penalty())
    differ = [not torch.equal(now, hypernet(2)[name]) for name, now in rounded.items()]
    assert any(differ)


@pytest.mark.parametrize(("rows", "columns"), [(3, 2), (64, 5), (65, 5), (71, 1)])
def test_a_tall_product_is_a_product(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "SLICE", 8)
    by_columns, by_rows = torch.randn(columns, rows).T, torch.randn(rows, columns)
    for b in (by_columns, by_rows):
        a = torch.randn(4, rows).T
        torch.testing.assert_close(remembered._tall_product(a, b), a.T @ b)


@pytest.mark.parametrize(("draws", "first"), [(True, "loss"), (False, "penalty")])
def test_a_penalty_that_draws_comes_after_the_loss(draws: bool, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task's loss draws its random numbers first, as in all records."""
    config = hl.recipes.configure("hnet", "split-digits", lookahead=False)
    benchmark = hl.benchmarks.split_digits()
    learner: Any = config.learner_class(config, config.setting(benchmark, "cl1"))
    order: list[str] = []

    class Watched:
        def __call__(self) -> Tensor:
            order.append("penalty")
            return torch.zeros(())

    Watched.draws = draws  # type: ignore[attr-defined]
    monkeypatch.setattr(learner, "regularizer", Watched())
    task_loss = learner.task_loss
    monkeypatch.setattr(learner, "task_loss", lambda batch: order.append("loss") or task_loss(batch))  # type: ignore[func-returns-value]
    learner.loss(benchmark.tasks[0].train[:4])
    assert order[0] == first
    assert len(order) == 2
