r"""Elastic weight consolidation: EWC (Kirkpatrick et al. 2017) and online EWC (Schwarz et al. 2018).

After each task t the parameters :math:`\theta_t^*` and the diagonal of their Fisher information :math:`F_t` are kept,
and the loss of every later task gets a penalty. EWC (Kirkpatrick et al. 2017, equation 3, one term a task):

.. math:: \frac{\lambda}{2} \sum_{t<T} \sum_i F_{t,i} (\theta_i - \theta_{t,i}^*)^2

Online EWC (Schwarz et al. 2018, equations 8 and 9) has one term, with a running Fisher information that decays:

.. math::
    & \frac{\lambda}{2} \sum_i \gamma \tilde F_{T-1,i} (\theta_i - \theta_{T-1,i}^*)^2, \\
    & \tilde F_t = \gamma \tilde F_{t-1} + F_t

F is the mean over all images of the task, by the logits that the scenario calls for (van de Ven & Tolias 2019): of the
task's head (CL1), of the shared head (CL2), of all classes so far (CL3).

Deviations from van de Ven & Tolias' code (branch "preprints"), whose constants the recipes take:

- The mean is over n images; theirs divides by n - 1.
- The terms of all tasks are kept as one quadratic (`QuadraticPenalty`). The value and the gradient are the same; a step
  costs the same, and as much is stored, after one task and after a hundred.

Not a deviation, but seldom said: their Fisher information takes the labels that the network *predicts*, not the
observed ones. For a network that errs on few training images it is smaller by orders of magnitude that way, which
their lambda of up to 1e9 makes up for. Both are options (``fisher_labels``).
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..data import Batch, Examples
from ..errors import InputError
from ..fisher import fisher_information
from ..inference import evaluating
from ..params import Params
from ..quadratic import QuadraticPenalty
from .base import Config, Fraction, Learner, NonNegative, Setting, configuration
from .plain import Finetune


class EWC(Finetune):
    """One network with a quadratic penalty around where it was after each task."""

    def __init__(self, config: "EWCConfig", setting: Setting) -> None:
        super().__init__(config, setting)
        self.config: EWCConfig = config
        self.penalty = QuadraticPenalty(self.classifier.net)
        self.refuse_override("loss", EWC, "override task_loss")
        if config.fisher_labels == "predicted":
            setting.objective.check_classes("fisher_labels='predicted' (give 'observed')")

    @property
    def scale(self) -> float:
        """What the penalty is multiplied by."""
        return self.config.strength / 2

    def loss(self, batch: Batch) -> Tensor:
        return self.task_loss(batch) + self.scale * self.penalty()

    def backward(self, batch: Batch, optimizer: Optimizer) -> Tensor:
        loss = self.task_loss(batch)
        loss.backward()
        if self.learned:
            self.penalty.add_gradient(self.scale)
        return loss.detach()

    def end_task(self, task: int, train: Examples) -> None:
        try:
            self.remember(self.fisher(task, train))
        except InputError as error:
            raise InputError(f"task {task}: {error}") from error
        super().end_task(task, train)

    def fisher(self, task: int, train: Examples) -> Params:
        """The Fisher information of the network's parameters on the images of ``task``."""
        net, columns = self.classifier.net, self.classifier.columns(task, seen=task + 1)
        observed = self.config.fisher_labels == "observed"
        labels = self.classifier.labels(train) if observed else self.predicted(train, task)
        return fisher_information(
            net,
            dict(net.named_parameters()),
            train.images,
            labels,
            loss=lambda logits, label: self.setting.objective.loss(logits[:, columns], label),
        )

    @torch.no_grad()
    def predicted(self, train: Examples, task: int) -> Tensor:
        """The index of the largest logit for each image [n]."""
        with evaluating(self):
            parts = [self.classifier.logits(b.images, b.tasks, task + 1).argmax(1) for b in train.batches(1024)]
        return torch.cat(parts)

    def remember(self, fisher: Params) -> None:
        """Add a term around the present parameters, weighted by ``fisher``.

        Raises `InputError` where its names or shapes are not those of the network's parameters.
        """
        self.penalty.add(self.penalty.layout.flatten(fisher, "Fisher information"), self.penalty.flat())


class OnlineEWC(EWC):
    """One network with one quadratic penalty around where it was after the last task."""

    def __init__(self, config: "OnlineEWCConfig", setting: Setting) -> None:
        super().__init__(config, setting)
        self.config: OnlineEWCConfig = config

    @property
    def scale(self) -> float:
        return self.config.gamma * self.config.strength / 2

    def remember(self, fisher: Params) -> None:
        fresh = self.penalty.layout.flatten(fisher, "Fisher information")
        running = self.config.gamma * self.penalty.weight + fresh
        self.penalty.replace(running, self.penalty.flat())


@configuration
class EWCConfig(Config):
    """Hold each parameter where earlier tasks had it, by its Fisher information, with one anchor a task."""

    learner_class: ClassVar[type[Learner]] = EWC

    strength: NonNegative = 1e7
    r""":math:`\lambda`, the strength of the penalty."""
    fisher_labels: Literal["observed", "predicted"] = "predicted"
    """The labels by which the Fisher information is taken: those of the data, or the network's own predictions."""


@configuration
class OnlineEWCConfig(EWCConfig):
    """Hold each parameter where the last task left it, by a running Fisher information."""

    learner_class = OnlineEWC

    gamma: Fraction = 1.0
    r""":math:`\gamma`, what is left of earlier tasks' Fisher information after a task."""
