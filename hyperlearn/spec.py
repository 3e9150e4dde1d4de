"""What decides what a training computes, in one object: all that trains is given it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, Literal

import torch

from .benchmarks import Benchmark
from .catalog import Compile
from .compiling import check as check_compile
from .data import check_augmentable
from .errors import InputError
from .methods import METHODS, SCENARIOS, Config, Parts, Scenario
from .objectives import CLASSIFICATION
from .results import Measure

SEEDS = 2**63
"""Seeds are whole numbers below this."""


def pick_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu`` or ``cuda``; raises `InputError` for CUDA where there is none."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"no device {name!r}; there are auto, cpu, cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device cuda was asked for, but PyTorch finds no CUDA device here; use cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def measure_of(benchmark: Benchmark) -> Measure | None:
    """What records say of its loss and metric; None for cross-entropy and accuracy."""
    aim = benchmark.objective
    if aim == CLASSIFICATION:
        return None
    return Measure(loss=aim.loss_name, metric=aim.metric.name, lower_is_better=aim.metric.lower_is_better)


def check_benchmark(benchmark: object) -> None:
    """Raise `InputError` for anything that is no `Benchmark`, such as the name of one."""
    if not isinstance(benchmark, Benchmark):
        named = f"; hl.benchmarks.load({benchmark!r}) makes one" if isinstance(benchmark, str) else ""
        raise InputError(f"a hl.benchmarks.Benchmark is needed, not {type(benchmark).__name__}{named}")


def check_seed(seed: int) -> int:
    """``seed`` as Python's own int, whatever kind of whole number it is; raises `InputError` for one out of range."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < SEEDS:
        raise InputError(f"a seed is a whole number from 0 to 2^63 - 1, got {seed!r}")
    return int(seed)


Evaluate = Literal["all", "final"] | int
"""After which tasks all tasks are measured."""


def check_evaluate(evaluate: object) -> None:
    """Raise `InputError` unless it is an `Evaluate`."""
    number = isinstance(evaluate, int) and not isinstance(evaluate, bool) and evaluate >= 1
    if not number and evaluate not in ("all", "final"):
        raise InputError(f"evaluate is 'all', 'final' or a number of tasks from 1 on, not {evaluate!r}")


def check_scenarios(config: Config, benchmark: Benchmark, scenarios: Sequence[Scenario] | None) -> tuple[Scenario, ...]:
    """What a run measures where it is asked for ``scenarios``; raises `InputError` where it cannot."""
    made_for = benchmark.scenarios
    for scenario in scenarios or ():
        if scenario not in SCENARIOS:
            raise InputError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
        if scenario not in made_for:
            raise InputError(f"{benchmark.name} is made for {', '.join(made_for)} alone, not for {scenario}")
    serves = config.learner_class.serves
    if scenarios is None:
        return tuple(scenario for scenario in serves or ("cl1",) if scenario in made_for)
    if not scenarios:
        raise InputError(f"name at least one scenario; there are {', '.join(made_for)}")
    scenarios = tuple(dict.fromkeys(scenarios))
    if len(scenarios) != 1 and not set(scenarios) <= set(serves):
        raise InputError(
            f"{method_name(type(config))} trains differently in each scenario; name one of {', '.join(SCENARIOS)}"
        )
    return scenarios


def method_name(kind: type[Config]) -> str:
    """What records call the method that ``kind`` configures: its name in `METHODS`, else one made of the class's name.

    Raises `InputError` for a class of your own whose name would be that of a method of the library.

    Example:
        >>> from hyperlearn.methods import HNETIWRConfig, configuration
        >>> @configuration
        ... class DarkReplayConfig(Config):
        ...     buffer: int = 100
        >>> method_name(HNETIWRConfig), method_name(DarkReplayConfig)
        ('hnet-iwr', 'dark-replay')
    """
    for name, known in METHODS.items():
        if kind is known:
            return name
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+|[0-9]+", kind.__name__.removesuffix("Config"))
    name = "-".join(words).lower() or "config"
    if name in METHODS:
        raise InputError(f"records would call {kind.__name__} {name!r}, which is a method of hyperlearn; rename it")
    return name


