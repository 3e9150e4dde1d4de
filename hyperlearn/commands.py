"""What the command line does where PyTorch is needed: ``run | predict | sweep | tune | data``."""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.table import Table

from . import benchmarks, cifar, compiling, pictures, recipes, results, sweeps, trained, tuning
from . import data as sources
from .benchmarks import Benchmark
from .callbacks import progress_bar
from .errors import DataError, InputError
from .methods import Config
from .recipes import Method
from .results import Result
from .spec import check_evaluate, check_scenarios, check_seed, pick_device
from .sweeps import Cluster, Training
from .terminal import console


def run(options: argparse.Namespace) -> None:
    # Everything that can be wrong is looked at before anything is trained.
    overrides = _overrides(options.rest)
    method, own = _method(options.method), _own_benchmark(options.benchmark)
    config = recipes.configure(method, own.name if own else options.benchmark, options.scenario or "cl1", **overrides)
    compiling.check(options.compile, pick_device(options.device))
    check_evaluate(options.evaluate)
    results.check_writable(options.results)
    if options.checkpoint:
        results.check_writable(options.checkpoint)
    if options.seeds < 1:
        raise InputError("--seeds needs at least one")
    if options.seeds > sweeps.MOST_SEEDS:
        raise InputError(f"--seeds is at most {sweeps.MOST_SEEDS}, got {options.seeds}")
    check_seed(options.seed + options.seeds - 1)
    if options.seeds > 1 and options.compile == "on":
        raise InputError("several seeds at once are one program already, which cannot be compiled; give --compile auto")
    if options.seeds > 1 and options.save:
        raise InputError("--save writes one training; leave --seeds out")
    if options.save:
        results.check_writable(options.save.parent)
    benchmark = own or benchmarks.load(options.benchmark)
    scenarios = check_scenarios(config, benchmark, [options.scenario] if options.scenario else None)
    trainings = [
        Training(benchmark, method, scenarios, seed, options.results, tuple(overrides.items()))
        for seed in range(options.seed, options.seed + options.seeds)
    ]
    for training in trainings:
        training.done()  # where there is the same record already, it is made anew
        if not options.resume:
            training.forget(options.checkpoint)
    of_run = {"device": options.device, "evaluate": options.evaluate}
    with progress_bar() as bar:
        if len(trainings) == 1:
            done = trainings[0].run(options.checkpoint, bar, compile=options.compile, **of_run)
            made = [done.results]
            if options.save:
                done.save(options.save)
        else:
            made = sweeps.run_together(trainings, options.checkpoint, bar, **of_run)
    for results_of_one in made:
        _print_results(list(results_of_one.values()))
    for training in trainings:
        for path in training.records:
            print(path)
    if options.save:
        print(options.save)


def _named(text: str) -> Any:
    """What ``module:name`` names; the module is looked for in the present folder first, as ``python -m`` does."""
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except InputError:
        raise
    except Exception as error:  # a module may raise anything
        raise InputError(f"{text}: cannot be imported ({type(error).__name__}: {error})") from error


def _method(text: str) -> Method:
    """A name, or the configuration that ``module:name`` names."""
    if ":" not in text:
        return text
    found = _named(text)
    if not isinstance(found, Config) and not (isinstance(found, type) and issubclass(found, Config)):
        raise InputError(f"{text} is {type(found).__name__}, and no configuration or class of configurations")
    return found


def _own_benchmark(text: str) -> Benchmark | None:
    """The benchmark that ``module:name`` names, or that a function so called returns; None for a name of ours."""
    if ":" not in text:
        benchmarks.check_name(text)
        return None
    found = _named(text)
    found = found if isinstance(found, Benchmark) or not callable(found) else found()
    if not isinstance(found, Benchmark):
        raise InputError(f"{text} is {type(found).__name__}, and no Benchmark or function that returns one")
    return found


def predict(options: argparse.Namespace) -> None:
    asked = trained.load(options.file, device=options.device)
    if not options.images.exists():
        raise InputError(f"{options.images}: no such file or folder")
    files = [options.images]
    if options.images.is_dir():
        files = sorted(p for p in options.images.rglob("*") if p.suffix.lower() in pictures.ENDINGS)
    if not files:
        raise InputError(f"no images below {options.images}; their names end in {', '.join(pictures.ENDINGS)}")
    shape = asked.learner.setting.image_shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 3)):
        raise InputError(f"{options.file} was trained on {tuple(shape)}, which no image file holds")
    found = asked.predict(torch.stack([pictures.read(file, shape) for file in files]), options.task)
    rows = [
        {"file": str(file), "task": task if task >= 0 else None, "label": label, "class": asked.name(label, task)}
        for file, label, task in zip(files, found.labels.tolist(), found.tasks.tolist(), strict=True)
    ]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        where = "" if row["task"] is None else f"task {row['task']}, "
        print(f"{row['file']}: {where}label {row['label']}" + (f", {row['class']}" if row["class"] else ""))


