"""Ten training steps of every method, as numbers that a change of the library must not move.

They are taken in double precision. In single precision processors differ in the seventh digit, and Adam's first steps
are as large for a gradient of 1e-9 as for one of 1: the losses of replay would differ by 1e-4.

``python tests/golden/golden_trace.py`` compares what the library computes now with ``trace.json`` beside this file.
``--write`` writes it anew. It refuses where numbers differ while the version is still the one in the file, since the
records of a version have to be those of one set of numbers (see CHANGELOG.md).
"""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

import hyperlearn as hl
from hyperlearn.data import Batch, Examples
from hyperlearn.methods import METHODS, Learner
from hyperlearn.training import Run, fit_task

FILE = Path(__file__).with_name("trace.json")
TASKS, STEPS = 2, 5
"""Five steps on each of two tasks: what keeps old tasks acts from the second one on."""
TOLERANCE = 1e-5
"""Relative. Rounding differs between processors and versions of PyTorch; a change of the method moves much more."""


class _Watched:
    """A learner whose loss is noted before each step, without a change to its random numbers."""

    batch_rows: Tensor | None = None

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.losses: list[float] = []

    def backward(self, batch: Batch, optimizer: Optimizer) -> None:
        self.learner.batch_rows = self.batch_rows  # before the loss, which may take what is kept of these images
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            self.losses.append(self.learner.loss(batch).item())
        self.learner.backward(batch, optimizer)

    def after_step(self) -> None:
        self.learner.after_step()


def checksum(state: dict[str, Any]) -> float:
    """A sum over all weights and buffers that no two of them enter alike: another order gives another sum."""
    total, place = 0.0, 0
    for name in sorted(state):
        kept = state[name]
        if isinstance(kept, Tensor) and kept.is_floating_point():
            values = kept.detach().double().flatten()
            total += float(values @ torch.arange(place, place + len(values)).double().mul(0.1).cos())
            place += len(values)
    return total


def norm(state: dict[str, Any]) -> float:
    """The length of all weights and buffers as one vector: what the checksum's differences are measured by."""
    kept = [k.double() for k in state.values() if isinstance(k, Tensor) and k.is_floating_point()]
    return math.sqrt(sum(float(k.square().sum()) for k in kept))


def in_double(benchmark: hl.benchmarks.Benchmark) -> hl.benchmarks.Benchmark:
    """The same with images of double precision."""

    def part(examples: Examples) -> Examples:
        assert isinstance(examples.images, Tensor)
        return Examples(examples.images.double() / 255, examples.labels, examples.tasks)

    tasks = (replace(t, train=part(t.train), validation=part(t.validation), test=part(t.test)) for t in benchmark.tasks)
    return replace(benchmark, tasks=tuple(tasks))


@contextmanager
def double() -> Iterator[None]:
    """Within, new weights and random numbers are of double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@double()
def trace(method: str) -> dict[str, Any]:
    """Losses before each step, and a checksum of what the learner holds at the end."""
    benchmark = in_double(hl.benchmarks.first(hl.benchmarks.split_digits(), TASKS))
    config = hl.recipes.configure(method, benchmark.name, iterations=STEPS)
    run = Run(hl.RunSpec(config, benchmark, device="cpu"))
    losses: list[float] = []
    with run.random.current():
        run.start(None)
        for _ in range(TASKS):
            data, order = run.begin_task()
            watched = _Watched(run.learner)
            assert run.optimizer is not None
            fit_task(watched, run.optimizer, data, order)
            run.finish_task(None)
            losses += watched.losses
    state = run.learner.state_dict()
    return {"losses": [float(f"{x:.7g}") for x in losses], "checksum": checksum(state), "norm": norm(state)}


def differences(method: str, there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What of the trace ``here`` is not that ``there``, in words."""
    said = [
        f"{method}: loss before step {step + 1} is {b:.7g}, was {a:.7g}"
        for step, (a, b) in enumerate(zip(there["losses"], here["losses"], strict=True))
        if not math.isclose(a, b, rel_tol=TOLERANCE)
    ]
    for name in ("checksum", "norm"):
        if abs(there[name] - here[name]) > TOLERANCE * there["norm"]:
            said.append(f"{method}: {name} of the weights is {here[name]:.7g}, was {there[name]:.7g}")
    return said


def read() -> dict[str, Any]:
    """The stored traces: ``version`` and ``methods``."""
    stored: dict[str, Any] = json.loads(FILE.read_text())
    return stored


def main(write: bool) -> None:
    torch.set_num_threads(1)
    made = {method: trace(method) for method in METHODS}
    stored = read() if FILE.exists() else {"version": None, "methods": {}}
    known = stored["methods"]
    changed = [line for m, t in made.items() if m in known for line in differences(m, known[m], t)]
    print("\n".join(changed) or "no number has changed")
    if not write:
        sys.exit(bool(changed))
    if changed and stored["version"] == hl.__version__:
        sys.exit(f"numbers changed, and the version is still {hl.__version__}: raise it, and say so in CHANGELOG.md")
    if not changed:  # keep the digits of methods that are known: those of another processor would be a diff of noise
        made = {method: known.get(method, t) for method, t in made.items()}
    version = hl.__version__ if changed or not known else stored["version"]
    lines = ",\n".join(f"  {json.dumps(method)}: {json.dumps(made[method])}" for method in made)  # a line for each
    FILE.write_text(f'{{"version": {json.dumps(version)},\n "methods": {{\n{lines}\n }}\n}}\n')


if __name__ == "__main__":
    main("--write" in sys.argv)
