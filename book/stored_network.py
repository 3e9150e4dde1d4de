"""Keep one network of a finished training for a chapter: its parameters in 8 bits, and the statistics of several tasks.

    python book/stored_network.py TRAINED.pt results/networks/cifar-10-100/lstm-net-grow.json

TRAINED.pt is what ``hyperlearn run ... --save TRAINED.pt`` wrote. Chapter 11 reads the network of the first task, and
sets it before the batch norm statistics of others.
"""

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hyperlearn as hl
from hyperlearn.live.numbers import steps
from hyperlearn.methods import HypernetLearner

TASKS = 3
"""Whose statistics are kept."""


def stored(learner: HypernetLearner, what: str) -> dict[str, Any]:
    """The first task's network as data: counts in steps of a size for each row, and statistics to six digits."""
    with torch.no_grad():
        parameters = {name: _rounded(value) for name, value in learner.hypernet(0).items()}
    statistics = [
        {name: [float(f"{x:.6g}") for x in kept.flatten().tolist()] for name, kept in learner.target_buffers(t).items()}
        for t in range(TASKS)
    ]
    return {"what": what, "parameters": parameters, "statistics": statistics}


def _rounded(value: Tensor) -> dict[str, Any]:
    counts, sizes = steps(value)
    numbers = [float(f"{x:.6g}") for x in sizes.flatten().tolist()]
    return {"shape": list(value.shape), "steps": numbers, "counts": b64encode(counts.numpy().tobytes()).decode()}


def main() -> None:
    source, target = sys.argv[1:]
    trained = hl.load(source)
    learner = trained.learner
    assert isinstance(learner, HypernetLearner)
    result = trained.result
    what = f"{result.method} on {result.benchmark}, seed {result.seed}, the first task's network"
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps(stored(learner, what)) + "\n")


if __name__ == "__main__":
    main()
