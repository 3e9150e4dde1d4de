"""The paper's experiments: every hyperparameter of every method on every benchmark, with its source.

The table ``recipes.csv`` holds them. A recipe of it is a frozen configuration, and for each of its fields a word on
where the number comes from.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from .catalog import METHODS, SCENARIOS, Scenario
from .errors import InputError
from .results import Result, as_recorded, differing

if TYPE_CHECKING:  # PyTorch comes with these: whoever reads recipes, for a table, does not wait for it
    from .benchmarks import Benchmark
    from .methods import Config
    from .spec import RunSpec

SOURCES = {
    "paper": "Chandra et al. 2022, arXiv 2209.07712, section 4.1",
    "rule": "the paper's rule (section 4.2): no more trainable parameters than HNET; the largest chunk that keeps it",
    "vO": "von Oswald et al. 2020, arXiv 1906.00695, appendix C, and their published code",
    "vdV": "van de Ven & Tolias 2019, arXiv 1904.07734, and their published code",
    "hendrycks": "Hendrycks, Mazeika & Dietterich 2019, arXiv 1812.04606, section 4.3",
    "tuned": "the best of a search on validation images, a sixth of the training images; see results/tuning",
    "as hnet": "the same as for HNET",
    "as lstm-net": "the same as for LSTM_NET",
    "trials": "our choice by single trainings, measured on validation images, a sixth of the training images",
    "ours": "our choice",
}
"""What the short names in a recipe stand for."""


@dataclass(frozen=True)
class Recipe:
    """A configuration and the source of each of its fields."""

    config: Config
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """One row of the table ``recipes.csv``: what a field is on some benchmarks, for some methods.

    Benchmarks and methods are names with spaces between them, or ``all``. Where several rows fit, one that names the
    benchmark goes before ``all``, then one that names the method, then one that names the scenario.
    """

    benchmark: str
    method: str
    scenario: str
    """Empty for all."""
    field: str
    value: str
    """As the command line has it."""
    source: str
    """A name in `SOURCES`."""

    def fits(self, method: str, benchmark: str, scenario: Scenario) -> tuple[bool, bool, bool] | None:
        """How closely it names them, for comparison; None where it is about others.

        Example:
            >>> Row("all", "hnet hnet-iwr", "", "beta", "0.1", "ours").fits("hnet", "split-mnist", "cl1")
            (False, True, False)
        """
        rank = []
        for names, name in ((self.benchmark, benchmark), (self.method, method)):
            if names != "all" and name not in names.split():
                return None
            rank.append(names != "all")
        if self.scenario not in ("", scenario):
            return None
        return rank[0], rank[1], self.scenario != ""


@cache
def rows() -> tuple[Row, ...]:
    """All recipes, as one table.

    Example:
        >>> [(row.benchmark, row.value) for row in rows() if "lstm-net-iwr" in row.method and row.field == "beta"][0]
        ('split-mnist', '0.001')
    """
    text = (files("hyperlearn") / "recipes.csv").read_text(encoding="utf-8")
    return tuple(Row(**row) for row in csv.DictReader(text.splitlines()))


@cache
def _rows_of(method: str, benchmark: str, scenario: Scenario) -> dict[str, Row]:
    """The row of each field of ``method`` on ``benchmark``."""
    found: dict[str, tuple[tuple[bool, bool, bool], Row]] = {}
    for row in rows():
        rank = row.fits(method, benchmark, scenario)
        if rank is not None and (row.field not in found or rank > found[row.field][0]):
            found[row.field] = (rank, row)
    return {name: row for name, (_, row) in found.items()}


def _plain(text: str) -> Any:
    """What a value's text stands for. One with a comma is several, in one with a colon each is a pair.

    Example:
        >>> [_plain(text) for text in ("0.1", "400,400", ",", "0.4:0.1,0.8:0.01", "none", "mlp-400-400")]
        [0.1, (400, 400), (), ((0.4, 0.1), (0.8, 0.01)), None, 'mlp-400-400']
    """
    if "," in text or ":" in text:
        parts = [part.split(":") if ":" in part else part for part in text.split(",") if part]
        return tuple(tuple(map(_plain, part)) if isinstance(part, list) else _plain(part) for part in parts)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"none": None, "true": True, "false": False}.get(text, text)


_RATE = {"hnet": 1e-4, "lstm-net": 3e-4}
"""Learning rates on the tenth schedule: the best of results/tuning; importance weights and growth borrow them."""

SCHEDULES: dict[str, dict[str, Callable[[str], dict[str, Any]]]] = {
    "tenth": {"cifar-10-100": lambda method: _tenth(method)},
    "short": {
        "cifar-10-100": lambda _: {
            "epochs": 4, "batch_size": 8, "schedule": ((0.7, 0.1), (0.9, 0.01)), "images_per_class": 100
        }
    },
}  # fmt: skip
"""Shorter schedules: what each changes in the recipe of a method on a benchmark, and nothing else.

