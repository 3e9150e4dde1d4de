"""Tasks without classes: targets, losses and metrics, from a benchmark to a record."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from narrowing import narrow
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import hyperlearn as hl
from hyperlearn import commands, metrics, plots, results
from hyperlearn.benchmarks import Benchmark, Task, from_datasets, polynomials
from hyperlearn.data import Batch, Examples
from hyperlearn.fisher import fisher_information
from hyperlearn.methods import METHODS, Setting
from hyperlearn.methods.base import Classifier
from hyperlearn.objectives import METRICS, Metric, Objective

PLAIN = ["finetune", "scratch", "joint", "ewc", "online-ewc", "si"]
HYPERNETS = ["hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow"]
SETTINGS: dict[str, Any] = {"target": "mlp-30-30", "batch_size": 32, "learning_rate": 5e-3, "device": "cpu"}


def settings(method: str, iterations: int) -> dict[str, Any]:
    made = SETTINGS | {"iterations": iterations}
    if method in HYPERNETS:
        made |= {"chunk_size": 200, "task_dim": 8, "chunk_dim": 8}
    if method.startswith("hnet"):
        made |= {"hidden": (25, 25)}
    if method.startswith("lstm"):
        made |= {"hidden_size": 24}
    if method == "lstm-net":
        made |= {"beta": 0.1}
    if "ewc" in method:
        made |= {"fisher_labels": "observed", "strength": 1000.0}
    return made


def one(targets: Tensor, **options: Any) -> Benchmark:
    """One task with these targets."""
    examples = Examples(torch.rand(len(targets), 3), targets, torch.zeros(len(targets), dtype=torch.int64))
    return Benchmark("mine", (Task(examples, examples.take(slice(0)), examples, ()),), **options)


@pytest.mark.parametrize("method", ["finetune", "joint", "ewc", "hnet", "lstm-net", "lstm-net-grow"])
def test_three_polynomials(method: str) -> None:
    """von Oswald et al. 2020, figure 2: a hypernetwork learns all three, one network forgets."""
    result = hl.run(method, polynomials(), **settings(method, 300))
    assert result.metric == "mse"
    assert result.metrics.during_accuracy < 0.03
    assert min(result.untrained_accuracy) > 0.1
    forgets = {"finetune": 1.0, "ewc": 0.3}
    if method in forgets:
        assert result.average_accuracy > forgets[method]
    else:
        assert result.average_accuracy < 0.05


@pytest.mark.parametrize("method", [*PLAIN, *HYPERNETS])
def test_every_method_without_images_of_the_past(method: str, tmp_path: Path) -> None:
    scenarios = ("cl1", "cl2") if method in PLAIN and method != "scratch" else ("cl1",)
    made = replace(polynomials(), scenarios=("cl1", "cl2"))
    for scenario in scenarios:
        result = hl.run(method, made, scenario, **settings(method, 3))  # type: ignore[arg-type]
        assert results.read(results.write(result, tmp_path)).same_measurement(result)
        assert result.metrics.task_inference_accuracy is None
    if "cl2" not in scenarios:
        with pytest.raises(hl.InputError, match="entropy, by which a task is inferred, needs classes"):
            hl.run(method, made, "cl2", **settings(method, 3))


@pytest.mark.parametrize(("method", "what"), [("lwf", "distillation"), ("dgr", "replay"), ("hnet-r", "replay")])
def test_what_needs_classes_says_so(method: str, what: str) -> None:
    with pytest.raises(hl.InputError, match=f"{what} needs classes, and these tasks have targets of regression"):
        hl.run(method, polynomials(), **SETTINGS | ({"chunk_size": 30} if method == "hnet-r" else {}))
    assert {"lwf", "dgr", "hnet-r", *PLAIN, *HYPERNETS} <= set(METHODS)


@pytest.mark.parametrize("method", ["ewc", "online-ewc"])
def test_a_networks_own_outputs_are_no_targets(method: str) -> None:
    """The gradient of the squared error would be 0 there, and so would all importances."""
    with pytest.raises(hl.InputError, match=r"fisher_labels='predicted' \(give 'observed'\) needs classes"):
        hl.run(method, polynomials(), **SETTINGS)


def test_images_of_each_class_are_not_counted_without_classes() -> None:
    with pytest.raises(hl.InputError, match="polynomials: a number of images of each class needs classes"):
        hl.run("finetune", polynomials(), images_per_class=3, **SETTINGS)


# What is measured


def test_the_matrix_holds_the_mean_squared_error() -> None:
    """Against the outputs of a network that is known: none."""

    class Zero(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(outputs))

        def forward(self, x: Tensor) -> Tensor:
            return 0 * self.scale + x.new_zeros(len(x), 1)

    made = polynomials()
    result = hl.run("hnet", made, **settings("hnet", 1) | {"chunk_size": 1, "target": Zero(1)})
    expected = [task.test.labels.square().mean().item() for task in made.tasks]
    for row in [result.untrained_accuracy, *result.accuracy_matrix]:
        assert row == pytest.approx(expected, rel=1e-6)


def test_several_outputs_and_another_loss_and_metric() -> None:
    torch.manual_seed(0)
    made = one(torch.randn(20, 2), loss="mae", metric="mae")
    untrained = hl.run("finetune", made, **settings("finetune", 1))
    trained = hl.run("finetune", made, **settings("finetune", 300))
    assert trained.measure == results.Measure(loss="mae", metric="mae", lower_is_better=True)
    end, start = (narrow(float, run.accuracy_matrix[0][0]) for run in (trained, untrained))
    assert end < 0.8 * start
    outputs, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [3.0, 0.0]])
    assert METRICS["mse"].of(outputs, targets).tolist() == [2.5, 4.5]
    assert METRICS["mae"].of(outputs, targets).tolist() == [1.5, 1.5]


def near(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets).abs() < 0.2).all(1)


def huber(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.huber_loss(outputs, targets)


def test_a_loss_and_a_metric_of_ones_own() -> None:
    """Of a metric that rises forgetting is what it is for accuracies."""
    made = replace(polynomials(), loss=huber, metric=Metric("within 0.2", near, lower_is_better=False))
    result = hl.run("finetune", made, **settings("finetune", 400))
    assert result.measure == results.Measure(loss="test_regression.huber", metric="within 0.2", lower_is_better=False)
    assert result.metrics.during_accuracy > 0.8
    assert result.forgetting == metrics.forgetting(result.accuracy_matrix)


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)


@pytest.mark.parametrize("method", ["finetune", "scratch", "hnet-iwr", "lwf", "dgr"])
def test_classes_by_a_loss_of_ones_own(method: str) -> None:
    digits = hl.benchmarks.first(hl.benchmarks.split_digits(), 2)
    sizes = {"iterations": 20, "device": "cpu"}
    plain, own = (hl.run(method, replace(digits, loss=loss), **sizes) for loss in (None, smoothed))  # type: ignore[arg-type]
    assert plain.measure is None
    assert own.measure == results.Measure(loss="test_regression.smoothed", metric="accuracy", lower_is_better=False)
    assert own.metric == "accuracy"
    assert own.same_measurement(own)
    assert not own.same_measurement(plain)


def test_metrics_of_errors_by_hand() -> None:
    errors = [[0.2, 3.0, 2.0], [0.5, 0.1, 2.5], [0.4, 0.7, 0.3]]
    found = results.metrics_of(errors, [4.0, 5.0, 6.0], lower_is_better=True)
    assert found["average_accuracy"] == pytest.approx((0.4 + 0.7 + 0.3) / 3)
    assert found["during_accuracy"] == pytest.approx((0.2 + 0.1 + 0.3) / 3)
    assert found["forgetting"] == pytest.approx(((0.4 - 0.2) + (0.7 - 0.1)) / 2)
    assert found["backward_transfer"] == pytest.approx(-((0.4 - 0.2) + (0.7 - 0.1)) / 2)
    assert found["forward_transfer"] == pytest.approx(((5 - 3) + (6 - 2.5)) / 2)


# Networks


def test_several_tasks_in_one_batch() -> None:
    """What `joint` learns from in CL1: each row by its own task's head."""
    torch.manual_seed(0)
    aim = Objective("mse", nn.functional.mse_loss, METRICS["mse"])
    setting = Setting(2, 3, ("cl1",), lambda outputs: hl.nets.MLP(4, [], outputs), (4,), objective=aim)
    made, images, targets = Classifier(setting, "cl1"), torch.rand(2, 4), torch.rand(2, 3)
    out = made(images)
    own = torch.stack([out[0, 3:], out[1, :3]])
    batch = Batch(images, targets, torch.tensor([1, 0]))
    assert torch.allclose(made.cross_entropy(batch, 2), (own - targets).square().mean())
    assert torch.equal(made.predict(images[:1], 1, 2).labels[0], out[0, 3:])


