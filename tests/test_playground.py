"""The playground's JavaScript computes what the library computes: the same weights, batches and tasks end the same."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import load
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.data import Examples
from hyperlearn.hypernets.columns import NARROW
from hyperlearn.methods import Config, Learner, Setting
from hyperlearn.methods.ewc import EWCConfig
from hyperlearn.methods.hypernet import HNETConfig

ROOT = Path(__file__).parent.parent


PLAYGROUND = ROOT / "book" / "playground"
DRAWING = ["drawing", "page"]  # scripts that need a page
NODE = shutil.which("node")
site_playground = load(ROOT / "book" / "site_playground.py")
golden = load(ROOT / "tests" / "golden" / "golden_trace.py")

TASKS, CLASSES, INPUTS, HIDDEN, STEPS, BATCH = 3, 2, 5, [7, 6], 20, 8
RATE, STRENGTH, BETA, KEPT = 0.01, 30.0, 0.2, 3
# The last hidden layer is as wide as a head must have it to keep its weight by rows, as the page does.
CHUNKED: dict[str, Any] = {"chunk_size": 25, "task_dim": 3, "chunk_dim": 4, "hidden": (9, NARROW)}


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


@cache
def scripts(folder: Path) -> list[Path]:
    """Those that the page loads and that draw nothing, in its order, with the digits as the build writes them."""
    named = re.findall(r'<script src="playground/(\w+)\.js">', (ROOT / "book" / "playground.md").read_text())
    (folder / "digits.js").write_text(site_playground.digits_script())
    return [(folder if name == "digits" else PLAYGROUND) / f"{name}.js" for name in named if name not in DRAWING]


@pytest.fixture(scope="session")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Any], Any]:
    """Asks the page's scripts for something."""
    if not NODE:
        if os.environ.get("CI"):
            pytest.fail("no node")
        pytest.skip("no node")
    command: list[str | Path] = [
        NODE,
        ROOT / "tests" / "playground" / "answer.js",
        *scripts(tmp_path_factory.mktemp("playground")),
    ]

    def ask(what: str, of: Any) -> Any:
        done = subprocess.run(command, input=json.dumps({"what": what, "of": of}), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.mark.parametrize("scenario", ["cl1", "cl2"])
@pytest.mark.parametrize("method", METHODS)
def test_training_in_the_page_agrees_with_the_library(
    playground: Callable[[str, Any], Any], method: str, scenario: hl.methods.Scenario
) -> None:
    """After the twenty steps of each of three tasks, penalties, replay and fresh optimizers among them."""
    with golden.double():  # JavaScript's numbers are doubles
        asked = torch.randn(50, INPUTS)
        run, expected = by_library(method, scenario, asked)
        found = playground("train", run | {"asked": asked.tolist()})
        for task in range(TASKS):
            here, there = torch.tensor(found["theta"][task]), torch.tensor(expected["theta"][task])
            assert float((here - there).abs().max()) < 1e-9, f"after task {task}"
            labels = torch.tensor(found["outputs"][task]).view(-1, CLASSES).argmax(1)
            assert labels.tolist() == expected["labels"][task]
        moved = torch.tensor(expected["theta"][-1]) - torch.tensor(run["theta"])
        assert float(moved.abs().max()) > 10 * RATE  # there was something to agree about


def mean(row: list[float]) -> float:
    return sum(row) / len(row)


def test_finetuning_forgets_and_the_hypernetwork_does_not(playground: Callable[[str, Any], Any]) -> None:
    """What the page shows before a reader has set anything."""
    matrices = playground("run", "")
    last = {method: mean(matrix[-1]) for method, matrix in matrices.items()}
    learnt = {method: mean([row[task] for task, row in enumerate(matrix)]) for method, matrix in matrices.items()}
    assert min(learnt.values()) > 0.98
    assert last["finetune"] < 0.7
    assert min(last[method] for method in ("hypernet", "ewc", "replay")) > 0.93
    assert last["hypernet"] > 0.97


def test_what_the_page_says_to_try_does_what_it_says(playground: Callable[[str, Any], Any]) -> None:
    def last(address: str, method: str) -> list[float]:
        return playground("run", f"method={method}&{address}")[method][-1]

    without, tight = last("beta=0", "hypernet"), last("beta=1000", "hypernet")
    assert mean(without) < 0.7
    assert tight[0] == 1
    assert mean(tight[1:]) < 0.95
    assert 0.75 < mean(last("kept=1", "replay")) < 0.93
    assert mean(last("lambda=10", "ewc")) < 0.7
    untold = playground("run", "tasks=places&scenario=cl2")
    assert max(untold, key=lambda method: mean(untold[method][-1])) == "replay"
    assert mean(untold["hypernet"][-1]) < 0.7
    contradicting = playground("run", "tasks=moons&scenario=cl2")
    assert max(mean(matrix[-1]) for matrix in contradicting.values()) < 0.6


def test_the_page_has_the_digits_of_the_library(playground: Callable[[str, Any], Any]) -> None:
    source = hl.data.digits()
    for task, parts in enumerate(playground("tasks", "tasks=digits")):
        images_of = [(source.train_images, source.train_labels), (source.test_images, source.test_labels)]
        for part, (images, labels) in zip(parts, images_of, strict=True):
            own = labels // 2 == task
            assert part["y"] == (labels[own] % 2).tolist()
            assert set(part["t"]) == {task}
            pixels = torch.tensor(part["x"]).view(-1, 8, 8)
            # The library rounds sixteenths to 256 levels.
            torch.testing.assert_close(pixels, hl.data.as_float(images[own]), rtol=0, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("tasks", ["moons", "shapes", "places"])
def test_points_lie_in_the_square_and_follow_the_seed(playground: Callable[[str, Any], Any], tasks: str) -> None:
    first, again, other = (playground("tasks", f"tasks={tasks}&seed={seed}") for seed in (1, 1, 2))
    assert first == again != other
    for train, test in first:
        assert max(map(abs, train["x"] + test["x"])) < 1.1
        assert len(train["y"]) == len(test["y"]) == 200
        assert train["x"] != test["x"]
        assert sum(train["y"]) == sum(test["y"]) == 100


def test_an_address_is_read_as_it_was_written(playground: Callable[[str, Any], Any]) -> None:
    asked = (
        "#tasks=digits&method=ewc,finetune&scenario=cl2&rate=0.03&lambda=7&kept=3&beta=0.25&chunk=99&steps=12&seed=8"
    )
    found = playground("settings", asked)
    numbers = {"rate": 0.03, "lambda": 7, "kept": 3, "beta": 0.25, "chunk": 99, "steps": 12, "seed": 8}
    assert found == {"tasks": "digits", "method": ["finetune", "ewc"], "scenario": "cl2"} | numbers


def test_an_address_that_makes_no_sense_is_the_default(playground: Callable[[str, Any], Any]) -> None:
    default = playground("settings", "")
    assert default["tasks"] == "moons"
    assert default["method"] == ["finetune", "hypernet", "ewc", "replay"]
    asked = (
        "#tasks=constructor&method=x&scenario=cl9&rate=0&lambda=-1&kept=1.5&beta=&chunk=none&steps=1e9&seed=Infinity&q"
    )
    assert playground("settings", asked) == default
