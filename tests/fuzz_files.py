"""Structural fuzzing of checkpoints, records and searches: no crash, and no silent change of results.

``python tests/fuzz_files.py --seconds 60 --seed 0``. Each trial takes a valid file, changes its structure and gives it
to the command line. What may come of it is exit status 2 with one line, or exit status 0 with the results of a run that
nothing happened to. Trials are made in a process of their own, so that a signal is noticed. A trial is made again by
its seed and number, ``--first N --trials 1``. tests/test_fuzz.py makes a few of them.
"""

import argparse
import contextlib
import copy
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import hyperlearn as hl
from hyperlearn import checkpoints, cli, tensor_files, training

SMALL = ["--iterations", "4", "--target", "mlp-4", "--device", "cpu"]
METHODS = {"finetune": SMALL, "hnet": [*SMALL, "--chunk-size", "50"], "lstm-net-grow": [*SMALL, "--chunk-size", "50"]}
ODD: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: -1, lambda: 0, lambda: 2**70, lambda: 1.5, lambda: float("nan"),
    lambda: float("inf"), lambda: "", lambda: "x" * 300, list, dict, lambda: [[]], lambda: {"a": 1},
]  # fmt: skip
ODD_TENSORS: list[Callable[[torch.Tensor], Any]] = [
    lambda t: t.new_zeros(3), lambda t: t.new_zeros(()), lambda t: t.new_zeros(2, *t.shape), lambda t: t[..., :-1],
    lambda t: t.to(torch.float64), lambda t: t.to(torch.int64), lambda t: t.to(torch.complex64), lambda t: t.bool(),
    lambda t: torch.full_like(t, float("nan")) if t.is_floating_point() else t - 10**6, lambda t: t.new_empty(0),
    lambda t: t.flatten(), lambda t: t.tolist(), lambda t: t.to_sparse() if t.dim() else t, lambda t: -t.float() - 1,
]  # fmt: skip


