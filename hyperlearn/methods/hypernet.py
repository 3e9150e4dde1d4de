"""Continual learning with a hypernetwork: HNET (von Oswald et al. 2020); LSTM_NET, IWR and GROW (Chandra et al. 2022).

Training is the same in all three scenarios: the task is known while it is learnt, and its embedding is part of what
is learnt. At test time CL1 is given the task; CL2 and CL3 infer it by predictive entropy. So one training serves all.

What keeps old tasks is one of three things:

- the output regularizer (equation 2): `hnet`, `lstm-net`
- the importance-weighted regularizer (equation 3): `hnet-iwr`, `lstm-net-iwr`. The Fisher information of the parameters
  that were generated for a task is taken over all of the task's training images when the task ends (equation 4).
- growth (section 3.3): `lstm-net-grow`, which trains each task with a fresh Adam and no regularizer

Deviations from the papers: none in the objective. In CL1 and CL3 the target of von Oswald et al. has outputs of its own
for each task, in CL2 all tasks share them; here they share them in all three, unless ``output_heads`` is set. Chapter
12 measures both: which is better depends on the benchmark and the method. The old tasks' embeddings are constants in
the penalty and get no task gradient, so that with a fresh Adam for each task they do not move. Whether the penalty is
taken at the weights as they are or one simulated step ahead is the option ``lookahead``. The sum over old tasks of the
importance-weighted regularizer is estimated from one task a step unless ``exact`` is set.
"""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Literal, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data import Batch, Examples
from ..errors import InputError
from ..fisher import fisher_information
from ..hypernets import ChunkedHypernet, EmbeddingHypernet, GrowingLSTMHypernet, Hypernetwork, LSTMHypernet
from ..inference import Prediction, infer_by_entropy, task_logits
from ..params import Params, count
from ..regularizers import ImportanceWeightedRegularizer, OutputRegularizer, lookahead
from ..swap import keep_assigned, swapped
from .base import (
    SCENARIOS,
    Config,
    Count,
    Learner,
    NonNegative,
    OrNone,
    Scenario,
    Setting,
    Sizes,
    check_outputs,
    configuration,
)

Regularizer = OutputRegularizer | ImportanceWeightedRegularizer


@configuration
class HypernetConfig(Config):
    """Hyperparameters that all hypernetworks have."""

    chunk_size: Count = 42_000
    """Parameters that the hypernetwork writes at once."""
    task_dim: Count = 96
    """Size of a task embedding."""
    chunk_dim: Count = 96
    """Size of a chunk embedding."""

    @abstractmethod
    def hypernet(self, target: nn.Module, tasks: int) -> Hypernetwork:
        """A hypernetwork of these sizes."""

    @abstractmethod
    def regularizer(self, hypernet: Hypernetwork) -> Regularizer | None:
        """What keeps the parameters of old tasks, if it is a penalty."""


@configuration
class ChunkedConfig(HypernetConfig):
    """Hyperparameters of a chunked hypernetwork."""

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


@configuration
class LSTMConfig(HypernetConfig):
    """Hyperparameters of an LSTM hypernetwork."""

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


@configuration
class GrowingConfig(HypernetConfig):
    """Hyperparameters of a growing LSTM hypernetwork."""

    hidden_size: Count = 64
    """Size of the LSTM's hidden state."""
    head: Literal["per-task", "shared"] = "per-task"
    """Whether each task has its own output layer, or the first task's is frozen and shared."""
    warm_start: bool = False
    """Start a task from the weights of the one before."""

    def hypernet(self, target: nn.Module, tasks: int) -> GrowingLSTMHypernet:
        return GrowingLSTMHypernet(
            target,
            chunk_size=self.chunk_size,
            task_dim=self.task_dim,
            chunk_dim=self.chunk_dim,
            hidden_size=self.hidden_size,
            head=self.head,
            warm_start=self.warm_start,
        )

    def regularizer(self, hypernet: Hypernetwork) -> None:
        return None


