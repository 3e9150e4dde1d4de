"""Continual learning with a hypernetwork: HNET (von Oswald et al. 2020) and LSTM_NET (Chandra et al. 2022).

Training is the same in all three scenarios: the task is known while it is learnt, and its embedding is part of what
is learnt. At test time CL1 is given the task; CL2 and CL3 infer it by predictive entropy. So one training serves all.

Deviations from the papers: none in the objective. The old tasks' embeddings are constants in the penalty and get no
task gradient, so that with a fresh Adam for each task they do not move. Whether the penalty is taken at the weights as
they are or one simulated step ahead is the option ``lookahead``.
"""

from abc import abstractmethod
from typing import Literal, Self

import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data import Batch, Examples
from ..hypernets import ChunkedHypernet, EmbeddingHypernet, LSTMHypernet
from ..inference import Prediction, infer_by_entropy, task_logits
from ..params import Params, count
from ..regularizers import OutputRegularizer, lookahead
from .base import SCENARIOS, STRICT, Config, Count, Learner, NonNegative, Setting, Sizes


@validated(frozen=True, kw_only=True, config=STRICT)
class HypernetConfig(Config):
    """Hyperparameters that all hypernetworks have."""

    chunk_size: Count = 42_000
    """Parameters that the hypernetwork writes at once."""
    task_dim: Count = 96
    """Size of a task embedding."""
    chunk_dim: Count = 96
    """Size of a chunk embedding."""
    beta: NonNegative = 0.01
    """Strength of the output regularizer."""
    lookahead: bool = False
    """Take the penalty one simulated step ahead, as equation 2 has it."""
    regularizer_form: Literal["auto", "gram", "direct"] = "auto"
    """How the output regularizer is computed; the value is the same."""

    @abstractmethod
    def hypernet(self, target: nn.Module, tasks: int) -> EmbeddingHypernet:
        """A hypernetwork of these sizes."""


class HypernetLearner(Learner):
    """A target network behind a hypernetwork, with the output regularizer.

    The target's buffers (running statistics of batch norm, say) are kept for each task and restored with its weights.
    """

    serves = SCENARIOS
    fresh_optimizer = True

    def __init__(self, config: HypernetConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        self.config: HypernetConfig = config
        target = setting.make_target(setting.classes)
        self._target = (target,)  # in a tuple: the target's own parameters are not the learner's
        self.hypernet = config.hypernet(target, setting.tasks)
        self.regularizer = OutputRegularizer(self.hypernet, config.beta, config.regularizer_form)
        self.buffer_names = [name for name, _ in target.named_buffers()]
        for number, (_, buffer) in enumerate(target.named_buffers()):
            self.register_buffer(f"target_buffer_{number}", torch.stack([buffer.detach()] * setting.tasks))

    @property
    def target(self) -> nn.Module:
        """The target network; its own parameters are not used."""
        return self._target[0]

    def target_buffers(self, index: Tensor | int) -> Params:
        """The target's buffers for a task (views of what is kept) or several (stacked)."""
        return {name: getattr(self, f"target_buffer_{i}")[index] for i, name in enumerate(self.buffer_names)}

    def train(self, mode: bool = True) -> Self:
        self.target.train(mode)
        return super().train(mode)

    def task_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the network that the hypernetwork writes for the present task."""
        state = self.hypernet(self.learned) | self.target_buffers(self.learned)
        logits = torch.func.functional_call(self.target, state, (batch.images,))
        return nn.functional.cross_entropy(logits, batch.labels)

    def loss(self, batch: Batch) -> Tensor:
        """Task loss and penalty, both at the present weights."""
        return self.task_loss(batch) + self.regularizer()

    def backward(self, batch: Batch, optimizer: Optimizer) -> None:
        if not (self.config.lookahead and self.learned and self.config.beta):
            self.loss(batch).backward()
            return
        self.task_loss(batch).backward()
        with lookahead(optimizer):
            self.regularizer().backward()

    def end_task(self, task: int, train: Examples) -> None:
        super().end_task(task, train)
        self.regularizer.remember(task)

    def predict(self, images: Tensor, task: int | None) -> Prediction:
        tasks = self.hypernet.index(range(self.learned or self.setting.tasks) if task is None else [task])
        state = self.hypernet.layout.unflatten(self.hypernet.flat(tasks)) | self.target_buffers(tasks)
        logits = task_logits(self.target, state, images)
        if task is None:
            return infer_by_entropy(logits)
        return Prediction(logits[0].argmax(1), tasks.expand(len(images)))

    def sizes(self) -> Sizes:
        return Sizes(self.hypernet.layout.numel, count(self.hypernet, trainable=True), self.config.task_dim)

    def get_extra_state(self) -> dict[str, object]:
        return {**super().get_extra_state(), "regularizer": self.regularizer.state_dict()}

    def set_extra_state(self, state: dict[str, object]) -> None:
        super().set_extra_state(state)
        self.regularizer.load_state_dict(state["regularizer"])  # type: ignore[arg-type]


@validated(frozen=True, kw_only=True, config=STRICT)
class HNETConfig(HypernetConfig):
    """Chunked hypernetwork with output regularizer (von Oswald et al. 2020)."""

    learner_class = HypernetLearner

    hidden: tuple[Count, ...] = (10, 10)
    """Sizes of the hypernetwork's hidden layers; none for a linear one."""
    activation: Literal["relu", "elu", "tanh"] = "relu"
    """Of the hypernetwork's hidden layers."""

    def hypernet(self, target: nn.Module, tasks: int) -> EmbeddingHypernet:
        return ChunkedHypernet(
            target,
            tasks,
            chunk_size=self.chunk_size,
            task_dim=self.task_dim,
            chunk_dim=self.chunk_dim,
            hidden=self.hidden,
            activation=self.activation,
        )


@validated(frozen=True, kw_only=True, config=STRICT)
class LSTMNetConfig(HypernetConfig):
    """LSTM hypernetwork with output regularizer (Chandra et al. 2022)."""

    learner_class = HypernetLearner

    hidden_size: Count = 64
    """Size of the LSTM's hidden state."""

    def hypernet(self, target: nn.Module, tasks: int) -> EmbeddingHypernet:
        return LSTMHypernet(
            target,
            tasks,
            chunk_size=self.chunk_size,
            task_dim=self.task_dim,
            chunk_dim=self.chunk_dim,
            hidden_size=self.hidden_size,
        )
