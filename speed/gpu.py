"""Table 3 on a GPU within a limit of seconds: how fast training is, how long the protocol takes, then its rows in turn.

    python speed/gpu.py --out FOLDER [--seconds 600] [--compile auto] [--methods ...] [--set epochs=20 ...]

First fifty steps of every method on the digits, whose losses should be those of a processor to four digits. Then the
images a second of LSTM_NET at two batch sizes, compiled and not, in two precisions; and a stretch of every task of each
method, from which the whole protocol is extrapolated (training steps alone, without Fisher information and evaluation):
FOLDER/speed.json. This takes half of the time at most; what it has not come to is null there, and is measured by the
next call. Then the methods are trained one after the other until the time is up. Records go to
FOLDER/results, checkpoints to FOLDER/results/.checkpoints; the same command goes on from there.

How long steps take on the GPU, beside plain training and for several seeds at once, another command measures:

    python speed/bench.py methods tasks cifar runs seeds --results FOLDER/results
"""

import argparse
import json
import time
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from hyperlearn import benchmarks, sweeps
from hyperlearn.benchmarks import Benchmark, limited
from hyperlearn.callbacks import Callback
from hyperlearn.catalog import Compile
from hyperlearn.data import draw_indices, flip_and_crop
from hyperlearn.files import write_atomically
from hyperlearn.methods import METHODS as EVERY
from hyperlearn.methods.replay import ReplayConfig
from hyperlearn.provenance import commit, environment
from hyperlearn.recipes import configure
from hyperlearn.spec import RunSpec, pick_device
from hyperlearn.trained import train
from hyperlearn.training import Run, clock, fit_task

NAME = "cifar-10-100"
METHODS = ("lstm-net", "hnet", "lstm-net-grow", "lstm-net-iwr", "hnet-iwr", "finetune", "scratch")
BATCHES = (32, 256)
PRECISIONS = {"float32": None, "bfloat16": "bfloat16"}
STEPS = 50
"""In a stretch."""


class Limit:
    """So many seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def up(self) -> bool:
        return time.monotonic() > self.end


def speed(
    method: str, task: int, benchmark: Benchmark, device: torch.device, compile: Compile, limit: Limit, **overrides: Any
) -> float | None:
    """Training images a second in ``task``, over `STEPS` steps after a tenth as many that do not count.

    Over fewer where the time is up meanwhile, and None where it was up before.
    """
    if limit.up:
        return None
    config = configure(method, NAME, **overrides)
    run = Run(RunSpec(config, benchmark, ("cl1",), device=device.type, compile=compile))
    learner = run.learner
    with run.random.current(), run.compiler.training():
        # What ends a task may take all its images (Fisher information); a few do for the time that later steps take.
        for number, few in enumerate(limited(benchmark, 1).tasks[:task]):
            learner.begin_task(number)
            learner.end_task(number, few.train.to(device))
        learner.begin_task(task)
        optimizer = run.new_optimizer(learner.trainable())
        train = benchmark.tasks[task].train.to(device)
        order = draw_indices(len(train), config.batch_size, STEPS + STEPS // 10, torch.Generator()).to(device)
        augment = flip_and_crop if config.augmentation else None
        fit_task(learner, optimizer, train, order[STEPS:], augment=augment)
        done, started = 0, clock(device)

        def after_step(steps: int, loss: Tensor | None) -> bool:
            nonlocal done
            done = steps
            return limit.up

        fit_task(learner, optimizer, train, order[:STEPS], augment=augment, after_step=after_step)
        return done * config.batch_size / (clock(device) - started)


def apart(device: torch.device, limit: Limit) -> dict[str, float | None]:
    """How far the losses of each method's first `STEPS` steps are from a processor's: the largest relative difference.

    The steps are of two tasks of the digits. None where the time was up, and for methods that draw random numbers on
    the device, which are others on each kind.
    """
    tasks = benchmarks.first(benchmarks.split_digits(), 2)
    found: dict[str, float | None] = {}
    for method, kind in EVERY.items():
        found[method] = None
        if limit.up or issubclass(kind, ReplayConfig):
            continue
        config = configure(method, tasks.name, iterations=-(-STEPS // 2))
        ours, theirs = (
            train(RunSpec(config, tasks, ("cl1",), device=name)).result.loss for name in (device.type, "cpu")
        )
        pairs = zip(chain(*ours), chain(*theirs), strict=True)
        found[method] = max(abs(a - b) / abs(b) for a, b in pairs)
        print(f"{method}: its losses are those of a processor to {found[method]:.1e}", flush=True)
    return found


def measure(
    methods: list[str],
    benchmark: Benchmark,
    device: torch.device,
    compile: Compile,
    limit: Limit,
    overrides: dict[str, Any],
) -> dict[str, Any]:
    """What goes into ``speed.json``."""
    differences = apart(device, limit)
    batches = {
        size: {
            f"compile {how}, {precision}": speed(
                "lstm-net", 0, benchmark, device, how, limit, **{**overrides, "batch_size": size, "precision": chosen}
            )
            for how in dict.fromkeys(("off", compile))
            for precision, chosen in PRECISIONS.items()
        }
        for size in BATCHES
    }
    protocol = {}
    for method in methods:
        config = configure(method, NAME, **overrides)
        rates = [speed(method, task, benchmark, device, compile, limit, **overrides) for task in range(len(benchmark))]
        seconds = [
            config.steps(len(task.train)) * config.batch_size / rate
            for task, rate in zip(benchmark.tasks, rates, strict=True)
            if rate is not None
        ]
        hours = sum(seconds) / 3600 if len(seconds) == len(rates) else None
        protocol[method] = {"images_per_second": rates, "seconds": seconds, "hours": hours}
        said = "no time" if hours is None else f"about {hours:.2f} hours of training steps"
        print(f"{method}: {said}", flush=True)
    return {
        "losses_apart_from_a_processors": differences,
        "complete": None not in [row["hours"] for row in protocol.values()],
        "lstm_net_images_per_second_by_batch": batches,
        "protocol": protocol,
        "compile": compile,
        "overrides": overrides,
        "environment": environment(device),
        "commit": commit(),
    }


class TimeUp(Exception):
    """The limit of seconds is reached."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", choices=get_args(Compile), default="off", help="as of `hyperlearn run`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="what differs from the recipes")
    options = parser.parse_args()
    overrides: dict[str, Any] = dict(word.split("=", 1) for word in options.set)
    device = pick_device(options.device)
    limit, first = Limit(options.seconds), Limit(options.seconds / 2)
    report = options.out / "speed.json"
    if not report.exists() or not json.loads(report.read_text())["complete"]:
        benchmark = configure(options.methods[0], NAME, **overrides).limited(benchmarks.load(NAME))
        found = measure(list(options.methods), benchmark, device, options.compile, first, overrides)
        write_atomically(report, (json.dumps(found, indent=1) + "\n").encode())
    print(report)

    class Watch(Callback):
        def on_step(self, run: Run, loss: Tensor | None) -> None:
            if limit.up:
                raise TimeUp(f"in task {run.task + 1}, step {run.step}")

    for method in options.methods:
        training = sweeps.Training(
            NAME, method, ("cl1",), options.seed, options.out / "results", tuple(overrides.items())
        )
        if training.done():
            continue
        try:
            result = training.run(callbacks=[Watch()], device=options.device, compile=options.compile).result
        except TimeUp as stopped:
            print(f"{training}: stopped {stopped}; the same command goes on from its last checkpoint")
            return
        print(f"{training}: {100 * result.average_accuracy:.2f}%", flush=True)


if __name__ == "__main__":
    main()