@configuration
class ClassifierConfig(HypernetConfig):
    """Hyperparameters of a classifier behind a hypernetwork."""

    output_heads: Annotated[Literal["per-task"] | None, OrNone] = None
    """``"per-task"`` for outputs of its own for each task, as many times more of them; None where all tasks share."""


@configuration
class PenaltyConfig(HypernetConfig):
    """Hyperparameters that both regularizers have."""

    beta: NonNegative = 0.01
    """Strength of the regularizer."""
    lookahead: bool = False
    """Take the penalty one simulated step ahead, as equations 2 and 3 have it."""


@configuration
class OutputPenaltyConfig(PenaltyConfig):
    """Hyperparameters of the output regularizer."""

    regularizer_form: Literal["auto", "gram", "direct"] = "auto"
    """How the output regularizer is computed; ``"auto"`` draws `MOST_TASKS` old tasks where there are more."""

    def regularizer(self, hypernet: Hypernetwork) -> OutputRegularizer:
        return OutputRegularizer(hypernet, self.beta, self.regularizer_form)  # type: ignore[arg-type]  # it refuses others


@configuration
class ImportancePenaltyConfig(PenaltyConfig):
    """Hyperparameters of the importance-weighted regularizer."""

    normalization: Literal["none", "mean"] = "mean"
    """What the Fisher information is divided by."""
    exact: bool = False
    """Sum over all old tasks in each step, instead of drawing one."""

    def regularizer(self, hypernet: Hypernetwork) -> ImportanceWeightedRegularizer:
        return ImportanceWeightedRegularizer(hypernet, self.beta, self.normalization, self.exact)  # type: ignore[arg-type]


