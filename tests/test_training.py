"""Runs: they learn, they are repeatable to the bit, and they go on from a checkpoint as if nothing had happened."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

import pytest
import torch
from narrowing import narrow
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn import checkpoints, training
from hyperlearn.inference import Prediction
from hyperlearn.methods import METHODS, SCENARIOS, Learner, Scenario
from hyperlearn.methods.hypernet import HypernetLearner

DIGITS = hl.benchmarks.split_digits()
SHORT: dict[str, Any] = {"iterations": 12, "batch_size": 16, "target": "mlp-20"}
CHUNKED = (
    *("hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow"),
    *("basis-growth", "hnet-gate", "lstm-net-gate"),
)
SMALL = {method: {"chunk_size": 100} for method in CHUNKED}

every_method = pytest.mark.parametrize("method", METHODS)


def short(method: str, **changed: Any) -> dict[str, Any]:
    return {**SHORT, **SMALL.get(method, {}), **changed}


@every_method
def test_same_seed_same_record(method: str) -> None:
    scenario = (METHODS[method].learner_class.serves or ("cl1",))[-1]
    torch.manual_seed(1)
    first = hl.run(method, DIGITS, scenario, seed=3, **short(method))
    torch.manual_seed(2)  # what happened before a run does not matter
    torch.rand(5)
    second = hl.run(method, DIGITS, scenario, seed=3, **short(method))
    assert first.same_measurement(second)
    assert not first.same_measurement(hl.run(method, DIGITS, scenario, seed=4, **short(method)))


def test_a_run_does_not_disturb_the_callers_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    hl.run("finetune", DIGITS, **short("finetune"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("method", ["finetune", "dgr"])
def test_a_run_on_the_processor_leaves_gpus_alone(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    hl.run(method, DIGITS, device="cpu", **short(method, iterations=1))
    assert seeded == []


class _Stop(Exception):
    pass


@contextmanager
def stopped(task: int, step: int) -> Iterator[None]:
    """Stop what runs within as soon as its checkpoint of this place is written; a task's end is step 0 of the next."""
    save = training.Run.save

    def save_then_stop(run: training.Run, file: Path) -> None:
        save(run, file)
        if (run.task, run.step) == (task, step):
            raise _Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Run, "save", save_then_stop)
        with pytest.raises(_Stop):
            yield


