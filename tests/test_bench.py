"""The benchmarks measure what they say, in turns; how fast anything is, no test asks."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import load

import hyperlearn as hl
from hyperlearn.recipes import configure

SPEED = Path(__file__).parents[1] / "speed"
bench = load(SPEED / "bench.py")

CPU = torch.device("cpu")


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    called: list[str] = []

    def turn(name: str) -> float:
        called.append(name)
        return float(len(called))

    figures = bench.in_turns({name: lambda name=name: turn(name) for name in "ab"}, rounds=2)
    assert called == list("ababab")
    assert figures == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert bench.against(figures["a"], figures["b"]) == pytest.approx((4 / 3 + 6 / 5) / 2)


def test_what_is_kept_for_old_tasks() -> None:
    """The Gram form keeps features, the direct form targets, IWR the Fisher information on top, GROW weights."""
    numel = 475_202

    def kept(learned: int, **changed: Any) -> int:
        return bench.kept(bench.Contender(device=CPU, learned=learned, tasks=4, iterations=1, **changed).learner)

    def added(**changed: Any) -> int:
        return kept(3, **changed) - kept(2, **changed)

    assert added(method="hnet", regularizer_form="direct") == numel
    assert added(method="hnet", regularizer_form="gram") == 12 * 10  # chunks x last hidden layer
    assert added(method="hnet-iwr") == 12 * 10 + numel
    assert added(method="lstm-net-grow") == 96 + 4 * 64 * 192 + 64 * 6_100


def test_throughput_does_not_count_what_workers_start_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight trainings, one every two seconds after a slow first one of each worker: 30 a minute."""
    now = iter([100.0, 102.0, 104.0, 106.0, 108.0, 110.0, 112.0, 114.0] * 2)
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(bench.sweeps, "run", lambda planned, report, **_: [report(one, None) for one in planned])
    rows = bench.bench_workers(CPU, rounds=1)
    assert [(row["workers"], row["trainings_a_minute"], row["ratio"]) for row in rows] == [(1, 30, 1), (2, 30, 1)]


def test_tables_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "STEPS", 1)
    monkeypatch.setattr(bench, "METHODS", ["finetune", "hnet"])
    monkeypatch.setattr(bench, "REGULARIZERS", {"hnet, Gram": {"method": "hnet"}})
    monkeypatch.setattr(bench, "OLD_TASKS", (1, 2))
    monkeypatch.setattr(
        "sys.argv", ["bench.py", "methods", "tasks", "--rounds=1", "--device=cpu", f"--results={tmp_path}"]
    )
    bench.main()
    assert "hnet" in capsys.readouterr().out
    methods = json.loads((tmp_path / "bench/cpu/methods.json").read_text())["rows"]
    assert [row["method"] for row in methods] == ["finetune", "hnet"]
    assert methods[0]["ratio"] == 1
    tasks = json.loads((tmp_path / "bench/cpu/tasks.json").read_text())["rows"]
    assert [(row["old_tasks"], row["ratio_to_2"] == 1) for row in tasks][1] == (2, True)


def test_the_parts_of_a_step_make_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is the difference of two steps in the same round; the floors are times of their own."""
    steps = {"plain": 2.0, "writing": 5.0, "penalty": 9.0, "lookahead": 10.0}
    floors = {"one copy of the weights": 0.5, "features of all tasks": 3.0, "all operations, on few numbers": 4.0}

    def in_turns(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
        assert list(contenders) == [*steps, *floors]
        return {name: [time] * rounds for name, time in (steps | floors).items()}

    monkeypatch.setattr(bench, "in_turns", in_turns)
    rows = bench.bench_parts(CPU, rounds=2)
    assert [row["ratio_to_plain"] for row in rows if row["method"] == "hnet"] == [1, 1.5, 2, 0.5, 0.25, 1.5, 2]
    assert [row["method"] for row in rows] == ["hnet"] * 7 + ["lstm-net"] * 7


def test_few_numbers_are_written_by_as_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The floor of operations is of a step with as many chunks as the recipe has, a hundred times as short."""
    made: list[tuple[str, Any]] = []

    class Noted(bench.Contender):  # type: ignore[misc, name-defined]
        def __init__(self, method: str, *args: Any, **changed: Any) -> None:
            super().__init__(method, *args, **changed)
            if method != bench.BASE:
                made.append((method, self.learner.hypernet))

    monkeypatch.setattr(bench, "Contender", Noted)
    monkeypatch.setattr(bench, "in_turns", lambda contenders, rounds: {name: [1.0] for name in contenders})
    bench.bench_parts(CPU, rounds=1)
    for method, chunks in (("hnet", 12), ("lstm-net", 78)):
        mine = [hypernet for name, hypernet in made if name == method]
        assert {len(hypernet.chunk_embeddings) for hypernet in mine} == {chunks}
        assert min(h.layout.numel for h in mine) < max(h.layout.numel for h in mine) / 100