class GeneratingLearner(Learner):
    """A hypernetwork that learns task after task and is kept from forgetting by a regularizer or by growth.

    What its generated network is for, a subclass says by `task_loss` and `importance`.

    Args:
        config: the hyperparameters.
        setting: the world.
        target: the network whose parameters are generated.
    """

    fresh_optimizer = True

    def __init__(self, config: HypernetConfig, setting: Setting, target: nn.Module) -> None:
        super().__init__(config, setting)
        self._target = (target,)  # in a tuple: the target's own parameters are not the learner's
        self._held: ExitStack | None = None
        self.hypernet = config.hypernet(target, setting.tasks)
        self.regularizer = config.regularizer(self.hypernet)
        self.looks_ahead = isinstance(config, PenaltyConfig) and config.lookahead and config.beta > 0
        if self.looks_ahead:
            self.refuse_override("loss", GeneratingLearner, "override task_loss, or set lookahead=False")

    @property
    def target(self) -> nn.Module:
        """The target network; its own parameters are not used."""
        return self._target[0]

    def train(self, mode: bool = True) -> Self:
        self.target.train(mode)
        return super().train(mode)

    def call_target(self, params: Params, buffers: Params, *inputs: Tensor) -> Tensor:
        """The target's outputs under ``params``; what it makes of its buffers is written into ``buffers``.

        Within `holding` the target keeps the parameters, for a backward pass that computes activations anew.
        """
        with ExitStack() as stack:
            places = stack.enter_context(swapped(self.target, params | buffers))
            outputs: Tensor = self.target(*inputs)
            keep_assigned(places, buffers)
            if self._held is not None:
                self._held.push(stack.pop_all())
            return outputs

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within, the target keeps the parameters of `call_target`."""
        with ExitStack() as held:
            self._held = held
            try:
                yield
            finally:
                self._held = None

    @abstractmethod
    def task_loss(self, batch: Batch) -> Tensor:
        """What the present task is learnt by: a scalar."""

    @abstractmethod
    def importance(self, task: int, train: Examples) -> Params:
        """Fisher information of the parameters generated for ``task``, over its training images."""

    def begin_task(self, task: int) -> None:
        """Grow, if the hypernetwork grows.

        Raises `InputError` unless all earlier tasks were ended: what is there would be frozen half learnt.
        """
        if task != self.learned:
            raise InputError(f"task {task} cannot begin: task {self.learned} is not finished")
        if isinstance(self.hypernet, GrowingLSTMHypernet) and self.hypernet.tasks == task:
            self.hypernet.add_task()
        self.keep_embeddings()

    def loss(self, batch: Batch) -> Tensor:
        """Task loss and penalty, both at the present weights."""
        loss = self.task_loss(batch)
        return loss if self.regularizer is None else loss + self.regularizer()

    def backward(self, batch: Batch, optimizer: Optimizer) -> None:
        if isinstance(self.hypernet, GrowingLSTMHypernet) and self.hypernet.tasks > self.learned + 1:
            raise InputError(f"a task was added to the hypernetwork while task {self.learned} is not finished")
        ahead = self.regularizer if self.looks_ahead and self.learned else None
        with self.holding():
            (self.loss(batch) if ahead is None else self.task_loss(batch)).backward()
        if ahead is not None:
            # Old tasks' embeddings are constants, and the present one's is not in the penalty.
            weights = [p for p in self.hypernet.parameters() if p is not ahead.hypernet.task_embeddings]
            with lookahead(optimizer, only=weights):
                ahead().backward()

    @torch.no_grad()
    def after_step(self) -> None:
        """Put old tasks' embeddings back: weight decay and the momentum of a kept optimizer move them."""
        if isinstance(self.hypernet, EmbeddingHypernet) and self.learned:
            self.hypernet.task_embeddings[: self.learned] = self._embeddings

    def keep_embeddings(self) -> None:
        """Note the embeddings of the tasks learnt so far, which move no more."""
        if isinstance(self.hypernet, EmbeddingHypernet):
            self._embeddings = self.hypernet.task_embeddings[: self.learned].detach().clone()

    def end_task(self, task: int, train: Examples) -> None:
        super().end_task(task, train)
        self.keep_embeddings()
        if isinstance(self.regularizer, ImportanceWeightedRegularizer):
            self.regularizer.remember(task, self.importance(task, train))
        elif self.regularizer is not None:
            self.regularizer.remember(task)

    def stored_per_task(self) -> int:
        """Values that each further task adds to what is trained or weighs it.

        Buffers of the target, such as the running statistics of batch norm, are kept for each task too and not counted.
        """
        fisher = self.hypernet.layout.numel if isinstance(self.regularizer, ImportanceWeightedRegularizer) else 0
        return self.hypernet.stored_per_task + fisher

    def get_extra_state(self) -> dict[str, object]:
        kept = None if self.regularizer is None else self.regularizer.state_dict()
        return {**super().get_extra_state(), "regularizer": kept}

    def set_extra_state(self, state: dict[str, object]) -> None:
        super().set_extra_state(state)
        if self.regularizer is not None:
            self.regularizer.load_state_dict(state["regularizer"])  # type: ignore[arg-type]

    def check_state(self, finished: int, begun: int) -> None:
        super().check_state(finished, begun)
        if isinstance(self.hypernet, GrowingLSTMHypernet) and self.hypernet.tasks != max(begun, 1):
            raise InputError(f"the hypernetwork has {self.hypernet.tasks} tasks, {begun} were begun")
        if self.regularizer is not None:
            self.regularizer.check_state(finished)