@every_method
@pytest.mark.parametrize("stop", [(0, 4), (2, 8), (4, 0)])
def test_an_interrupted_run_goes_on_to_the_same_record(
    method: str, stop: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within the first task, within a later one, and at the very end of one."""
    monkeypatch.setattr(checkpoints, "EVERY", 4)
    whole = hl.fit(method, DIGITS, seed=1, **short(method)).results
    with stopped(*stop):
        hl.fit(method, DIGITS, seed=1, checkpoint=tmp_path, **short(method))
    resumed = hl.fit(method, DIGITS, seed=1, checkpoint=tmp_path, **short(method)).results
    assert resumed.keys() == whole.keys()
    for scenario in whole:
        assert resumed[scenario].same_measurement(whole[scenario])
        assert len(resumed[scenario].seconds.train) == 5


def test_a_checkpoint_belongs_to_one_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another seed starts anew, beside it; another hyperparameter, version or data is refused and named."""
    run = partial(hl.run, "finetune", checkpoint=tmp_path)
    run(DIGITS, **short("finetune"))
    run(DIGITS, seed=1, **short("finetune"))
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(hl.InputError, match=r"a run with batch_size = 16, this run has 8; learning_rate = 0.003, this"):
        run(DIGITS, **short("finetune", learning_rate=0.1, batch_size=8))
    with pytest.raises(hl.InputError, match=r"a run with .*; images = "):
        run(hl.benchmarks.split_digits(validation=0.5), **short("finetune"))
    monkeypatch.setattr(training, "__version__", "0.0.9")
    with pytest.raises(hl.InputError, match=r"a run with hyperlearn = 0.1.0, this run has 0.0.9"):
        run(DIGITS, **short("finetune"))


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    hl.run("finetune", DIGITS, checkpoint=tmp_path, **short("finetune"))
    hl.run("finetune", DIGITS, seed=1, checkpoint=tmp_path, **short("finetune"))
    one, other = sorted(tmp_path.iterdir())
    one.write_bytes(other.read_bytes())
    with pytest.raises(hl.InputError, match="is the checkpoint of a run with seed = 1, this run has 0"):
        hl.run("finetune", DIGITS, checkpoint=tmp_path, **short("finetune"))
    one.write_bytes(other.read_bytes()[:1000])
    with pytest.raises(hl.InputError, match="is no readable checkpoint"):
        hl.run("finetune", DIGITS, checkpoint=tmp_path, **short("finetune"))


class _WriteWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    hl.run("finetune", DIGITS, checkpoint=tmp_path, **short("finetune"))
    (file,) = tmp_path.iterdir()
    torch.save({"format": 1, "learner": _WriteWhenUnpickled(tmp_path / "executed")}, file)
    with pytest.raises(hl.InputError, match="is no readable checkpoint"):
        hl.run("finetune", DIGITS, checkpoint=tmp_path, **short("finetune"))
    assert not (tmp_path / "executed").exists()


def test_one_training_of_a_hypernetwork_serves_all_scenarios() -> None:
    together = hl.fit("hnet", DIGITS, **short("hnet")).results
    assert tuple(together) == SCENARIOS
    alone = hl.run("hnet", DIGITS, "cl3", **short("hnet"))
    assert alone.same_measurement(together["cl3"])
    # CL1 knows the task; CL3 has to find it and then be right; CL2 has only to be right
    assert together["cl3"].average_accuracy <= together["cl2"].average_accuracy


def test_baselines_train_differently_in_each_scenario() -> None:
    with pytest.raises(hl.InputError, match="finetune trains differently in each scenario; name one of"):
        hl.fit("finetune", DIGITS, scenarios=["cl1", "cl2"])
    sizes = [hl.run("finetune", DIGITS, s, **short("finetune")).parameters.target for s in SCENARIOS]
    assert sizes[0] == sizes[2] > sizes[1]  # a head for each task, one head


@pytest.mark.parametrize("method", ["finetune", "hnet"])
def test_scenarios_are_named_and_measured_once(method: str) -> None:
    with pytest.raises(hl.InputError, match="name at least one scenario; there are cl1, cl2, cl3"):
        hl.fit(method, DIGITS, scenarios=[], **short(method))
    assert list(hl.fit(method, DIGITS, scenarios=["cl2", "cl2"], **short(method, iterations=1)).results) == ["cl2"]


def test_what_each_yardstick_is_for(seeds: range) -> None:
    """On each seed: finetune forgets, joint does not, scratch cannot, with room between them."""
    for seed in seeds:
        runs = {m: hl.run(m, DIGITS, "cl3", seed, iterations=100) for m in ("finetune", "joint")}
        assert narrow(float, runs["finetune"].forgetting) > 0.9
        assert narrow(float, runs["joint"].forgetting) < 0.1
        assert runs["joint"].average_accuracy > runs["finetune"].average_accuracy + 0.5
        scratch = hl.run("scratch", DIGITS, "cl1", seed, iterations=100)
        assert scratch.forgetting == 0
        assert scratch.average_accuracy > 0.98


@pytest.mark.parametrize("method", ["hnet", pytest.param("lstm-net", marks=pytest.mark.whole)])
def test_the_regularizer_is_what_keeps_old_tasks(method: str, seeds: range) -> None:
    """Means over seeds: with the recipe's beta next to nothing is forgotten, with beta 0 a good deal more.

    tests/test_iwr.py has the weighted regularizer.
    """
    kept, lost = (
        mean(hl.run(method, DIGITS, "cl1", seed, iterations=150, **changed).forgetting or 0.0 for seed in seeds)
        for changed in ({}, {"beta": 0})
    )
    assert kept < 0.02
    assert lost > kept + 0.03


def test_a_target_of_ones_own() -> None:
    """A convolutional network with batch norm, given as a module, behind a hypernetwork."""
    torch.manual_seed(0)
    target = nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )
    before = [p.clone() for p in target.parameters()]
    result = hl.run("hnet", DIGITS, "cl1", target=target, iterations=100, chunk_size=50)
    assert result.average_accuracy > 0.9
    assert all(map(torch.equal, target.parameters(), before))
    for method in ("finetune", "scratch", "dgr", "hnet-r"):
        with pytest.raises(hl.InputError, match="give a function outputs -> module"):
            hl.run(method, DIGITS, target=target)
    with pytest.raises(hl.InputError, match="the target needs 2 logits; this one has 3"):
        hl.run("hnet", DIGITS, target=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), chunk_size=50)
    made = hl.run("finetune", DIGITS, target=lambda n: nn.Sequential(nn.Flatten(), nn.Linear(64, n)), iterations=5)
    assert made.parameters.target == 650
    assert result.config["target"] == "torch.nn.modules.container.Sequential"
    assert made.config["target"].endswith("test_a_target_of_ones_own.<locals>.<lambda>")


