"""Results of runs, and their records: one small JSON file a run."""

import json
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, field
from itertools import chain
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from annotated_types import Ge, Le
from packaging.version import Version
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from . import metrics
from .catalog import TASKS
from .errors import InputError
from .files import write_atomically
from .metrics import AccuracyMatrix
from .version import __version__

if TYPE_CHECKING:
    import pandas

Fraction = Annotated[float, Ge(0), Le(1)]
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@validated(frozen=True, kw_only=True, config=_STRICT)
class Measure:
    """What tasks without classes are learnt and measured by; see `hyperlearn.objectives`."""

    loss: str
    metric: str
    lower_is_better: bool


@validated(frozen=True, kw_only=True, config=_STRICT)
class Metrics:
    """Summaries of the accuracy matrix, as fractions; see `hyperlearn.evaluation` for each one's equation.

    Of another metric than accuracy they are summaries too, in its own unit. Where a lower value is the better one,
    forgetting is by how much it rose above its least, and both transfers are by how much it fell.
    """

    average_accuracy: float
    during_accuracy: float
    forgetting: float | None
    backward_transfer: float | None
    forward_transfer: float | None
    task_inference_accuracy: Fraction | None


@validated(frozen=True, kw_only=True, config=_STRICT)
class Parameters:
    """Numbers of values that the method trains and keeps; see `hyperlearn.methods.Sizes`."""

    target: int
    trainable: int
    stored_per_task: int
    compression_ratio: float


@validated(frozen=True, kw_only=True, config=_STRICT)
class Seconds:
    """Wall time."""

    train: list[float]
    """For each task."""
    evaluate: float
    """All evaluations of the scenario; where CL2 and CL3 are measured by the same predictions, theirs count in both."""


@validated(frozen=True, kw_only=True, config=_STRICT)
class Result:
    """What one run measured, and what it takes to run it again. Accuracies are fractions in [0, 1].

    Without classes there is no accuracy: where ``measure`` names another metric, that is what stands in its place.
    """

    benchmark: str
    method: str
    scenario: Literal["cl1", "cl2", "cl3"]
    seed: int
    config: dict[str, Any]
    """Every hyperparameter of the method, and what differs from the benchmark's default."""
    accuracy_matrix: list[list[float | None]]
    """``[i][j]``: accuracy on task j after learning task i; None where it was not measured."""
    untrained_accuracy: list[float]
    """Accuracy on each task before any training."""
    metrics: Metrics
    parameters: Parameters
    seconds: Seconds
    environment: dict[str, str | int]
    version: str
    commit: str | None
    images: str | None = None
    """The fingerprint of the images and labels; None in records made before it was kept."""
    changed: list[str] = field(default_factory=list)
    """How the benchmark differs from the one of its name: fewer tasks, another order, validation images."""
    loss: list[list[float]] = field(default_factory=list, compare=False)
    """The loss at up to 50 steps of each task, evenly spaced; not in records."""
    measure: Measure | None = None
    """Loss and metric; None, and not in the record, for cross-entropy and accuracy."""

    def __post_init__(self) -> None:
        tasks = len(self.accuracy_matrix)
        if not tasks or any(len(row) != tasks for row in self.accuracy_matrix):
            raise ValueError("the accuracy matrix is not square")
        for name, length in (("untrained_accuracy", len(self.untrained_accuracy)), ("train", len(self.seconds.train))):
            if length != tasks:
                raise ValueError(f"{name} has {length} values, and the accuracy matrix {tasks} tasks")
        expected = TASKS.get(self.benchmark, tasks)
        if tasks != expected and not self.changed:
            raise ValueError(f"{tasks} tasks, and {self.benchmark} has {expected}")
        values = [*chain.from_iterable(self.accuracy_matrix), *self.untrained_accuracy]
        if self.metric == "accuracy" and not all(value is None or 0 <= value <= 1 for value in values):
            raise ValueError("accuracies are fractions in [0, 1]")
        lower = self.measure is not None and self.measure.lower_is_better
        for name, value in metrics_of(self.accuracy_matrix, self.untrained_accuracy, lower).items():
            found = getattr(self.metrics, name)
            if (found is None) != (value is None) or not isclose(found or 0, value or 0, rel_tol=1e-9, abs_tol=1e-9):
                raise ValueError(f"{name} is {found}, and {value} by the accuracy matrix")

    @property
    def metric(self) -> str:
        """The name of what the accuracy matrix holds."""
        return self.measure.metric if self.measure else "accuracy"

    @property
    def average_accuracy(self) -> float:
        """Mean over tasks of the accuracy after the last task."""
        return self.metrics.average_accuracy

    @property
    def forgetting(self) -> float | None:
        """Mean drop of each task's accuracy from its best to the end."""
        return self.metrics.forgetting

    def to_json(self) -> str:
        """The record's text. Same result, same text: keys in order, floats in full precision.

        The curve of the loss is not in it: a record is to stay small.
        """
        fields = asdict(self)
        del fields["loss"]
        if self.measure is None:
            del fields["measure"]
        return json.dumps(fields, indent=1) + "\n"

    def same_measurement(self, other: "Result") -> bool:
        """Whether both agree in everything but wall time and where they were run."""

        def measured(result: "Result") -> dict[str, Any]:
            fields: dict[str, Any] = json.loads(result.to_json())  # a tuple of the run is a list in the record
            left_out = {"seconds", "environment", "version", "commit"}
            if self.images is None or other.images is None:  # older records do not say
                left_out.add("images")
            return {k: v for k, v in fields.items() if k not in left_out}

        return measured(self) == measured(other)


