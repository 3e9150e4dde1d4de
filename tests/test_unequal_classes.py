"""Tasks of unequal numbers of classes, with every method and in every scenario."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.benchmarks import Benchmark, Task
from hyperlearn.data import Batch, Examples
from hyperlearn.inference import entropy, infer_by_entropy
from hyperlearn.methods import METHODS, SCENARIOS, Scenario, Setting
from hyperlearn.methods.base import Classifier
from hyperlearn.methods.hypernet import HypernetLearner
from hyperlearn.methods.lwf import distillation

COUNTS = (2, 4, 3)
SETTING = Setting(3, 4, ("cl1",), lambda outputs: hl.nets.MLP(5, [], outputs), (5,), COUNTS)
SHORT: dict[str, Any] = {"iterations": 3, "batch_size": 8, "images_per_class": 8, "device": "cpu"}


def digits(*groups: tuple[int, ...]) -> Benchmark:
    """The digits, so many of them in each task."""
    source = hl.data.digits()

    def part(images: Tensor, labels: Tensor, classes: tuple[int, ...]) -> Examples:
        rows = torch.isin(labels, torch.tensor(classes))
        own = torch.searchsorted(torch.tensor(classes), labels[rows])
        return Examples(images[rows], own, torch.zeros_like(own))

    tasks = []
    for classes in groups:
        train = part(*source[:2], classes)
        tasks.append(Task(train, train.take(slice(0)), part(*source[2:], classes), tuple(map(str, classes))))
    return Benchmark("split-digits", tuple(tasks))  # for its recipes


DIGITS = digits((0, 1), (2, 3, 4, 5), (6, 7, 8))


def sizes(method: str) -> dict[str, Any]:
    hypernet = "net" in method and method != "finetune"
    replay = method.startswith("dgr") or method.endswith("-r")
    return (
        SHORT
        | {"target": "mlp-20"}
        | ({"chunk_size": 300} if hypernet else {})
        | ({"encoder_hidden": (20,), "decoder_hidden": (20,), "latent": 4} if replay else {})
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_through_every_scenario(method: str) -> None:
    for scenario in SCENARIOS:
        result = hl.run(method, DIGITS, scenario, **sizes(method))
        assert len(result.accuracy_matrix) == 3
        assert (result.metrics.task_inference_accuracy is None) == (scenario == "cl1") or scenario == "cl2"


@pytest.mark.parametrize("method", ["hnet", "hnet-iwr", "lstm-net-grow"])
def test_heads_of_their_own(method: str) -> None:
    shared, own = (hl.run(method, DIGITS, **sizes(method), output_heads=heads) for heads in (None, "per-task"))
    assert own.parameters.target - shared.parameters.target == 21 * (sum(COUNTS) - max(COUNTS))


@pytest.mark.parametrize("method", ["finetune", "scratch", "ewc", "joint", "hnet", "lstm-net", "lstm-net-grow"])
def test_they_learn(method: str) -> None:
    result = hl.run(method, DIGITS, device="cpu")
    assert result.metrics.during_accuracy > 0.93
    if method in ("scratch", "joint", "hnet", "lstm-net", "lstm-net-grow"):
        assert result.average_accuracy > 0.93


def test_all_classes_are_told_apart() -> None:
    assert hl.run("joint", DIGITS, "cl3", device="cpu").average_accuracy > 0.9


# A network for all tasks


def classifier(scenario: Scenario) -> Classifier:
    torch.manual_seed(0)
    return Classifier(SETTING, scenario)


@pytest.mark.parametrize(("scenario", "outputs"), [("cl1", 9), ("cl2", 4), ("cl3", 9)])
def test_outputs_of_each_scenario(scenario: Scenario, outputs: int) -> None:
    made = classifier(scenario)
    assert made.outputs == outputs
    columns = {"cl1": [(0, 2), (2, 6), (6, 9)], "cl2": [(0, 4)] * 3, "cl3": [(0, 2), (0, 6), (0, 9)]}[scenario]
    assert [made.columns(task, task + 1) for task in range(3)] == [slice(*each) for each in columns]


def test_a_batch_of_several_tasks_in_cl1() -> None:
    made, images, tasks = classifier("cl1"), torch.rand(6, 5), torch.tensor([0, 1, 2, 2, 1, 0])
    out, logits = made(images), made.logits(images, tasks, seen=3)
    assert logits.shape == (6, 4)
    for row, task in enumerate(tasks.tolist()):
        count = COUNTS[task]
        assert torch.equal(logits[row, :count], out[row, made.columns(task, 3)])
        assert logits[row, count:].isneginf().all()
    batch = Batch(images, torch.tensor([1, 3, 2, 0, 0, 0]), tasks)
    loss = made.cross_entropy(batch, seen=3)
    each = [
        nn.functional.cross_entropy(out[row, made.columns(task, 3)], batch.labels[row])
        for row, task in enumerate(tasks.tolist())
    ]
    assert torch.allclose(loss, torch.stack(each).mean())
    loss.backward()
    (weight, *_) = made.net.parameters()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_classes_of_all_tasks_one_after_the_other() -> None:
    pairs = [(label, task) for task, count in enumerate(COUNTS) for label in range(count)]
    labels, tasks = (torch.tensor(each) for each in zip(*pairs, strict=True))
    assert SETTING.among_all(labels, tasks).tolist() == list(range(9))
    found = SETTING.within_tasks(torch.arange(9))
    assert torch.equal(found.labels, labels)
    assert torch.equal(found.tasks, tasks)
    alike = Setting(3, 4, ("cl3",), SETTING.make_target)
    assert alike.starts == (0, 4, 8, 12)
    assert alike.among_all(torch.tensor([1]), torch.tensor([2])).tolist() == [9]
    assert [each.item() for each in alike.within_tasks(torch.tensor([9]))] == [1, 2]


def test_cl3_predicts_among_what_was_seen() -> None:
    made, images = classifier("cl3"), torch.rand(50, 5)
    for seen in (1, 2, 3):
        found = made.predict(images, None, seen)
        best = made(images)[:, : sum(COUNTS[:seen])].argmax(1)
        assert torch.equal(SETTING.among_all(found.labels, found.tasks), best)
        assert (found.labels < torch.tensor(COUNTS)[found.tasks]).all()


def test_a_masked_class_is_not_distilled() -> None:
    """The heads of two classes and of three, padded, are held as each head by itself would be."""
    torch.manual_seed(0)
    new, old = torch.randn(2, 7, 2, 3, requires_grad=True)
    mask = torch.tensor([[False, False, True], [False] * 3])
    padded = distillation(new.masked_fill(mask, -torch.inf), old.masked_fill(mask, -torch.inf), 2.0)
    each = [distillation(new[:, 0, :2], old[:, 0, :2], 2.0), distillation(new[:, 1], old[:, 1], 2.0)]
    assert torch.allclose(padded, torch.stack(each).mean())
    assert torch.autograd.grad(padded, new)[0].isfinite().all()


# Networks of their own


@pytest.mark.parametrize("method", ["scratch", "hnet", "lstm-net"])
def test_labels_lie_within_the_task(method: str) -> None:
    config = hl.recipes.configure(method, "split-digits")
    torch.manual_seed(0)
    learner = config.learner_class(config, config.setting(DIGITS, *SCENARIOS)).eval()
    images = torch.cat([task.test[:].images for task in DIGITS.tasks])
    for learned in (1, 3):
        learner.learned = learned
        with torch.no_grad():
            found = learner.predict(images, None, "cl3")
            assert found.tasks.max() < learned
            assert (found.labels < torch.tensor(COUNTS)[found.tasks]).all()
            for task, count in enumerate(COUNTS):
                labels = learner.predict(images, task, "cl1").labels
                assert labels.max() < count


def test_importance_is_of_the_classes_there_are() -> None:
    config = hl.recipes.configure("hnet-iwr", "split-digits")
    learner = config.learner_class(config, config.setting(DIGITS, "cl1"))
    assert isinstance(learner, HypernetLearner)
    bias = learner.importance(0, DIGITS.tasks[0].train)["layers.2.bias"]
    assert (bias[:2] > 0).all()
    assert not bias[2:].any()


def test_entropy_is_measured_by_its_largest() -> None:
    """A network that knows nothing is as unsure of two classes as of four; one that is half sure is surer."""
    inf = torch.inf
    nothing, half = torch.tensor([[0.0, 0.0, -inf, -inf]]), torch.tensor([[3.0, 3.0, 0.0, 0.0]])
    assert entropy(half) > entropy(nothing)
    assert infer_by_entropy(torch.stack([nothing, half])).tasks.tolist() == [0]
    assert infer_by_entropy(torch.stack([nothing, half]), (2, 4)).tasks.tolist() == [1]
    assert infer_by_entropy(torch.stack([nothing, half]), (4, 4)).tasks.tolist() == [0]


def test_no_task_is_inferred_from_one_class() -> None:
    benchmark = digits((0, 1), (2,))
    for method in ("hnet", "scratch"):
        assert hl.run(method, benchmark, "cl1", **sizes(method)).accuracy_matrix[1][1] == 1
        with pytest.raises(hl.InputError, match="task 1 has one class, of which it is always sure"):
            hl.run(method, benchmark, "cl3", **sizes(method))


def test_a_target_by_hand_needs_the_largest_number() -> None:
    hl.run("hnet", DIGITS, **{**sizes("hnet"), "target": hl.nets.MLP(64, [5], 4)})
    with pytest.raises(hl.InputError, match="the target needs 4 logits; this one has 3"):
        hl.run("hnet", DIGITS, **{**sizes("hnet"), "target": hl.nets.MLP(64, [5], 3)})
    with pytest.raises(hl.InputError, match="needs 9 logits, 2 to 4 of its own for each of 3 tasks; this one has 8"):
        hl.run("hnet", DIGITS, output_heads="per-task", **{**sizes("hnet"), "target": hl.nets.MLP(64, [5], 8)})


def test_the_benchmark_says_how_many() -> None:
    assert DIGITS.class_counts == COUNTS
    assert DIGITS.classes_per_task == 4
    assert set(SCENARIOS) == set(get_args(Scenario))
