"""The command line as a user meets it: a process, its exit status, its output and what it leaves behind."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperlearn import benchmarks, cli, results, sweeps, tables
from hyperlearn.methods import METHODS

RESULTS = Path(__file__).parent.parent / "results"
FAST = ["--iterations", "5", "--target", "mlp-20"]


def hyperlearn(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hyperlearn.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


def test_a_run_trains_prints_a_table_and_writes_a_record(tmp_path: Path) -> None:
    done = hyperlearn("run", "split-digits", "lstm-net", "--seed", "0", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where there is no terminal
    for scenario in ("cl1", "cl2", "cl3"):
        result = results.read(tmp_path / "split-digits" / f"lstm-net-{scenario}-seed0.json")
        assert f"{100 * result.average_accuracy:.2f}" in done.stdout
    assert "lstm-net on split-digits, seed 0" in done.stdout


def test_the_table_of_many_tasks_is_no_wider_than_that_of_few(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text("import hyperlearn as hl\ntasks = hl.benchmarks.permuted_digits(40)\n")
    where = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    options = ("--iterations", "1", "--evaluate", "final", "--results", str(tmp_path))
    done = hyperlearn("run", "many:tasks", "finetune", *options, **where)
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert max(map(len, table)) <= 60
    assert [line.split()[1] for line in table] == ["task"] * 40 + ["average", "during", "forgetting", "task"]
    assert all(re.search(r"\d+\.\d\d", line) for line in table[:41])


def test_the_same_command_gives_the_same_record(tmp_path: Path) -> None:
    command = ["run", "split-digits", "hnet", "--scenario", "cl3", *FAST, "--chunk_size", "100"]
    records = []
    for name in ("a", "b"):
        assert hyperlearn(*command, "--results", str(tmp_path / name)).returncode == 0
        records.append(results.read(tmp_path / name / "split-digits" / "hnet-cl3-seed0.json"))
    assert records[0].same_measurement(records[1])


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong command ends with."""
    status = cli.main(arguments)
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    return err.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["run", "split-minst", "hnet"], "no benchmark 'split-minst'; there are split-digits, permuted-digits"),
        (["run", "split-digits", "hnett"], "no method 'hnett'; there are finetune, scratch, joint, ewc"),
        (["run", "split-digits", "hnet", "--scenario", "cl4"], "no scenario 'cl4'; there are cl1, cl2, cl3"),
        (["run", "split-digits", "hnet", "--beta", "-1"], "beta: input should be greater than or equal to 0"),
        (["run", "split-digits", "hnet", "--beta", "x"], "beta: input should be a valid number"),
        (["run", "split-digits", "hnet", "--beta"], "--beta needs a value"),
        (["run", "split-digits", "hnet", "--bata", "1"], "hnet has no hyperparameter 'bata'; it has target"),
        (
            ["run", "split-digits", "hnet", "--chunk-size", "0"],
            "chunk_size: input should be greater than or equal to 1",
        ),
        (
            ["run", "split-digits", "hnet", "--chunk-size", "99999999"],
            "chunk size must be from 1 to the 16802",
        ),
        (["run", "split-digits", "hnet", "--target", "vgg"], "no target network 'vgg'"),
        (
            ["run", "split-digits", "hnet", "--augmentation", "flip-crop"],
            "augmentation flip-crop is for images [channels, height, width]; those of split-digits have shape (8, 8)",
        ),
        (["run", "split-digits", "hnet", "--seed", "-1"], "expected a whole number >= 0, got '-1'"),
        (["run", "split-digits", "hnet", "--device", "tpu"], "no device 'tpu'; there are auto, cpu, cuda"),
        (["run", "split-digits", "hnet", "extra"], "not understood: extra"),
        (["run", "split-digits"], "the following arguments are required: method"),
        (["table", "4"], "no table 4; there are 1, 2, 3"),
        (["table", "one"], "expected a whole number >= 0, got 'one'"),
        (["table", "1", "--results", "/nowhere"], "no results folder /nowhere"),
        (["table", "2", "--short"], "no short schedule for split-mnist; there is one for cifar-10-100"),
        (["sweep", "beta", "--short"], "no short schedule for split-mnist; there is one for cifar-10-100"),
        (["methods", "--yaml"], "not understood: --yaml"),
    ],
)
def test_a_wrong_command_ends_with_one_line_and_leaves_nothing(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    assert message in fails(capsys, *arguments)
    assert list(tmp_path.rglob("*")) == [tmp_path / "results"]


def test_cuda_asked_for_where_there_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = fails(capsys, "run", "split-digits", "hnet", "--device", "cuda", "--results", str(tmp_path))
    assert "no CUDA device" in line
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_results_folder_is_found_before_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the folder's place: this fails for root too, which permissions do not."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(sweeps, "train", lambda *_, **__: pytest.fail("trained"))
    line = fails(capsys, "run", "split-digits", "hnet", "--results", str(tmp_path / "file" / "below"))
    assert "cannot write into" in line


def test_a_record_of_another_configuration_stops_the_run_before_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["run", "split-digits", "finetune", *FAST, "--results", str(tmp_path)]
    assert cli.main(command) == 0
    assert cli.main(command) == 0  # the same again is no conflict
    capsys.readouterr()
    monkeypatch.setattr(sweeps, "train", lambda *_, **__: pytest.fail("trained"))
    assert "a run with learning_rate = 0.003, this run has 0.1" in fails(capsys, *command, "--learning-rate", "0.1")


@pytest.mark.parametrize("benchmark", ["split-mnist", "permuted-mnist", "split-fashion-mnist"])
def test_missing_data_ends_with_one_line(
    benchmark: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path / "nothing"))
    line = fails(capsys, "run", benchmark, "hnet", "--results", str(tmp_path / "results"))
    assert "which is no folder" in line
    assert list((tmp_path / "results").rglob("*")) == []