@pytest.mark.parametrize(
    ("method", "scenario", "needed", "outputs"),
    [
        ("finetune", "cl1", "10 logits in cl1", 2),
        ("ewc", "cl2", "2 logits in cl2", 10),
        ("lwf", "cl3", "10 logits in cl3", 2),
        ("dgr", "cl3", "10 logits in cl3", 12),
        ("scratch", "cl1", "2 logits", 3),
        ("hnet", "cl1", "2 logits", 3),
    ],
)
def test_a_target_with_another_number_of_logits_is_refused(
    method: str, scenario: Any, needed: str, outputs: int
) -> None:
    with pytest.raises(hl.InputError, match=f"the target needs {needed}; this one has {outputs}"):
        hl.run(method, DIGITS, scenario, **short(method, target=lambda _: hl.nets.MLP(64, [5], outputs)))


class Recurrent(nn.Module):
    """Reads an image row by row; no batching rule covers it."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.rows, self.head = nn.GRU(8, 6, batch_first=True), nn.Linear(6, outputs)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rows(images)[1][0])
        return logits


class WritesInPlace(nn.Module):
    """Fills a tensor of its own, which cannot be batched either."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(32, outputs), nn.Linear(32, outputs)

    def forward(self, images: Tensor) -> Tensor:
        parts = torch.zeros(2, len(images), self.left.out_features)
        parts[0], parts[1] = (self.left(images[:, :4].flatten(1)), self.right(images[:, 4:].flatten(1)))
        return parts.sum(0)


@pytest.mark.parametrize("target", [Recurrent, WritesInPlace])
@pytest.mark.parametrize("method", ["hnet", "lstm-net-iwr", "ewc", "scratch"])
def test_a_target_that_cannot_be_batched_over_parameters(method: str, target: Callable[[int], nn.Module]) -> None:
    scenarios: Any = ["cl1"] if method == "ewc" else ["cl1", "cl2", "cl3"]
    made = hl.fit(method, hl.benchmarks.first(DIGITS, 2), scenarios=scenarios, **short(method, target=target)).results
    assert [result.scenario for result in made.values()] == scenarios


class Bright(nn.Linear):
    """A target of one's own, in the sizes of `Dimmed`: their checkpoints could be mistaken for each other."""

    def __init__(self, outputs: int) -> None:
        super().__init__(64, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.flatten(1))


class Dimmed(Bright):
    """The same with each image scaled down."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images / 2)


def test_a_target_of_ones_own_is_named_in_record_and_checkpoint(tmp_path: Path) -> None:
    run = partial(hl.run, "finetune", DIGITS, "cl3", checkpoint=tmp_path, iterations=1)
    recorded = run(target=Bright)
    assert recorded.config["target"].endswith("test_training.Bright")
    with pytest.raises(hl.InputError, match=r"target = .*test_training\.Bright, this run has .*test_training\.Dimmed"):
        run(target=Dimmed)


class Addressed(nn.Flatten):
    """Prints where an object lies in memory, as functions do, and each time another one."""

    made: ClassVar[list[object]] = []

    def extra_repr(self) -> str:
        self.made.append(object())
        return repr(self.made[-1])


def test_a_checkpoint_belongs_to_its_data_and_to_what_the_target_is_made_of(tmp_path: Path) -> None:
    """The same name and as many images do not make the same data, nor the same class the same network."""
    source = hl.data.digits()
    run = partial(hl.run, "finetune", checkpoint=tmp_path, iterations=1)
    run(hl.benchmarks.permuted("mine", source, tasks=2, seed=0), target="mlp-5")
    run(hl.benchmarks.permuted("mine", source, tasks=2, seed=0), target="mlp-5")
    with pytest.raises(hl.InputError, match="fingerprint of the images and labels = "):
        run(hl.benchmarks.permuted("mine", source, tasks=2, seed=1), target="mlp-5")

    def dropping(p: float) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Dropout(p), nn.Linear(64, 2))

    run = partial(hl.run, "hnet", DIGITS, checkpoint=tmp_path, iterations=1, chunk_size=50)
    run(target=dropping(0.1))
    run(target=dropping(0.1))
    with pytest.raises(hl.InputError, match="fingerprint of the target = "):
        run(target=dropping(0.5))
    for _ in range(2):
        run(target=nn.Sequential(Addressed(), nn.Linear(64, 2)), seed=1)


@pytest.mark.parametrize("stop", [(1, 0), (1, 5)])
def test_the_mode_of_a_target_does_not_depend_on_where_a_run_began(
    stop: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pretrained network is often given in evaluation mode; it is trained in training mode, resumed or not."""

    def target() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 2)).eval()

    run = partial(hl.run, "hnet", DIGITS, checkpoint=tmp_path, iterations=12, batch_size=16, chunk_size=50)
    whole = run(target=target(), checkpoint=None)
    monkeypatch.setattr(checkpoints, "EVERY", 5)
    with stopped(*stop):
        run(target=target())
    assert run(target=target()).same_measurement(whole)


