"""The training step, a task, a run."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import cached_property
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from . import checkpoints, evaluation, provenance
from .callbacks import Callback, Callbacks
from .compiling import TargetCompiler
from .data import Batch, Examples, draw_rows, flip_and_crop, keeping_shape
from .errors import InputError
from .memory import check_fits, check_module_fits, enough_memory
from .methods import Config, Learner, Scenario
from .processor import flush_denormals, keep_freed_memory
from .results import Metrics, Parameters, Result, Seconds, metrics_of
from .spec import SEEDS, RunSpec, measure_of, pick_device
from .streams import RandomStream
from .swap import check_target, deepcopy_or_itself
from .version import __version__

CURVE_POINTS = 50
"""Steps of each task whose loss a result keeps, at most."""


def clock(device: torch.device) -> float:
    """Seconds, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Steps(Protocol):
    """What `fit_task` asks of a learner, or of several that take their steps together."""

    batch_rows: Tensor | None
    """Set before each step: where the batch's images stand among those that are trained on; None if changed since."""

    def backward(self, batch: Batch, optimizer: Optimizer) -> Tensor | None:
        """Add the gradients of one step to the parameters; the loss, for who looks on."""

    def after_step(self) -> None:
        """Called after each step of the optimizer."""


def _go_on(steps: int, loss: Tensor | None) -> bool:
    return False


