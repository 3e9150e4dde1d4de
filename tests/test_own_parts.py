"""Parts from outside the package go wherever its own go: run, tune, sweep, files, tables, the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import own_parts as own
import pytest
import torch
from narrowing import narrow
from torch import Tensor

import hyperlearn as hl
from hyperlearn import cli
from hyperlearn.data import as_float
from hyperlearn.sweeps import Cluster

THREES = own.benchmark()
SMALL: dict[str, Any] = {"target": "mlp-20", "iterations": 30, "batch_size": 16, "device": "cpu"}
HNET = SMALL | {"chunk_size": 300, "task_dim": 4, "chunk_dim": 4}
PARTS: dict[str, dict[str, Any]] = {
    "hypernetwork": {"hypernet": own.Table, "chunk_size": 300, "beta": 0.0, "lookahead": False},
    "regularizer": {"regularizer": own.Elastic, "lookahead": False},
    "rule": {"infer": own.by_margin},
    "rule that learns": {"infer": own.ByMean()},
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_goes_through_run_and_files(part: str, tmp_path: Path) -> None:
    given = {name: value for name, value in PARTS[part].items() if name in hl.methods.PARTS}
    options = {**HNET, **PARTS[part]}
    if part == "hypernetwork":
        options["regularizer"] = given["regularizer"] = own.Elastic
    made = hl.fit("hnet", THREES, seed=1, **options)
    assert set(made.results) == {"cl1", "cl3"}
    assert made.result.average_accuracy > 0.6
    (name, value) = next(iter(given.items()))
    assert made.result.config[name] == hl.methods.Parts(**{name: value}).names()[name]
    with pytest.raises(RuntimeError, match="stop"):
        hl.fit("hnet", THREES, seed=1, checkpoint=tmp_path, callbacks=[StopIn(task=2)], **options)
    again = hl.fit("hnet", THREES, seed=1, checkpoint=tmp_path, **options)
    assert all(again.results[scenario].same_measurement(made.results[scenario]) for scenario in made.results)
    made.save(tmp_path / "m.pt")
    images = narrow(Tensor, THREES.tasks[1].test.images)
    loaded = hl.load(tmp_path / "m.pt", device="cpu", **given)
    assert torch.equal(loaded.predict_proba(images), made.predict_proba(images))
    loaded.learn(hl.benchmarks.split_digits().tasks[3])
    assert loaded.tasks == 4


class StopIn(hl.callbacks.Callback):
    def __init__(self, task: int) -> None:
        self.task = task

    def on_step(self, run: Any, loss: Any) -> None:
        if run.task == self.task:
            raise RuntimeError("stop")


def test_a_part_does_what_it_says() -> None:
    images = narrow(Tensor, THREES.tasks[1].test.images)
    made = hl.fit("hnet", THREES, infer=own.ByMean(), **HNET)
    tasks = made.predict(images).tasks
    means = torch.stack([task.train[:].images.flatten(1).mean(0) for task in THREES.tasks])
    assert torch.equal(tasks, torch.cdist(as_float(images).flatten(1), means).argmin(1))
    grown = hl.fit("hnet", THREES, hypernet=own.Table, regularizer=own.Elastic, lookahead=False, **HNET)
    numel = narrow(own.Table, grown.learner.hypernet).layout.numel
    assert grown.result.parameters.stored_per_task == 3 * numel
    assert grown.result.forgetting == 0  # the rows of old tasks are frozen


def test_a_rule_that_learns_is_each_runs_own() -> None:
    rule = own.ByMean()
    hl.run("hnet", THREES, "cl3", infer=rule, **HNET)
    assert rule.means.isinf().all()


def test_a_method_without_a_place_says_so() -> None:
    with pytest.raises(hl.InputError, match="finetune has no place for a hypernet of your own; it takes target"):
        hl.run("finetune", THREES, hypernet=own.Table)
    with pytest.raises(hl.InputError, match="made for cl1, cl3 alone, not for cl2"):
        hl.run("hnet", THREES, "cl2", **HNET)

    @hl.methods.configuration
    class HNETConfig(hl.methods.HNETConfig):
        more: int = 1

    with pytest.raises(hl.InputError, match="HNETConfig 'hnet', which is a method of hyperlearn; rename it"):
        hl.run(HNETConfig(), THREES)


def test_a_method_goes_through_run_tune_sweep_and_a_table(tmp_path: Path) -> None:
    with_class, with_config = hl.run(own.RehearsalConfig, THREES), hl.run(own.RehearsalConfig(kept=5), THREES)
    assert with_class.same_measurement(with_config)
    assert with_class.method == "rehearsal"
    found = hl.tune(own.RehearsalConfig, THREES, {"kept": [1, 5], "iterations": [10]}, tmp_path)
    assert [point.config["kept"] for point in found.points()] in ([1, 5], [5, 1])
    assert (found.benchmark, found.method) == ("threes", "rehearsal")
    assert found.images == sum(len(task.validation) for task in THREES.tasks)
    methods = [own.RehearsalConfig(kept=3), hl.recipes.configure("finetune", "threes", **small())]
    results = hl.sweep(methods, [THREES], seeds=2, folder=tmp_path / "r", cluster=Cluster(1), device="cpu")
    assert len(results) == 8
    assert hl.tables.compare("rehearsal", "finetune", "threes", "cl3", results).n == 2


def small() -> dict[str, Any]:
    return {name: value for name, value in SMALL.items() if name != "device"}


def test_adamw_and_clipping_change_the_step() -> None:
    plain = hl.run("finetune", THREES, **SMALL)
    changes: list[dict[str, Any]] = [{"weight_decay": 0.5}, {"clip_norm": 1e-3}]
    for changed in changes:
        other = hl.run("finetune", THREES, **SMALL, **changed)
        assert other.config.items() >= changed.items()
        assert other.loss != plain.loss
    spec = hl.recipes.specify("finetune", THREES, **SMALL, clip_norm=1.0)
    with pytest.raises(hl.InputError, match="gradients of each would have to be clipped"):
        hl.replicas.train_replicas(spec, [0, 1])


def test_the_command_line_takes_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "mine.py").write_text(Path(own.__file__).read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert cli.main(["run", "mine:benchmark", "mine:RehearsalConfig", "--kept", "2"]) == 0
    record = json.loads((tmp_path / "results/threes/rehearsal-cl1-seed0.json").read_text())
    assert record["config"]["kept"] == 2
    assert cli.main(["tune", "mine:benchmark", "mine:RehearsalConfig", "--kept", "1", "2", "--iterations", "3"]) == 0
    assert (tmp_path / "results/tuning/threes/rehearsal.json").exists()
    capsys.readouterr()
    for wrong, message in {
        "mine:nothing": "has no attribute 'nothing'",
        "nowhere:x": "No module named 'nowhere'",
        "mine:ByMean": "and no Benchmark",
    }.items():
        assert cli.main(["run", wrong, "hnet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert cli.main(["run", "split-digits", "mine:by_margin"]) == 2
    assert "no configuration or class of configurations" in capsys.readouterr().err


def test_a_script_without_a_guard_gets_a_line(tmp_path: Path) -> None:
    lines = [
        "import hyperlearn as hl",
        "from hyperlearn.sweeps import Cluster",
        "hl.sweep(['finetune'], ['split-digits'], seeds=1, folder='r', cluster=Cluster(1), device='cpu')",
    ]
    script = tmp_path / "script.py"
    script.write_text("\n".join(lines))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith('put what starts them under if __name__ == "__main__":')
    assert "script.py, line 3" in done.stderr
    assert len(done.stderr.splitlines()) < 20
    assert not (tmp_path / "r").exists()


def test_a_callback_ends_a_task_and_sees_what_is_measured(tmp_path: Path) -> None:
    class Watch(hl.callbacks.Callback):
        def __init__(self) -> None:
            self.losses: list[float] = []
            self.rows: list[Any] = []

        def on_step(self, run: Any, loss: Any) -> bool:
            self.losses.append(float(loss))
            return bool(run.step == 10)

        def on_evaluate(self, run: Any, accuracy: dict[str, list[float | None]]) -> None:
            self.rows.append(accuracy["cl1"])

    watch = Watch()
    result = hl.run("hnet", THREES, callbacks=[watch], **HNET)
    assert len(watch.losses) == 30
    assert watch.rows == result.accuracy_matrix
    assert [value for task in result.loss for value in task] == pytest.approx(watch.losses, rel=1e-4)


def test_looking_on_changes_nothing() -> None:
    alone = hl.run("hnet-iwr", THREES, **HNET)
    watched = hl.run("hnet-iwr", THREES, callbacks=[hl.callbacks.EarlyStopping(every=7, patience=100)], **HNET)
    assert watched.same_measurement(alone)


def test_early_stopping_needs_validation_images() -> None:
    with pytest.raises(hl.InputError, match="split-digits has no validation images"):
        hl.run("hnet", hl.benchmarks.split_digits(), callbacks=[hl.callbacks.EarlyStopping(every=1)], **HNET)


def test_curves_are_the_same_from_a_checkpoint(tmp_path: Path) -> None:
    whole = hl.run("finetune", THREES, **SMALL)
    assert [len(task) for task in whole.loss] == [30, 30, 30]
    with pytest.raises(RuntimeError, match="stop"):
        hl.run("finetune", THREES, checkpoint=tmp_path, callbacks=[StopIn(task=1)], **SMALL)
    assert hl.run("finetune", THREES, checkpoint=tmp_path, **SMALL).loss == whole.loss