``tenth`` has a tenth of the paper's training steps, all images, and as many steps for each task: by epochs five of the
six tasks, which have a tenth of the images, would get a tenth of the first one's. Convolutions are taken in bfloat16,
which changes no accuracy beyond the noise in the search (results/tuning). A core takes one to two hours a row.

``short`` is for minutes a row, and too short to rank methods: a hypernetwork takes some hundred steps to get going,
and small batches give four times the steps for the same images. With a hundred images of each class, all test images of
CIFAR-100 are used.
"""


def _tenth(method: str) -> dict[str, Any]:
    own = {"iterations": 7_812, "epochs": None, "precision": "bfloat16"}
    rate = next((rate for start, rate in _RATE.items() if method.startswith(start)), None)
    return own | ({} if rate is None else {"learning_rate": rate})


def methods(benchmark: str) -> list[str]:
    """The methods that have a recipe for ``benchmark``: all but those whose rows name other benchmarks alone.

    Example:
        >>> methods("cifar-10-100")
        ['finetune', 'scratch', 'joint', 'hnet', 'hnet-iwr', 'lstm-net', 'lstm-net-iwr', 'lstm-net-grow']
    """
    own, known = _benchmarks_of(), _known(benchmark)
    return [method for method in METHODS if method not in own or known in own[method]]


@cache
def _benchmarks_of() -> dict[str, set[str]]:
    """The benchmarks whose rows name a method, for each method that is named in some."""
    own: dict[str, set[str]] = {}
    for row in rows():
        for method in {*row.method.split()} - {"all"}:
            own.setdefault(method, set()).update({*row.benchmark.split()} - {"all"})
    return own


@cache
def _named() -> set[str]:
    """The benchmarks that have recipes of their own."""
    return {name for row in rows() for name in row.benchmark.split()} - {"all"}


def _known(benchmark: str) -> str:
    """The benchmark whose recipes are used for ``benchmark``; Split MNIST's for the reader's own and Fashion-MNIST."""
    return benchmark if benchmark in _named() else "split-mnist"


def values(method: str, benchmark: str, scenario: Scenario = "cl1") -> dict[str, tuple[Any, str]]:
    """Each field of the recipe of ``method`` on ``benchmark``, with a word on its source, as `recipe` has them.

    Raises `InputError` as `recipe`.

    Example:
        >>> values("hnet", "split-mnist")["beta"]
        (0.01, 'vO')
    """
    if method not in METHODS:
        raise InputError(f"no method {method!r}; there are {', '.join(METHODS)}")
    if scenario not in SCENARIOS:
        raise InputError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    if method not in methods(benchmark):
        raise InputError(f"{method} has no recipe for {benchmark}; these have one: {', '.join(methods(benchmark))}")
    known = _known(benchmark)
    found = _rows_of(method, known, scenario)
    return {name: (_plain(row.value), row.source if known == benchmark else "ours") for name, row in found.items()}


def recipe(method: str, benchmark: str, scenario: Scenario = "cl1") -> Recipe:
    """The recipe of ``method`` on ``benchmark``, in one scenario where the method trains differently in each.

    Raises `InputError` for a method or a scenario there is not, and for a method that has no recipe for the benchmark.
    A benchmark without recipes of its own borrows Split MNIST's.

    Example:
        >>> found = recipe("hnet", "split-mnist")
        >>> found.config.beta, found.sources["beta"]
        (0.01, 'vO')
        >>> recipe("ewc", "split-mnist", "cl3").config.strength
        100000000.0
    """
    from . import methods

    made = values(method, benchmark, scenario)
    config = methods.METHODS[method](**{name: value for name, (value, _) in made.items()})
    return Recipe(config, {name: source for name, (_, source) in made.items()})


def _split(kind: type[Config], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values``, in which text for a field of several values is cut at the commas."""
    several = {field.name for field in fields(kind) if isinstance(field.default, tuple)}
    return {
        name: tuple(part for part in value.split(",") if part)
        if name in several and isinstance(value, str) and value != "none"
        else value
        for name, value in values.items()
    }


