"""The command line: ``hyperlearn benchmarks | methods | run | predict | sweep | tune | table | data``."""

import argparse
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, get_args

from rich.table import Table

from . import plans, recipes, records, results, tables
from .catalog import BENCHMARKS, METHODS, SCENARIOS, Compile
from .errors import InputError
from .terminal import console

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
        if rest and not options.takes_hyperparameters:
            raise InputError(f"not understood: {' '.join(rest)}")
        options.rest = rest
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


def _trainer(name: str) -> Callable[[argparse.Namespace], None]:
    """A command of `hyperlearn.commands`, which is imported, and PyTorch with it, when it is called."""

    def command(options: argparse.Namespace) -> None:
        from . import commands
        from .processor import flush_denormals

        with flush_denormals():  # before PyTorch starts the threads that take it over
            getattr(commands, name)(options)

    return command


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hyperlearn", description="Continual learning with hypernetworks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def command(
        name: str, function: Callable[[argparse.Namespace], None], about: str, takes_hyperparameters: bool = False
    ) -> argparse.ArgumentParser:
        # Prefixes of options are not taken for the option: a hyperparameter may begin like one.
        made = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        made.set_defaults(command=function, takes_hyperparameters=takes_hyperparameters)
        return made

    listing = command("benchmarks", _benchmarks, "List the benchmarks.")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing = command("methods", _methods, "List the methods and their hyperparameters.")
    listing.add_argument("--json", action="store_true", help="as JSON, with every recipe and its sources")

    run = command("run", _trainer("run"), "Train a method on a benchmark, print what came out, write a record.", True)
    run.add_argument("benchmark", help=f"{', '.join(BENCHMARKS)}, or one of your own: {_OWN}")
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

    ask = command("predict", _trainer("predict"), "Label images by what `run --save` has written.")
    ask.add_argument("file", type=Path, help="what run --save has written")
    ask.add_argument("images", type=Path, help="an image, or a folder of images")
    ask.add_argument("--task", type=_natural, help="the task that the images are from, from 0; default: it is inferred")
    ask.add_argument("--device", default="auto", help="auto, cpu, cuda")
    ask.add_argument("--json", action="store_true", help="as JSON")

    many = command(
        "sweep", _trainer("sweep"), "Make all records of a table, a figure or a comparison that are not there yet."
    )
    many.add_argument("name", help=", ".join(plans.SWEEPS))
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

    tune = command("tune", _trainer("tune"), "Search hyperparameters on validation images; every trial is kept.", True)
    tune.add_argument("benchmark", help=f"{', '.join(BENCHMARKS)}, or one of your own: {_OWN}")
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

    command("data", _trainer("data"), "Say where data is looked for, what is there, and how to get the rest.")
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
    _listing(BENCHMARKS, options.json)


def _methods(options: argparse.Namespace) -> None:
    if not options.json:
        _listing(METHODS, as_json=False)
        return
    made = {
        method: {
            benchmark: {
                field: {"value": _value([one[field][0] for one in found]), "source": recipes.SOURCES[source]}
                for field, (_, source) in found[0].items()
            }
            for benchmark in BENCHMARKS
            if method in recipes.methods(benchmark)
            for found in [[recipes.values(method, benchmark, scenario) for scenario in SCENARIOS]]
        }
        for method in METHODS
    }
    print(json.dumps(made, indent=1))


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
    console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