class Measured(Protocol):
    """What was measured by some metric."""

    @property
    def metric(self) -> str:
        """Its name."""


def shown_as(results: Iterable[Measured]) -> tuple[float, str, str]:
    """How the metric of ``results`` is shown: what it is multiplied by, its name, and a unit to put behind that.

    Accuracy is shown in per cent: ``100, "accuracy", ", %"``. Raises `InputError` for results of several metrics.
    """
    names = {result.metric: None for result in results}  # in order
    if len(names) > 1:
        raise InputError(f"results of {' and '.join(names)} do not go together")
    name = next(iter(names), "accuracy")
    return (100, name, ", %") if name == "accuracy" else (1, name, "")


def metrics_of(
    matrix: AccuracyMatrix, untrained: Sequence[float], lower_is_better: bool = False
) -> dict[str, float | None]:
    """All metrics that follow from an accuracy matrix; see `hyperlearn.metrics`.

    With ``lower_is_better`` it is one of errors, and forgetting and both transfers are those of the errors below 0: to
    forget is to err more.

    Example:
        >>> errors = metrics_of([[0.25, 4.0], [1.0, 0.5]], [3.0, 5.0], lower_is_better=True)
        >>> errors["average_accuracy"], errors["forgetting"], errors["backward_transfer"], errors["forward_transfer"]
        (0.75, 0.75, -0.75, 1.0)
    """
    gains = [[None if value is None else -value for value in row] for row in matrix] if lower_is_better else matrix
    before = [-value for value in untrained] if lower_is_better else untrained
    return {
        "average_accuracy": metrics.average_accuracy(matrix),
        "during_accuracy": metrics.during_accuracy(matrix),
        "forgetting": metrics.forgetting(gains),
        "backward_transfer": metrics.backward_transfer(gains),
        "forward_transfer": metrics.forward_transfer(gains, before),
    }


def _not_newer(version: str) -> str:
    if Version(version) > Version(__version__):
        raise ValueError(f"written by hyperlearn {version}, which is newer than this {__version__}; update it")
    return version


@validated(frozen=True, config=ConfigDict(extra="ignore"))
class _Stamp:
    """The one field that is read first: a newer version may have changed all others."""

    version: Annotated[str, AfterValidator(_not_newer)]


_STAMP, _RESULT = TypeAdapter(_Stamp), TypeAdapter(Result)


def record_path(folder: Path, benchmark: str, method: str, scenario: str, seed: int) -> Path:
    """Where the record of a run lies: ``FOLDER/BENCHMARK/METHOD-SCENARIO-seedN.json``."""
    return Path(folder) / file_part(benchmark) / f"{file_part(method)}-{file_part(scenario)}-seed{seed}.json"


def file_part(name: str) -> str:
    """``name`` as a part of a path; raises `InputError` where it would lead elsewhere or cannot be a file's name."""
    if not name or name.startswith(".") or len(name) > 100 or any(c in '/\\:*?"<>|' or c < " " for c in name):
        raise InputError(f"{name[:100]!r} cannot be part of a file's name; use letters, digits, - and _")
    return name


