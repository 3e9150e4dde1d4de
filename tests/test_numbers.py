"""Numbers as people give them: of any kind of whole number, and far out of range."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hyperlearn as hl
from hyperlearn import cli, memory
from hyperlearn.data import draw_indices, draw_rows

DIGITS = hl.benchmarks.split_digits()
TINY: dict[str, Any] = {"iterations": 2, "target": "mlp-4", "device": "cpu"}


@pytest.mark.parametrize("seed", [4_294_967_296, 18_446_744_073_710, 2**63 - 1, np.int64(3), torch.tensor(3).item()])
def test_any_whole_number_is_a_seed(seed: Any) -> None:
    result = hl.run("finetune", DIGITS, seed=seed, **TINY)
    assert type(result.seed) is int
    assert result.seed == int(seed)
    assert hl.Result(**vars(result)).to_json() == result.to_json()


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30, True, 1.0, "3", None, float("nan")])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(hl.InputError, match=r"a seed is a whole number from 0 to 2\^63 - 1"):
        hl.run("finetune", DIGITS, seed=seed, **TINY)


def test_seeds_that_differ_train_differently() -> None:
    large = [hl.run("finetune", DIGITS, seed=seed, **TINY).untrained_accuracy for seed in (2**62, 2**62 + 1)]
    assert large[0] != large[1]


def test_numbers_of_numpy_and_torch_are_hyperparameters() -> None:
    config = hl.recipes.configure(
        "hnet",
        "split-digits",
        iterations=np.int64(3),
        beta=np.float32(0.5),
        hidden=(np.int32(4),),
        chunk_size=torch.tensor(7),
    )
    assert (config.iterations, config.beta, config.hidden, config.chunk_size) == (3, 0.5, (4,), 7)  # type: ignore[attr-defined]
    assert type(config.iterations) is int


@pytest.mark.parametrize("field", ["iterations", "epochs", "batch_size", "images_per_class", "chunk_size", "task_dim"])
@pytest.mark.parametrize("value", [0, -1, 10**9 + 1, 10**30, 1.5, "1e9", float("inf")])
def test_a_number_out_of_range_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(hl.InputError, match=f"^{field}: "):
        hl.recipes.configure("hnet", "split-digits", **{field: value})


@pytest.mark.parametrize(
    ("method", "wrong", "said"),
    [
        ("finetune", ["--batch-size", "1000000000"], "a batch of 1000000000 takes 954 GiB and this machine has"),
        ("finetune", ["--target", "mlp-9999999-9999999"], "finetune on split-digits takes 1,490,127 GiB"),
        ("finetune", ["--target", "mlp-" + "9" * 5000], "at most 9,999,999 units, not 99999999999999999999"),
        ("finetune", ["--target", "resnet-" + "9" * 5000], "no target network"),
        ("finetune", ["--seeds", "1000000000"], "--seeds is at most 1000"),
        ("finetune", ["--seeds", "2", "--seed", str(2**63 - 1)], "a seed is a whole number from 0"),
        ("finetune", ["--seed", "9" * 5000], "expected a whole number below 10^19, got one of 5000 digits"),
        ("finetune", ["--seed", "³"], "expected a whole number"),
        ("hnet", ["--task-dim", "1000000000"], "hnet on split-digits takes 224 GiB"),
        ("hnet", ["--hidden", "1000000000,1000000"], "hnet on split-digits takes"),
        ("lstm-net", ["--hidden-size", "1000000"], "lstm-net on split-digits takes"),
    ],
)
def test_what_cannot_work_is_one_line(
    method: str, wrong: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(memory, "physical_memory", lambda: 32 * 2**30)
    assert cli.main(["run", "split-digits", method, "--iterations", "2", "--results", str(tmp_path), *wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tmp_path.rglob("*.json"))


def test_an_allocation_that_fails_is_an_input_error() -> None:
    with pytest.raises(hl.InputError, match="it does not fit into memory"), memory.enough_memory("it"):
        torch.empty(10**17)
    with pytest.raises(RuntimeError, match="another"), memory.enough_memory("it"):
        raise RuntimeError("another")


@pytest.mark.parametrize(("n", "batch"), [(10, 4), (3, 20), (1, 1), (7, 7)])
def test_rows_are_drawn_as_all_at_once(n: int, batch: int) -> None:
    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    whole = draw_indices(n, batch, 9, generator())
    passes = torch.cat([torch.randperm(n, generator=g) for g in [generator()] for _ in range(-(-9 * batch // n))])
    assert torch.equal(whole.flatten(), passes[: 9 * batch])
    for start in (0, 1, 8, 9):
        rows = list(draw_rows(n, batch, 9, generator(), start))
        assert len(rows) == 9 - start
        assert all(map(torch.equal, rows, whole[start:]))


def test_a_long_run_is_not_drawn_ahead() -> None:
    first = next(draw_rows(10, 4, 10**12, torch.Generator().manual_seed(0)))
    assert first.shape == (4,)


@pytest.mark.parametrize("task", [-1, 5, 7])
@pytest.mark.parametrize("method", ["finetune", "scratch", "hnet", "lstm-net-grow", "dgr", "hnet-r"])
def test_an_unknown_task_is_not_answered(method: str, task: int) -> None:
    config = hl.recipes.configure(method, "split-digits")
    learner = config.learner_class(config, config.setting(DIGITS, "cl1")).eval()
    with pytest.raises(hl.InputError, match=f"unknown task {task}; there are 0 to 4"):
        learner.predict(torch.rand(2, 8, 8), task, "cl1")


@pytest.mark.parametrize("given", ["split-digits", None, DIGITS.tasks])
def test_what_is_no_benchmark_is_refused(given: Any) -> None:
    with pytest.raises(hl.InputError, match=r"a hl.benchmarks.Benchmark is needed, not (str|NoneType|tuple)"):
        hl.run("hnet", given)


def test_folders_may_be_text(tmp_path: Path) -> None:
    hl.run("finetune", DIGITS, checkpoint=str(tmp_path), **TINY)
    assert list(tmp_path.glob("*.pt"))


def test_every_folder_may_be_text(tmp_path: Path) -> None:
    folder: Any = str(tmp_path)
    result = hl.run("finetune", DIGITS, **TINY)
    assert hl.results.write(result, folder).exists()
    assert [r.seed for r in hl.results.read_all(folder)] == [result.seed]
    assert hl.results.read(folder + "/split-digits/finetune-cl1-seed0.json") == replace(result, loss=[])
    (planned, *_) = hl.sweeps.trainings("table3", folder, seeds=1, schedule="tenth")
    assert planned.checkpoints.parent == tmp_path / "tenth"
    hl.tuning.search("finetune", "split-digits", {"iterations": [1], "target": ["mlp-4"]}, folder)
    assert hl.tables.figure("beta", folder) == []


def command(*words: str, **changed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hyperlearn.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env={**os.environ, **changed},
    )  # fmt: skip


def test_without_docstrings_the_listing_has_names() -> None:
    output, errors = command("methods", PYTHONOPTIMIZE="2").communicate()
    assert [line.split()[0] for line in output.splitlines()] == list(hl.methods.METHODS)
    assert errors == ""


def test_a_closed_pipe_ends_quietly() -> None:
    with command("methods", "--json") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "{\n"
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == ""
    assert running.returncode == 0


def test_a_terminal_without_signs_gets_a_table() -> None:
    results = str(Path(__file__).parent.parent / "results")
    running = command("table", "3", "--results", results, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    output, errors = running.communicate()
    assert "Traceback" not in errors
    assert running.returncode == 0
    assert "lstm-net" in output
    assert output.isascii()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "hyperlearn.cli", "methods"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.stderr == "hyperlearn: cannot read or write (No space left on device)\n"
    assert ended.returncode == 2


def test_a_name_that_is_too_long_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["table", "1", "--results", "x" * 5000]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hyperlearn: cannot read or write xxx")
    assert len(line) < 300
