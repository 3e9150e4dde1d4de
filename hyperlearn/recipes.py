"""The paper's experiments: every hyperparameter of every method on every benchmark, with its source.

A recipe is data: a frozen configuration, and for each of its fields a word on where the number comes from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import ValidationError

from .benchmarks import Benchmark
from .errors import InputError
from .methods import METHODS, SCENARIOS, Config, DoubtConfig, PartConfig, Parts, Scenario
from .results import Result, as_recorded, differing
from .spec import RunSpec, check_benchmark, method_name

SOURCES = {
    "paper": "Chandra et al. 2022, arXiv 2209.07712, section 4.1",
    "rule": "the paper's rule (section 4.2): no more trainable parameters than HNET; the largest chunk that keeps it",
    "vO": "von Oswald et al. 2020, arXiv 1906.00695, appendix C, and their published code",
    "vdV": "van de Ven & Tolias 2019, arXiv 1904.07734, and their published code",
    "hendrycks": "Hendrycks, Mazeika & Dietterich 2019, arXiv 1812.04606, section 4.3",
    "tuned": "the best of a search on validation images, a sixth of the training images; see results/tuning",
    "as hnet": "the same as for HNET",
    "as lstm-net": "the same as for LSTM_NET",
    "ours": "our choice",
}
"""What the short names in a recipe stand for."""


@dataclass(frozen=True)
class Recipe:
    """A configuration and the source of each of its fields."""

    config: Config
    sources: Mapping[str, str]

    @classmethod
    def of(cls, kind: type[Config], **values: tuple[Any, str]) -> "Recipe":
        """A recipe from ``field=(value, source)`` pairs; every field has to be given, none is left to a default."""
        names = {field.name for field in fields(kind)}
        if names != set(values):
            raise InputError(
                f"{kind.__name__}: the recipe's fields differ from {sorted(names)} in {sorted(names ^ set(values))}"
            )
        config = kind(**{name: value for name, (value, _) in values.items()})
        return cls(config, {name: source for name, (_, source) in values.items()})


Values = dict[str, tuple[Any, str]]

_STEADY: Values = {
    "epochs": (None, "vO"),
    "weight_decay": (None, "vO"),
    "clip_norm": (None, "vO"),
    "schedule": (None, "vO"),
    "augmentation": (None, "vO"),
    "precision": (None, "vO"),
    "images_per_class": (None, "ours"),
}
"""What a benchmark does without, unless it says otherwise."""

_CERTAIN: Values = {"doubt": (None, "vO")}
"""No method of the papers is taught to doubt."""

_WHOLE: Values = {"generate": (None, "vO"), "base": (None, "vO")}
"""Every hypernetwork of the papers generates its whole target, and adds nothing to it."""

_TRAINING: dict[str, Values] = {
    "split-mnist": {
        "target": ("mlp-400-400", "vO"),
        "iterations": (2000, "vO"),
        "batch_size": (128, "vO"),
        "learning_rate": (1e-3, "vO"),
    },
    "permuted-mnist": {
        "target": ("mlp-1000-1000", "vO"),
        "iterations": (5000, "vO"),
        "batch_size": (128, "vO"),
        "learning_rate": (1e-4, "vO"),
    },
    # After epochs 80, 120, 160 and 180 of 200. (In their code "epoch > 80", counted from 0, is one epoch later.)
    "cifar-10-100": {
        "target": ("resnet-32", "vO"),
        "iterations": (None, "vO"),
        "epochs": (200, "vO"),
        "batch_size": (32, "vO"),
        "learning_rate": (1e-3, "vO"),
        "schedule": (((0.4, 0.1), (0.6, 0.01), (0.8, 1e-3), (0.9, 5e-4)), "vO"),
        "augmentation": ("flip-crop", "vO"),
    },
    # The digits are for tests and for the quick profile: small enough for seconds on two cores.
    "split-digits": {
        "target": ("mlp-100-100", "ours"),
        "iterations": (300, "ours"),
        "batch_size": (64, "ours"),
        "learning_rate": (3e-3, "ours"),
    },
    "permuted-digits": {
        "target": ("mlp-100-100", "ours"),
        "iterations": (300, "ours"),
        "batch_size": (64, "ours"),
        "learning_rate": (3e-3, "ours"),
    },
}

_HNET: dict[str, Values] = {
    "split-mnist": {
        "chunk_size": (42_000, "vO"),
        "task_dim": (96, "vO"),
        "chunk_dim": (96, "vO"),
        "hidden": ((10, 10), "vO"),
        "activation": ("relu", "vO"),
        "beta": (0.01, "vO"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
    "permuted-mnist": {
        "chunk_size": (78_000, "vO"),
        "task_dim": (24, "vO"),
        "chunk_dim": (8, "vO"),
        "hidden": ((25, 25), "vO"),
        "activation": ("elu", "vO"),
        "learning_rate": (3e-4, "tuned"),
        "beta": (0.001, "tuned"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
    "cifar-10-100": {
        "chunk_size": (7_000, "vO"),
        "task_dim": (32, "vO"),
        "chunk_dim": (32, "vO"),
        "hidden": ((), "vO"),
        "activation": ("relu", "vO"),
        "beta": (0.05, "vO"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
    "split-digits": {
        "chunk_size": (1_400, "ours"),
        "task_dim": (32, "ours"),
        "chunk_dim": (32, "ours"),
        "hidden": ((10, 10), "vO"),
        "activation": ("relu", "vO"),
        "beta": (0.01, "vO"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
}
_HNET["permuted-digits"] = _HNET["split-digits"]

_LSTM_NET: dict[str, Values] = {
    "split-mnist": {
        "chunk_size": (6_100, "rule"),
        "task_dim": (96, "paper"),
        "chunk_dim": (96, "paper"),
        "hidden_size": (64, "paper"),
        "learning_rate": (3e-4, "tuned"),
        "beta": (0.001, "tuned"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
    "permuted-mnist": {
        "chunk_size": (30_550, "rule"),
        "task_dim": (96, "paper"),
        "chunk_dim": (96, "paper"),
        "hidden_size": (64, "paper"),
        "learning_rate": (3e-4, "tuned"),
        "beta": (0.001, "tuned"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
    "cifar-10-100": {
        "chunk_size": (2_120, "rule"),
        "task_dim": (96, "paper"),
        "chunk_dim": (96, "paper"),
        "hidden_size": (128, "paper"),
        "beta": (0.05, "vO"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
    "split-digits": {
        "chunk_size": (660, "rule"),
        "task_dim": (32, "ours"),
        "chunk_dim": (32, "ours"),
        "hidden_size": (16, "ours"),
        "beta": (0.01, "vO"),
        "lookahead": (True, "vO"),
        "regularizer_form": ("auto", "ours"),
    },
}
_LSTM_NET["permuted-digits"] = _LSTM_NET["split-digits"]


def _without(values: Values, *names: str) -> Values:
    return {name: value for name, value in values.items() if name not in names}


def _borrowed(values: Values, method: str) -> Values:
    """What was tuned for ``method`` was not tuned for one that borrows it."""
    return {name: (value, f"as {method}" if source == "tuned" else source) for name, (value, source) in values.items()}


def _iwr(own: dict[str, Values], method: str) -> dict[str, Values]:
    """The importance-weighted regularizer in the place of the output regularizer, at the same strength."""
    extra: Values = {"normalization": ("mean", "ours"), "exact": (False, "ours")}
    return {
        name: _borrowed(_without(values, "regularizer_form"), method) | {"beta": (values["beta"][0], "ours")} | extra
        for name, values in own.items()
    }


def _grow(own: dict[str, Values]) -> dict[str, Values]:
    """Growth in the place of the output regularizer: as many parameters are trained at a time."""
    extra: Values = {"head": ("per-task", "paper"), "warm_start": (False, "ours")}
    kept = {name: _without(values, "beta", "lookahead", "regularizer_form") for name, values in own.items()}
    return {name: _borrowed(values, "lstm-net") | extra for name, values in kept.items()}


_GROWTH: dict[str, Values] = {
    "split-mnist": {"basis_size": (50, "ours"), "rank": (2, "ours")},
    "permuted-mnist": {"basis_size": (50, "ours"), "rank": (2, "ours")},
    "split-digits": {"basis_size": (8, "ours"), "rank": (2, "ours")},
    "permuted-digits": {"basis_size": (8, "ours"), "rank": (2, "ours")},
}
"""About 5% of a target a task on Split MNIST, 11% on the digits."""


def _basis_growth(own: dict[str, Values]) -> dict[str, Values]:
    """The sizes of an LSTM hypernetwork are there for the one that may learn the base."""
    steady: Values = {"doubt": (0.5, "hendrycks"), "base_network": ("plain", "ours")}
    kept = {
        name: _without(values, "beta", "lookahead", "regularizer_form", "learning_rate") for name, values in own.items()
    }
    return {name: values | _GROWTH[name] | steady for name, values in kept.items() if name in _GROWTH}


_DGR: dict[str, Values] = {
    "split-mnist": {
        "encoder_hidden": ((400, 400), "vdV"),
        "decoder_hidden": ((400, 400), "vdV"),
        "latent": (100, "vdV"),
    },
    "permuted-mnist": {
        "encoder_hidden": ((1000, 1000), "vdV"),
        "decoder_hidden": ((1000, 1000), "vdV"),
        "latent": (100, "vdV"),
    },
    "split-digits": {
        "encoder_hidden": ((100, 100), "ours"),
        "decoder_hidden": ((100, 100), "ours"),
        "latent": (20, "ours"),
    },
}
_DGR["permuted-digits"] = _DGR["split-digits"]

# The decoder of the paper has two layers of 400, von Oswald et al.'s, which its protocol follows, is smaller.
_GENERATED: dict[str, Values] = {
    "split-mnist": {
        "encoder_hidden": ((400, 400), "vO"),
        "decoder_hidden": ((250, 350), "vO"),
        "latent": (100, "vO"),
        "task_condition": (100, "vO"),
        "replay_weight": (0.5, "vO"),
        "temperature": (2.0, "vO"),
    },
    "permuted-mnist": {
        "encoder_hidden": ((1000, 1000), "vO"),
        "decoder_hidden": ((400, 400), "vO"),
        "latent": (100, "vO"),
        "task_condition": (100, "vO"),
        "replay_weight": (0.5, "vO"),
        "temperature": (2.0, "vO"),
    },
    "split-digits": {
        "encoder_hidden": ((100, 100), "ours"),
        "decoder_hidden": ((60, 60), "ours"),
        "latent": (20, "ours"),
        "task_condition": (10, "ours"),
        "replay_weight": (0.5, "vO"),
        "temperature": (2.0, "vO"),
    },
}
_GENERATED["permuted-digits"] = _GENERATED["split-digits"]

_HNET_R: dict[str, Values] = {
    "split-mnist": _HNET["split-mnist"] | {"chunk_size": (50_000, "vO"), "activation": ("elu", "vO")},
    "permuted-mnist": _without(_HNET["permuted-mnist"], "learning_rate")
    | {"chunk_size": (85_000, "vO"), "beta": (0.1, "vO")},
    "split-digits": _HNET["split-digits"] | {"chunk_size": (1_200, "ours"), "activation": ("elu", "vO")},
}
_HNET_R["permuted-digits"] = _HNET_R["split-digits"]

_LSTM_NET_R: dict[str, Values] = {
    "split-mnist": _without(_LSTM_NET["split-mnist"], "learning_rate")
    | {"chunk_size": (7_500, "rule"), "beta": (0.01, "vO")},
    "permuted-mnist": _without(_LSTM_NET["permuted-mnist"], "learning_rate")
    | {"chunk_size": (33_400, "rule"), "beta": (0.1, "vO")},
    "split-digits": _LSTM_NET["split-digits"] | {"chunk_size": (520, "rule")},
}
_LSTM_NET_R["permuted-digits"] = _LSTM_NET_R["split-digits"]


def _replay(own: dict[str, Values]) -> dict[str, Values]:
    """The same hypernetwork, writing a decoder."""
    return {name: values | _GENERATED[name] for name, values in own.items()}


def _classifier(own: dict[str, Values]) -> dict[str, Values]:
    """Tasks share the target's outputs, so that one training serves all three scenarios."""
    return {name: values | {"output_heads": (None, "ours")} for name, values in own.items()}


