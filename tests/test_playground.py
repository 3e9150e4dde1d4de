"""The playground's JavaScript computes what the library computes: the same weights, batches and tasks end the same."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.data import Examples
from hyperlearn.hypernets.columns import NARROW
from hyperlearn.methods import Config, Learner, Setting
from hyperlearn.methods.ewc import EWCConfig
from hyperlearn.methods.hypernet import HNETConfig

ROOT = Path(__file__).parent.parent
SCRIPTS = ["random.js", "linear.js", "adam.js", "mlp.js", "hypernetwork.js", "methods.js"]
NODE = shutil.which("node")

TASKS, CLASSES, INPUTS, HIDDEN, STEPS, BATCH = 3, 2, 5, [7, 6], 20, 8
RATE, STRENGTH, BETA, KEPT = 0.01, 30.0, 0.2, 3
# The last hidden layer is as wide as a head must have it to keep its weight by rows, as the page does.
CHUNKED: dict[str, Any] = {"chunk_size": 25, "task_dim": 3, "chunk_dim": 4, "hidden": (9, NARROW)}


@contextmanager
def double_precision() -> Iterator[None]:
    """JavaScript's numbers are doubles; in single precision Adam's first steps magnify what was rounded."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Rehearsal(hl.methods.Finetune):
    """Chapter 14's, with what it draws noted."""

    memory: tuple[Examples, ...] = ()
    drawn: tuple[list[int], ...] = ()

    def loss(self, batch: hl.data.Batch) -> Tensor:
        loss = super().loss(batch)
        if not self.memory:
            return loss
        old = hl.data.concatenate(list(self.memory))
        rows = torch.randint(len(old), (len(batch.labels),))
        self.drawn += (rows.tolist(),)
        return (loss + self.classifier.cross_entropy(old[rows], seen=self.learned + 1)) / 2

    def end_task(self, task: int, train: Examples) -> None:
        order = torch.randperm(len(train))
        self.drawn += (order.tolist(),)
        self.memory += (train.take(order[:KEPT]),)
        super().end_task(task, train)


METHODS: dict[str, tuple[type[Learner], Config]] = {
    "Finetune": (hl.methods.Finetune, hl.methods.FinetuneConfig()),
    "EWC": (EWCConfig.learner_class, EWCConfig(strength=STRENGTH)),
    "Replay": (Rehearsal, hl.methods.FinetuneConfig()),
    "Hypernet": (HNETConfig.learner_class, HNETConfig(beta=BETA, regularizer_form="direct", **CHUNKED)),
}
# The names that the page gives to the same settings.
CONFIG = {"rate": RATE, "lambda": STRENGTH, "kept": KEPT, "beta": BETA, "chunk": CHUNKED["chunk_size"]}
CONFIG |= {"taskDim": CHUNKED["task_dim"], "chunkDim": CHUNKED["chunk_dim"], "hidden": CHUNKED["hidden"]}


def make_tasks() -> list[Examples]:
    """Each task asks for the sign of another sum."""
    made = []
    for task in range(TASKS):
        x = torch.randn(40, INPUTS)
        y = (x @ torch.randn(INPUTS) > 0).long()
        made.append(Examples(x, y, torch.full((40,), task)))
    return made


def flat(learner: Learner) -> list[float]:
    return torch.cat([p.detach().flatten() for p in learner.parameters()]).tolist()


def plain(examples: Any) -> dict[str, Any]:
    return {"x": examples.images.tolist(), "y": examples.labels.tolist(), "t": examples.tasks.tolist()}


def by_library(method: str, scenario: hl.methods.Scenario, asked: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the JavaScript is to do, and what the library does."""
    torch.manual_seed(0)
    tasks = make_tasks()
    kind, config = METHODS[method]

    def target(outputs: int) -> nn.Module:
        return hl.nets.MLP(INPUTS, HIDDEN, outputs)

    learner = kind(config, Setting(TASKS, CLASSES, (scenario,), target, (INPUTS,)))
    setting = {"tasks": TASKS, "classes": CLASSES, "inputs": INPUTS, "hidden": HIDDEN, "scenario": scenario}
    run: dict[str, Any] = {"method": method, "setting": setting, "config": CONFIG, "theta": flat(learner), "tasks": []}
    optimizer, reached = torch.optim.Adam(learner.trainable(), lr=RATE), []
    for number, train in enumerate(tasks):
        learner.begin_task(number)
        if learner.fresh_optimizer:
            optimizer = torch.optim.Adam(learner.trainable(), lr=RATE)
        before = len(getattr(learner, "drawn", ()))
        batches = []
        for rows in hl.data.draw_indices(len(train), BATCH, STEPS, torch.Generator().manual_seed(number)):
            batches.append(plain(train[rows]))
            optimizer.zero_grad()
            learner.backward(train[rows], optimizer)
            optimizer.step()
            learner.after_step()
        learner.end_task(number, train)
        drawn = getattr(learner, "drawn", ())[before:]
        run["tasks"].append({"train": plain(train), "batches": batches, "drawn": drawn})
        reached.append(flat(learner))
    predicted = [learner.predict(asked, t if scenario == "cl1" else None, scenario).labels for t in range(TASKS)]
    return run, {"theta": reached, "labels": [labels.tolist() for labels in predicted]}


def by_playground(runs: list[dict[str, Any]], asked: Tensor) -> list[dict[str, Any]]:
    if not NODE:
        pytest.fail("no node") if os.environ.get("CI") else pytest.skip("no node")
    given = {"scripts": SCRIPTS, "runs": runs, "asked": asked.tolist()}
    command = [NODE, ROOT / "tests" / "playground" / "train.js", ROOT / "book" / "playground"]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scenario", ["cl1", "cl2"])
@pytest.mark.parametrize("method", METHODS)
def test_training_in_the_page_agrees_with_the_library(method: str, scenario: hl.methods.Scenario) -> None:
    """After the twenty steps of each of three tasks, penalties, replay and fresh optimizers among them."""
    with double_precision():
        asked = torch.randn(50, INPUTS)
        run, expected = by_library(method, scenario, asked)
        (found,) = by_playground([run], asked)
        for task in range(TASKS):
            here, there = torch.tensor(found["theta"][task]), torch.tensor(expected["theta"][task])
            assert float((here - there).abs().max()) < 1e-9, f"after task {task}"
            labels = torch.tensor(found["outputs"][task]).view(-1, CLASSES).argmax(1)
            assert labels.tolist() == expected["labels"][task]
        moved = torch.tensor(expected["theta"][-1]) - torch.tensor(run["theta"])
        assert float(moved.abs().max()) > 10 * RATE  # there was something to agree about