def test_lists_name_everything(capsys: pytest.CaptureFixture[str]) -> None:
    for what, names in (("benchmarks", benchmarks.BENCHMARKS), ("methods", METHODS)):
        assert cli.main([what]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(names)
        assert cli.main([what, "--json"]) == 0
        assert list(json.loads(capsys.readouterr().out)) == list(names)


def test_methods_as_json_give_every_source(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["methods", "--json"])
    beta = json.loads(capsys.readouterr().out)["hnet"]["split-mnist"]["beta"]
    assert beta["value"] == 0.01
    assert "1906.00695" in beta["source"]


def test_table_prints_paper_beside_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["table", "1", "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "99.79 ± 0.01" in out
    assert out.count("not run") == 48
    assert cli.main(["table", "1", "--results", str(tmp_path), "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert len(cells) == 48
    assert [cells[0][name] for name in ("verdict", "gap", "interval")] == ["not run", None, None]


def test_table_says_interval_gap_and_verdict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        results.write(results.read(RESULTS / "split-mnist" / f"hnet-cl3-seed{seed}.json"), tmp_path)
    (cell,) = (cell for cell in tables.table(1, results.read_all(tmp_path)) if cell.n)
    assert cell.interval is not None
    assert cli.main(["table", "1", "--results", str(tmp_path), "--json"]) == 0
    (printed,) = (made for made in json.loads(capsys.readouterr().out) if made["n"])
    assert (printed["gap"], printed["interval"], printed["verdict"]) == (cell.gap, [*cell.interval], cell.verdict)
    assert cli.main(["table", "1", "--results", str(tmp_path)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "(3)" in line)
    low, high = cell.interval
    for said in (f"{low:.2f} to {high:.2f}", f"{cell.gap:+.2f}", cell.verdict):
        assert f" {said} " in line


def test_table_takes_no_run_that_is_not_the_recipes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record = results.read(RESULTS / "split-mnist" / "hnet-cl1-seed0.json")
    results.write(record, tmp_path)
    for seed in (1, 2):
        results.write(replace(record, seed=seed, config={**record.config, "beta": 0.5, "hidden": [20, 20]}), tmp_path)
    assert cli.main(["table", "1", "--results", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert [cell["n"] for cell in json.loads(out) if cell["n"]] == [1]
    told = "hnet on split-mnist, cl1: beta 0.5, hidden [20, 20] (2 records)"
    assert err == f"left out of {tmp_path}, not as in the recipe: {told}\n"


def test_data_says_what_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERLEARN_DATA", str(tmp_path))
    assert cli.main(["data"]) == 0
    out = capsys.readouterr().out
    assert str(tmp_path) in out
    assert "digits: ready" in out
    assert "mnist: not there" in out


def test_interrupting_a_run_leaves_no_half_record(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "train", interrupted)
    assert cli.main(["run", "split-digits", "finetune", *FAST, "--results", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_several_seeds_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Records and accuracies are those of single runs; a method that cannot says so before anything is trained."""
    arguments = ["run", "split-digits", "hnet", "--iterations", "40", "--chunk-size", "400"]
    assert cli.main([*arguments, "--results", str(tmp_path / "one"), "--seed", "2"]) == 0
    assert cli.main([*arguments, "--results", str(tmp_path / "many"), "--seed", "1", "--seeds", "3"]) == 0
    shown = capsys.readouterr().out
    assert [f"seed {seed}:" in shown for seed in range(5)] == [False, True, True, True, False]
    made = {path.name for path in (tmp_path / "many" / "split-digits").iterdir()}
    assert made == {f"hnet-{scenario}-seed{seed}.json" for scenario in ("cl1", "cl2", "cl3") for seed in (1, 2, 3)}
    assert not list((tmp_path / "many" / ".checkpoints").iterdir())
    for scenario in ("cl1", "cl2", "cl3"):
        one, many = (
            results.read(tmp_path / folder / "split-digits" / f"hnet-{scenario}-seed2.json")
            for folder in ("one", "many")
        )
        assert one.config == many.config
        assert one.metrics.average_accuracy == pytest.approx(many.metrics.average_accuracy, abs=0.02)
    assert cli.main(["run", "split-digits", "ewc", "--seeds", "2", "--results", str(tmp_path)]) == 2
    assert "ewc cannot train several seeds at once" in capsys.readouterr().err
    assert cli.main(["run", "split-digits", "hnet", "--seeds", "0", "--results", str(tmp_path)]) == 2
    assert "--seeds needs at least one" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run"], ["run", "--seeds", "2"], ["tune", "--seeds", "2", "--beta", "0", "1"]])
def test_a_benchmark_is_made_once(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permuted MNIST takes seconds to make."""
    made = []

    def counted(**options: Any) -> benchmarks.Benchmark:
        made.append(options)
        return benchmarks.split_digits(**options)

    monkeypatch.setitem(benchmarks.BENCHMARKS, "split-digits", counted)
    command, *more = arguments
    options = ["split-digits", "hnet", "--iterations", "1", "--results", str(tmp_path)]
    assert cli.main([command, *options, *more]) == 0
    assert len(made) == 1


def test_a_worker_makes_a_benchmark_once_for_all_its_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted() -> benchmarks.Benchmark:
        made.append(1)
        return benchmarks.split_digits()

    monkeypatch.setitem(benchmarks.BENCHMARKS, "split-digits", counted)
    sweeps._load.cache_clear()
    for seed in (0, 1):
        one = sweeps.Training("split-digits", "hnet", ("cl1",), seed, tmp_path, (("iterations", 1),))
        sweeps._work(one, "cpu", "off")
        assert one.done()
    sweeps._load.cache_clear()
    assert len(made) == 1
