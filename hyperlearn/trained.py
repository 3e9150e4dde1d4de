"""The trained thing: to ask it, to keep it in a file, to take a network out of it, to teach it a further task."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from pydantic import TypeAdapter
from torch import Tensor, nn

from . import checkpoints
from .benchmarks import Task
from .callbacks import Callbacks
from .data import as_float, draw_rows, flip_and_crop
from .errors import InputError
from .files import digest, load_tensors, save_tensors
from .inference import Prediction, evaluating
from .methods import METHODS, Config, Learner, Parts, Scenario, Setting
from .processor import flush_denormals
from .recipes import PARTS, Method, specify
from .results import Result
from .spec import method_name, pick_device
from .streams import RandomStream
from .training import Run, fit_task, not_finite
from .version import __version__

FORMAT = 1
MOST_NUMBERS = 2**24
"""Numbers in the images of one call of the learner, times tasks: some hundred megabytes of activations."""


class Trained:
    """A learner that has learnt, as `fit` returns it or `load` reads it.

    Attributes:
        learner: the method's module, with all its state.
        results: what was measured, by scenario.
        classes: for each task the names of its classes.
    """

    def __init__(self, learner: Learner, results: dict[Scenario, Result], classes: Sequence[tuple[str, ...]]) -> None:
        self.learner, self.results = learner.eval(), results
        self.classes = [tuple(names) for names in classes]

    @property
    def result(self) -> Result:
        """The first scenario's result."""
        return next(iter(self.results.values()))

    @property
    def tasks(self) -> int:
        """How many tasks it has learnt."""
        return self.learner.learned

    def predict(self, images: Tensor, task: int | None = None, scenario: Scenario | None = None) -> Prediction:
        """Labels within the task, and tasks, ``[B]`` each.

        Args:
            images: ``[B, *image]``, bytes from 0 to 255 or floats as they were learnt, on any device.
            task: the images' task, from 0. None: it is inferred.
            scenario: ``"cl2"`` or ``"cl3"`` where no task is given; default: the last of those that it was trained for.

        Raises:
            InputError: images of another shape, a task that was not learnt, or no task where the method needs one.

        Example:
            >>> import hyperlearn as hl
            >>> benchmark = hl.benchmarks.split_digits()
            >>> trained = fit("hnet", benchmark, iterations=20)
            >>> trained.predict(benchmark.tasks[1].test.images[:3], task=1).tasks
            tensor([1, 1, 1])
        """
        scenario = self._scenario(task, scenario)
        found = [self.learner.predict(batch, task, scenario) for batch in self._batches(images, task)]
        return Prediction(torch.cat([each.labels for each in found]), torch.cat([each.tasks for each in found]))

    def predict_proba(self, images: Tensor, task: int | None = None, scenario: Scenario | None = None) -> Tensor:
        """Probabilities of the labels within the task, ``[B, K]``; in CL3 of all tasks' classes, ``[B, tasks * K]``.

        Where the task is inferred, a hypernetwork's probabilities are those of the network that is believed: classes of
        other tasks have 0. The arguments are those of `predict`.
        """
        scenario = self._scenario(task, scenario)
        return torch.cat([self.learner.probabilities(each, task, scenario) for each in self._batches(images, task)])

    def _scenario(self, task: int | None, scenario: Scenario | None) -> Scenario:
        trained: tuple[Scenario, ...] = self.learner.setting.scenarios
        if task is not None:
            if scenario not in (None, "cl1"):
                raise InputError(f"in {scenario} no task is given; leave task or scenario out")
            if not self.learner.serves and "cl1" not in trained:
                raise InputError(f"this was trained for {trained[0]}, where no task is given")
            return "cl1"
        possible = [each for each in self.learner.serves or trained if each != "cl1"]
        if scenario is None and not possible:
            raise InputError("this was trained for cl1: give the images' task")
        chosen = scenario or possible[-1]
        if chosen not in possible:
            raise InputError(f"without a task this predicts in {', '.join(possible) or 'no scenario'}, not in {chosen}")
        return chosen

    def _batches(self, images: Tensor, task: int | None) -> "Any":
        setting, device = self.learner.setting, next(self.learner.parameters()).device
        if tuple(images.shape[1:]) != tuple(setting.image_shape) or images.dim() == 0:
            raise InputError(
                f"images of shape {tuple(images.shape)}; [B, {', '.join(map(str, setting.image_shape))}] is needed"
            )
        if len(images) == 0:
            raise InputError("there are no images")
        if task is not None and not 0 <= task < self.tasks:
            raise InputError(f"task {task} was not learnt; there are 0 to {self.tasks - 1}")
        size = max(1, MOST_NUMBERS // (max(1, images[0].numel()) * setting.tasks))
        with torch.no_grad(), evaluating(self.learner), flush_denormals():
            for batch in images.split(size):
                yield as_float(batch.to(device))

    def export(self, task: int) -> nn.Module:
        """An ordinary network for ``task``, in evaluation mode: images ``[B, *image]``, floats, to logits ``[B, K]``.

        It is a copy: nothing that is done to it changes what was trained. Raises `InputError` for an unknown task.
        """
        if not 0 <= task < self.tasks:
            raise InputError(f"task {task} was not learnt; there are 0 to {self.tasks - 1}")
        return self.learner.export(task).requires_grad_(False)

    def learn(self, task: Task, callbacks: Callbacks = ()) -> None:
        """Learn a further task: continual learning goes on.

        The method does what it would have done with a task more from the start, with two differences: the optimizer is
        a new one in any case, and random numbers are those of the task's number alone. What is in ``results`` stays as
        it was measured.

        Raises:
            InputError: a method that needs the images of earlier tasks, or whose outputs are for the tasks that it was
                made for; images of another shape, another number of classes, or NaN.
        """
        learner, config = self.learner, self.learner.config
        setting, number = learner.setting, learner.learned
        shape = tuple(task.train.images.shape[1:])
        if shape != tuple(setting.image_shape) or len(task.classes) != setting.classes:
            raise InputError(
                f"a further task has images {tuple(setting.image_shape)} of {setting.classes} classes, as the others; "
                f"this one has {shape} and {len(task.classes)}"
            )
        if learner.needs_past:
            raise InputError(f"{type(learner).__name__} trains on the images of all tasks, which are not kept")
        device = next(learner.parameters()).device
        with RandomStream(number, device).current(), flush_denormals():
            if number == setting.tasks:
                learner.extend()
            data = learner.training_data([numbered(task, number).train]).to(device)
            steps = config.steps(len(data))
            order = draw_rows(len(data), config.batch_size, steps, torch.Generator().manual_seed(number), 0, device)
            learner.begin_task(number)
            learner.train()
            optimizer = config.optimizer(learner.trainable())

            def after_step(step: int, loss: Tensor | None) -> bool:
                for group in optimizer.param_groups:
                    group["lr"] = config.rate(step / steps)
                return False

            fit_task(
                learner,
                optimizer,
                data,
                order,
                after_step=after_step,
                augment=flip_and_crop if config.augmentation else None,
                clip_norm=config.clip_norm,
            )
            if bad := sorted(not_finite(learner)):
                raise InputError(f"{bad[0]} became NaN or infinite; a smaller learning rate may help")
            learner.end_task(number, numbered(task, number).train.to(device))
        learner.eval()
        self.classes.append(task.classes)
