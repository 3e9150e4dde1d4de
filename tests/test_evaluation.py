"""Metrics against matrices worked out by hand, and accuracy against a learner whose answers are known."""

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn import evaluation
from hyperlearn.data import Batch, Examples
from hyperlearn.inference import Prediction
from hyperlearn.methods import Config, Learner, Setting, Sizes

MATRIX = [[0.9, 0.1, 0.2], [0.5, 0.8, 0.3], [0.7, 0.6, 1.0]]


def test_metrics_by_hand() -> None:
    assert evaluation.average_accuracy(MATRIX) == pytest.approx((0.7 + 0.6 + 1.0) / 3)
    assert evaluation.during_accuracy(MATRIX) == pytest.approx((0.9 + 0.8 + 1.0) / 3)
    assert evaluation.forgetting(MATRIX) == pytest.approx(((0.9 - 0.7) + (0.8 - 0.6)) / 2)
    assert evaluation.backward_transfer(MATRIX) == pytest.approx(((0.7 - 0.9) + (0.6 - 0.8)) / 2)
    assert evaluation.forward_transfer(MATRIX, [0.5, 0.25, 0.5]) == pytest.approx(((0.1 - 0.25) + (0.3 - 0.5)) / 2)


def test_forgetting_counts_from_the_best_and_not_from_the_first() -> None:
    matrix = [[0.5, 0.0, 0.0], [0.9, 0.8, 0.0], [0.6, 0.8, 1.0]]
    assert evaluation.forgetting(matrix) == pytest.approx(0.15)
    assert evaluation.backward_transfer(matrix) == pytest.approx(0.05)


def test_one_task_has_nothing_to_forget() -> None:
    assert evaluation.forgetting([[1.0]]) is None
    assert evaluation.backward_transfer([[1.0]]) is None
    assert evaluation.forward_transfer([[1.0]], [0.5]) is None


def test_a_matrix_that_is_not_square_is_refused() -> None:
    for matrix in ([], [[1.0, 0.0]], [[1.0], [1.0]]):
        with pytest.raises(hl.InputError, match="as many columns as rows"):
            evaluation.average_accuracy(matrix)


class Oracle(Learner):
    """Says that every image has label 1 and comes from task 0, or from the task it is told."""

    def __init__(self) -> None:
        super().__init__(Config(), Setting(2, 2, ("cl3",), lambda outputs: nn.Identity()))
        self.weight = nn.Parameter(torch.zeros(()))

    def loss(self, batch: Batch) -> Tensor:
        raise NotImplementedError

    def sizes(self, scenario: str) -> Sizes:
        raise NotImplementedError

    def predict(self, images: Tensor, task: int | None, scenario: str) -> Prediction:
        assert not self.training
        return Prediction(torch.ones(len(images)).long(), torch.full((len(images),), task or 0))


def test_each_task_needs_an_accuracy_before_training() -> None:
    with pytest.raises(hl.InputError, match="1 accuracies before training, but 2 tasks"):
        evaluation.forward_transfer([[1.0, 0.5], [0.6, 1.0]], untrained=[0.5])


def test_what_counts_as_right_in_each_scenario() -> None:
    labels = torch.tensor([0, 1, 1, 1])
    examples = Examples(torch.zeros(4, 1), labels, torch.ones(4).long())
    oracle = Oracle()
    assert evaluation.accuracy(oracle, examples, "cl1", task=1) == (0.75, None)
    assert evaluation.accuracy(oracle, examples, "cl2", task=1) == (0.75, 0.0)  # the label is right, the task is not
    assert evaluation.accuracy(oracle, examples, "cl3", task=1) == (0.0, 0.0)
    assert evaluation.accuracy(oracle, examples, "cl3", task=0) == (0.75, 1.0)
    assert evaluation.accuracies(oracle, examples, ["cl3", "cl2"], task=1) == ([0.0, 0.75], 0.0)
    assert oracle.training  # evaluation leaves the mode as it was


def test_what_grew_after_a_task_is_no_forgetting() -> None:
    """The best is that of before the last task: with the end among them, a gain would count as nothing."""
    assert evaluation.forgetting([[0.5, 0.0], [0.8, 1.0]]) == pytest.approx(-0.3)


@pytest.mark.parametrize("method", ["scratch", "hnet", "lstm-net", "lstm-net-grow"])
def test_a_task_is_inferred_among_those_that_were_learnt(method: str) -> None:
    """Networks that were not trained yet may be as sure as they like."""
    benchmark = hl.benchmarks.split_digits()
    config = hl.recipes.configure(method, "split-digits")
    learner = config.learner_class(config, config.setting(benchmark, "cl1", "cl2", "cl3"))
    images = benchmark.tasks[3].test[:].images
    torch.manual_seed(0)
    for task in range(2):
        learner.begin_task(task)
        learner.end_task(task, benchmark.tasks[task].train)
        with torch.no_grad():  # the later networks are surer
            for number, net in enumerate(getattr(learner, "nets", [])):
                net.layers[-1].weight.mul_(0.01 if number <= task else 10.0)
            if isinstance(getattr(learner, "hypernet", None), hl.EmbeddingHypernet):
                learner.hypernet.task_embeddings[: task + 1].mul_(1e-3)  # type: ignore[union-attr, index]
                learner.hypernet.task_embeddings[task + 1 :].mul_(30.0)  # type: ignore[union-attr, index]
        tasks = learner.eval().predict(images, None, "cl3").tasks
        assert tasks.max() <= task