def test_each_part_of_a_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "STEPS", 1)
    rows = bench.bench_parts(CPU, rounds=1)
    times = {(row["method"], row["part"]): row["ms"] for row in rows}
    for method in ("hnet", "lstm-net"):
        for part in ("plain", "one copy of the weights", "features of all tasks"):  # the others are differences
            assert times[method, part] > 0


def test_regularized_and_grown_steps_of_a_resnet_are_compared_for_each_number_of_old_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "CIFAR_STEPS", 1)
    monkeypatch.setattr(bench, "COMPARED", ("lstm-net, Gram", "lstm-net-grow"))
    monkeypatch.setitem(bench.WORLDS, "cifar-10-100", bench.WORLDS["cifar-10-100"] | {"n": 40})
    rows = bench.bench_cifar(CPU, rounds=1)
    gram, grown = rows[:6], rows[6:]
    assert [row["old_tasks"] for row in gram] == [row["old_tasks"] for row in grown] == list(range(6))
    assert all(row["ratio_to_growth"] == 1 for row in grown)
    assert all(
        row["ratio_to_growth"] == pytest.approx(row["ms"] / other["ms"]) for row, other in zip(gram, grown, strict=True)
    )
    chunk_features, network = 220 * 128, 465_290
    assert {b["kept_values"] - a["kept_values"] for a, b in pairwise(gram[1:])} == {chunk_features}
    assert all(0.7 * network < b["kept_values"] - a["kept_values"] < network for a, b in pairwise(grown))


def test_seeds_are_trained_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "STEPS", 1)
    monkeypatch.setattr(bench, "SEEDS", 2)
    monkeypatch.setattr(bench, "images", lambda classes: hl.benchmarks.split_digits().tasks[0].train)
    monkeypatch.setattr(bench, "configure", lambda method, _, **changed: configure(method, "split-digits", **changed))
    rows = bench.bench_seeds(CPU, rounds=1)
    assert [(row["method"], row["seeds"]) for row in rows] == [
        (method, n) for method in ("finetune", "hnet", "lstm-net", "lstm-net-grow") for n in (1, 2)
    ]
    assert all(row["ratio"] == 1 for row in rows if row["seeds"] == 1)
    assert all(row["ms_a_step"] > 0 for row in rows)


