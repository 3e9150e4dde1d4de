"""The command line: ``hyperlearn benchmarks | methods | run | predict | sweep | tune | table | data``."""

import argparse
import importlib
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import Any, NoReturn, get_args

import torch
from rich.console import Console
from rich.table import Table

from . import benchmarks, cifar, compiling, data, pictures, recipes, records, results, sweeps, tables, trained, tuning
from .benchmarks import Benchmark
from .callbacks import progress_bar
from .compiling import Compile
from .errors import DataError, InputError
from .methods import METHODS, SCENARIOS, Config
from .processor import flush_denormals
from .recipes import Method
from .results import Result
from .spec import check_evaluate, check_scenarios, check_seed, pick_device
from .sweeps import Cluster, Training

_OWN = "module:name"


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 where the input was wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may have no ±, and no lines for a table
    try:
        options, rest = _parser().parse_known_args(arguments)
        if rest and options.command not in (_run, _tune):
            raise InputError(f"not understood: {' '.join(rest)}")
        options.rest = rest
        with flush_denormals():  # before PyTorch starts the threads that take it over
            options.command(options)
        sys.stdout.flush()  # a full disk shows here, and not when the interpreter ends
    except InputError as error:
        print("hyperlearn:", *str(error).splitlines(), file=sys.stderr)  # what a file holds may have line breaks
        return 2
    except BrokenPipeError:  # whoever read the output has had enough
        _discard_output()
        return 0
    except OSError as error:
        if error.filename is None:
            _discard_output()
        what = f" {str(error.filename)[:200]}" if error.filename else ""
        print(f"hyperlearn: cannot read or write{what} ({error.strerror})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "hyperlearn: interrupted; finished records are kept, the same command goes on from the last checkpoint",
            file=sys.stderr,
        )
        return 130
    return 0


def _discard_output() -> None:
    """Let what is still to be written to standard output vanish: the interpreter would try again at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hyperlearn", description="Continual learning with hypernetworks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, function: Any, about: str) -> argparse.ArgumentParser:
        # Prefixes of options are not taken for the option: a hyperparameter may begin like one.
        made = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        made.set_defaults(command=function)
        return made

    listing = command("benchmarks", _benchmarks, "List the benchmarks.")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing = command("methods", _methods, "List the methods and their hyperparameters.")
    listing.add_argument("--json", action="store_true", help="as JSON, with every recipe and its sources")

    run = command("run", _run, "Train a method on a benchmark, print what came out, write a record.")
    run.add_argument("benchmark", help=f"{', '.join(benchmarks.BENCHMARKS)}, or one of your own: {_OWN}")
    run.add_argument("method", help=f"{', '.join(METHODS)}, or the configuration of one of your own: {_OWN}")
    run.add_argument("--scenario", help=f"{', '.join(SCENARIOS)}; default: all that one training serves, else cl1")
    run.add_argument("--seed", type=_natural, default=0, help="of initialisation and order (default 0)")
    run.add_argument("--seeds", type=_natural, default=1, help="train so many at once, from --seed on (default 1)")
    run.add_argument("--save", type=Path, metavar="FILE", help="write what was trained, for hyperlearn predict")
    run.add_argument("--checkpoint", type=Path, help="keep checkpoints here; default: by the records, until done")
    _add_common(run)
    run.add_argument(
        "--evaluate", type=_evaluate, default="all", help="all tasks after each (default), after every N, or final"
    )
    _add_resume(run)
    _add_compile(run)
    run.epilog = "Any hyperparameter of the method is an option too, for example --beta 0.1 or --iterations 500."

    ask = command("predict", _predict, "Label images by what `run --save` has written.")
    ask.add_argument("file", type=Path, help="what run --save has written")
    ask.add_argument("images", type=Path, help="an image, or a folder of images")
    ask.add_argument("--task", type=_natural, help="the task that the images are from, from 0; default: it is inferred")
    ask.add_argument("--device", default="auto", help="auto, cpu, cuda")
    ask.add_argument("--json", action="store_true", help="as JSON")

    many = command("sweep", _sweep, "Make all records of a table, a figure or a comparison that are not there yet.")
    many.add_argument("name", help=", ".join(sweeps.SWEEPS))
    many.add_argument("--seeds", type=_natural, default=5, help="runs of each method: seeds 0, 1, ... (default 5)")
    many.add_argument(
        "--benchmark", action="append", default=[], help="can be given several times; default: the table's"
    )
    _add_schedule(many, "train by the schedule of that name, into the folder of that name in RESULTS")
    many.add_argument("--workers", type=_natural, help="processes on this machine (default: one for each core)")
    many.add_argument("--scheduler", help="address of a running Dask cluster, such as tcp://host:8786")
    _add_common(many)
    _add_resume(many)
    _add_compile(many)

    tune = command("tune", _tune, "Search hyperparameters on validation images; every trial is kept.")
    tune.add_argument("benchmark", help=f"{', '.join(benchmarks.BENCHMARKS)}, or one of your own: {_OWN}")
    tune.add_argument("method", help=f"{', '.join(METHODS)}, or the configuration of one of your own: {_OWN}")
    tune.add_argument("--scenario", help=f"{', '.join(SCENARIOS)}; default: all that one training serves, else cl1")
    tune.add_argument("--seeds", type=_natural, default=1, help="trainings at each point of the grid (default 1)")
    tune.add_argument("--tasks", type=_natural, help="learn the first so many tasks alone (default: all)")
    _add_common(tune)
    tune.epilog = (
        "Give hyperparameters with the values to try, for example --beta 0.001 0.01 --learning-rate 0.0003 0.001"
    )

    table = command("table", _table, "A table of the paper, its figures beside those of the records.")
    table.add_argument("number", type=_natural, help="1, 2 or 3")
    table.add_argument("--results", type=Path, help="folder of the records (default: results, else the package's own)")
    _add_schedule(table, "runs of the schedule of that name, from the folder of that name in RESULTS")
    table.add_argument("--json", action="store_true", help="as JSON")

    command("data", _data, "Say where data is looked for, what is there, and how to get the rest.")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """What `run`, `sweep` and `tune` share."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the records")


