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
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data import Batch, Examples
from ..doubt import loss_with_doubt
from ..errors import InputError
from ..fisher import fisher_information
from ..hypernets import ChunkedHypernet, EmbeddingHypernet, GrowingLSTMHypernet, Hypernetwork, LSTMHypernet
from ..hypernets.base import Base
from ..inference import Prediction, of_task, task_logits
from ..nets import InPrecision
from ..objectives import Loss
from ..params import Params, Selection, count
from ..regularizers import ImportanceWeightedRegularizer, OutputRegularizer, Regularizer, lookahead
from ..swap import as_written, keep_assigned, load_into, swapped
from .base import (
    SCENARIOS,
    Config,
    Count,
    DoubtConfig,
    Learner,
    NonNegative,
    OrNone,
    Scenario,
    Setting,
    Sizes,
    check_outputs,
    configuration,
    doubt_of,
    with_outputs,
)


@configuration
class HypernetConfig(Config):
    """Hyperparameters that all hypernetworks have."""

    chunk_size: Annotated[Count | None, OrNone] = 42_000
    """Parameters that the hypernetwork writes at once; None for the largest number that the paper's rule allows."""
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


def _patterns(value: object) -> object:
    """``"head.*,body.0.*"`` cut at the commas; None for all that is trainable."""
    if value == "trainable":
        return None
    return value.split(",") if isinstance(value, str) else value


@configuration
class PartConfig(HypernetConfig):
    """Hyperparameters that say which part of the target a hypernetwork of the library generates, and on what."""

    generate: Annotated[tuple[str, ...] | None, BeforeValidator(_patterns), OrNone] = None
    """Shell patterns of the names of the parameters to generate, such as ``head.*``; None for all that is trainable."""
    base: Annotated[Base | None, OrNone] = None
    """``"target"`` to add what is written to the target's own values, those of a pretrained network say."""

    def generated(self, target: nn.Module) -> Selection:
        """``generate`` as a hypernetwork of ``target`` takes it."""
        if self.generate is None:
            return "trainable"
        inside = "net." if isinstance(target, InPrecision) else ""
        return [inside + pattern for pattern in self.generate]

    def selection(self, target: nn.Module) -> Selection:
        return self.generated(target)


@configuration
class ChunkedConfig(PartConfig):
    """Hyperparameters of a chunked hypernetwork."""

    hidden: tuple[Count, ...] = (10, 10)
    """Sizes of the hypernetwork's hidden layers; none for a linear one."""
    activation: Literal["relu", "elu", "tanh"] = "relu"
    """Of the hypernetwork's hidden layers."""

    def hypernet(self, target: nn.Module, tasks: int) -> EmbeddingHypernet:
        return ChunkedHypernet(
            target,
            tasks,
            generate=self.generated(target),
            base=self.base,
            chunk_size=self.chunk_size,
            task_dim=self.task_dim,
            chunk_dim=self.chunk_dim,
            hidden=self.hidden,
            activation=self.activation,
        )


@configuration
class LSTMConfig(PartConfig):
    """Hyperparameters of an LSTM hypernetwork."""

    hidden_size: Count = 64
    """Size of the LSTM's hidden state."""

    def hypernet(self, target: nn.Module, tasks: int) -> EmbeddingHypernet:
        return LSTMHypernet(
            target,
            tasks,
            generate=self.generated(target),
            base=self.base,
            chunk_size=self.chunk_size,
            task_dim=self.task_dim,
            chunk_dim=self.chunk_dim,
            hidden_size=self.hidden_size,
        )


