"""Files that several processes write at once, and what those that were killed leave behind."""

import json
import multiprocessing
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

import hyperlearn as hl
from hyperlearn import cli, tuning
from hyperlearn.files import locked, sweep_temporary, write_atomically
from hyperlearn.sweeps import Training


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_rights_that_the_user_gives_new_ones(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"x")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask
        assert os.umask(umask) == umask  # it was put back
    finally:
        os.umask(before)


def gone() -> int:
    """The number of a process that has ended."""
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    host, path = socket.gethostname(), tmp_path / "run.pt"
    dead = tmp_path / f".run.pt.{host}.{gone()}.abc.tmp"
    kept = [
        tmp_path / f".run.pt.{host}.{os.getpid()}.abc.tmp",  # of a writer that is at work
        tmp_path / f".run.pt.elsewhere.{gone()}.abc.tmp",  # of another machine, whose processes are not seen
        tmp_path / f".other.pt.{host}.{gone()}.abc.tmp",
        tmp_path / ".run.pt.tmp",
    ]
    for file in (dead, *kept):
        file.touch()
    sweep_temporary(path)
    assert not dead.exists()
    assert all(file.exists() for file in kept)
    dead.touch()
    write_atomically(path, b"x")
    assert not dead.exists()


def test_a_run_that_ends_leaves_the_files_of_another_alone(tmp_path: Path) -> None:
    """Two runs of one seed and folder: the first to end does not take away what the second is writing."""
    training = Training("split-digits", "finetune", ("cl1",), 0, tmp_path, (("iterations", 1), ("target", "mlp-4")))
    file = training.checkpoints / "split-digits-finetune-cl1-seed0.pt"
    file.parent.mkdir()
    mine = file.parent / f".{file.name}.{socket.gethostname()}.{os.getpid()}.abc.tmp"
    mine.touch()
    training.run()
    assert mine.exists()
    assert not file.exists()


def _add(path: Path, number: int) -> None:
    for _ in range(20):
        with locked(path):
            text = path.read_text() if path.exists() else ""
            write_atomically(path, f"{text}{number}".encode())


def test_of_those_that_add_at_once_none_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path = tmp_path / "all"
    processes = [context.Process(target=_add, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(path.read_text()) == sorted(str(number) for number in range(3) for _ in range(20))


def test_a_point_of_a_search_that_fails_takes_no_other_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "split-digits", "finetune", "--target", "mlp-4", "--iterations", "3", "--results", str(tmp_path)]
    assert cli.main([*command, "--learning-rate", "1e38", "0.001"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hyperlearn: 1 of 2 trials failed, the others are kept in")
    assert "learning_rate=1e38, seed 0: finetune on split-digits: " in line
    (trial,) = tuning.read(tuning.search_path(tmp_path, "split-digits", "finetune")).trials
    assert trial.config["learning_rate"] == 0.001


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accuracy", {"cl1": 1.5}),
        ("accuracy", {}),
        ("accuracy", {"cl9": 0.5}),
        ("accuracy", {"cl1": None}),
        ("seed", -1),
    ],
)
def test_a_trial_that_cannot_be_is_refused_by_name(field: str, value: Any, tmp_path: Path) -> None:
    found = tuning.search("finetune", "split-digits", {"iterations": [1], "target": ["mlp-4"]}, tmp_path)
    path = tuning.search_path(tmp_path, "split-digits", "finetune")
    trial = {**vars(found.trials[0]), field: value}
    data = {**vars(found), "trials": [trial]}
    path.write_text(json.dumps(data))
    with pytest.raises(hl.InputError, match=f"{path}: no valid search: "):
        tuning.read(path)


def test_a_search_of_another_is_not_added_to(tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {"iterations": [1], "target": ["mlp-4"]}
    tuning.search("finetune", "split-digits", grid, tmp_path)
    path = tuning.search_path(tmp_path, "split-digits", "finetune")
    path.rename(path.with_name("scratch.json"))
    with pytest.raises(hl.InputError, match="is the search of another: method = finetune, this run has scratch"):
        tuning.search("scratch", "split-digits", grid, tmp_path)


def test_trials_of_different_scenarios_are_refused(tmp_path: Path) -> None:
    found = tuning.search("finetune", "split-digits", {"iterations": [1, 2], "target": ["mlp-4"]}, tmp_path)
    path = tuning.search_path(tmp_path, "split-digits", "finetune")
    first, second = (vars(trial) for trial in found.trials)
    path.write_text(json.dumps({**vars(found), "trials": [first, {**second, "accuracy": {"cl2": 0.5}}]}))
    with pytest.raises(hl.InputError, match="trials measured in different scenarios"):
        tuning.read(path)


def test_a_folder_that_cannot_be_written_into_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(hl.InputError, match="cannot write beside"), locked(tmp_path / "file" / "all"):
        pass


def test_a_number_that_no_process_has_is_no_writer(tmp_path: Path) -> None:
    left = tmp_path / f".run.pt.{socket.gethostname()}.{10**30}.abc.tmp"
    left.touch()
    sweep_temporary(tmp_path / "run.pt")
    assert not left.exists()