def read(path: Path) -> Result:
    """The record in ``path``; raises `InputError` naming the file and what is wrong in it."""
    try:
        content = Path(path).read_bytes()
        _STAMP.validate_json(content, strict=True)
        return _RESULT.validate_json(content, strict=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        what = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: no valid record: {where}: {what}") from error


def read_all(folder: Path) -> Iterator[Result]:
    """All records below ``folder``, in the order of their paths.

    Raises `InputError` for a record that is not valid, or that lies where another run's record belongs: a copy would
    count a seed twice.
    """
    for path in sorted(Path(folder).glob("*/*.json")):
        result = read(path)
        own = record_path(folder, result.benchmark, result.method, result.scenario, result.seed)
        if path != own:
            raise InputError(f"{path} holds the record that belongs into {own}; move it there or remove it")
        yield result


def frame(source: Path | str | Iterable[Result]) -> "pandas.DataFrame":
    """One row a run, for pandas and seaborn.

    Columns are the names of a record. Metrics have their plain names, as fractions; all else within a record has the
    name of what it is in before its own: ``config.beta``, ``parameters.trainable``, ``environment.cpu``. A
    hyperparameter that a method does not have is missing in its rows. ``seconds.train`` is the sum over tasks.

    Args:
        source: a folder of records, or results.

    Raises `InputError` for a folder that is not there, and for a damaged record.

    Example:
        >>> import hyperlearn as hl
        >>> made = [hl.run("hnet", hl.benchmarks.split_digits(), seed=s, iterations=2, beta=0.1) for s in (0, 1)]
        >>> table = frame(made)
        >>> table[["method", "seed", "config.beta"]].values.tolist()
        [['hnet', 0, 0.1], ['hnet', 1, 0.1]]
        >>> table.average_accuracy.between(0, 1).all().item()
        True
    """
    import pandas

    if isinstance(source, Path | str):
        if not Path(source).is_dir():
            raise InputError(f"no results folder {source}")
        source = read_all(Path(source))
    rows = []
    for result in source:
        row = asdict(result)
        row |= row.pop("metrics")
        row["tasks"] = len(row.pop("accuracy_matrix"))
        row["seconds"]["train"] = sum(row["seconds"]["train"])
        for name in ("untrained_accuracy", "loss", "measure"):
            del row[name]
        rows.append(row | {"metric": result.metric})
    return pandas.json_normalize(rows)


def write(result: Result, folder: Path) -> Path:
    """Write the record atomically: either the whole file is there or none of it. Returns its path.

    Raises `InputError` where it cannot be written, or where the record of another configuration is there, be it from a
    run that ends at the same moment.
    """
    path = record_path(Path(folder), result.benchmark, result.method, result.scenario, result.seed)
    write_atomically(path, result.to_json().encode(), lambda: _check_same_run(path, result))
    return path


def _check_same_run(path: Path, result: Result) -> None:
    """Raise `InputError` if the record in ``path`` is of other settings, images or tasks than ``result``."""

    def of(one: Result) -> dict[str, Any]:
        data = {"images": one.images} if one.images and result.images else {}  # older records do not say
        measure = {"measure": one.measure} if one.measure else {}
        changed = "; ".join(one.changed) or "as its name says"
        return {**as_recorded(one.config), **data, **measure, "benchmark": changed}

    if not path.exists():  # the file system has no hard links
        return
    there = read(path)
    here = of(result) if there.images else {k: v for k, v in of(result).items() if k != "images"}
    _refuse(path, difference(of(there), here))


def _refuse(path: Path, differences: str) -> None:
    if differences:
        raise InputError(
            f"{path} is the record of a run with {differences}; name another --results folder or remove the record"
        )


def check_writable(folder: Path) -> None:
    """Raise `InputError` unless records can be written into ``folder``, which is made if need be.

    Called before a run starts, so that hours of training are not lost on a read-only folder.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write into {folder} ({error.strerror}); name another folder") from error


def check_not_taken(path: Path, config: dict[str, Any]) -> None:
    """Raise `InputError` if there is a record in ``path`` already with another configuration."""
    if not path.exists():
        return
    _refuse(path, difference(read(path).config, as_recorded(config)))


def by_seed(results: Iterable[Result]) -> dict[int, Result]:
    """Runs of one method in one scenario by their seed.

    Raises `InputError` where two have one seed and are not the same measurement: a mean over both would count the seed
    twice, and a choice between them would be nobody's.
    """
    found: dict[int, Result] = {}
    for result in results:
        other = found.setdefault(result.seed, result)
        if other is not result and not other.same_measurement(result):
            how = (
                difference(as_recorded(other.config), as_recorded(result.config)) or "the same settings, other figures"
            )
            what = f"{result.method} on {result.benchmark}, {result.scenario}, seed {result.seed}"
            raise InputError(f"two runs of {what}: {how}; give the runs of one configuration, each once")
    return found


def as_recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it is when it was written to a record and read again.

    Example:
        >>> as_recorded({"hidden": (10, 10)})
        {'hidden': [10, 10]}
    """
    recorded: dict[str, Any] = json.loads(json.dumps(config))
    return recorded


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The fields in which two configurations differ."""
    return [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The fields in which two runs differ, in words; empty where they do not.

    Example:
        >>> difference({"seed": 0, "beta": 0.01}, {"seed": 0, "beta": 0.1})
        'beta = 0.01, this run has 0.1'
    """

    def said(value: object) -> str:
        return textwrap.shorten(str(value), 100, placeholder=" ...")  # a file may hold anything; one line is printed

    names = differing(there, here)
    return "; ".join(f"{name} = {said(there.get(name))}, this run has {said(here.get(name))}" for name in names)