Method: TypeAlias = "str | type[Config] | Config"
"""A method by its name in `METHODS`, which stands for its recipe; or a configuration of your own, or its class."""


def configure(method: Method, benchmark: str, scenario: Scenario = "cl1", **overrides: Any) -> Config:
    """The recipe's configuration with some fields changed.

    A configuration of your own is taken as it is, and a class of configurations by its defaults.

    Values may be text, as the command line has them: ``beta="0.1"``, ``hidden="10,10"``, ``augmentation="none"``.
    A number of iterations takes the place of the recipe's epochs, and the other way round.

    Raises:
        InputError: a field that the method does not have, or a value that is not allowed.

    Example:
        >>> configure("hnet", "split-mnist", beta="0.1", hidden="20,20").hidden
        (20, 20)
    """
    config = _given(method) if not isinstance(method, str) else recipe(method, benchmark, scenario).config
    overrides = _one_length(overrides)
    known = {field.name: field for field in fields(config)}
    for name in overrides:
        if name not in known:
            from .spec import method_name

            said = method_name(type(config))
            raise InputError(f"{said} has no hyperparameter {name!r}; it has {', '.join(known)}")
    try:
        return replace(config, **_split(type(config), overrides))
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise InputError(first["msg"].removeprefix("Value error, ")) from error
        wrong = str(first["loc"][0])
        raise InputError(f"{wrong}: {_lower(first['msg'])}, got {overrides[wrong]!r}") from error


def _one_length(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``overrides``, in which a number of iterations takes the place of epochs, and the other way round."""
    made = dict(overrides)
    for length, other in (("iterations", "epochs"), ("epochs", "iterations")):
        if made.get(length) not in (None, "none"):
            made.setdefault(other, None)
    return made


def _given(method: object) -> Config:
    """A configuration of the reader's own; raises `InputError` for anything else."""
    from .methods import Config

    if isinstance(method, Config):
        return method
    if isinstance(method, type) and issubclass(method, Config) and hasattr(method, "learner_class"):
        return method()
    raise InputError(f"a method's name or a configuration is needed, such as HNETConfig(), not {method!r}")


def scheduled(schedule: str | None, benchmark: str, method: str) -> dict[str, Any]:
    """What ``schedule`` changes in the recipe of ``method`` on ``benchmark``; nothing where it is None.

    Raises `InputError` for an unknown schedule, and for a benchmark that it is not made for.

    Example:
        >>> scheduled("tenth", "cifar-10-100", "scratch")
        {'iterations': 7812, 'epochs': None, 'precision': 'bfloat16'}
    """
    if schedule is None:
        return {}
    if schedule not in SCHEDULES:
        raise InputError(f"no schedule {schedule!r}; there are {', '.join(SCHEDULES)}")
    if benchmark not in SCHEDULES[schedule]:
        there = ", ".join(SCHEDULES[schedule])
        raise InputError(f"no {schedule} schedule for {benchmark}; there is one for {there}")
    return SCHEDULES[schedule][benchmark](method)


def schedule_in_words(schedule: str, benchmark: str) -> str:
    """What ``schedule`` is on ``benchmark``, for the header of a table.

    Example:
        >>> schedule_in_words("short", "cifar-10-100")
        'epochs 4, batch size 8, schedule 0.7:0.1,0.9:0.01, images per class 100 in training and test'
        >>> schedule_in_words("tenth", "cifar-10-100")
        'iterations 7812, precision bfloat16'
    """
    words = {}
    for name, value in scheduled(schedule, benchmark, "scratch").items():
        if value is not None:
            words[name] = ",".join(f"{a}:{b}" for a, b in value) if isinstance(value, tuple) else str(value)
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in words.items())
    return said + (" in training and test" if "images_per_class" in words else "")