MODULES = {
    "mnets/mlp.py": """
import torch
class MLP(torch.nn.Module):
    def __init__(self, n_in, n_out, hidden_layers, no_weights):
        super().__init__()
        assert no_weights
        sizes = [n_in, *hidden_layers, n_out]
        self.param_shapes = [shape for a, b in zip(sizes, sizes[1:]) for shape in ([b, a], [b])]
    def forward(self, x, weights):
        for i in range(0, len(weights), 2):
            x = torch.nn.functional.linear(x.relu() if i else x, weights[i], weights[i + 1])
        return x
""",
    "mnets/classifier_interface.py": """
import torch
class Classifier:
    softmax_and_cross_entropy = staticmethod(torch.nn.functional.cross_entropy)
""",
    "mnist/chunked_hyper_model.py": """
import torch
from toy_example.hyper_model import SCALE
class ChunkedHyperNetworkHandler(torch.nn.Module):
    def __init__(self, shapes, num_tasks, chunk_dim, layers, te_dim, ce_dim):
        super().__init__()
        self.shapes, sizes = shapes, [torch.Size(shape).numel() for shape in shapes]
        self.embeddings = torch.nn.ParameterList(torch.randn(te_dim) for _ in range(num_tasks))
        self.theta = torch.nn.ParameterList([SCALE * torch.randn(sum(sizes), te_dim)])
    def get_task_emb(self, task):
        return self.embeddings[task]
    def forward(self, task_id, dTheta=None):
        theta = self.theta[0] if dTheta is None else self.theta[0] + dTheta[0]
        parts = (theta @ self.embeddings[task_id]).split([torch.Size(shape).numel() for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes)]
""",
    "toy_example/__init__.py": "raise ValueError('fonts')",
    "toy_example/hyper_model.py": "SCALE = 0.01",
    "utils/optim_step.py": """
def calc_delta_theta(optimizer, use_sgd_change, lr, detach_dt):
    assert not use_sgd_change and detach_dt
    return [-lr * p.grad.sign() for group in optimizer.param_groups for p in group["params"]]
""",
    "utils/hnet_regularizer.py": """
def get_current_targets(task, hnet):
    return [[w.detach() for w in hnet.forward(i)] for i in range(task)]
def calc_fix_target_reg(hnet, task, targets, mnet, dTheta):
    now = [hnet.forward(i, dTheta) for i in range(task)]
    return sum((a - b).pow(2).sum() for x, y in zip(now, targets) for a, b in zip(x, y)) / task
""",
}
"""What is used of the reference implementation, in small: its functions and their arguments."""


def test_the_reference_is_timed_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the modules in the folder, and by steps that learn: old tasks hold the weights back, by the penalty alone."""
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(SPEED))
    monkeypatch.setattr(bench, "STEPS", 1)
    monkeypatch.setattr(bench, "configure", lambda method, _, **changed: configure(method, "split-digits", **changed))
    rows = bench.bench_reference(tmp_path, CPU, rounds=1)
    assert [(row["step"], row["old_tasks"]) for row in rows[-3:]] == [
        (name, "0 to 4") for name in ("finetune", "hnet", "reference")
    ]
    assert all(row["ratio"] == 1 for row in rows if row["step"] == "hnet")
    assert sum(row["ms"] for row in rows if row["step"] == "reference") == pytest.approx(6 * rows[-1]["ms"])


def test_the_references_step_learns_and_holds(tmp_path: Path) -> None:
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    reference = load(SPEED / "reference.py")
    moved = {}
    for beta in (0.0, 100.0):
        config = configure("hnet", "split-digits", beta=beta)
        data = hl.benchmarks.split_digits().tasks[0].train
        one = reference.Reference(tmp_path, config, data, CPU, learned=2, tasks=3)
        batch = data[:64]
        labels = torch.nn.functional.one_hot(batch.labels, 2).float()
        losses = [float(one.step(batch.images.flatten(1), labels).detach()) for _ in range(20)]
        assert losses[-1] < losses[0]
        now = one.hypernet.forward(0)
        moved[beta] = sum((a - b).square().sum().item() for a, b in zip(now, one.targets[0], strict=True))
    assert moved[100.0] < moved[0.0]


def test_what_is_no_reference_is_named(tmp_path: Path) -> None:
    reference = load(SPEED / "reference.py")
    with pytest.raises(hl.InputError, match=f"{tmp_path} is no copy of the reference implementation"):
        reference.load(tmp_path)


def test_the_reference_needs_a_path(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench.py", "reference"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "needs --reference PATH" in capsys.readouterr().err


def test_a_hundred_tasks_of_which_mnist_tests_some_images(monkeypatch: pytest.MonkeyPatch) -> None:
    hundred = load(SPEED / "hundred.py")
    digits = hundred.digits()
    assert len(digits) == 100
    # A stand-in for MNIST, with more test images than are kept.
    monkeypatch.setattr(hl.benchmarks, "permuted_mnist", lambda tasks: hl.benchmarks.permuted_digits(tasks))
    monkeypatch.setattr(hundred, "TESTED", 7)
    mnist = hundred.mnist()
    assert len(mnist) == 100
    for task, whole in zip(mnist.tasks, digits.tasks, strict=True):
        torch.testing.assert_close(task.test.images, whole.test.images[:7])
        assert len(task.train) == len(whole.train)
    assert mnist.changes == ("100 tasks", "the first 7 test images of each task")