# Methods of van de Ven & Tolias, who have no CIFAR-10/100.
_VDV = [benchmark for benchmark in _TRAINING if benchmark != "cifar-10-100"]

_OWN: dict[str, dict[str, Values]] = {
    "hnet": _classifier(_HNET),
    "hnet-iwr": _classifier(_iwr(_HNET, "hnet")),
    "lstm-net": _classifier(_LSTM_NET),
    "lstm-net-iwr": _classifier(_iwr(_LSTM_NET, "lstm-net")),
    "lstm-net-grow": _classifier(_grow(_LSTM_NET)),
    "basis-growth": _classifier(_basis_growth(_LSTM_NET)),
    "dgr": _DGR,
    "dgr-distill": {name: values | {"temperature": (2.0, "vdV")} for name, values in _DGR.items()},
    "hnet-r": _replay(_HNET_R),
    "hnet-iwr-r": _replay(_iwr(_HNET_R, "hnet")),
    "lstm-net-r": _replay(_LSTM_NET_R),
    "lstm-net-iwr-r": _replay(_iwr(_LSTM_NET_R, "lstm-net")),
    "lstm-net-grow-r": _replay(_grow(_LSTM_NET_R)),
    "ewc": {benchmark: {"fisher_labels": ("predicted", "vdV")} for benchmark in _VDV},
    "online-ewc": {benchmark: {"fisher_labels": ("predicted", "vdV")} for benchmark in _VDV},
    "si": {benchmark: {"epsilon": (0.1, "vdV")} for benchmark in _VDV},
    "lwf": {benchmark: {"temperature": (2.0, "vdV")} for benchmark in _VDV},
}
"""What a method has beyond the fields of `Config`, on each benchmark."""