def deviations(result: Result, schedule: str | None = None) -> dict[str, Any]:
    """The hyperparameters of a run that are not its recipe's, on ``schedule`` if one is named: tables take no such run.

    Methods and benchmarks without a recipe of their own have nothing to deviate from.

    Example:
        >>> import hyperlearn as hl
        >>> deviations(hl.run("hnet", hl.benchmarks.split_digits(), iterations=1))
        {'iterations': 1}
    """
    if result.benchmark not in _named() or result.method not in methods(result.benchmark):
        return {}
    changed = _one_length(scheduled(schedule, result.benchmark, result.method))
    own = {name: value for name, (value, _) in values(result.method, result.benchmark, result.scenario).items()}
    recipe = {name: value for name, value in (own | changed).items() if value is not None}
    config = as_recorded(result.config)
    found = {name: config.get(name) for name in differing(config, as_recorded(recipe))}
    return found | ({"benchmark": ", ".join(result.changed)} if result.changed else {})


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def specify(
    method: Method,
    benchmark: Benchmark,
    scenarios: Sequence[Scenario] | None = None,
    seed: int = 0,
    **options: Any,
) -> RunSpec:
    """The specification of a training by its recipe.

    Args:
        method: a name in `METHODS`, or a configuration of your own.
        benchmark: the tasks.
        scenarios: what to measure, as for `RunSpec`.
        seed: of initialisation and of the order of images.
        options: ``device``, ``evaluate`` and ``compile``, as for `RunSpec`; ``target``, ``hypernet``, ``regularizer``
            and ``infer``, as for `hyperlearn.methods.Parts`, and ``target`` may be a name too, such as ``"mlp-100"``;
            all others are fields of the method's configuration that differ from the recipe.

    Raises:
        InputError: as `configure` and `RunSpec`.

    Example:
        >>> from hyperlearn import benchmarks
        >>> spec = specify("hnet", benchmarks.split_digits(), seed=1, beta=0.1, target="mlp-20")
        >>> spec.config.beta, spec.config.target, spec.measured
        (0.1, 'mlp-20', ('cl1', 'cl2', 'cl3'))
    """
    from .methods import PARTS, Parts
    from .spec import RunSpec, check_benchmark

    check_benchmark(benchmark)
    if "scenario" in options:
        raise InputError(f"one training may serve several scenarios: scenarios=[{options['scenario']!r}]")
    of_run = {name: options.pop(name) for name in OF_RUN if name in options}
    named = {name for name in PARTS if name in options and not (name == "target" and isinstance(options[name], str))}
    parts = Parts(**{name: options.pop(name) for name in PARTS if name in named})
    config = configure(method, benchmark.name, next(iter(scenarios or []), "cl1"), **options)
    chosen = None if scenarios is None else tuple(scenarios)
    return RunSpec(config, benchmark, chosen, seed, parts=parts, **of_run)


OF_RUN = ("device", "evaluate", "compile")
