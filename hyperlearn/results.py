"""Results of runs, and their records: one small JSON file a run."""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from .errors import InputError

Fraction = Annotated[float, Ge(0), Le(1)]
_STRICT = ConfigDict(extra="forbid")


@validated(frozen=True, kw_only=True, config=_STRICT)
class Metrics:
    """Summaries of the accuracy matrix, as fractions; see `hyperlearn.evaluation` for each one's equation."""

    average_accuracy: Fraction
    during_accuracy: Fraction
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
    """All evaluations of the scenario."""


@validated(frozen=True, kw_only=True, config=_STRICT)
class Result:
    """What one run measured, and what it takes to run it again. Accuracies are fractions in [0, 1]."""

    benchmark: str
    method: str
    scenario: str
    seed: int
    config: dict[str, Any]
    """Every hyperparameter of the method, and what differs from the benchmark's default."""
    accuracy_matrix: list[list[Fraction]]
    """``[i][j]``: accuracy on task j after learning task i."""
    untrained_accuracy: list[Fraction]
    """Accuracy on each task before any training."""
    metrics: Metrics
    parameters: Parameters
    seconds: Seconds
    environment: dict[str, str | int]
    version: str
    commit: str | None

    @property
    def average_accuracy(self) -> float:
        """Mean over tasks of the accuracy after the last task."""
        return self.metrics.average_accuracy

    @property
    def forgetting(self) -> float | None:
        """Mean drop of each task's accuracy from its best to the end."""
        return self.metrics.forgetting

    def to_json(self) -> str:
        """The record's text. Same result, same text: keys in order, floats in full precision."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def same_measurement(self, other: "Result") -> bool:
        """Whether both agree in everything but wall time and where they were run."""

        def measured(result: "Result") -> dict[str, Any]:
            fields: dict[str, Any] = json.loads(result.to_json())  # a tuple of the run is a list in the record
            return {k: v for k, v in fields.items() if k not in ("seconds", "environment", "version", "commit")}

        return measured(self) == measured(other)


_RESULT = TypeAdapter(Result)


def record_path(folder: Path, benchmark: str, method: str, scenario: str, seed: int) -> Path:
    """Where the record of a run lies: ``FOLDER/BENCHMARK/METHOD-SCENARIO-seedN.json``."""
    return folder / benchmark / f"{method}-{scenario}-seed{seed}.json"


def read(path: Path) -> Result:
    """The record in ``path``; raises `InputError` naming the file and what is wrong in it."""
    try:
        return _RESULT.validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path}: no valid record: {where}: {first['msg']}") from error


def read_all(folder: Path) -> Iterator[Result]:
    """All records below ``folder``, in the order of their paths."""
    for path in sorted(folder.glob("*/*.json")):
        yield read(path)


def write(result: Result, folder: Path) -> Path:
    """Write the record atomically: either the whole file is there or none of it. Returns its path."""
    path = record_path(folder, result.benchmark, result.method, result.scenario, result.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, result.to_json().encode())
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside ``path``, flush to disk, then rename: a reader sees the old file or the new one, never a part."""
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)  # mkstemp makes it private; a record is for everyone
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def check_writable(folder: Path) -> None:
    """Raise `InputError` unless records can be written into ``folder``, which is made if need be.

    Called before a run starts, so that hours of training are not lost on a read-only folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write into {folder} ({error.strerror}); name another folder") from error


def check_not_taken(
    folder: Path, benchmark: str, method: str, scenario: str, seed: int, config: dict[str, Any]
) -> None:
    """Raise `InputError` if the run's record exists already with another configuration."""
    path = record_path(folder, benchmark, method, scenario, seed)
    if not path.exists():
        return
    there, new = read(path).config, json.loads(json.dumps(config))
    for key in sorted(there.keys() | new.keys()):
        if there.get(key) != new.get(key):
            raise InputError(
                f"{path} is the record of a run with {key} = {there.get(key)}, this run has {new.get(key)}; "
                "name another --results folder or remove the record"
            )
