"""What a continual-learning method is: a module with a few hooks, and a frozen configuration that makes it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Literal, TypeVar, dataclass_transform

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from pydantic import AllowInfNan, BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from .. import nets
from ..benchmarks import Benchmark, limited
from ..catalog import SCENARIOS as SCENARIOS
from ..catalog import Scenario as Scenario
from ..data import Batch, Examples
from ..doubt import check_halves
from ..errors import InputError
from ..hypernets import Hypernetwork
from ..inference import InferenceRule, Prediction, infer_by_entropy, of_task
from ..objectives import CLASSIFICATION, Objective
from ..params import Selection, count
from ..regularizers import Regularizer
from ..swap import as_written

MOST = 10**9
"""The largest whole number that a hyperparameter may be."""


def _own_number(value: object) -> object:
    """A number of NumPy's or PyTorch's as Python's own."""
    return value.item() if isinstance(value, np.generic | Tensor) and value.ndim == 0 else value


Plain = BeforeValidator(_own_number)
Positive = Annotated[float, Gt(0), AllowInfNan(False), Plain]
NonNegative = Annotated[float, Ge(0), AllowInfNan(False), Plain]
Fraction = Annotated[float, Ge(0), Le(1), Plain]
Natural = Annotated[int, Ge(0), Le(MOST), Plain]
Count = Annotated[int, Ge(1), Le(MOST), Plain]


def _none(value: object) -> object:
    """What the command line writes for None."""
    return None if value == "none" else value


def _pairs(value: object) -> object:
    """``"0.4:0.1,0.8:0.01"`` as pairs, in one piece or cut at the commas."""
    parts = value.split(",") if isinstance(value, str) else value
    return [p.split(":") if isinstance(p, str) else p for p in parts] if isinstance(parts, Sequence) else parts


OrNone = BeforeValidator(_none)
Schedule = tuple[tuple[Fraction, Positive], ...]
"""From which fraction of a task's steps on the learning rate is multiplied by what."""