def _add_schedule(parser: argparse.ArgumentParser, about: str) -> None:
    for name in recipes.SCHEDULES:
        parser.add_argument(f"--{name}", action="store_const", dest="schedule", const=name, help=about)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from checkpoints (default)"
    )


def _add_compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compile",
        choices=get_args(Compile),
        default="off",
        help="train the target network through torch.compile: auto, where it pays; on; off (default)",
    )


def _evaluate(text: str) -> str | int:
    return text if text in ("all", "final") else _natural(text)


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected a whole number >= 0, got {text!r}")
    if len(text) > 19:
        raise argparse.ArgumentTypeError(f"expected a whole number below 10^19, got one of {len(text)} digits")
    return int(text)


def _benchmarks(options: argparse.Namespace) -> None:
    _listing({name: _first_line(make) for name, make in benchmarks.BENCHMARKS.items()}, options.json)


def _methods(options: argparse.Namespace) -> None:
    if not options.json:
        _listing({name: _first_line(kind) for name, kind in METHODS.items()}, as_json=False)
        return
    made = {
        method: {
            benchmark: {
                field.name: {
                    "value": _value([getattr(one.config, field.name) for one in found]),
                    "source": recipes.SOURCES[found[0].sources[field.name]],
                }
                for field in fields(found[0].config)
            }
            for benchmark in benchmarks.BENCHMARKS
            if method in recipes.methods(benchmark)
            for found in [[recipes.recipe(method, benchmark, scenario) for scenario in SCENARIOS]]
        }
        for method in METHODS
    }
    print(json.dumps(made, indent=1))


def _first_line(described: object) -> str:
    """What its docstring says first; nothing where Python runs without docstrings (PYTHONOPTIMIZE=2)."""
    return next(iter((described.__doc__ or "").splitlines()), "")


def _value(values: list[Any]) -> Any:
    """One value where all scenarios have the same, else each scenario's."""
    return values[0] if values.count(values[0]) == len(values) else dict(zip(SCENARIOS, values, strict=True))


def _listing(lines: dict[str, str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(lines, indent=1))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:{width}}  {line}")


def _run(options: argparse.Namespace) -> None:
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
        if text not in benchmarks.BENCHMARKS:
            benchmarks.load(text)  # says which there are
        return None
    found = _named(text)
    found = found if isinstance(found, Benchmark) or not callable(found) else found()
    if not isinstance(found, Benchmark):
        raise InputError(f"{text} is {type(found).__name__}, and no Benchmark or function that returns one")
    return found


def _predict(options: argparse.Namespace) -> None:
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


def _sweep(options: argparse.Namespace) -> None:
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