def places(value: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of nested dictionaries and lists."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [where, *(place for key, each in inside for place in places(each, (*where, key)))]


def mutated(whole: Any, draw: random.Random) -> Any:
    """A copy with one part dropped, renamed, repeated, exchanged for another or made odd."""
    whole = copy.deepcopy(whole)
    where = draw.choice(places(whole)[1:])
    holder = whole
    for key in where[:-1]:
        holder = holder[key]
    if isinstance(holder, tuple):
        return mutated(whole, draw)
    last, value = where[-1], holder[where[-1]]
    how = draw.choice(["drop", "rename", "repeat", "exchange", "odd", "odd", "odd"])
    if how == "drop":
        del holder[last]
    elif how == "rename" and isinstance(holder, dict):
        holder[f"{last}_"] = holder.pop(last)
    elif how == "repeat" and isinstance(holder, list):
        holder.append(copy.deepcopy(value))
    elif how == "exchange":
        other = whole
        for key in draw.choice(places(whole)[1:]):
            other = other[key]
        holder[last] = copy.deepcopy(other)
    elif isinstance(value, torch.Tensor):
        with contextlib.suppress(RuntimeError, IndexError):
            holder[last] = draw.choice(ODD_TENSORS)(value)
    else:
        holder[last] = draw.choice(ODD)()
    return whole


def command(method: str) -> list[str]:
    return ["run", "split-digits", method, *METHODS[method], "--checkpoint", "checkpoints"]


def tune_command() -> list[str]:
    return ["tune", "split-digits", "finetune", "--target", "mlp-4", "--iterations", "1", "2", "--device", "cpu"]


def call(arguments: list[str]) -> tuple[int, str]:
    """Exit status and standard error of the command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(arguments)
        except BaseException:
            return -1, traceback.format_exc()
    return status, err.getvalue()


def measured(folder: str = "results") -> dict[str, Any]:
    """All records in ``folder``, wall time aside."""
    return {str(p): {**json.loads(p.read_text()), "seconds": 0} for p in Path(folder).rglob("*seed0.json")}


class Stop(BaseException):
    """Ends a run where its checkpoint has been written."""


def prepare() -> dict[str, Any]:
    """In the present folder: what uninterrupted runs measure, a checkpoint of each method, a record, a search."""
    made: dict[str, Any] = {}
    checkpoints.EVERY = 2
    save = training.Run.save

    def stopping(self: training.Run, file: Path) -> None:
        save(self, file)
        if (self.task, self.step) == (1, 2):
            raise Stop

    for method in METHODS:
        assert call(command(method))[0] == 0
        made[method] = {"whole": measured()}
        for path in [*Path("results").rglob("*seed0.json"), *Path("checkpoints").iterdir()]:
            path.unlink()
        training.Run.save = stopping  # type: ignore[method-assign]
        call(command(method))
        training.Run.save = save  # type: ignore[method-assign]
        (file,) = Path("checkpoints").iterdir()
        made[method] |= {"file": file, "state": torch.load(file, weights_only=True)}
        file.unlink()
    assert call(tune_command())[0] == 0
    made["record"] = json.loads(hl.run("hnet", hl.benchmarks.split_digits(), iterations=1, device="cpu").to_json())
    made["search"] = json.loads(Path("results/tuning/split-digits/finetune.json").read_text())
    return made


def trial(made: dict[str, Any], draw: random.Random) -> str | None:
    """What went wrong in one trial, if anything did."""
    kind = draw.choice([*METHODS, *METHODS, "record", "search"])
    if kind == "record":
        path = Path("records/split-digits/hnet-cl1-seed0.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(mutated(made[kind], draw)))
        status, said = call(["table", "1", "--results", "records"])
    elif kind == "search":
        path = Path("results/tuning/split-digits/finetune.json")
        path.write_text(json.dumps(mutated(made[kind], draw)))
        status, said = call(tune_command())
    else:
        state, file = mutated(made[kind]["state"], draw), made[kind]["file"]
        forged = draw.random() < 0.5 and "digest" in state  # as if by a writer of its own: what lies deeper is reached
        if forged:
            with contextlib.suppress(RuntimeError):  # of a sparse tensor there is none
                state["digest"] = tensor_files.digest({k: v for k, v in state.items() if k != "digest"})
        torch.save(state, file)
        status, said = call(command(kind))
        if status == 0 and not forged and measured() != made[kind]["whole"]:
            return f"{kind}: other results, in silence"
        for path in [*Path("results").rglob("*seed0.json"), *Path("checkpoints").iterdir()]:
            path.unlink()
    if (status == 2 and len(said.splitlines()) == 1) or status == 0:
        return None
    return f"{kind}: exit status {status}\n{said}"


def child(seed: int, first: int, trials: int | None, seconds: float | None) -> None:
    """Make trials, and say before each which one it is."""
    end = None if seconds is None else time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        made, number = prepare(), first
        while (trials is None or number < first + trials) and (end is None or time.monotonic() < end):
            print(f"trial {number}", flush=True)
            wrong = trial(made, random.Random(f"{seed} {number}"))
            if wrong:
                print(f"FAILED {number}: {wrong}", flush=True)
            number += 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    if options.seconds is None and options.trials is None:
        parser.error("give --seconds or --trials")
    if options.child:
        child(options.seed, options.first, options.trials, options.seconds)
        return 0
    words = [sys.executable, __file__, "--child", "--seed", str(options.seed), "--first", str(options.first)]
    for name in ("trials", "seconds"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", str(value)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    lines = done.stdout.splitlines()
    made = [line for line in lines if line.startswith("trial ")]
    print("\n".join(line for line in lines if not line.startswith("trial ")))
    print(f"{len(made)} trials from seed {options.seed}")
    if done.returncode:
        print(f"the process ended with {done.returncode} in {made[-1] if made else 'its preparation'}")
    return int(bool(done.returncode) or any(line.startswith("FAILED") for line in lines))


if __name__ == "__main__":
    sys.exit(main())