_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def configuration(cls: type[_T]) -> type[_T]:
    """Make a class of hyperparameters one that is frozen and checks its own fields as well as the inherited ones.

    A decorator for every subclass of `Config`. Without it only the inherited fields can be given.

    Example:
        >>> @configuration
        ... class Patient(Config):
        ...     patience: int = 3
        >>> Patient(patience=5, iterations=10).patience
        5
    """
    made = validated(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(cls)
    return made  # type: ignore[return-value]  # the same class, which pydantic types as one without fields


@dataclass(frozen=True)
class Parts:
    """Parts of a method that come from outside; None for the method's own.

    Args:
        target: the target network: a function from the number of logits to a module; or a module, for methods that need
            no more than its shapes. It is copied.
        hypernet: makes a hypernetwork for a target and a number of tasks.
        regularizer: makes what keeps the parameters of old tasks, for a hypernetwork.
        infer: the rule by which the task of an image is inferred, a `hyperlearn.inference.InferenceRule`.

    Example:
        >>> Parts(target=nn.Linear).names()
        {'target': 'torch.nn.modules.linear.Linear'}
    """

    target: nn.Module | Callable[[int], nn.Module] | None = None
    hypernet: Callable[[nn.Module, int], Hypernetwork] | None = None
    regularizer: Callable[[Any], Regularizer] | None = None
    infer: InferenceRule | None = None

    def given(self) -> dict[str, Any]:
        """Those that come from outside."""
        return {name: part for name, part in vars(self).items() if part is not None}

    def names(self) -> dict[str, str]:
        """What records call them: where each one's class or function was defined, ``__main__.ConvNet``."""
        named = {name: part if hasattr(part, "__qualname__") else type(part) for name, part in self.given().items()}
        return {name: f"{kind.__module__}.{kind.__qualname__}" for name, kind in named.items()}

    def check(self, method: str, learner: type["Learner"]) -> None:
        """Raise `InputError` for a part that ``learner`` has no place for."""
        for name in self.given():
            if name not in learner.takes:
                places = ", ".join(learner.takes) or "none"
                raise InputError(f"{method} has no place for a {name} of your own; it takes {places}")
        if isinstance(self.target, nn.Module) and not learner.target_as_shapes:
            raise InputError(
                "this method makes its target itself, with as many logits as it needs and from the seed's first "
                "weights; give a function outputs -> module"
            )


PARTS = tuple(field.name for field in fields(Parts))
"""Their names."""


@dataclass(frozen=True)
class Setting:
    """What a method has to know of the world before it starts.

    Args:
        tasks: number of tasks to come.
        classes: classes of each task; where they differ, of the task with most.
        scenarios: what is known at test time: those that the learner will be measured in.
        make_target: makes a target network with the given number of logits.
        image_shape: of one image; generators of images need it.
        class_counts: classes of each task; default: all have ``classes``.
        parts: what comes from outside, the target aside, which ``make_target`` makes.
        objective: what tasks are learnt and measured by. Without classes, ``classes`` is the number of outputs.
    """

    tasks: int
    classes: int
    scenarios: tuple[Scenario, ...]
    make_target: Callable[[int], nn.Module]
    image_shape: tuple[int, ...] = ()
    class_counts: tuple[int, ...] = ()
    parts: Parts = field(default_factory=Parts)
    objective: Objective = CLASSIFICATION

    def __post_init__(self) -> None:
        if not self.class_counts:
            object.__setattr__(self, "class_counts", (self.classes,) * self.tasks)

    @property
    def alike(self) -> bool:
        """Whether all tasks have the same number of classes."""
        return len({*self.class_counts}) < 2

    @property
    def starts(self) -> tuple[int, ...]:
        """How many classes there are before each task, and after the last: ``tasks + 1`` numbers.

        Example:
            >>> Setting(3, 4, ("cl1",), nn.Identity, class_counts=(2, 4, 3)).starts
            (0, 2, 6, 9)
        """
        return (0, *accumulate(self.class_counts))

    def among_all(self, labels: Tensor, tasks: Tensor) -> Tensor:
        """The class of ``labels`` [n] within their ``tasks`` [n], counted through all tasks: [n]."""
        before = tasks * self.classes if self.alike else tasks.new_tensor(self.starts)[tasks]
        return before + labels

    def within_tasks(self, classes: Tensor) -> Prediction:
        """The inverse of `among_all`."""
        if self.alike:
            return Prediction(classes % self.classes, classes // self.classes)
        starts = classes.new_tensor(self.starts)
        tasks = torch.bucketize(classes, starts[1:], right=True)
        return Prediction(classes - starts[tasks], tasks)

    def spread(self, probabilities: Tensor, tasks: Tensor) -> Tensor:
        """Probabilities ``[B, classes]`` of the classes of ``tasks [B]`` among those of all tasks, ``[B, starts[-1]]``.

        Example:
            >>> Setting(3, 2, ("cl3",), nn.Identity).spread(torch.tensor([[0.25, 0.75]]), torch.tensor([1]))
            tensor([[0.0000, 0.0000, 0.2500, 0.7500, 0.0000, 0.0000]])
        """
        mine = nn.functional.one_hot(tasks, self.tasks).to(probabilities.dtype)  # [B, tasks]
        each = mine[..., None] * probabilities[:, None]  # [B, tasks, classes]
        return torch.cat([each[:, task, :classes] for task, classes in enumerate(self.class_counts)], 1)

    def extended(self) -> "Setting":
        """The same with one task more, of as many classes as the largest has."""
        return replace(self, tasks=self.tasks + 1, class_counts=(*self.class_counts, self.classes))

    def padded(self, logits: Tensor) -> Tensor:
        """Logits ``[..., K]`` of a task with K classes, with -inf up to as many as any task has: ``[..., classes]``."""
        missing = self.classes - logits.shape[-1]
        return nn.functional.pad(logits, (0, missing), value=-torch.inf) if missing else logits

    def check_task(self, task: int) -> None:
        """Raise `InputError` for a number that is no task's."""
        if not 0 <= task < self.tasks:
            raise InputError(f"unknown task {task}; there are 0 to {self.tasks - 1}")

    @property
    def scenario(self) -> Scenario:
        """The one scenario of a method that trains differently in each."""
        (only,) = self.scenarios
        return only


@configuration
class Config:
    """Hyperparameters that every method has; each method's own follow in a subclass."""

    learner_class: ClassVar[type["Learner"]]
    """Constructed with the configuration and a `Setting`."""

    target: str = "mlp-400-400"
    """The target network, as `hyperlearn.nets.parse` reads it."""
    iterations: Annotated[Count | None, OrNone] = 2000
    """Training steps for each task; None where ``epochs`` says how long to train."""
    epochs: Annotated[Count | None, OrNone] = None
    """Passes over the images of a task, in the place of ``iterations`` where tasks differ in size."""
    batch_size: Count = 128
    """Images in a step."""
    learning_rate: Positive = 1e-3
    """Of Adam."""
    schedule: Annotated[Schedule | None, BeforeValidator(_pairs), OrNone] = None
    """Pairs of a fraction of a task's steps and what the learning rate is multiplied by from there on."""
    interpolation: Annotated[Literal["linear"] | None, OrNone] = None
    """``"linear"`` to go from pair to pair of the schedule in straight lines; None to go in steps."""
    weight_decay: Annotated[NonNegative | None, OrNone] = None
    """Of AdamW (Loshchilov & Hutter 2019); None for Adam."""
    clip_norm: Annotated[Positive | None, OrNone] = None
    """The length that the gradient of all parameters together is cut to; None for gradients as they are."""
    augmentation: Annotated[Literal["flip-crop"] | None, OrNone] = None
    """What is done to training images at random: `hyperlearn.data.flip_and_crop`, or nothing."""
    precision: Annotated[nets.Precision | None, OrNone] = None
    """Of the target network's convolutions and matrix products, see `hyperlearn.nets.InPrecision`; None for float32."""
    images_per_class: Annotated[Count | None, OrNone] = None
    """Take the first so many training and test images of each class of a task alone; None for all, as in the paper."""

    def __post_init__(self) -> None:
        if (self.iterations is None) == (self.epochs is None):
            raise ValueError("give either iterations or epochs")
        starts = [start for start, _ in self.schedule or ()]
        if starts != sorted(set(starts)):
            raise ValueError(f"the fractions of a schedule have to rise, got {starts}")

    def selection(self, target: nn.Module) -> Selection:
        """Which parameters of ``target``, given by hand, the method trains or has generated."""
        return "trainable"

    def record(self) -> dict[str, Any]:
        """The hyperparameters as records have them: those that are None, which is to say not used, are left out.

        Example:
            >>> Config(target="mlp-20").record()
            {'target': 'mlp-20', 'iterations': 2000, 'batch_size': 128, 'learning_rate': 0.001}
        """
        return {name: value for name, value in asdict(self).items() if value is not None}

    def steps(self, images: int) -> int:
        """Training steps on a task of so many images.

        Example:
            >>> Config(iterations=None, epochs=200, batch_size=32).steps(5_000)
            31250
        """
        if self.epochs is None:
            assert self.iterations is not None
            return self.iterations
        return -(-self.epochs * images // self.batch_size)

    def rate(self, done: float) -> float:
        """The learning rate after the fraction ``done`` of a task's steps.

        Example:
            >>> config = Config(learning_rate=1.0, schedule=((0.5, 0.1), (0.75, 0.01)))
            >>> [config.rate(step / 4) for step in range(4)]
            [1.0, 1.0, 0.1, 0.01]
            >>> ramp = Config(learning_rate=1.0, schedule=((0.5, 1.0), (1.0, 0.2)), interpolation="linear")
            >>> [ramp.rate(step / 4) for step in range(4)]
            [1.0, 1.0, 1.0, 0.6]
        """
        if self.schedule and self.interpolation == "linear":
            fractions, factors = zip(*self.schedule, strict=True)
            return self.learning_rate * float(np.interp(done, fractions, factors))
        factor = 1.0
        for start, then in self.schedule or ():
            factor = then if done >= start else factor
        return self.learning_rate * factor

    def optimizer(self, parameters: Iterable[Tensor]) -> Optimizer:
        """Adam as the papers use it, or AdamW; fused, because the step over all is a good part of the time."""
        rate, betas = self.learning_rate, (0.9, 0.999)
        if self.weight_decay is None:
            return Adam(parameters, lr=rate, betas=betas, fused=True)
        return AdamW(parameters, lr=rate, betas=betas, weight_decay=self.weight_decay, fused=True)

    def limited(self, benchmark: Benchmark) -> Benchmark:
        """What of ``benchmark`` is used: all, unless ``images_per_class`` says otherwise."""
        if self.images_per_class is None:
            return benchmark
        # The configuration says so already: it is no change of the benchmark beside it.
        return replace(limited(benchmark, self.images_per_class), changes=benchmark.changes)

    def target_maker(self, image_shape: tuple[int, ...], parts: Parts) -> Callable[[int], nn.Module]:
        """A function from the number of logits to a target network: the one of ``parts``, else the field's."""
        given, parsed = parts.target, nets.parse(self.target)

        def target(outputs: int) -> nn.Module:
            if given is None:
                net = parsed(image_shape, outputs)
            else:
                net = given if isinstance(given, nn.Module) else given(outputs)
            return net if self.precision is None else nets.InPrecision(net, self.precision)

        return target

    def setting(self, benchmark: Benchmark, *scenarios: Scenario, parts: Parts | None = None) -> Setting:
        """The setting of ``benchmark`` under ``scenarios``; a target among ``parts`` stands in for the field."""
        for scenario in scenarios:
            if scenario not in SCENARIOS:
                raise InputError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
        parts = parts or Parts()
        if parts.target is None and not benchmark.image_type.is_floating_point:
            raise InputError(
                f"{benchmark.name}: {self.target} takes floats, and the images are {benchmark.image_type}; give a "
                "target of your own that takes them, with an nn.Embedding, say"
            )
        return Setting(
            len(benchmark),
            benchmark.classes_per_task,
            scenarios,
            self.target_maker(benchmark.image_shape, parts),
            benchmark.image_shape,
            benchmark.class_counts,
            parts,
            benchmark.objective,
        )


@configuration
class DoubtConfig(Config):
    """Hyperparameters of a network that is taught to doubt, see `hyperlearn.doubt`."""

    doubt: Annotated[Positive | None, OrNone] = None
    """Weight of the doubt about outliers made from each batch; None for none."""


def doubt_of(config: Config, setting: Setting) -> float | None:
    """The weight of the doubt; raises `InputError` where it cannot be: tasks without classes, images without halves."""
    weight = config.doubt if isinstance(config, DoubtConfig) else None
    if weight is not None:
        setting.objective.check_classes("doubt")
        check_halves(setting.image_shape)
    return weight


class Learner(nn.Module, ABC):
    """One method at work. For each task: `begin_task`, then many `backward` and `after_step`, then `end_task`.

    Hooks return tensors and never wait for the device. All state is in parameters, buffers and extra state, so that
    ``state_dict()`` is a checkpoint.

    Attributes:
        learned: how many tasks it has finished.
        batch_rows: where the images of the present batch stand among those that are trained on, ``[B]``; None where
            they were changed since, by augmentation.
    """

    serves: ClassVar[tuple[Scenario, ...]] = ()
    """Scenarios that one training serves; empty where the method trains differently in each."""
    fresh_optimizer: ClassVar[bool] = False
    """Whether each task starts with a new optimizer, or the optimizer's state is kept."""
    replicable: ClassVar[bool] = False
    """Whether several can be trained as one program: the loss uses parameters and the batch alone. Not inherited."""
    infers_alike: ClassVar[bool] = False
    """Whether it predicts the same in CL2 and CL3, so that it need not be asked twice. Not inherited."""
    takes: ClassVar[tuple[str, ...]] = ("target",)
    """The `Parts` that it has a place for."""
    needs_past: ClassVar[bool] = False
    """Whether it trains on the images of earlier tasks too."""
    target_as_shapes: ClassVar[bool] = False
    """Whether it needs no more of its target than the shapes, so that a module serves as well as a function."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config = config
        self.setting = setting
        self.learned = 0
        self.batch_rows: Tensor | None = None
        self.rule = deepcopy(setting.parts.infer)  # several learners may be made of one setting

    def declares(self, flag: str) -> bool:
        """Whether its own class sets ``flag``: a subclass may do otherwise, and has to say so itself."""
        return bool(vars(type(self)).get(flag))

    def refuse_override(self, hook: str, owner: Any, instead: str) -> None:
        """Raise `InputError` where a subclass of ``owner`` overrides ``hook``, which the owner's step passes over."""
        if getattr(type(self), hook) is not getattr(owner, hook):
            raise InputError(
                f"{type(self).__name__} overrides {hook}, which the training step of {owner.__name__} does not call; "
                f"{instead}"
            )

    def training_data(self, seen: Sequence[Examples]) -> Examples:
        """What to train on, of the training images of all tasks up to the present one: here, the present task's."""
        return seen[-1]

    def steps(self, images: int) -> int:
        """Training steps on the present task, of so many images."""
        return self.config.steps(images)

    def begin_task(self, task: int) -> None:
        """Called before the first step of ``task``, and again where a run goes on from a checkpoint within it."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss to be minimized, penalties included: a scalar.

        A learner whose step takes the penalty apart from the rest refuses a subclass that overrides this.
        """

    def backward(self, batch: Batch, optimizer: Optimizer) -> Tensor | None:
        """Add the gradients of one step to the parameters; ``optimizer`` is the one that will take the step.

        Returns the loss, or the part of it that is the task's where the penalty is taken apart; learning curves show
        it. None where there is none to show.
        """
        loss = self.loss(batch)
        loss.backward()
        return loss.detach()

    def after_step(self) -> None:
        """Called after each step of the optimizer."""

    def end_task(self, task: int, train: Examples) -> None:
        """Called after the last step of ``task``, with the task's training images."""
        self.learned = task + 1
        if remember := getattr(self.rule, "remember", None):
            remember(task, train)

    @property
    def stored_by_rule(self) -> int:
        """Values that a rule of inference keeps of each task, as its ``stored_per_task`` says; 0 without one."""
        return int(getattr(self.rule, "stored_per_task", 0))

    def infer(self, logits: Tensor, images: Tensor) -> Prediction:
        """Which task each image is from: by the rule that was given, else by `infer_by_entropy`.

        Args:
            logits: of all tasks' networks, ``[T, B, K]``.
            images: ``[B, *image]``.
        """
        self.setting.objective.check_classes("entropy, by which a task is inferred,")
        if self.rule is None:
            return infer_by_entropy(logits, self.setting.class_counts[: len(logits)])
        tasks = self.rule(logits, images)
        return Prediction(of_task(logits, tasks).argmax(-1), tasks)

    @abstractmethod
    def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        """Labels of ``images [B, *image]`` from one task, which is given (CL1) or has to be inferred (None)."""

    def changed(self, task: int) -> bool:
        """Whether learning the last task may have changed what is predicted for images of ``task``, where it is given.

        What did not change is not measured again. Not inherited: a subclass may change what its parent does not.
        """
        return True

    def probabilities(self, images: Tensor, task: int | None, scenario: Scenario) -> Tensor:
        """Probabilities of the labels that `predict` chooses among: ``[B, K]``, or of all tasks' classes in CL3.

        Raises `InputError` where a method of your own does not say.
        """
        raise InputError(f"{type(self).__name__} predicts labels and gives no probabilities; it may override them")

    def export(self, task: int) -> nn.Module:
        """An ordinary network for ``task``: images ``[B, *image]`` to logits ``[B, K]``.

        Raises `InputError` for an unknown task, and where a method of your own does not say.
        """
        raise InputError(f"{type(self).__name__} does not say what its network is; it may override export")

    def extend(self) -> None:
        """Make room for one task more than was planned; raises `InputError` where the method cannot."""
        raise InputError(
            f"{type(self).__name__} has outputs or weights for its {self.setting.tasks} tasks and cannot get another"
        )

    def trainable(self) -> list[nn.Parameter]:
        """What the optimizer of the present task moves."""
        return [p for p in self.parameters() if p.requires_grad]

    @abstractmethod
    def sizes(self, scenario: Scenario) -> "Sizes":
        """How many parameters are trained and stored for ``scenario``."""

    def get_extra_state(self) -> dict[str, object]:
        return {"learned": self.learned}

    def set_extra_state(self, state: dict[str, object]) -> None:
        self.learned = int(state["learned"])  # type: ignore[call-overload]

    def check_state(self, finished: int, begun: int) -> None:
        """Raise `InputError` unless the state is one that training leads to: called when a checkpoint was loaded.

        Args:
            finished: how many tasks the learner has finished there.
            begun: how many it has begun.
        """
        if self.learned != finished:
            raise InputError(f"{self.learned} tasks are learnt, not {finished}")


@dataclass(frozen=True)
class Sizes:
    """Numbers of values that a method trains and keeps."""

    target: int
    """Parameters of one target network, frozen ones too."""
    trainable: int
    """Parameters that are trained, all tasks together."""
    stored_per_task: int
    """Values that each further task adds to what has to be kept."""
    frozen: int = 0
    """Parameters of the target that no task changes: frozen ones, and those that a hypernetwork does not generate."""

    @property
    def compression_ratio(self) -> float:
        """Trainable parameters over those of one target network that tasks change."""
        return self.trainable / (self.target - self.frozen)


def check_outputs(out: Tensor, wanted: int, where: str = "") -> None:
    """Raise `InputError` unless a target's outputs ``[..., outputs]`` are as many as the logits that are wanted."""
    if out.shape[-1] != wanted:
        raise InputError(f"the target needs {wanted} logits{where}; this one has {out.shape[-1]}")


class Columns(nn.Module):
    """Some neighbouring columns of a network's outputs: ``[B, outputs]`` to ``[B, number]``."""

    def __init__(self, first: int, number: int) -> None:
        super().__init__()
        self.first, self.number = first, number

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs[:, self.first : self.first + self.number]


def with_outputs(net: nn.Module, first: int, number: int, there: int) -> nn.Module:
    """``net`` with so many of its outputs, from ``first`` on; itself, if these are all that are ``there``."""
    return net if number == there else nn.Sequential(net, Columns(first, number))


class Classifier(nn.Module):
    """One network for all tasks, with the output layer that each scenario calls for.

    CL1 has one head for each task, of which the task's own is used; CL2 one shared head; CL3 one head over all classes,
    of which those seen so far are used (van de Ven & Tolias 2019). The heads of CL1 and CL3 are one output layer.

    Where tasks have different numbers of classes, a head of CL1 has its own task's, and that of CL2 as many as the
    largest task has. The logits of a batch are then as many too, -inf for those that an image's task does not have.

    Args:
        setting: tasks, classes and target network.
        scenario: which output layer.
    """

    def __init__(self, setting: Setting, scenario: Scenario) -> None:
        super().__init__()
        self.setting = setting
        self.scenario = scenario
        self.outputs = setting.classes if scenario == "cl2" else setting.starts[-1]
        self.net = setting.make_target(self.outputs)

    def forward(self, images: Tensor) -> Tensor:
        """All outputs of the network, ``[B, outputs]``.

        Raises `InputError` where a target given by hand has another number of them than the scenario needs.
        """
        out: Tensor = self.net(images)
        check_outputs(out, self.outputs, f" in {self.scenario}")
        return out

    def logits(self, images: Tensor, tasks: Tensor, seen: int) -> Tensor:
        """Logits ``[B, classes]`` (CL3: of all classes ``seen`` tasks have) for images of ``tasks`` ``[B]``."""
        return self.select(self(images), tasks, seen)

    def select(self, out: Tensor, tasks: Tensor, seen: int) -> Tensor:
        """Of the network's outputs ``[B, outputs]``, those that are the logits of `logits`."""
        if self.scenario == "cl1":
            rows = tasks[:, None, None].expand(-1, 1, self.setting.classes)
            return self.heads(out).gather(1, rows)[:, 0]
        return out[:, self.columns(0, seen)]

    def heads(self, out: Tensor) -> Tensor:
        """The network's outputs ``[B, outputs]`` in CL1, by tasks: ``[B, tasks, classes]``."""
        if self.setting.alike:
            return out.unflatten(1, (-1, self.setting.classes))
        return torch.stack([self.setting.padded(each) for each in out.split(self.setting.class_counts, 1)], 1)

    def columns(self, task: int, seen: int) -> slice:
        """Which of the network's outputs are the logits for images of ``task``."""
        starts = self.setting.starts
        if self.scenario == "cl1":
            return slice(starts[task], starts[task + 1])
        return slice(0, self.setting.classes if self.scenario == "cl2" else starts[seen])

    def labels(self, batch: Batch | Examples) -> Tensor:
        """The index of the right logit: the class in all tasks' classes for CL3, else the class within the task."""
        if self.scenario == "cl3":
            return self.setting.among_all(batch.labels, batch.tasks)
        return batch.labels

    def cross_entropy(self, batch: Batch, seen: int) -> Tensor:
        """Mean cross-entropy over the batch, or what else the benchmark is learnt by."""
        return self.setting.objective.loss(self.logits(batch.images, batch.tasks, seen), self.labels(batch))

    def predict(self, images: Tensor, task: int | None, seen: int) -> Prediction:
        """Labels within the task, and tasks; where no task is known (CL2) the task is given as -1."""
        if task is not None:
            self.setting.check_task(task)
        given = torch.full((len(images),), -1 if task is None else task, device=images.device)
        best = self.setting.objective.answers(self.logits(images, given, seen))
        if self.scenario == "cl3":
            return self.setting.within_tasks(best)
        return Prediction(best, given)

    def probabilities(self, images: Tensor, task: int | None, seen: int) -> Tensor:
        """Of the classes among which `predict` chooses, ``[B, K]``; in CL3 of all tasks' classes, 0 for unseen ones."""
        given = images.new_full((len(images),), -1 if task is None else task).long()
        made = self.logits(images, given, seen).softmax(1)
        return nn.functional.pad(made, (0, self.outputs - made.shape[1])) if self.scenario == "cl3" else made

    def export(self, task: int, seen: int) -> nn.Module:
        """A copy of the network with the outputs that are the logits for images of ``task``."""
        self.setting.check_task(task)
        own = self.columns(task, seen)
        return with_outputs(as_written(self.net), own.start, own.stop - own.start, self.outputs)

    def extend(self) -> Setting:
        """The setting with one task more, for which a network has to have no more outputs."""
        if self.scenario != "cl2":
            raise InputError(f"the network has {self.outputs} outputs, for {self.setting.tasks} tasks and no other")
        self.setting = self.setting.extended()
        return self.setting

    def sizes(self, beside: int = 0) -> Sizes:
        """Its parameters, and as many more of another network that is trained ``beside`` it."""
        every, trainable = count(self.net), count(self.net, trainable=True)
        return Sizes(every + beside, trainable + beside, stored_per_task=0, frozen=every - trainable)