class Masked(nn.Module):
    """A target with a buffer that is infinite on purpose, as a causal mask is."""

    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 2)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(images.flatten(1))
        return logits + self.mask.softmax(0)


def test_a_buffer_that_is_infinite_from_the_start_may_be() -> None:
    result = hl.run("hnet", DIGITS, target=Masked(), iterations=2, chunk_size=50)
    assert len(result.accuracy_matrix) == 5


def test_batch_norm_statistics_are_kept_for_each_task() -> None:
    config = hl.recipes.configure("hnet", "split-digits", chunk_size=20)
    setting = hl.methods.Setting(
        2, 2, ("cl1",), lambda n: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, n))
    )
    learner = narrow(HypernetLearner, config.learner_class(config, setting))
    optimizer = torch.optim.Adam(learner.trainable(), lr=1e-3)
    learner.begin_task(0)
    learner.backward(DIGITS.tasks[0].train[slice(0, 32)], optimizer)
    learner.end_task(0, DIGITS.tasks[0].train)
    first = learner.target_buffers(0)["1.running_mean"].clone()
    learner.begin_task(1)
    learner.backward(DIGITS.tasks[1].train[slice(0, 32)], optimizer)
    assert torch.equal(learner.target_buffers(0)["1.running_mean"], first)
    assert not torch.equal(learner.target_buffers(1)["1.running_mean"], first)


def test_training_that_diverges_says_in_which_task() -> None:
    for method in ("finetune", "ewc", "hnet-iwr"):  # the last two do sums with the weights when a task ends
        with pytest.raises(hl.InputError, match=rf"{method} on split-digits: .* became NaN or infinite in task 0"):
            hl.run(method, DIGITS, **short(method, learning_rate=1e38))


def test_cuda_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(hl.InputError, match="PyTorch finds no CUDA device"):
        hl.run("finetune", DIGITS, device="cuda")
    with pytest.raises(hl.InputError, match="no device 'tpu'; there are auto, cpu, cuda"):
        hl.run("finetune", DIGITS, device="tpu")


@pytest.mark.parametrize("method", ["scratch", "hnet", "lstm-net-grow"])
def test_what_is_the_same_in_cl2_and_cl3_is_asked_for_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, asked = METHODS[method].learner_class, Counter[str]()
    predict = learner.predict

    def counted(self: Learner, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        asked["given" if scenario == "cl1" else "inferred"] += len(images)
        return predict(self, images, task, scenario)

    def run(scenarios: list[Scenario]) -> dict[Scenario, hl.results.Result]:
        return hl.fit(method, DIGITS, scenarios=scenarios, **short(method)).results

    monkeypatch.setattr(learner, "predict", counted)
    together = run(["cl3", "cl1", "cl2"])
    images = sum(len(task.test) for task in DIGITS.tasks) * (len(DIGITS) + 1)  # before training too
    spared = {"hnet": 0, "scratch": 4 * 5, "lstm-net-grow": 4 + 3 + 2 + 1}[method] / 5  # what cannot have changed
    assert asked["inferred"] == images
    assert asked["given"] == pytest.approx(images - spared * images / 6, rel=0.02)  # tasks differ a little in size
    for scenario in SCENARIOS:
        assert together[scenario].same_measurement(run([scenario])[scenario])


def test_a_learner_that_does_not_say_so_is_asked_in_each_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass of `HypernetLearner` may predict otherwise in CL2 than in CL3, as this one does."""

    class Other(HypernetLearner):
        def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
            found = super().predict(images, task, scenario)
            return found._replace(tasks=torch.full_like(found.tasks, -1)) if scenario == "cl2" else found

    monkeypatch.setattr(METHODS["hnet"], "learner_class", Other)
    result = hl.fit("hnet", DIGITS, scenarios=["cl2", "cl3"], **short("hnet")).results
    assert result["cl2"].metrics.task_inference_accuracy is None
    assert result["cl3"].metrics.task_inference_accuracy is not None


def test_test_images_are_read_by_the_evaluator_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training must not touch them: reading a test split outside of evaluation raises."""
    tests = {id(task.test.images) for task in DIGITS.tasks}
    allowed = False
    read = hl.data.Examples.__getitem__
    measure = hl.evaluation.accuracies

    def guarded(self: hl.data.Examples, indices: Any) -> Any:
        assert allowed or id(self.images) not in tests, "test images were read during training"
        return read(self, indices)

    def evaluate(*args: Any) -> Any:
        nonlocal allowed
        allowed = True
        try:
            return measure(*args)
        finally:
            allowed = False

    monkeypatch.setattr(hl.data.Examples, "__getitem__", guarded)
    monkeypatch.setattr(hl.evaluation, "accuracies", evaluate)
    for method in METHODS:
        hl.run(method, DIGITS, **short(method))