def fit_task(
    learner: Steps,
    optimizer: Optimizer,
    train: Examples,
    order: Iterable[Tensor],
    *,
    after_step: Callable[[int, Tensor | None], bool] = _go_on,
    augment: Callable[[Tensor], Tensor] | None = None,
    clip_norm: float | None = None,
) -> None:
    """Take one step for each row of ``order``.

    Args:
        learner: after `Learner.begin_task`; it is asked for `Steps` alone.
        optimizer: over `Learner.trainable`.
        train: the images, on the learner's device.
        order: indices ``[B]`` into ``train``, on the same device, of each step; `hyperlearn.data.draw_rows` draws them.
        after_step: called with the number of steps taken and the last one's loss; true ends the task.
        augment: what is done to the images of each batch, ``[B, *image]``.
        clip_norm: the length that the gradient of all parameters together is cut to.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step, rows in enumerate(order, 1):
        batch = train[rows]
        if augment:
            batch = batch._replace(images=augment(batch.images))
        learner.batch_rows = None if augment else rows
        optimizer.zero_grad(set_to_none=True)
        loss = learner.backward(batch, optimizer)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(params, clip_norm)
        optimizer.step()
        learner.after_step()
        if after_step(step, loss):
            break
    learner.batch_rows = None


class Run:
    """A run: its learner, and what has been learnt and measured so far.

    Its methods are called within ``random.current()``, but for `go` and `results`. On a processor, the process keeps
    the memory that it frees from then on, and denormal numbers count as 0 meanwhile; see `hyperlearn.processor`.

    Args:
        spec: the method, the benchmark, and all else that decides what comes out.
        callbacks: called as the run goes on.

    Raises `InputError` for what does not fit into memory, and for a target that cannot be written by others.
    """

    def __init__(self, spec: RunSpec, callbacks: Callbacks = ()) -> None:
        self.spec, self.config, self.scenarios = spec, spec.config, spec.measured
        self.callbacks: tuple[Callback, ...] = tuple(callbacks)
        self.measured = measure_of(spec.benchmark)
        self.printed: dict[str, str] = {}
        self.device = pick_device(spec.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.benchmark = self.config.limited(spec.benchmark)
        self.random = RandomStream(spec.seed, self.device)
        steps = sum(self.config.steps(len(task.train)) for task in self.benchmark.tasks)
        self.compiler = TargetCompiler(spec.compile, steps, self.device)
        with self.random.current():
            self.learner: Learner = self.new_learner().to(self.device)
        self.never_finite = not_finite(self.learner)  # an attention mask, say
        self.optimizer: Optimizer | None = None
        self.task = 0
        self.step = 0
        self.total = 0
        self.accuracy: dict[str, list[list[float | None]]] = {scenario: [] for scenario in self.scenarios}
        self.untrained: dict[str, list[float]] = {}
        self.inferred: dict[str, float | None] = {}
        self.curve: list[Tensor] = []  # of the present task, since its last checkpoint
        self.loss: list[list[float]] = []
        self.train_seconds: list[float] = []
        self.evaluate_seconds: dict[str, float] = dict.fromkeys(self.scenarios, 0.0)

    def new_learner(self) -> Learner:
        """A learner before any training, whose target is examined if it comes from outside."""
        config, benchmark, own = self.config, self.benchmark, self.spec.parts.target is not None
        setting = config.setting(benchmark, *self.scenarios, parts=self.spec.parts)
        make = self.examined(setting.make_target) if own else setting.make_target
        setting = replace(setting, make_target=self.compiler.wrap(make))
        what = f"{self.spec.method} on {benchmark.name}"
        check_fits(f"{what}: a batch of {config.batch_size}", 4 * config.batch_size * prod(benchmark.image_shape))
        if not self.spec.parts.given():
            check_module_fits(what, lambda: config.learner_class(config, setting))
        with enough_memory(what):
            return config.learner_class(config, setting)

    def examined(self, make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
        """Copies of what ``make`` makes, of which the first is checked.

        A function that gives one and the same module would make tasks and runs depend on each other. How a target
        prints is kept, since its name does not say what it is made of.
        """

        def examining(outputs: int) -> nn.Module:
            target = make(outputs)
            if not self.printed:
                check_target(target, self.benchmark.tasks[0].train[:4].images, self.config.selection(target))
            text = re.sub(" at 0x[0-9a-f]+", "", repr(target))  # an address is another in each process
            self.printed["fingerprint of the target"] = blake2b(text.encode(), digest_size=8).hexdigest()
            return deepcopy_or_itself(target)

        return examining

    def go(self, checkpoint: Path | None) -> None:
        """Train and measure to the end, from a checkpoint if there is one in the folder.

        Raises `InputError` where a checkpoint is damaged or of another configuration or version, and where training ran
        into NaN; the message says in which task.
        """
        with self.random.current(), flush_denormals():
            file = self.start(checkpoint)
            while self.task < len(self.benchmark):
                self.learn_task(file)
                self.finish_task(file)

    def start(self, checkpoint: Path | None) -> Path | None:
        """Take up the run's checkpoint in the folder ``checkpoint``, or begin; returns the file that it is kept in."""
        name = self.benchmark.name
        images = self.benchmark.image_type
        weights = next((p.dtype for p in self.learner.parameters()), images)
        if images.is_floating_point and images != weights:
            raise InputError(f"{name}: images of {images}, but the weights are {weights}; images.to({weights}) helps")
        of = (name, self.spec.method, self.scenarios, self.spec.seed)
        file = checkpoint and checkpoints.checkpoint_path(Path(checkpoint), *of)
        if file and file.exists():
            self.load(file)
        else:
            before = self.measure(range(len(self.benchmark)))
            self.untrained = {s: [value for value in row if value is not None] for s, row in before.items()}
        return file

    def learn_task(self, file: Path | None) -> None:
        """Train on the present task from the present step on."""
        data, order = self.begin_task()
        optimizer, begun = self.optimizer, self.step
        assert optimizer is not None
        before, started = self.train_seconds[-1], time.perf_counter()

        def after_step(steps: int, loss: Tensor | None) -> bool:
            ended = self.follow(optimizer, begun + steps, loss)
            if file and self.step % checkpoints.EVERY == 0 and self.step < self.total and not ended:
                self.train_seconds[-1] = before + time.perf_counter() - started
                self.save(file)
            return ended

        set_rate(optimizer, self.config, self.step / self.total)
        with self.compiler.training():
            clip = self.config.clip_norm
            fit_task(
                self.learner, optimizer, data, order, after_step=after_step, augment=self.augment(), clip_norm=clip
            )
        self.train_seconds[-1] = before + clock(self.device) - started

    def augment(self) -> Callable[[Tensor], Tensor] | None:
        """What is done to the images of each batch: what the configuration says, then what the benchmark says."""
        first, own = flip_and_crop if self.config.augmentation else None, self.benchmark.augment
        if own is None:
            return first
        then = keeping_shape(own, self.benchmark.name)
        return then if first is None else lambda images: then(first(images))

    def begin_task(self) -> tuple[Examples, Iterator[Tensor]]:
        """Learner and optimizer ready for the present step; the images, and which of them each step takes."""
        data = self.training_data().to(self.device)
        generator = torch.Generator().manual_seed((self.spec.seed * 1_000_003 + self.task) % SEEDS)
        self.total, batch = self.learner.steps(len(data)), self.config.batch_size
        order = draw_rows(len(data), batch, self.total, generator, self.step, self.device)
        self.learner.begin_task(self.task)  # may add parameters, so before the optimizer is made
        self.learner.train()  # a target given by hand may be in any mode
        if self.step == 0:
            if self.learner.fresh_optimizer or self.optimizer is None:
                self.optimizer = self.new_optimizer(self.learner.trainable())
            self.train_seconds.append(0.0)
            self.loss.append([])
        return data, order

    def finish_task(self, file: Path | None) -> None:
        """After its last step: what the method does at a task's end, measure on all tasks, keep that in ``file``."""
        self.check_finite()  # before the task's end too, which may do sums with the weights
        self.keep_curve()
        for callback in self.callbacks:
            callback.on_task(self)
        started = time.perf_counter()
        with self.compiler.as_written():  # importances are taken once a task
            self.learner.end_task(self.task, self.benchmark.tasks[self.task].train.to(self.device))
        self.train_seconds[-1] += clock(self.device) - started
        self.check_finite()
        measured = self.measure(self.spec.measured_after(self.task))
        for scenario, row in measured.items():
            self.accuracy[scenario].append(row)
        for callback in self.callbacks:
            callback.on_evaluate(self, measured)
        self.task, self.step = self.task + 1, 0
        if file:
            self.save(file)

    def check_finite(self) -> None:
        """Raise `InputError` for a parameter or buffer that became NaN or infinite."""
        for name in sorted(not_finite(self.learner) - self.never_finite):
            raise InputError(
                f"{self.spec.method} on {self.benchmark.name}: {name} became NaN or infinite in task {self.task}; "
                "a smaller learning rate or beta may help"
            )

    def training_data(self) -> Examples:
        """What is trained on in the present task."""
        return self.learner.training_data([task.train for task in self.benchmark.tasks[: self.task + 1]])

    def follow(self, optimizer: Optimizer, steps: int, loss: Tensor | None) -> bool:
        """After a step: the learning rate for the next one, the curve, the callbacks; whether one ends the task."""
        self.step = steps
        set_rate(optimizer, self.config, steps / self.total)
        if loss is not None and steps % -(-self.total // CURVE_POINTS) == 0:
            self.curve.append(loss)
        ended = False
        for callback in self.callbacks:
            ended = bool(callback.on_step(self, loss)) or ended
        return ended

    def keep_curve(self) -> None:
        """Read the losses that are on the device still, as records have them: to six digits."""
        if self.curve:
            self.loss[-1] += [float(f"{value:.6g}") for value in torch.stack(self.curve).tolist()]
            self.curve = []

    def new_optimizer(self, parameters: Iterable[Tensor]) -> Optimizer:
        """The configuration's."""
        return self.config.optimizer(parameters)

    @torch.no_grad()
    def validate(self) -> float:
        """Accuracy on the present task's validation images, with the task known.

        Raises `InputError` where there are none. What is measured is the task as it stands, before it is finished.
        """
        images = self.benchmark.tasks[self.task].validation
        if not len(images):
            raise InputError(f"{self.benchmark.name} has no validation images; make it with validation=0.1, say")
        with self.compiler.as_written():
            return evaluation.accuracy(self.learner, images, "cl1", self.task)[0]

    def measure(self, tasks: range) -> dict[str, list[float | None]]:
        """Test accuracy on ``tasks``, in each scenario; None for the others.

        Where the task is given, what did not change since the last row is not measured again.
        """
        rows: dict[str, list[float | None]] = {s: [None] * len(self.benchmark) for s in self.scenarios}
        for scenarios in self.asked_at_once():
            started = time.perf_counter()
            found, images = 0.0, 0
            for number in tasks:
                if scenarios == ["cl1"] and (known := self.unchanged(number)) is not None:
                    rows["cl1"][number], found = known, float("nan")
                    continue
                test = self.benchmark.tasks[number].test
                with self.compiler.as_written():
                    right, inferred = evaluation.accuracies(self.learner, test, scenarios, number)
                for scenario, value in zip(scenarios, right, strict=True):
                    rows[scenario][number] = value
                found = found + inferred * len(test) if inferred is not None else float("nan")
                images += len(test)
            seconds = time.perf_counter() - started
            for scenario in scenarios:
                self.inferred[scenario] = None if found != found else found / images
                self.evaluate_seconds[scenario] += seconds
        return rows

    def unchanged(self, task: int) -> float | None:
        """The last accuracy on ``task`` in CL1, if learning could not change it since and it is known."""
        learner = self.learner
        if not (learner.learned and learner.declares("changed")) or learner.changed(task):
            return None
        before = self.accuracy["cl1"]
        return before[-1][task] if before else self.untrained["cl1"][task]

    def asked_at_once(self) -> list[list[Scenario]]:
        """The scenarios, those together in which the learner predicts the same."""
        if not self.learner.declares("infers_alike"):
            return [[scenario] for scenario in self.scenarios]
        groups: dict[bool, list[Scenario]] = {}
        for scenario in self.scenarios:
            groups.setdefault(scenario == "cl1", []).append(scenario)
        return list(groups.values())

    def results(self) -> dict[Scenario, Result]:
        """The results of a finished run."""
        return {scenario: self.result(scenario) for scenario in self.scenarios}

    def result(self, scenario: Scenario) -> Result:
        """The result of a finished run in one scenario."""
        matrix, sizes = self.accuracy[scenario], self.learner.sizes(scenario)
        lower = self.measured is not None and self.measured.lower_is_better
        return Result(
            benchmark=self.benchmark.name,
            method=self.spec.method,
            scenario=scenario,
            seed=self.spec.seed,
            config=self.spec.recorded,
            accuracy_matrix=matrix,
            untrained_accuracy=self.untrained[scenario],
            metrics=Metrics(
                **metrics_of(matrix, self.untrained[scenario], lower),  # type: ignore[arg-type]  # pydantic checks them
                task_inference_accuracy=self.inferred[scenario],
            ),
            parameters=Parameters(
                target=sizes.target,
                trainable=sizes.trainable,
                stored_per_task=sizes.stored_per_task,
                compression_ratio=sizes.compression_ratio,
            ),
            seconds=Seconds(train=self.train_seconds, evaluate=self.evaluate_seconds[scenario]),
            environment=provenance.environment(self.device) | ({"compiled": "target"} if self.compiler.used else {}),
            version=__version__,
            commit=provenance.commit(),
            images=self.fingerprint,
            changed=list(self.benchmark.changes),
            loss=self.loss,
            measure=self.measured,
        )

    def identity(self) -> dict[str, Any]:
        """All that has to be the same for a checkpoint to be continued as if nothing had happened."""
        return {
            "checkpoint format": checkpoints.FORMAT,
            "hyperlearn": __version__,
            "torch": str(torch.__version__),
            "device": self.device.type,
            "benchmark": self.benchmark.name,
            "images": [(len(task.train), len(task.test)) for task in self.benchmark.tasks],
            "fingerprint of the images and labels": self.fingerprint,
            "method": self.spec.method,
            "scenarios": tuple(self.scenarios),
            "seed": self.spec.seed,
            **self.spec.recorded,
            **self.printed,
            **({"measure": asdict(self.measured)} if self.measured else {}),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Of the images and labels."""
        return provenance.fingerprint(self.benchmark)

    def save(self, file: Path) -> None:
        """Write a checkpoint atomically."""
        assert self.optimizer is not None
        self.keep_curve()
        position = {name: getattr(self, name) for name in checkpoints.Position.__dataclass_fields__}
        checkpoints.write(file, self.identity(), position, self.learner, self.optimizer)

    def load(self, file: Path) -> None:
        """Go on from a checkpoint."""
        state = checkpoints.read(file, self.identity(), self.device)
        try:
            self.restore(state)
        except Exception as error:  # a learner may raise anything
            raise InputError(f"{file} does not hold what its run needs; remove it to start anew") from error

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's content; raises an error of any kind where it does not fit."""
        position = checkpoints.Position(**state["position"])
        position.check(len(self.benchmark), self.scenarios)
        vars(self).update(vars(position))
        checkpoints.restore_module(self.learner, state["learner"])
        self.learner.check_state(self.task, self.task + (self.step > 0))
        if self.step and self.step >= self.learner.steps(len(self.training_data())):
            raise InputError("no such step")
        if not_finite(self.learner) - self.never_finite:
            raise InputError("weights that are NaN or infinite")
        self.optimizer = self.new_optimizer(self.learner.trainable())
        if self.step or not self.learner.fresh_optimizer:  # at a task's end a fresh optimizer comes next anyway
            checkpoints.restore_optimizer(self.optimizer, state["optimizer"], state["without optimizer state"])
        checkpoints.restore_random(state, self.device)


def set_rate(optimizer: Optimizer, config: Config, done: float) -> None:
    """The learning rate after the fraction ``done`` of a task's steps, for the optimizer's next step."""
    for group in optimizer.param_groups:
        group["lr"] = config.rate(done)


def not_finite(module: nn.Module) -> set[str]:
    """Names of the parameters and buffers that hold a NaN or an infinite value."""
    state = module.state_dict().items()
    return {name for name, kept in state if isinstance(kept, Tensor) and not bool(kept.isfinite().all())}