# What was searched for one method alone.
_OWN["hnet-iwr"]["split-mnist"] |= {"beta": (0.1, "tuned")}
_OWN["lstm-net-iwr"]["split-mnist"] |= {"beta": (0.001, "tuned")}
_OWN["lstm-net-grow"]["split-mnist"] |= {"learning_rate": (1e-3, "tuned"), "warm_start": (True, "tuned")}
_OWN["lstm-net-r"]["split-mnist"] |= {"learning_rate": (1e-3, "tuned"), "beta": (0.001, "tuned")}
_OWN["lstm-net-grow-r"]["split-mnist"] |= {"decoder_hidden": ((250, 350), "tuned"), "warm_start": (True, "tuned")}


def _by_scenario(source: str, **values: tuple[Any, Any, Any]) -> dict[Scenario, Values]:
    """Fields with one value for each scenario, in the order of `SCENARIOS`."""
    return {s: {name: (each[i], source) for name, each in values.items()} for i, s in enumerate(SCENARIOS)}


_OWN_BY_SCENARIO: dict[str, dict[str, dict[Scenario, Values]]] = {
    "ewc": {
        "split-mnist": _by_scenario("vdV", strength=(1e7, 1e6, 1e8)),
        "permuted-mnist": _by_scenario("vdV", strength=(500.0, 500.0, 1.0)),
        "split-digits": _by_scenario("ours", strength=(1e6, 1e6, 1e6)),
        "permuted-digits": _by_scenario("ours", strength=(1e6, 1e6, 1e6)),
    },
    "online-ewc": {
        "split-mnist": _by_scenario("vdV", strength=(1e8, 1e8, 1e9), gamma=(0.8, 0.7, 0.8)),
        "permuted-mnist": _by_scenario("vdV", strength=(500.0, 1000.0, 5.0), gamma=(0.8, 0.9, 1.0)),
        "split-digits": _by_scenario("ours", strength=(1e6, 1e6, 1e6), gamma=(0.8, 0.8, 0.8)),
        "permuted-digits": _by_scenario("ours", strength=(1e6, 1e6, 1e6), gamma=(0.8, 0.8, 0.8)),
    },
    "si": {
        "split-mnist": _by_scenario("vdV", strength=(50.0, 500.0, 0.5)),
        "permuted-mnist": _by_scenario("vdV", strength=(5.0, 5.0, 0.1)),
        "split-digits": _by_scenario("ours", strength=(5.0, 5.0, 5.0)),
        "permuted-digits": _by_scenario("ours", strength=(5.0, 5.0, 5.0)),
    },
}
"""What differs between scenarios too, for methods that train differently in each."""

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
    """The methods that have a recipe for ``benchmark``.

    Example:
        >>> methods("cifar-10-100")
        ['finetune', 'scratch', 'joint', 'hnet', 'hnet-iwr', 'lstm-net', 'lstm-net-iwr', 'lstm-net-grow']
    """
    return [method for method in METHODS if method not in _OWN or _known(benchmark) in _OWN[method]]