def sweep(options: argparse.Namespace) -> None:
    planned = sweeps.trainings(options.name, options.results, options.seeds, options.benchmark, options.schedule)
    started, todo, ended = 0.0, 0, 0

    def begin(trainings: int) -> None:
        nonlocal started, todo
        started, todo = time.monotonic(), trainings
        print(f"{len(planned)} trainings, {len(planned) - todo} of them with records already", flush=True)

    def report(training: Training, error: str | None) -> None:
        nonlocal ended
        ended += 1
        left = timedelta(seconds=round((time.monotonic() - started) / ended * (todo - ended)))
        what = "done" if error is None else "failed"
        print(f"{ended} of {todo} {what}: {training}; about {left} left", flush=True)

    sweeps.run(
        planned,
        cluster=Cluster(options.workers, options.scheduler),
        device=options.device,
        resume=options.resume,
        compile=options.compile,
        begin=begin,
        report=report,
    )


def tune(options: argparse.Namespace) -> None:
    grid: dict[str, list[str]] = {}
    for word in options.rest:
        if word.startswith("--"):
            grid[word[2:].replace("-", "_")] = []
        elif not grid:
            raise InputError(f"not understood: {word}")
        else:
            grid[list(grid)[-1]].append(word)
    if not grid or not all(grid.values()):
        raise InputError("name hyperparameters and the values to try, for example --beta 0.001 0.01")
    pick_device(options.device)
    method, own = _method(options.method), _own_benchmark(options.benchmark)
    recipes.configure(method, own.name if own else options.benchmark, options.scenario or "cl1")  # before data is read
    if own and options.tasks:
        own = benchmarks.first(own, options.tasks)
    learnt = own or tuning.validation_tasks(options.benchmark, options.tasks)
    found = tuning.search(
        method, learnt, grid, options.results, scenario=options.scenario, seeds=options.seeds, device=options.device
    )
    scale, metric, unit = results.shown_as([found])
    shown = Table()
    varied = found.varied()
    scenarios = list(found.trials[0].accuracy)
    for name in (*varied, *scenarios, "n"):
        shown.add_column(name)
    for point in found.points():
        each = [scale * mean(trial.accuracy[s] for trial in point.trials) for s in scenarios]
        figures = [f"{figure:.2f}" for figure in each]
        shown.add_row(*(str(point.config.get(name, "none")) for name in varied), *figures, str(len(point.trials)))
    print(f"{options.method} on {options.benchmark}: {metric} on validation images{unit}")
    console().print(shown)


def _overrides(rest: list[str]) -> dict[str, str]:
    """``--beta 0.1 --chunk-size=5`` as ``{"beta": "0.1", "chunk_size": "5"}``."""
    made: dict[str, str] = {}
    words = iter(rest)
    for word in words:
        if not word.startswith("--"):
            raise InputError(f"not understood: {word}")
        name, equals, value = word[2:].partition("=")
        if not equals:
            found = next(words, None)
            if found is None:
                raise InputError(f"{word} needs a value")
            value = found
        made[name.replace("-", "_")] = value
    return made


def _print_results(made: list[Result]) -> None:
    first = made[0]
    scale, metric, unit = results.shown_as(made)
    # Above the table and not its own title, which would be broken to the table's width.
    title = f"{first.method} on {first.benchmark}, seed {first.seed}: {metric} after the last task{unit}"
    shown = Table()
    shown.add_column()
    for result in made:
        shown.add_column(result.scenario, justify="right")
    # A task is a row and not a column: there may be a hundred.
    tasks = zip(*(result.accuracy_matrix[-1] for result in made), strict=True)
    rows: list[tuple[str, Iterable[float | None]]] = [(f"task {number}", row) for number, row in enumerate(tasks, 1)]
    last_task = rows[-1]
    every = [result.metrics for result in made]
    rows += [
        ("average", [metrics.average_accuracy for metrics in every]),
        ("during", [metrics.during_accuracy for metrics in every]),
        ("forgetting", [metrics.forgetting for metrics in every]),
        ("task found", [metrics.task_inference_accuracy for metrics in every]),
    ]
    for row in rows:
        name, numbers = row
        shown.add_row(name, *("-" if x is None else f"{scale * x:.2f}" for x in numbers), end_section=row is last_task)
    print(title)
    console().print(shown)


def data(options: argparse.Namespace) -> None:
    folder = sources.folder()
    print(f"data folder: {folder} (change it with HYPERLEARN_DATA)")
    print("digits: ready, they ship inside scikit-learn")
    damaged: list[DataError] = []

    @contextmanager
    def reading(name: str, place: Path) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            print(f"{name}: damaged, in {place}")
            damaged.append(error)

    for name, kind in sources.MNIST_LIKE.items():
        where = folder / kind / "raw"
        if not sources.mnist_present(name):
            print(f"{name}: not there; downloaded on first use, or put its four unpacked IDX files into {where}")
            continue
        with reading(name, where):
            sources.mnist(name)
            print(f"{name}: ready, in {where}")
    for name in cifar.CLASSES:
        place, cached = cifar.find(name), cifar.cached(name)
        if place is None:
            print(f"{name}: not there; downloaded into {folder} on first use, or {cifar.wanted(name)}")
            continue
        print(f"reading {place}; the first time this may take a minute", file=sys.stderr, flush=True)
        with reading(name, place):
            source = cifar.load(name)
            images = f"{len(source.train_labels):,} training and {len(source.test_labels):,} test images"
            print(f"{name}: ready, {images} in {place}" + (f", decoded into {cached}" if cached.exists() else ""))
    if damaged:
        raise damaged[0]
