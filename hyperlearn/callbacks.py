"""What looks on while a run trains: progress, curves in files, an early end."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor


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

    def on_evaluate(self, run: Any, accuracy: dict[str, list[float]]) -> None:
        """After all tasks were measured: for each scenario the accuracy on every task."""


Callbacks = Sequence[Callback]