def _known(benchmark: str) -> str:
    """The benchmark whose recipes are used for ``benchmark``; Split MNIST's for the reader's own and Fashion-MNIST."""
    return benchmark if benchmark in _TRAINING else "split-mnist"


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
    if method not in METHODS:
        raise InputError(f"no method {method!r}; there are {', '.join(METHODS)}")
    if scenario not in SCENARIOS:
        raise InputError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    if method not in methods(benchmark):
        raise InputError(f"{method} has no recipe for {benchmark}; these have one: {', '.join(methods(benchmark))}")
    known = _known(benchmark)
    steady = _STEADY | (_WHOLE if issubclass(METHODS[method], PartConfig) else {})
    steady |= _CERTAIN if issubclass(METHODS[method], DoubtConfig) else {}
    values = steady | _TRAINING[known] | _OWN.get(method, {}).get(known, {})
    values |= _OWN_BY_SCENARIO.get(method, {}).get(known, {}).get(scenario, {})
    if known != benchmark:
        values = {name: (value, "ours") for name, (value, _) in values.items()}
    return Recipe.of(METHODS[method], **values)


Method = str | type[Config] | Config
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
    for length, other in (("iterations", "epochs"), ("epochs", "iterations")):
        if overrides.get(length) not in (None, "none"):
            overrides.setdefault(other, None)
    known = {field.name: field for field in fields(config)}
    for name, value in overrides.items():
        if name not in known:
            said = method_name(type(config))
            raise InputError(f"{said} has no hyperparameter {name!r}; it has {', '.join(known)}")
        if isinstance(value, str) and value != "none" and isinstance(getattr(config, name), tuple):
            overrides[name] = tuple(part for part in value.split(",") if part)
    try:
        return replace(config, **overrides)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise InputError(first["msg"].removeprefix("Value error, ")) from error
        wrong = str(first["loc"][0])
        raise InputError(f"{wrong}: {_lower(first['msg'])}, got {overrides[wrong]!r}") from error


