r"""Learning without forgetting, LwF (Li & Hoiem 2017), as van de Ven & Tolias (2019) have it.

The network as it was before task t says what it makes of the present task's images, and the network that is trained
is held to that. No old image and no generator is needed.

.. math::
    & \frac{1}{t} L_{CE} + \left(1 - \frac{1}{t}\right) L_{KD}, \\
    & L_{KD} = -\frac{T^2}{B} \sum_{b=1}^{B} \sum_k \hat p_k(x_b) \log p_k(x_b)

on one batch of B images, both distributions softened by the temperature T: softmax(logits / T). They are

- CL1: of each earlier task's head; L_KD is the mean over the heads;
- CL2: of the shared head;
- CL3: p over all classes seen so far, the present task's among them, and p-hat over those seen before, which is 0 for
  the present task's: the old network's certainty that an image shows an old class counts against the new classes.

Deviations: none from van de Ven & Tolias' code (branch "preprints"). Li & Hoiem weigh the two losses alike, and first
train the new head alone.
"""

from copy import deepcopy
from typing import Self

import torch
from torch import Tensor

from ..data import Batch, Examples
from .base import Classifier, Config, Positive, Scenario, Setting, configuration
from .plain import Finetune


def distillation(logits: Tensor, old: Tensor, temperature: float) -> Tensor:
    r"""Cross-entropy of softened predictions with an older network's, times the temperature squared: a scalar.

    .. math::
        & -T^2 \, \mathrm{mean} \sum_k \hat p_k \log p_k, \\
        & \hat p = \mathrm{softmax}(\hat z / T), \quad p = \mathrm{softmax}(z / T)

    (Hinton et al. 2015; van de Ven & Tolias 2019.) The factor keeps the gradient's size the same for every temperature.

    Args:
        logits: ``[..., K]``, z; the mean is over the dimensions before the last. A class that is -inf in both counts 0.
        old: ``[..., K_old]`` with K_old <= K, of the older network; the classes that it lacks have probability 0.
        temperature: T > 0.

    Example:
        >>> sure = torch.tensor([[9.0, -9.0]])
        >>> distillation(-sure, sure, temperature=2.0) > distillation(sure, sure, temperature=2.0)
        tensor(True)
    """
    log_p = (logits / temperature).log_softmax(-1)[..., : old.shape[-1]]
    log_p = log_p.clamp(min=torch.finfo(log_p.dtype).min)
    return -((old / temperature).softmax(-1) * log_p).sum(-1).mean() * temperature**2


class TaughtClassifier(Classifier):
    """A classifier and its teacher: a frozen copy of it as it was after the last task."""

    def __init__(self, setting: Setting, scenario: Scenario) -> None:
        super().__init__(setting, scenario)
        self.teacher = deepcopy(self.net).requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def taught(self, images: Tensor) -> Tensor:
        """The teacher's outputs for ``images``: ``[B, outputs]``."""
        out: Tensor = self.teacher(images)
        return out

    def to_distill(self, out: Tensor, images: Tensor, learned: int) -> tuple[Tensor, Tensor]:
        """Of the outputs ``out`` on ``images`` the logits to hold, and the teacher's, to hold them to.

        CL1: of the heads of the ``learned`` earlier tasks, ``[B, learned, classes]``; CL2: of the shared head; CL3: of
        all classes seen so far, ``[B, (learned + 1) * classes]``, and the teacher's of those seen before.
        """
        old = self.taught(images)
        if self.scenario == "cl1":
            new, old = (self.heads(z)[:, :learned] for z in (out, old))
            return new, old
        return out[:, self.columns(0, learned + 1)], old[:, self.columns(0, learned)]

    def remember(self) -> None:
        """Make the teacher what the classifier is now."""
        self.teacher.load_state_dict(self.net.state_dict())


class LwF(Finetune):
    """One network, held on the present task's images to what it said before the task."""

    classifier_class = TaughtClassifier
    classifier: TaughtClassifier

    def __init__(self, config: "LwFConfig", setting: Setting) -> None:
        setting.objective.check_classes("distillation")
        super().__init__(config, setting)
        self.config: LwFConfig = config

    def loss(self, batch: Batch) -> Tensor:
        out: Tensor = self.classifier(batch.images)
        seen = self.learned + 1
        logits = self.classifier.select(out, batch.tasks, seen)
        task_loss = self.setting.objective.loss(logits, self.classifier.labels(batch))
        if not self.learned:
            return task_loss
        kept = distillation(*self.classifier.to_distill(out, batch.images, self.learned), self.config.temperature)
        return task_loss / seen + (1 - 1 / seen) * kept

    def end_task(self, task: int, train: Examples) -> None:
        super().end_task(task, train)
        self.classifier.remember()


@configuration
class LwFConfig(Config):
    """Hold the network to what it said of the present task's images before it learnt them."""

    learner_class = LwF

    temperature: Positive = 2.0
    """T, by which logits are divided before the softmax."""