@configuration
class GrowingConfig(PartConfig):
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
            generate=self.generated(target),
            base=self.base,
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
class ClassifierConfig(HypernetConfig, DoubtConfig):
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
    takes: ClassVar[tuple[str, ...]] = ("target", "hypernet", "regularizer")

    def __init__(self, config: HypernetConfig, setting: Setting, target: nn.Module) -> None:
        super().__init__(config, setting)
        self._target = (target,)  # in a tuple: the target's own parameters are not the learner's
        self._held: ExitStack | None = None
        self.hypernet = (setting.parts.hypernet or config.hypernet)(target, setting.tasks)
        self.regularizer = (setting.parts.regularizer or config.regularizer)(self.hypernet)
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
        self.hypernet.begin_task(task)
        self.keep_rows()

    def loss(self, batch: Batch) -> Tensor:
        """Task loss and penalty, both at the present weights."""
        if self.regularizer is None:
            return self.task_loss(batch)
        if self.regularizer.draws:  # after what the task's loss draws, as all records have it
            return self.task_loss(batch) + self.regularizer()
        with self.hypernet.sharing(self.learned):
            penalty = self.regularizer()
            return self.task_loss(batch) + penalty

    def backward(self, batch: Batch, optimizer: Optimizer) -> Tensor:
        if self.hypernet.grows and self.hypernet.tasks > self.learned + 1:
            raise InputError(f"a task was added to the hypernetwork while task {self.learned} is not finished")
        ahead = self.regularizer if self.looks_ahead and self.learned else None
        with self.holding():
            loss = self.loss(batch) if ahead is None else self.task_loss(batch)
            loss.backward()
        if ahead is not None:
            # Old tasks' embeddings are constants, and the present one's is not in the penalty.
            rows = {id(p) for p in self.hypernet.task_rows}
            with lookahead(optimizer, only=[p for p in self.hypernet.parameters() if id(p) not in rows]):
                ahead().backward()
        return loss.detach()

    @torch.no_grad()
    def after_step(self) -> None:
        """Put old tasks' embeddings back: weight decay and the momentum of a kept optimizer move them."""
        if self.learned:
            for rows, kept in zip(self.hypernet.task_rows, self._rows, strict=True):
                rows[: self.learned] = kept

    def keep_rows(self) -> None:
        """Note the embeddings of the tasks learnt so far, which move no more."""
        self._rows = [rows[: self.learned].detach().clone() for rows in self.hypernet.task_rows]

    def end_task(self, task: int, train: Examples) -> None:
        super().end_task(task, train)
        self.keep_rows()
        if self.regularizer is not None:
            fisher = [self.importance(task, train)] if self.regularizer.needs_fisher else []
            self.regularizer.remember(task, *fisher)

    def stored_per_task(self) -> int:
        """Values that each further task adds to what is trained or weighs it.

        Buffers of the target, such as the running statistics of batch norm, are kept for each task too and not counted.
        """
        penalty = 0 if self.regularizer is None else self.regularizer.stored_per_task
        return self.hypernet.stored_per_task + penalty + self.stored_by_rule

    def get_extra_state(self) -> dict[str, object]:
        kept = None if self.regularizer is None else self.regularizer.state_dict()
        return {**super().get_extra_state(), "regularizer": kept}

    def set_extra_state(self, state: dict[str, object]) -> None:
        super().set_extra_state(state)
        if self.regularizer is not None:
            self.regularizer.load_state_dict(state["regularizer"])  # type: ignore[arg-type]

    def check_state(self, finished: int, begun: int) -> None:
        super().check_state(finished, begun)
        if self.hypernet.grows and self.hypernet.tasks != max(begun, 1):
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
    target_as_shapes = True
    takes = (*GeneratingLearner.takes, "infer")

    def __init__(self, config: HypernetConfig, setting: Setting) -> None:
        per_task = isinstance(config, ClassifierConfig) and config.output_heads == "per-task"
        heads = setting.tasks if per_task else 1
        target = setting.make_target(setting.starts[-1] if per_task else setting.classes)
        super().__init__(config, setting, target)
        self.heads = heads
        self.doubt = doubt_of(config, setting)
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

        def logits(images: Tensor) -> Tensor:
            return self.own_logits(self.outputs(images, self.batch_rows), self.learned)

        return loss_with_doubt(batch, logits, self.setting.objective.loss, self.weight_of_doubt())

    def weight_of_doubt(self) -> float | None:
        """The weight of the doubt in the next step."""
        return self.doubt

    def outputs(self, images: Tensor, rows: Tensor | None) -> Tensor:
        """What the network that is written for the present task makes of ``images [n, *image]`` in a step: ``[n, K]``.

        The first of them are those of the batch, and ``rows`` are theirs, `Learner.batch_rows`.
        """
        return self.call_target(self.hypernet(self.learned), self.target_buffers(self.learned), images)

    def likelihood(self, task: int) -> Loss:
        """-log p of labels, given the target's outputs: what the importances of ``task`` are taken of."""
        loss = self.setting.objective.loss
        if self.heads == 1 and self.setting.alike:
            return loss  # given cross-entropy itself, the labels are checked against the number of logits
        return lambda outputs, labels: loss(self.own_logits(outputs, task), labels)

    def importance(self, task: int, train: Examples) -> Params:
        with torch.no_grad():
            params = self.hypernet(task)
        state = params | self.target_buffers(task)
        names = self.hypernet.layout.names
        return fisher_information(
            self.target, state, train.images, train.labels, loss=self.likelihood(task), names=names
        )

    def logits(self, images: Tensor, task: int | None) -> Tensor:
        """Logits of the network of ``task``, ``[1, B, K]``, or of all tasks learnt so far, ``[T, B, K]``."""
        if task is not None:
            self.setting.check_task(task)
        there = self.hypernet.tasks
        wanted = range(min(self.learned or there, there)) if task is None else [min(task, there - 1)]
        tasks = self.hypernet.index(wanted)
        state = self.hypernet.layout.unflatten(self.hypernet.flat(wanted)) | self.target_buffers(tasks)
        outputs = task_logits(self.target, state, images, self.hypernet.kept())
        own = [self.own_logits(each, t) for each, t in zip(outputs, wanted, strict=True)]
        return own[0][None] if task is not None else torch.stack([self.setting.padded(each) for each in own])

    def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        logits = self.logits(images, task)
        if task is None:
            return self.infer(logits, images)
        answers = self.setting.objective.answers(logits[0])
        return Prediction(answers, torch.full((len(images),), task, device=images.device))

    def changed(self, task: int) -> bool:
        return task >= self.learned - 1 or not self.hypernet.keeps_learnt

    def probabilities(self, images: Tensor, task: int | None, scenario: Scenario) -> Tensor:
        logits = self.logits(images, task)
        if task is not None:
            return logits[0].softmax(1)
        tasks = self.infer(logits, images).tasks
        found = of_task(logits, tasks).softmax(1)
        return self.setting.spread(found, tasks) if scenario == "cl3" else found

    @torch.no_grad()
    def export(self, task: int) -> nn.Module:
        self.setting.check_task(task)
        if task >= self.hypernet.tasks:
            raise InputError(f"task {task} is not learnt yet; {self.hypernet.tasks} are begun")
        net = as_written(self.target).to(next(self.parameters()).device)
        load_into(net, self.hypernet(task) | self.target_buffers(task))
        first, counts = self.setting.starts[task] if self.heads > 1 else 0, self.setting.class_counts
        return with_outputs(net, first, counts[task], sum(counts) if self.heads > 1 else self.setting.classes)

    def extend(self) -> None:
        if self.heads > 1:
            super().extend()
        self.hypernet.extend()
        self.setting = self.setting.extended()
        for number, name in enumerate(self.buffer_names):
            kept = getattr(self, f"target_buffer_{number}")
            fresh = dict(self.target.named_buffers())[name].detach().to(kept)
            setattr(self, f"target_buffer_{number}", torch.cat([kept, fresh[None]]))

    def sizes(self, scenario: Scenario) -> Sizes:
        every = count(self.target)
        frozen = every - self.hypernet.layout.numel
        return Sizes(every, self.hypernet.trained, self.stored_per_task(), frozen)


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
