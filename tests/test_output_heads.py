"""Outputs of its own for each task, behind a hypernetwork."""

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn import recipes
from hyperlearn.data import Batch
from hyperlearn.fisher import fisher_information
from hyperlearn.methods.hypernet import HypernetLearner

DIGITS = hl.benchmarks.split_digits()
METHODS = ["hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow"]
TASKS, CLASSES = len(DIGITS), DIGITS.classes_per_task


def learner(method: str = "hnet") -> HypernetLearner:
    torch.manual_seed(0)
    config = recipes.configure(method, "split-digits", target="mlp-10", chunk_size=200, output_heads="per-task")
    made = config.learner_class(config, config.setting(DIGITS, "cl1", "cl2", "cl3"))
    assert isinstance(made, HypernetLearner)
    return made


def own(task: int) -> slice:
    return slice(task * CLASSES, (task + 1) * CLASSES)


def generated(made: HypernetLearner, task: int) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name: value.clone().requires_grad_() for name, value in made.hypernet(task).items()}


@pytest.mark.parametrize("method", METHODS)
def test_they_learn_and_the_record_says_so(method: str) -> None:
    shared = hl.run(method, DIGITS, iterations=1)
    made = hl.run(method, DIGITS, output_heads="per-task")
    assert made.metrics.during_accuracy > 0.95
    assert made.config == {**shared.config, "iterations": made.config["iterations"], "output_heads": "per-task"}
    hidden = 100  # of the recipe's target
    assert made.parameters.target - shared.parameters.target == (hidden + 1) * CLASSES * (TASKS - 1)


def test_a_task_moves_its_own_outputs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner()
    made.learned = 2
    written = generated(made, 2)
    monkeypatch.setattr(made.hypernet, "forward", lambda task: written)
    train = DIGITS.tasks[2].train
    made.task_loss(Batch(train.images[:32].float() / 255, train.labels[:32], train.tasks[:32])).backward()
    weight = written["layers.1.weight"].grad
    assert weight is not None
    assert weight[own(2)].any()
    weight[own(2)] = 0
    assert not weight.any()


def test_importance_is_that_of_the_tasks_own_outputs() -> None:
    made = learner("hnet-iwr")
    train = DIGITS.tasks[3].train
    found = made.importance(3, train)
    params = {name: value.detach() for name, value in made.hypernet(3).items()}
    params |= {name: params[name][own(3)] for name in ("layers.1.weight", "layers.1.bias")}
    alone = fisher_information(hl.nets.parse("mlp-10")((8, 8), CLASSES), params, train.images, train.labels)
    for name in ("layers.1.weight", "layers.1.bias"):
        torch.testing.assert_close(found[name][own(3)], alone[name])
        found[name][own(3)] = 0
        assert not found[name].any()
    torch.testing.assert_close(found["layers.0.weight"], alone["layers.0.weight"])


def test_each_tasks_network_is_asked_for_its_own_outputs() -> None:
    """The task whose own outputs are surest, and the label that they say: against a loop over the tasks."""
    made = learner()
    made.learned = TASKS
    images = torch.randn(40, 8, 8)
    with torch.no_grad():
        logits = []
        for task in range(TASKS):
            outputs = torch.func.functional_call(made.target, made.hypernet(task), (images,))
            logits.append(outputs[:, own(task)])
            given = made.predict(images, task, "cl1")
            assert torch.equal(given.labels, logits[-1].argmax(1))
        entropies = torch.stack([torch.distributions.Categorical(logits=each).entropy() for each in logits])
        found = made.predict(images, None, "cl3")
    assert torch.equal(found.tasks, entropies.argmin(0))
    assert len(found.tasks.unique()) > 1
    assert torch.equal(found.labels, torch.stack(logits)[found.tasks, torch.arange(40)].argmax(1))


def test_a_module_with_too_few_logits() -> None:
    target = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    with pytest.raises(
        hl.InputError, match="the target needs 10 logits, 2 of its own for each of 5 tasks; this one has 2"
    ):
        hl.run("hnet", DIGITS, target=target, output_heads="per-task", iterations=1, chunk_size=50)


def test_several_seeds_at_once() -> None:
    two = hl.benchmarks.first(DIGITS, 2)
    config = recipes.configure("hnet", "split-digits", iterations=20, output_heads="per-task")
    together = hl.replicas.train_replicas(hl.RunSpec(config, two), [0, 1])
    for seed, results in enumerate(together):
        alone = hl.fit(config, two, seed).results["cl3"]
        assert results["cl3"].accuracy_matrix[0] == pytest.approx(alone.accuracy_matrix[0], abs=0.02)
        assert results["cl3"].average_accuracy == pytest.approx(alone.average_accuracy, abs=0.05)