@dataclass(frozen=True)
class RunSpec:
    """One training: `hyperlearn.training.train` makes the same numbers of the same specification.

    Args:
        config: the method's hyperparameters.
        benchmark: the tasks.
        scenarios: what to measure; more than one only where one training serves them. None: all that it serves, or CL1
            where the method trains differently in each. The specification then names them.
        seed: of initialisation and of the order of images, from 0 to 2^63 - 1.
        device: ``auto``, ``cpu`` or ``cuda``.
        parts: a target, a hypernetwork, a regularizer, a rule of task inference of your own.
        evaluate: what is measured after each task: ``all`` tasks; after every so many tasks all of them, given as a
            number; or all of them at the end alone, ``final``. In between, the task just learnt and the next one are
            measured, so that of all metrics only forgetting is not known. Of T tasks ``all`` measures T², ``final`` 3T.
        compile: whether the target network is trained through `torch.compile`, which changes results by no more than
            rounding: ``off``, ``on``, or ``auto``, where it pays; see `hyperlearn.compiling`.

    Raises:
        InputError: a value is out of range, a scenario that the method or the benchmark does not have, a part that the
            method has no place for.

    Example:
        >>> from hyperlearn.benchmarks import split_digits
        >>> from hyperlearn.methods import HNETConfig
        >>> spec = RunSpec(HNETConfig(), split_digits(), seed=3)
        >>> spec.method, spec.scenarios
        ('hnet', ('cl1', 'cl2', 'cl3'))
    """

    config: Config
    benchmark: Benchmark
    scenarios: tuple[Scenario, ...] | None = None
    seed: int = 0
    device: str = "auto"
    parts: Parts = field(default_factory=Parts)
    evaluate: Evaluate = "all"
    compile: Compile = "off"

    def __post_init__(self) -> None:
        if not isinstance(self.config, Config):
            raise InputError(f"a configuration is needed, such as HNETConfig(), not {type(self.config).__name__}")
        check_benchmark(self.benchmark)
        check_compile(self.compile, pick_device(self.device))
        check_evaluate(self.evaluate)
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "scenarios", check_scenarios(self.config, self.benchmark, self.scenarios))
        if self.config.augmentation:
            check_augmentable(self.benchmark.image_shape, self.benchmark.name)
        self.parts.check(self.method, self.config.learner_class)

    @property
    def method(self) -> str:
        """The method's name, for records."""
        return method_name(type(self.config))

    @property
    def measured(self) -> tuple[Scenario, ...]:
        """The scenarios, which are named once the specification is made."""
        assert self.scenarios is not None
        return self.scenarios

    def measured_after(self, task: int) -> range:
        """The tasks whose test images are looked at after ``task`` was learnt.

        Example:
            >>> from hyperlearn.benchmarks import split_digits
            >>> from hyperlearn.methods import HNETConfig
            >>> spec = RunSpec(HNETConfig(), split_digits(), evaluate=2)
            >>> [list(spec.measured_after(task)) for task in range(5)]
            [[0, 1], [0, 1, 2, 3, 4], [2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
        """
        tasks = len(self.benchmark)
        every = {"all": 1, "final": tasks}.get(str(self.evaluate)) or int(self.evaluate)
        last = task == tasks - 1 or (task + 1) % every == 0
        return range(tasks) if last else range(task, task + 2)

    @property
    def recorded(self) -> dict[str, Any]:
        """The hyperparameters as records have them, with the names of parts from outside."""
        augment = {} if self.benchmark.augment is None else {"augment": in_words(self.benchmark.augment)}
        return self.config.record() | self.parts.names() | augment

    def __str__(self) -> str:
        return f"{self.method} on {self.benchmark.name}, {'+'.join(self.measured)}, seed {self.seed}"


def in_words(transform: object) -> str:
    """What a record calls a transform: where a function was defined, or how an object prints.

    Example:
        >>> from hyperlearn.data import flip_and_crop
        >>> in_words(flip_and_crop), in_words(torch.nn.Dropout(0.25))
        ('hyperlearn.data.flip_and_crop', 'Dropout(p=0.25, inplace=False)')
    """
    if hasattr(transform, "__qualname__"):
        return f"{transform.__module__}.{transform.__qualname__}"
    return re.sub(r"\s+", " ", re.sub(" at 0x[0-9a-f]+", "", repr(transform)))  # an address is another in each process


def with_seed(spec: RunSpec, seed: int) -> RunSpec:
    """The same training from another seed."""
    return replace(spec, seed=seed)
