"""Three yardsticks for any method: no defence against forgetting, no sharing, and no forgetting at all."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data import Batch, Examples, concatenate
from ..doubt import loss_with_doubt
from ..inference import Prediction, of_task, task_logits
from ..params import count
from ..swap import as_written
from .base import (
    SCENARIOS,
    Classifier,
    Config,
    DoubtConfig,
    Learner,
    Scenario,
    Setting,
    Sizes,
    check_outputs,
    configuration,
    doubt_of,
    with_outputs,
)


class Finetune(Learner):
    """One network, trained on each task in turn; the optimizer's state is kept (van de Ven & Tolias 2019, "None")."""

    replicable = True
    classifier_class: ClassVar[type[Classifier]] = Classifier

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__(config, setting)
        self.classifier = self.classifier_class(setting, setting.scenario)

    def task_loss(self, batch: Batch) -> Tensor:
        """What the present task is learnt by, without what is done against forgetting: a scalar."""
        return self.classifier.cross_entropy(batch, seen=self.learned + 1)

    def loss(self, batch: Batch) -> Tensor:
        return self.task_loss(batch)

    def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        return self.classifier.predict(images, task, seen=max(self.learned, 1))

    def probabilities(self, images: Tensor, task: int | None, scenario: Scenario) -> Tensor:
        return self.classifier.probabilities(images, task, seen=max(self.learned, 1))

    def export(self, task: int) -> nn.Module:
        return self.classifier.export(task, seen=max(self.learned, 1))

    def extend(self) -> None:
        self.setting = self.classifier.extend()

    def sizes(self, scenario: Scenario) -> Sizes:
        return self.classifier.sizes()


class Joint(Finetune):
    """One network, trained for each task on the images of all tasks so far ("Offline" in van de Ven & Tolias 2019)."""

    replicable = True
    needs_past = True

    def training_data(self, seen: Sequence[Examples]) -> Examples:
        return concatenate(list(seen))


class Scratch(Learner):
    """One network for each task. Without a task id, the task is the one whose network is surest (entropy).

    All have as many outputs as the task with most classes needs.
    """

    serves = SCENARIOS
    fresh_optimizer = True
    replicable = True
    infers_alike = True
    takes = ("target", "infer")

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__(config, setting)
        self.nets = nn.ModuleList(setting.make_target(setting.classes) for _ in range(setting.tasks))
        self.doubt = doubt_of(config, setting)

    def trainable(self) -> list[nn.Parameter]:
        return list(self.nets[min(self.learned, len(self.nets) - 1)].parameters())

    def loss(self, batch: Batch) -> Tensor:
        return loss_with_doubt(batch, partial(self.logits, self.learned), self.setting.objective.loss, self.doubt)

    def logits(self, task: int, images: Tensor) -> Tensor:
        """Logits ``[B, K]`` of one task's network, of the task's K classes."""
        out: Tensor = self.nets[task](images)
        check_outputs(out, self.setting.classes)
        return out[:, : self.setting.class_counts[task]]

    def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        if task is not None:
            self.setting.check_task(task)
            answers = self.setting.objective.answers(self.logits(task, images))
            return Prediction(answers, torch.full((len(images),), task, device=images.device))
        return self.infer(self.all_logits(images), images)

    def changed(self, task: int) -> bool:
        return task == self.learned - 1

    def all_logits(self, images: Tensor) -> Tensor:
        """Logits of all tasks learnt so far, ``[T, B, classes]``."""
        nets = list(self.nets[: self.learned or None])
        params, buffers = torch.func.stack_module_state(nets)
        logits, counts = task_logits(nets[0], {**params, **buffers}, images), self.setting.class_counts
        each = (self.setting.padded(one[:, :classes]) for one, classes in zip(logits, counts, strict=False))
        return torch.stack(list(each))

    def probabilities(self, images: Tensor, task: int | None, scenario: Scenario) -> Tensor:
        if task is not None:
            self.setting.check_task(task)
            return self.logits(task, images).softmax(1)
        logits = self.all_logits(images)
        tasks = self.infer(logits, images).tasks
        found = of_task(logits, tasks).softmax(1)
        return self.setting.spread(found, tasks) if scenario == "cl3" else found

    def export(self, task: int) -> nn.Module:
        self.setting.check_task(task)
        return with_outputs(as_written(self.nets[task]), 0, self.setting.class_counts[task], self.setting.classes)

    def extend(self) -> None:
        self.nets.append(self.setting.make_target(self.setting.classes).to(next(self.parameters()).device))
        self.setting = self.setting.extended()

    def sizes(self, scenario: Scenario) -> Sizes:
        every, each = count(self.nets[0]), count(self.nets[0], trainable=True)
        return Sizes(every, each * len(self.nets), stored_per_task=each + self.stored_by_rule, frozen=every - each)


@configuration
class FinetuneConfig(Config):
    """Train one network on one task after the other: the lower bound."""

    learner_class = Finetune


@configuration
class JointConfig(Config):
    """Train one network on all tasks so far at once, which needs all old data: the upper bound."""

    learner_class = Joint


@configuration
class ScratchConfig(DoubtConfig):
    """Train a new network for each task and keep them all."""

    learner_class = Scratch
