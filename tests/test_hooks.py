"""The hooks that a learner documents are called, or their override is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

import hyperlearn as hl
from hyperlearn.data import Batch
from hyperlearn.methods import HypernetLearner, Learner
from hyperlearn.methods.ewc import EWC
from hyperlearn.methods.hypernet_replay import HypernetReplayLearner
from hyperlearn.methods.si import SI

BENCHMARK = hl.benchmarks.first(hl.benchmarks.limited(hl.benchmarks.split_digits(), 20), 3)
LEARNERS: dict[str, type[Learner]] = {"ewc": EWC, "si": SI, "hnet": HypernetLearner, "hnet-r": HypernetReplayLearner}


def learner_of(method: str, kind: type[Learner], **changed: Any) -> Learner:
    config = hl.recipes.configure(method, "split-digits", iterations=4, batch_size=8, **changed)
    return kind(config, config.setting(BENCHMARK, "cl1"))


def doubled(base: type[Learner], hook: str) -> type[Learner]:
    def override(self: Any, batch: Batch) -> Tensor:
        loss: Tensor = getattr(super(kind, self), hook)(batch)
        return 2 * loss

    kind = type("Doubled", (base,), {hook: override})
    return kind


@pytest.mark.parametrize("method", LEARNERS)
def test_an_override_that_would_not_be_called_is_refused(method: str) -> None:
    kind = doubled(LEARNERS[method], "loss")
    with pytest.raises(hl.InputError, match=r"Doubled overrides loss, .* override task_loss"):
        learner_of(method, kind)


@pytest.mark.parametrize("hook", ["loss", "task_loss"])
def test_without_a_step_ahead_both_hooks_are_called(hook: str) -> None:
    twice = gradients("hnet", doubled(HypernetLearner, hook), lookahead=False)
    for double, single in zip(twice, gradients("hnet", HypernetLearner, lookahead=False), strict=True):
        torch.testing.assert_close(double, 2 * single)


@pytest.mark.parametrize("method", LEARNERS)
def test_an_own_task_loss_is_what_the_step_takes(method: str) -> None:
    twice = gradients(method, doubled(LEARNERS[method], "task_loss"))
    for double, single in zip(twice, gradients(method, LEARNERS[method]), strict=True):
        torch.testing.assert_close(double, 2 * single)


def gradients(method: str, kind: type[Learner], **changed: Any) -> list[Tensor]:
    torch.manual_seed(0)
    learner = learner_of(method, kind, **changed)
    learner.begin_task(0)
    learner.backward(BENCHMARK.tasks[0].train[:8], SGD(learner.trainable(), lr=0.1))
    return [p.grad for p in learner.parameters() if p.grad is not None]


@pytest.mark.parametrize("method", ["hnet", "hnet-iwr", "lstm-net", "hnet-r"])
@pytest.mark.parametrize("lookahead", [True, False])
def test_an_old_embedding_stays_under_any_optimizer(method: str, lookahead: bool) -> None:
    """Weight decay moves all rows of a parameter, and so does the momentum of an optimizer that is kept."""
    torch.manual_seed(0)
    config = hl.recipes.configure(method, "split-digits", lookahead=lookahead)
    learner: Any = config.learner_class(config, config.setting(BENCHMARK, "cl1"))
    optimizer: Optimizer = AdamW(learner.trainable(), lr=0.01, weight_decay=0.1)
    for task in range(3):
        train = BENCHMARK.tasks[task].train
        learner.begin_task(task)
        before = learner.hypernet.task_embeddings.detach().clone()
        for _ in range(3):
            optimizer.zero_grad()
            learner.backward(train[:8], optimizer)
            optimizer.step()
            learner.after_step()
        after = learner.hypernet.task_embeddings.detach()
        assert torch.equal(after[:task], before[:task])
        assert not torch.equal(after[task], before[task])
        learner.end_task(task, train)


def test_a_new_task_leaves_no_gradients_behind() -> None:
    hypernet = hl.GrowingLSTMHypernet(torch.nn.Linear(4, 2), chunk_size=4, task_dim=5, chunk_dim=6, hidden_size=7)
    optimizer = SGD(hypernet.parameters(), lr=0.1)
    hypernet.flat(0).sum().backward()
    before = hypernet.flat(0).detach()
    hypernet.add_task()
    optimizer.step()  # of an optimizer that knows the first task's weights
    assert torch.equal(hypernet.flat(0), before)
    assert all(p.grad is None for p in hypernet.parameters())


def test_a_new_task_of_a_cold_start_has_an_embedding_of_its_own() -> None:
    sizes: dict[str, Any] = {"chunk_size": 4, "task_dim": 50, "chunk_dim": 6, "hidden_size": 7}
    for warm in (True, False):
        torch.manual_seed(0)
        hypernet = hl.GrowingLSTMHypernet(torch.nn.Linear(4, 2), **sizes, warm_start=warm)
        with torch.no_grad():
            hypernet.task_embeddings[0].fill_(100.0)
        hypernet.add_task()
        assert (hypernet.task_embeddings[1].abs().max() < 10) != warm
