"""What looks on while a run trains: progress, curves in files, an early end."""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from .errors import InputError
from .files import write_atomically
from .notebooks import show

Accuracies = dict[str, list[float | None]]


class Callback:
    """Called while a run goes on; a subclass overrides what it is interested in. None is called where none is given.

    ``run`` is the `hyperlearn.training.Run`: ``run.task`` and ``run.step`` say where it is, ``run.total`` how many
    steps the task has, ``run.learner`` is what learns, ``run.validate()`` its accuracy on the present task's validation
    images.

    Example, a run that ends each task after three steps:
        >>> import hyperlearn as hl
        >>> class Short(Callback):
        ...     def on_step(self, run, loss):
        ...         return run.step == 3
        ...     def on_task(self, run):
        ...         print(f"task {run.task}: {run.step} steps")
        >>> _ = hl.run("finetune", hl.benchmarks.first(hl.benchmarks.split_digits(), 2), callbacks=[Short()])
        task 0: 3 steps
        task 1: 3 steps
    """

    def on_step(self, run: Any, loss: Tensor | None) -> bool | None:
        """After each step, with its loss, a scalar on the run's device; reading it waits for the device.

        The loss is None for a method of your own whose ``backward`` does not return it. True ends the task.
        """

    def on_task(self, run: Any) -> None:
        """After the last step of a task, before the method does what it does at a task's end."""

    def on_evaluate(self, run: Any, accuracy: Accuracies) -> None:
        """After each task's measurement: for each scenario the accuracy on every task, None for those not measured."""


Callbacks = Sequence[Callback]


class EarlyStopping(Callback):
    """Ends a task when its validation accuracy has not risen for a while. The weights stay those of the last step.

    The benchmark needs validation images; test images are not looked at. A run that goes on from a checkpoint within a
    task begins to count anew.

    Args:
        every: steps between two looks.
        patience: looks without a new best after which the task ends.

    Raises `InputError` for a number below 1.

    Example:
        >>> import hyperlearn as hl
        >>> digits = hl.benchmarks.split_digits(validation=0.2)
        >>> stop = EarlyStopping(every=10, patience=2)
        >>> _ = hl.run("finetune", digits, iterations=500, callbacks=[stop])
        >>> max(stop.steps) < 500
        True
    """

    def __init__(self, every: int = 100, patience: int = 5) -> None:
        if every < 1 or patience < 1:
            raise InputError(f"every and patience are at least 1, got {every} and {patience}")
        self.every, self.patience = every, patience
        self.steps: list[int] = []  # of each task, when it ended
        self._task, self._best, self._since = -1, 0.0, 0

    def on_step(self, run: Any, loss: Tensor | None) -> bool:
        if run.step % self.every:
            return False
        if run.task != self._task:
            self._task, self._best, self._since = run.task, -1.0, 0
        accuracy = run.validate()
        self._best, self._since = (accuracy, 0) if accuracy > self._best else (self._best, self._since + 1)
        return self._since >= self.patience

    def on_task(self, run: Any) -> None:
        self.steps.append(run.step)


class CSVWriter(Callback):
    """Writes losses and accuracies into a file of comma-separated values, one row for each: for pandas and seaborn.

    Columns are ``task``, ``step``, ``what`` (``loss``, or the scenario), ``on`` (for accuracies the task that was
    measured) and ``value``. The file is written after each task.

    Args:
        path: the file.
        every: steps between two losses; each waits for the device.

    Example:
        >>> import tempfile
        >>> import hyperlearn as hl
        >>> two = hl.benchmarks.first(hl.benchmarks.split_digits(), 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = hl.run("finetune", two, iterations=20, callbacks=[CSVWriter(f"{folder}/a.csv", every=10)])
        ...     lines = Path(f"{folder}/a.csv").read_text().splitlines()
        >>> lines[0], len(lines)
        ('task,step,what,on,value', 9)
    """

    def __init__(self, path: Path | str, every: int = 50) -> None:
        if every < 1:
            raise InputError(f"every is at least 1, got {every}")
        self.path, self.every = Path(path), every
        self.rows: list[tuple[int, int, str, int | str, float]] = []

    def on_step(self, run: Any, loss: Tensor | None) -> None:
        if loss is not None and run.step % self.every == 0:
            self.rows.append((run.task, run.step, "loss", "", float(loss)))

    def on_evaluate(self, run: Any, accuracy: Accuracies) -> None:
        for scenario, row in accuracy.items():
            measured = [(on, value) for on, value in enumerate(row) if value is not None]
            self.rows += [(run.task, run.step, scenario, on, value) for on, value in measured]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("task", "step", "what", "on", "value"), *self.rows])
        write_atomically(self.path, text.getvalue().encode())


class TensorBoard(Callback):
    """Writes losses and accuracies for TensorBoard, by its own library; the horizontal axis are steps over all tasks.

    Args:
        folder: where event files go.
        every: steps between two losses; each waits for the device.

    Raises `InputError` where the library is not installed.
    """

    def __init__(self, folder: Path | str, every: int = 50) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("TensorBoard's library is not installed: pip install tensorboard") from error
        self.every, self.before = every, 0
        self.writer = SummaryWriter(str(folder))

    def on_step(self, run: Any, loss: Tensor | None) -> None:
        if loss is not None and run.step % self.every == 0:
            self.writer.add_scalar("loss", float(loss), self.before + run.step)

    def on_evaluate(self, run: Any, accuracy: Accuracies) -> None:
        self.before += run.step
        for scenario, row in accuracy.items():
            for on, value in enumerate(row):
                if value is not None:
                    self.writer.add_scalar(f"{scenario}/task {on}", value, self.before)
        self.writer.flush()


class ProgressBar(Callback):
    """Says every fifty steps how far a run is.

    Args:
        show: called with the fraction that is done, and with the present task in words.
    """

    def __init__(self, show: Callable[[float, str], None]) -> None:
        self.show = show

    def on_step(self, run: Any, loss: Tensor | None) -> None:
        if run.step % 50 == 0 or run.step == run.total:
            tasks = len(run.benchmark)
            self.show((run.task + run.step / run.total) / tasks, f"task {run.task + 1} of {tasks}")


@contextmanager
def progress_bar() -> Iterator[list[Callback]]:
    """A bar on the terminal or in a notebook, for a training within; nothing where the output is neither.

    `hyperlearn.fit` and `hyperlearn.run` show one by themselves. The bar goes when the training ends.

    Example::

        with progress_bar() as bar:
            hl.trained.train(spec, callbacks=bar)
    """
    console = Console(stderr=True)
    if console.is_jupyter and find_spec("ipywidgets") is not None:
        with _notebook_bar() as bar:
            yield [bar]
    elif console.is_terminal and sys.stderr.isatty():  # rich also takes for one what asks for colours, as kernels do
        with _terminal_bar(console) as bar:
            yield [bar]
    else:  # a bar that is only disabled leaves an empty line, with older versions of rich
        yield []


@contextmanager
def _terminal_bar(console: Console) -> Iterator[ProgressBar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        number = bar.add_task("task 1", total=None)
        yield ProgressBar(lambda done, text: bar.update(number, completed=done, total=1, description=text))


@contextmanager
def _notebook_bar() -> Iterator[ProgressBar]:
    # Not rich's own way in notebooks, which leaves an empty line behind.
    from ipywidgets import FloatProgress

    widget = FloatProgress(max=1.0)
    show(widget)

    def move(done: float, text: str) -> None:
        widget.value, widget.description = done, text

    try:
        yield ProgressBar(move)
    finally:
        widget.close()