def _tune(options: argparse.Namespace) -> None:
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
    shown = Table(title=f"{options.method} on {options.benchmark}: {metric} on validation images{unit}")
    varied = found.varied()
    scenarios = list(found.trials[0].accuracy)
    for name in (*varied, *scenarios, "n"):
        shown.add_column(name)
    for point in found.points():
        each = [scale * mean(trial.accuracy[s] for trial in point.trials) for s in scenarios]
        figures = [f"{figure:.2f}" for figure in each]
        shown.add_row(*(str(point.config.get(name, "none")) for name in varied), *figures, str(len(point.trials)))
    _console().print(shown)


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
    shown = Table(title=f"{first.method} on {first.benchmark}, seed {first.seed}: {metric} after the last task{unit}")
    shown.add_column("scenario")
    for number in range(len(first.accuracy_matrix)):
        shown.add_column(f"task {number + 1}", justify="right")
    for heading in ("average", "during", "forgetting", "task found"):
        shown.add_column(heading, justify="right")
    for result in made:
        metrics = result.metrics
        numbers = [
            *result.accuracy_matrix[-1],
            metrics.average_accuracy,
            metrics.during_accuracy,
            metrics.forgetting,
            metrics.task_inference_accuracy,
        ]
        shown.add_row(result.scenario, *("-" if x is None else f"{scale * x:.2f}" for x in numbers))
    _console().print(shown)


def _console() -> Console:
    """Output that is not a terminal gets the whole width of a table instead of 80 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def _table(options: argparse.Namespace) -> None:
    where = options.results or Path("results")
    if not where.is_dir():
        if options.results:
            raise InputError(f"no results folder {where}; name one with --results")
        where = records.folder()
        print("no folder results here: these are the records that came with hyperlearn", file=sys.stderr)
    cells = tables.table(options.number, [])  # a wrong number is found before records are read
    names = dict.fromkeys(cell.benchmark for cell in cells)
    schedule = options.schedule
    said = "; ".join(recipes.schedule_in_words(schedule, name) for name in names) if schedule else ""
    folder = where / schedule if schedule else where
    found = [result for result in results.read_all(folder) if result.benchmark in names]
    kept = []
    left_out: Counter[str] = Counter()
    for result in found:
        if changed := recipes.deviations(result, schedule):
            said_of_it = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changed.items())
            left_out[f"{result.method} on {result.benchmark}, {result.scenario}: {said_of_it}"] += 1
        else:
            kept.append(result)
    for run, number in left_out.items():
        print(f"left out of {folder}, not as in the recipe: {run} ({number} records)", file=sys.stderr)
    cells = tables.table(options.number, kept)
    if options.json:
        # A shorter run is beside the paper's figure to show the difference; there is nothing to reproduce with it.
        extra = [
            {schedule: recipes.scheduled(schedule, c.benchmark, c.method.removesuffix("-during"))}
            if schedule
            else {"verdict": c.verdict}
            for c in cells
        ]
        made = [
            {**asdict(cell), "gap": cell.gap, "interval": cell.interval, **more}
            for cell, more in zip(cells, extra, strict=True)
        ]
        print(json.dumps(made, indent=1))
        return
    what = f"{schedule} schedule ({said}), accuracy" if schedule else "average accuracy"
    shown = Table(
        title=f"Table {options.number}: {what}, %, mean ± std (n), 95% interval of the mean, gap to the paper"
    )
    for heading in ("method", "benchmark", "scenario", "task"):
        shown.add_column(heading)
    for heading in ("paper", schedule or "measured", "interval", "gap"):
        shown.add_column(heading, justify="right")
    if not schedule:
        shown.add_column("verdict")
    for cell in cells:
        paper = f"{cell.paper_mean:.2f}" + ("" if cell.paper_std is None else f" ± {cell.paper_std:.2f}")
        measured = ("not run" if schedule else "-") if cell.mean is None else f"{cell.mean:.2f}"
        if cell.std is not None:
            measured += f" ± {cell.std:.2f}"
        if cell.n:
            measured += f" ({cell.n})"
        interval = "-" if cell.interval is None else "{:.2f} to {:.2f}".format(*cell.interval)
        gap = "-" if cell.gap is None else f"{cell.gap:+.2f}"
        verdict = [] if schedule else [cell.verdict]
        shown.add_row(cell.method, cell.benchmark, cell.scenario, cell.task, paper, measured, interval, gap, *verdict)
    _console().print(shown)


def _data(options: argparse.Namespace) -> None:
    folder = data.folder()
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

    for name, kind in data.MNIST_LIKE.items():
        where = folder / kind / "raw"
        if not data.mnist_present(name):
            print(f"{name}: not there; downloaded on first use, or put its four unpacked IDX files into {where}")
            continue
        with reading(name, where):
            data.mnist(name)
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


if __name__ == "__main__":
    sys.exit(main())
