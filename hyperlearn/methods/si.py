r"""Synaptic intelligence, SI (Zenke, Poole & Ganguli 2017).

While a task is learnt, each parameter's share in the fall of the loss is summed up along the path that training takes
(equation 3, with the gradient g of the task's loss and the steps as they are taken):

.. math:: \omega_i = -\sum_{\text{steps}} g_i \, \Delta\theta_i

After the task it is divided by how far the parameter moved in all, and added to the parameter's importance; every
later task gets a penalty around where the parameter was after the last task (equations 4 and 5):

.. math::
    & \Omega_i = \sum_{t<T} \frac{\omega_{t,i}}{(\theta_{t,i}^* - \theta_{t-1,i}^*)^2 + \varepsilon}, \\
    & \lambda \sum_i \Omega_i (\theta_i - \theta_{T-1,i}^*)^2

An importance may come out negative where steps went uphill; it is used as it is, as in van de Ven & Tolias' code.

Deviations from that code (branch "preprints"), whose constants the recipes take: g is the gradient of the task's loss
alone, as in the paper; theirs has the penalty's gradient in it.
"""

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..data import Batch, Examples
from ..quadratic import QuadraticPenalty
from .base import Config, NonNegative, Positive, Setting, configuration
from .plain import Finetune


class SI(Finetune):
    """One network with a quadratic penalty around where the last task left it, weighted by the path integral."""

    path: Tensor  # [N], omega of the present task

    def __init__(self, config: "SIConfig", setting: Setting) -> None:
        super().__init__(config, setting)
        self.config: SIConfig = config
        self.refuse_override("loss", SI, "override task_loss")
        self.penalty = QuadraticPenalty(self.classifier.net)  # its center is where the present task began
        self.register_buffer("path", torch.zeros_like(self.penalty.center))
        self.gradients: list[Tensor] = []  # of the task's loss, in the present step
        self.before: list[Tensor] = []  # parameters before the present step

    def loss(self, batch: Batch) -> Tensor:
        return self.task_loss(batch) + self.config.strength * self.penalty()

    def backward(self, batch: Batch, optimizer: Optimizer) -> Tensor:
        loss = self.task_loss(batch)
        loss.backward()
        params = self.penalty.params
        self.gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        self.before = [p.detach().clone() for p in params]
        if self.learned:
            self.penalty.add_gradient(self.config.strength)  # puts other tensors in the place of self.gradients
        return loss.detach()

    @torch.no_grad()
    def after_step(self) -> None:
        torch._foreach_sub_(self.before, self.penalty.params)  # minus the step
        torch._foreach_addcmul_(self.penalty.pieces(self.path), self.gradients, self.before)

    @torch.no_grad()
    def end_task(self, task: int, train: Examples) -> None:
        now = self.penalty.flat()
        moved = now - self.penalty.center
        self.penalty.replace(self.penalty.weight + self.path / (moved.square() + self.config.epsilon), now)
        self.path.zero_()
        super().end_task(task, train)


@configuration
class SIConfig(Config):
    """Hold each parameter where the last task left it, by its share in the fall of earlier losses."""

    learner_class = SI

    strength: NonNegative = 50.0
    """c, the strength of the penalty."""
    epsilon: Positive = 0.1
    """What bounds the importance of a parameter that did not move."""