class HypernetLearner(GeneratingLearner):
    """A classifier behind a hypernetwork.

    The target's buffers (running statistics of batch norm, say) are kept for each task and restored with its weights.
    A task that a growing hypernetwork does not have yet is answered with the newest one's weights.

    With ``output_heads="per-task"`` the target has outputs for the classes of all tasks, of which each task uses its
    own. Else it has as many as the task with most classes, of which each task uses the first.
    """

    serves = SCENARIOS
    replicable = True
    infers_alike = True

    def __init__(self, config: HypernetConfig, setting: Setting) -> None:
        per_task = isinstance(config, ClassifierConfig) and config.output_heads == "per-task"
        heads = setting.tasks if per_task else 1
        target = setting.make_target(setting.starts[-1] if per_task else setting.classes)
        super().__init__(config, setting, target)
        self.heads = heads
        self.buffer_names = [name for name, _ in target.named_buffers()]
        for number, (_, buffer) in enumerate(target.named_buffers()):
            self.register_buffer(f"target_buffer_{number}", torch.stack([buffer.detach()] * setting.tasks))

    def target_buffers(self, index: Tensor | int) -> Params:
        """The target's buffers for a task (views of what is kept) or several (stacked)."""
        return {name: getattr(self, f"target_buffer_{i}")[index] for i, name in enumerate(self.buffer_names)}

    def own_logits(self, outputs: Tensor, task: int) -> Tensor:
        """Of the target's outputs ``[..., outputs]``, those that are the logits of ``task``: ``[..., K]``.

        Raises `InputError` where a target given by hand has another number of outputs.
        """
        counts, first = self.setting.class_counts, self.setting.starts[task] if self.heads > 1 else 0
        each = counts[0] if self.setting.alike else f"{min(counts)} to {max(counts)}"
        own = f", {each} of its own for each of {self.heads} tasks" if self.heads > 1 else ""
        check_outputs(outputs, sum(counts) if self.heads > 1 else self.setting.classes, own)
        return outputs[..., first : first + counts[task]]

    def task_loss(self, batch: Batch) -> Tensor:
        """The loss of the network that the hypernetwork writes for the present task."""
        outputs = self.call_target(self.hypernet(self.learned), self.target_buffers(self.learned), batch.images)
        return self.setting.objective.loss(self.own_logits(outputs, self.learned), batch.labels)

    def importance(self, task: int, train: Examples) -> Params:
        def own_loss(outputs: Tensor, label: Tensor) -> Tensor:
            return self.setting.objective.loss(self.own_logits(outputs, task), label)

        # Given cross-entropy itself, it checks the labels against the number of logits.
        loss = self.setting.objective.loss if self.heads == 1 and self.setting.alike else own_loss
        with torch.no_grad():
            params = self.hypernet(task)
        buffers = self.target_buffers(task)
        return fisher_information(self.target, params, train.images, train.labels, buffers=buffers, loss=loss)

    def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        if task is not None:
            self.setting.check_task(task)
        there = self.hypernet.tasks
        wanted = range(min(self.learned or there, there)) if task is None else [min(task, there - 1)]
        tasks = self.hypernet.index(wanted)
        state = self.hypernet.params(tasks) | self.target_buffers(tasks)
        outputs = task_logits(self.target, state, images)
        if task is not None:
            answers = self.setting.objective.answers(self.own_logits(outputs[0], task))
            return Prediction(answers, torch.full((len(images),), task, device=images.device))
        self.setting.objective.check_classes("entropy, by which a task is inferred,")
        own = [self.setting.padded(self.own_logits(each, t)) for each, t in zip(outputs, wanted, strict=True)]
        return infer_by_entropy(torch.stack(own), self.setting.class_counts[: len(own)])

    def sizes(self, scenario: Scenario) -> Sizes:
        return Sizes(count(self.target), count(self.hypernet), self.stored_per_task())


@configuration
class HNETConfig(ClassifierConfig, ChunkedConfig, OutputPenaltyConfig):
    """Chunked hypernetwork with output regularizer (von Oswald et al. 2020)."""

    learner_class = HypernetLearner


@configuration
class HNETIWRConfig(ClassifierConfig, ChunkedConfig, ImportancePenaltyConfig):
    """Chunked hypernetwork with importance-weighted regularizer (Chandra et al. 2022)."""

    learner_class = HypernetLearner


@configuration
class LSTMNetConfig(ClassifierConfig, LSTMConfig, OutputPenaltyConfig):
    """LSTM hypernetwork with output regularizer (Chandra et al. 2022)."""

    learner_class = HypernetLearner


@configuration
class LSTMNetIWRConfig(ClassifierConfig, LSTMConfig, ImportancePenaltyConfig):
    """LSTM hypernetwork with importance-weighted regularizer (Chandra et al. 2022)."""

    learner_class = HypernetLearner


@configuration
class LSTMNetGrowConfig(ClassifierConfig, GrowingConfig):
    """LSTM hypernetwork that grows with each task, without regularizer (Chandra et al. 2022)."""

    learner_class = HypernetLearner
