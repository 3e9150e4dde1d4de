"""Keep one network of a finished training for a chapter: its parameters in 8 bits, and the statistics of several tasks.

    python book/stored_network.py TRAINED.pt results/networks/cifar-10-100/lstm-net-grow.json

TRAINED.pt is what ``hyperlearn run ... --save TRAINED.pt`` wrote. Chapter 11 reads the network of the first task, and
sets it before the batch norm statistics of others.
"""

import json
import sys
from pathlib import Path

import hyperlearn as hl
from hyperlearn.live.numbers import pack
from hyperlearn.methods import HypernetLearner

TASKS = 3
"""Whose statistics are kept."""


def stored(learner: HypernetLearner) -> str:
    """The first task's parameters, each under its name, and the buffers of task t, under ``t.NAME``."""
    buffers = {f"{t}.{name}": kept.float() for t in range(TASKS) for name, kept in learner.target_buffers(t).items()}
    return pack(buffers, learner.hypernet(0))


def main() -> None:
    source, target = sys.argv[1:]
    trained = hl.load(source)
    assert isinstance(trained.learner, HypernetLearner)
    result = trained.result
    what = f"{result.method} on {result.benchmark}, seed {result.seed}, the first task's network"
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps({"what": what, "tensors": stored(trained.learner)}) + "\n")


if __name__ == "__main__":
    main()
