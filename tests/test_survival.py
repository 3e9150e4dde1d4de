"""A run that is killed, wherever it is, goes on to the record that it would have written undisturbed."""

import json
import multiprocessing
import os
import random
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest

from hyperlearn import checkpoints, cli, data, results, training

# One run of each kind of state: task embeddings and Fisher information, networks that grow, importances of weights,
# and replay, which draws random numbers while it trains.
RUNS = {
    "lstm-net-iwr": ["--chunk-size", "300", "--hidden-size", "4"],
    "lstm-net-grow": ["--chunk-size", "300", "--hidden-size", "4"],
    "si": [],
    "dgr-distill": ["--encoder-hidden", "8", "--decoder-hidden", "8", "--latent", "3"],
}
PHASES: dict[CodeType, str] = {
    data.digits.__wrapped__.__code__: "loading",
    training.fit_task.__code__: "training",
    training.Run.measure.__code__: "evaluation",
    training.Run.save.__code__: "checkpoint",
    results.write.__code__: "record",
}


def run(method: str, folder: Path) -> int:
    checkpoints.EVERY = 2
    data.digits.cache_clear()
    arguments = ["run", "split-digits", method, "--iterations", "3", "--target", "mlp-10", *RUNS[method]]
    return cli.main([*arguments, "--results", str(folder)])


def phases_of_moments(method: str, folder: Path) -> list[str]:
    """The phase of each moment of a run, which are all its calls and returns, into C too.

    Time plays no part: a moment is the same place in the program however busy the machine is.
    """
    moments: list[str] = []
    within = [""]

    def watch(frame: FrameType, event: str, _: Any) -> None:
        phase = PHASES.get(frame.f_code)
        if phase and event == "call":
            within.append(phase)
        moments.append(within[-1])
        if phase and event == "return":
            within.pop()

    sys.setprofile(watch)
    status = run(method, folder)
    sys.setprofile(None)
    assert status == 0
    return moments


def in_a_fork(method: str, folder: Path, die_at: int | None = None) -> int:
    """The exit status of a run in a process of its own, negative where it was killed."""
    process = os.fork()
    if process == 0:
        count = 0

        def watch(*_: Any) -> None:
            nonlocal count
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        if die_at is not None:
            sys.setprofile(watch)
        os._exit(run(method, folder))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def records(folder: Path) -> dict[str, Any]:
    """Everything that the records say, wall time aside; each of them has to be whole."""
    for result in results.read_all(folder):
        assert result.benchmark == "split-digits"
    return {path.name: {**json.loads(path.read_text()), "seconds": None} for path in folder.glob("*/*.json")}


class Trial(NamedTuple):
    where: str
    killed: int
    left: dict[str, Any]
    resumed: int
    records: dict[str, Any]
    checkpoints: list[Path]


def trials(method: str, folder: Path) -> tuple[dict[str, Any], list[Trial]]:
    """The records of a run, and of runs that were killed at a random moment of each phase and resumed."""
    run(method, folder / "first")  # what torch imports late it has imported now
    moments = phases_of_moments(method, folder / "whole")
    draw, made = random.Random(method), []
    for phase in PHASES.values():
        moment = draw.choice([number for number, name in enumerate(moments) if name == phase])
        own = folder / phase
        killed, left = in_a_fork(method, own, moment), records(own)
        resumed = in_a_fork(method, own)
        where = f"{phase}, moment {moment} of {len(moments)}"
        made.append(Trial(where, killed, left, resumed, records(own), list((own / ".checkpoints").iterdir())))
    return records(folder / "whole"), made


@pytest.mark.parametrize("method", RUNS)
def test_a_killed_run_goes_on_to_the_same_record(method: str, tmp_path: Path) -> None:
    """Twenty random moments in all, one in each phase of each run."""
    # Runs are forks of a process that has imported everything, and that has no threads as pytest's may have.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hyperlearn.cli", "sklearn.datasets"])
    with ProcessPoolExecutor(1, context) as clean:
        whole, made = clean.submit(trials, method, tmp_path).result()
    assert whole
    assert len(made) == 5
    for trial in made:
        assert trial.killed == -signal.SIGKILL, trial.where
        assert trial.left.items() <= whole.items(), trial.where  # whole records or none
        assert trial.resumed == 0, trial.where
        assert trial.records == whole, trial.where
        assert trial.checkpoints == [], trial.where