def test_fisher_information_of_a_linear_model_by_hand() -> None:
    """The gradient of half the squared error of w x is -(y - w x) x."""
    net = nn.Linear(1, 1, bias=False)
    x, y, w = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [2.0], [2.0]]), torch.tensor([[0.5]])
    fisher = fisher_information(net, {"weight": w}, x, y, loss=lambda out, target: (out - target).square().sum() / 2)
    assert fisher["weight"].item() == pytest.approx((((y - w * x) * x) ** 2).mean().item())


# Benchmarks that cannot be


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (torch.rand(4), {}, r"mine: a task without classes needs targets, floats \[n, outputs\]; labels.float"),
        (torch.ones(4, 1).long(), {}, "mine: a task without classes needs targets"),
        (torch.rand(4, 1).double(), {}, "torch.float32 with labels of torch.float64; .* and labels torch.float32"),
        (torch.full((4, 1), torch.nan), {}, "mine: task 0, training images: targets that are NaN or infinite"),
        (torch.rand(4, 1), {"scenarios": ("cl1", "cl3")}, "mine: there is no cl3 without classes"),
        (torch.rand(4, 1), {"loss": "l2"}, "mine: no loss 'l2'; there are cross-entropy, mse, mae, or give your own"),
        (torch.rand(4, 1), {"metric": "r2"}, "mine: no metric 'r2'; there are accuracy, mse, mae, or give your own"),
        (torch.rand(4, 1), {"metric": "accuracy"}, "mine: targets have no cross-entropy, no accuracy"),
        (torch.rand(4, 1), {"loss": "cross-entropy"}, "mine: targets have no cross-entropy, no accuracy"),
    ],
)  # fmt: skip
def test_targets_that_cannot_be(targets: Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(hl.InputError, match=message):
        one(targets, **options)


def test_tasks_that_do_not_go_together() -> None:
    (single,), (double,), digits = (
        one(torch.rand(4, 1)).tasks,
        one(torch.rand(4, 2)).tasks,
        hl.benchmarks.split_digits(),
    )
    with pytest.raises(hl.InputError, match=r"mine: tasks of \(1, 2\) outputs; all targets need as many"):
        Benchmark("mine", (single, double))
    with pytest.raises(hl.InputError, match="mine: some tasks have classes and others none"):
        Benchmark("mine", (single, digits.tasks[0]))
    with pytest.raises(hl.InputError, match="split-digits: tasks with classes are measured by accuracy"):
        replace(digits, metric="mse")
    other = replace(single, test=double.test)
    with pytest.raises(hl.InputError, match=r"task 0, test images: targets of shape \(4, 2\), expected \[n, 1\]"):
        Benchmark("mine", (other,))


def test_targets_of_data_sets() -> None:
    x = torch.rand(10, 3)
    for labels, outputs in [(torch.rand(10), 1), (torch.rand(10, 2).double(), 2)]:
        data = [TensorDataset(x, labels)]
        made = from_datasets("mine", data, data, validation=0.2, metric="mae")
        assert made.objective.metric.name == "mae"
        (task,) = made.tasks
        assert task.classes == ()
        assert task.test.labels.dtype == torch.float32
        assert task.test.labels.shape == (10, outputs)
        assert len(task.validation) == 2
        hl.run("hnet", made, **settings("hnet", 2))


# Records


def test_a_record_says_what_its_matrix_holds(tmp_path: Path) -> None:
    result = hl.run("finetune", polynomials(), **settings("finetune", 5))
    text = json.loads(result.to_json())
    assert text["measure"] == {"loss": "mse", "metric": "mse", "lower_is_better": True}
    digits = hl.run("finetune", hl.benchmarks.split_digits(), iterations=1)
    assert "measure" not in json.loads(digits.to_json())
    results.write(result, tmp_path)
    other = hl.run("finetune", replace(polynomials(), metric="mae"), **settings("finetune", 5))
    with pytest.raises(hl.InputError, match=r"is the record of a run with measure = .*'mse'.*, this run has .*'mae'"):
        results.write(other, tmp_path)
    path = next(tmp_path.glob("*/*.json"))
    path.write_text(json.dumps(text | {"measure": None}))
    with pytest.raises(hl.InputError, match=r"forgetting is|accuracies are fractions in"):
        results.read(path)


def test_accuracies_stay_fractions() -> None:
    result = hl.run("finetune", hl.benchmarks.split_digits(), iterations=1)
    with pytest.raises(ValueError, match=r"accuracies are fractions in \[0, 1\]"):
        replace(result, untrained_accuracy=[1.5] * 5)


def test_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = hl.run("finetune", polynomials(), **settings("finetune", 5))
    commands._print_results([result])
    shown = capsys.readouterr().out
    assert "finetune on polynomials, seed 0: mse after the last task" in shown
    assert f"{result.average_accuracy:.2f}" in shown
    assert plots.accuracy_over_time({"finetune": result}).axes[0].get_ylabel() == "mse on them"
    assert plots.average_accuracy({"finetune": [result]}).axes[0].get_xlabel() == "average mse after the last task"
    digits = hl.run("finetune", hl.benchmarks.split_digits(), iterations=1)
    assert plots.accuracy_over_time({"finetune": digits}).axes[0].get_ylabel() == "accuracy on them, %"
    with pytest.raises(hl.InputError, match="results of mse and accuracy do not go together"):
        plots.average_accuracy({"finetune": [result], "digits": [digits]})


def test_a_run_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    whole = hl.run("hnet", polynomials(), **settings("hnet", 60))

    class Stop(hl.callbacks.Callback):
        def on_step(self, run: Any, loss: Tensor | None) -> None:
            if run.task == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hl.run("hnet", polynomials(), checkpoint=tmp_path, callbacks=[Stop()], **settings("hnet", 60))
    with pytest.raises(hl.InputError, match="is the checkpoint of a run with measure = "):
        hl.run("hnet", replace(polynomials(), loss="mae"), checkpoint=tmp_path, **settings("hnet", 60))
    assert hl.run("hnet", polynomials(), checkpoint=tmp_path, **settings("hnet", 60)).same_measurement(whole)