def _given(method: object) -> Config:
    """A configuration of the reader's own; raises `InputError` for anything else."""
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
    if result.benchmark not in _TRAINING or result.method not in methods(result.benchmark):
        return {}
    changed = scheduled(schedule, result.benchmark, result.method)
    recipe = configure(result.method, result.benchmark, result.scenario, **changed)
    config = as_recorded(result.config)
    found = {name: config.get(name) for name in differing(config, as_recorded(recipe.record()))}
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
        options: ``device`` and ``compile``, as for `RunSpec`; ``target``, ``hypernet``, ``regularizer`` and ``infer``,
            as for `hyperlearn.methods.Parts`, and ``target`` may be a name too, such as ``"mlp-100"``; all others are
            fields of the method's configuration that differ from the recipe.

    Raises:
        InputError: as `configure` and `RunSpec`.

    Example:
        >>> from hyperlearn import benchmarks
        >>> spec = specify("hnet", benchmarks.split_digits(), seed=1, beta=0.1, target="mlp-20")
        >>> spec.config.beta, spec.config.target, spec.measured
        (0.1, 'mlp-20', ('cl1', 'cl2', 'cl3'))
    """
    check_benchmark(benchmark)
    of_run = {name: options.pop(name) for name in ("device", "compile") if name in options}
    named = {name for name in PARTS if name in options and not (name == "target" and isinstance(options[name], str))}
    parts = Parts(**{name: options.pop(name) for name in PARTS if name in named})
    config = configure(method, benchmark.name, next(iter(scenarios or []), "cl1"), **options)
    chosen = None if scenarios is None else tuple(scenarios)
    return RunSpec(config, benchmark, chosen, seed, parts=parts, **of_run)


PARTS = tuple(field.name for field in fields(Parts))
