"""The training step, a task, a run; and checkpoints that a run goes on from."""

import os
import platform
import re
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache, cached_property
from hashlib import blake2b
from math import prod
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from . import evaluation
from .benchmarks import Benchmark
from .compiling import Compile, TargetCompiler
from .data import Batch, Examples, check_augmentable, draw_rows, flip_and_crop, in_pieces, keeping_shape
from .errors import InputError
from .files import check_alike, digest, load_tensors, save_tensors
from .memory import check_fits, check_module_fits, enough_memory
from .methods import SCENARIOS, Config, Learner, Scenario
from .methods.hypernet import HypernetLearner
from .objectives import CLASSIFICATION
from .processor import flush_denormals, keep_freed_memory
from .results import Fraction, Measure, Metrics, Parameters, Result, Seconds, difference, file_part, metrics_of
from .swap import check_target, deepcopy_or_itself
from .version import __version__

CHECKPOINT_EVERY = 1000
"""Steps between two checkpoints within a task; there is one at the end of each task too."""

CHECKPOINT_FORMAT = 6

SEEDS = 2**63
"""Seeds are whole numbers below this."""


def checkpoint_path(folder: Path, benchmark: str, method: str, scenarios: Sequence[Scenario], seed: int) -> Path:
    """Where a run's checkpoint lies: ``FOLDER/BENCHMARK-METHOD-SCENARIOS-seedN.pt``."""
    return Path(folder) / f"{file_part(benchmark)}-{file_part(method)}-{'+'.join(scenarios)}-seed{seed}.pt"


class Progress(Protocol):
    """What a run tells of itself while it goes on."""

    def __call__(self, task: int, step: int) -> None:
        """Called now and then within ``task`` and at its end, with the number of steps taken in it."""


def pick_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu`` or ``cuda``; raises `InputError` for CUDA where there is none."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"no device {name!r}; there are auto, cpu, cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device cuda was asked for, but PyTorch finds no CUDA device here; use cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def check_benchmark(benchmark: object) -> None:
    """Raise `InputError` for anything that is no `Benchmark`, such as the name of one."""
    if not isinstance(benchmark, Benchmark):
        named = f"; hl.benchmarks.load({benchmark!r}) makes one" if isinstance(benchmark, str) else ""
        raise InputError(f"a hl.benchmarks.Benchmark is needed, not {type(benchmark).__name__}{named}")


def check_seed(seed: int) -> int:
    """``seed`` as Python's own int, whatever kind of whole number it is; raises `InputError` for one out of range."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < SEEDS:
        raise InputError(f"a seed is a whole number from 0 to 2^63 - 1, got {seed!r}")
    return int(seed)


def clock(device: torch.device) -> float:
    """Seconds, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Steps(Protocol):
    """What `fit_task` asks of a learner, or of several that take their steps together."""

    def backward(self, batch: Batch, optimizer: Optimizer) -> None:
        """Add the gradients of one step to the parameters."""

    def after_step(self) -> None:
        """Called after each step of the optimizer."""


def fit_task(
    learner: Steps,
    optimizer: Optimizer,
    train: Examples,
    order: Iterable[Tensor],
    start: int = 0,
    after_step: Callable[[int], None] = lambda steps: None,
    augment: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Take one step for each row of ``order``.

    Args:
        learner: after `Learner.begin_task`; it is asked for `Steps` alone.
        optimizer: over `Learner.trainable`.
        train: the images, on the learner's device.
        order: indices ``[B]`` into ``train``, on the same device, of each step; `hyperlearn.data.draw_rows` draws them.
        start: steps that were taken before.
        after_step: called with the number of steps taken so far.
        augment: what is done to the images of each batch, ``[B, *image]``.
    """
    for step, rows in enumerate(order, start):
        batch = train[rows]
        optimizer.zero_grad(set_to_none=True)
        learner.backward(batch._replace(images=augment(batch.images)) if augment else batch, optimizer)
        optimizer.step()
        learner.after_step()
        after_step(step + 1)


def train(
    method: str,
    config: Config,
    benchmark: Benchmark,
    *,
    scenarios: Sequence[Scenario] | None = None,
    seed: int = 0,
    device: str = "auto",
    target: nn.Module | Callable[[int], nn.Module] | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    compile: Compile = "off",
) -> dict[Scenario, Result]:
    """Learn all tasks of ``benchmark`` in turn and measure after each.

    On a processor, the process keeps the memory that it frees from then on, and denormal numbers count as 0 meanwhile;
    see `hyperlearn.processor`.

    Args:
        method: the method's name, for the record.
        config: its hyperparameters.
        benchmark: the tasks.
        scenarios: what to measure; more than one only where one training serves them. Default: all that it serves, or
            CL1 where the method trains differently in each.
        seed: of initialisation and of the order of images.
        device: ``auto``, ``cpu`` or ``cuda``.
        target: a target network in place of the configuration's: a function from the number of logits to a module, or
            a module, for methods that need no more than its shapes. Records name its class or function.
        checkpoint: a folder; the run leaves a checkpoint there and goes on from its own if it finds one.
        progress: called as the run goes on.
        compile: whether the target network is trained through `torch.compile`, which changes results by no more than
            rounding: ``off``, ``on``, or ``auto``, where it pays; see `hyperlearn.compiling`.

    Returns:
        One result for each scenario.

    Raises:
        InputError: a name or value is out of range, a checkpoint is damaged or of another configuration or version, or
            training ran into NaN; the message says which task.
    """
    run = Run(method, config, benchmark, scenarios, seed, device, target, progress, compile)
    with run.random.current(), flush_denormals():
        run.go(checkpoint)
    return {scenario: run.result(scenario) for scenario in run.scenarios}


def _silent(task: int, step: int) -> None:
    pass


def check_scenarios(
    method: str,
    config: Config,
    benchmark: str,
    made_for: Sequence[Scenario],
    scenarios: Sequence[Scenario] | None,
) -> tuple[Scenario, ...]:
    """What `train` measures where it is asked for ``scenarios``; raises `InputError` where it cannot."""
    for scenario in scenarios or ():
        if scenario not in SCENARIOS:
            raise InputError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
        if scenario not in made_for:
            raise InputError(f"{benchmark} is made for {', '.join(made_for)} alone, not for {scenario}")
    serves = config.learner_class.serves
    if scenarios is None:
        return tuple(scenario for scenario in serves or ("cl1",) if scenario in made_for)
    if not scenarios:
        raise InputError(f"name at least one scenario; there are {', '.join(made_for)}")
    scenarios = tuple(dict.fromkeys(scenarios))
    if len(scenarios) != 1 and not set(scenarios) <= set(serves):
        raise InputError(f"{method} trains differently in each scenario; name one of {', '.join(SCENARIOS)}")
    return scenarios


Time = Annotated[float, Ge(0)]


@validated(kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class _Position:
    """How far a run has come: what a checkpoint holds beside tensors."""

    task: int
    step: int
    accuracy: dict[str, list[list[float]]]
    untrained: dict[str, list[float]]
    inferred: dict[str, Fraction | None]
    train_seconds: list[Time]
    evaluate_seconds: dict[str, Time]

    def check(self, tasks: int, scenarios: Sequence[str]) -> None:
        """Raise `InputError` unless a run over so many tasks, measured in ``scenarios``, comes by this position."""
        if not 0 <= self.task <= tasks or self.step < 0:
            raise InputError("no such task or step")
        if self.task + self.step == 0 or (self.task == tasks and self.step > 0):
            raise InputError("no checkpoint is written before the first step or after the last")
        for kept in (self.accuracy, self.untrained, self.inferred, self.evaluate_seconds):
            if kept.keys() != set(scenarios):
                raise InputError(f"there is something of {', '.join(kept)}, not of {', '.join(scenarios)}")
        for scenario in scenarios:
            rows = [self.untrained[scenario], *self.accuracy[scenario]]
            if [len(row) for row in rows] != [tasks] * (self.task + 1):
                raise InputError("accuracies are missing")
        if len(self.train_seconds) != self.task + (self.step > 0):
            raise InputError("seconds are missing")


class RandomStream:
    """Torch's random numbers for one run: nothing before it matters to them, and nothing beside it is disturbed."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.cuda = range(torch.cuda.device_count()) if device.type == "cuda" else range(0)
        with torch.random.fork_rng(devices=self.cuda):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs that the run does not use
            if self.cuda:
                torch.cuda.manual_seed_all(seed)
            self._keep()

    def _keep(self) -> None:
        self._state = torch.get_rng_state()
        self._cuda_states = [torch.cuda.get_rng_state(device) for device in self.cuda]

    @contextmanager
    def current(self) -> Iterator[None]:
        """Inside, torch's global generators go on where this stream left off."""
        with torch.random.fork_rng(devices=self.cuda):
            torch.set_rng_state(self._state)
            for device, state in zip(self.cuda, self._cuda_states, strict=True):
                torch.cuda.set_rng_state(state, device)
            try:
                yield
            finally:
                self._keep()


class Run:
    """A run: its learner, and what has been learnt and measured so far. The arguments are those of `train`.

    Its methods are called within ``random.current()``.
    """

    def __init__(
        self,
        method: str,
        config: Config,
        benchmark: Benchmark,
        scenarios: Sequence[Scenario] | None,
        seed: int,
        device: str,
        target: nn.Module | Callable[[int], nn.Module] | None,
        progress: Progress | None,
        compile: Compile = "off",
    ) -> None:
        check_benchmark(benchmark)
        self.method, self.config, self.seed = method, config, check_seed(seed)
        self.recorded = config.record() | ({} if target is None else {"target": _name(target)})
        aim = benchmark.objective
        self.measured = (
            None
            if aim == CLASSIFICATION
            else Measure(loss=aim.loss_name, metric=aim.metric.name, lower_is_better=aim.metric.lower_is_better)
        )
        if benchmark.augment is not None:
            self.recorded["augment"] = in_words(benchmark.augment)
        self.printed: dict[str, str] = {}
        self.device, self.progress = pick_device(device), progress or _silent
        if self.device.type == "cpu":
            keep_freed_memory()
        self.benchmark = config.limited(benchmark)
        if config.augmentation:
            check_augmentable(benchmark.image_shape, benchmark.name)
        self.scenarios = check_scenarios(method, config, benchmark.name, benchmark.scenarios, scenarios)
        self.random = RandomStream(self.seed, self.device)
        steps = sum(config.steps(len(task.train)) for task in self.benchmark.tasks)
        self.compiler = TargetCompiler(compile, steps, self.device)
        with self.random.current():
            setting = config.setting(self.benchmark, *self.scenarios, make_target=_target_maker(target, config))
            make = setting.make_target if target is None else self.examined(setting.make_target)
            setting = replace(setting, make_target=self.compiler.wrap(make))
            what = f"{method} on {benchmark.name}"
            check_fits(f"{what}: a batch of {config.batch_size}", 4 * config.batch_size * prod(benchmark.image_shape))
            if target is None:
                check_module_fits(what, lambda: config.learner_class(config, setting))
            with enough_memory(what):
                self.learner: Learner = config.learner_class(config, setting).to(self.device)
        self.never_finite = not_finite(self.learner)  # an attention mask, say
        self.optimizer: Optimizer | None = None
        self.task = 0
        self.step = 0
        self.accuracy: dict[str, list[list[float]]] = {scenario: [] for scenario in self.scenarios}
        self.untrained: dict[str, list[float]] = {}
        self.inferred: dict[str, float | None] = {}
        self.train_seconds: list[float] = []
        self.evaluate_seconds: dict[str, float] = dict.fromkeys(self.scenarios, 0.0)

    def examined(self, make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
        """Copies of what ``make`` makes, of which the first is checked.

        A function that gives one and the same module would make tasks and runs depend on each other. How a target
        prints is kept, since its name does not say what it is made of.
        """

        def examining(outputs: int) -> nn.Module:
            target = make(outputs)
            if not self.printed:
                check_target(target, self.benchmark.tasks[0].train[:4].images)
            text = re.sub(" at 0x[0-9a-f]+", "", repr(target))  # an address is another in each process
            self.printed["fingerprint of the target"] = blake2b(text.encode(), digest_size=8).hexdigest()
            return deepcopy_or_itself(target)

        return examining

    def go(self, checkpoint: Path | None) -> None:
        """Train and measure to the end, from a checkpoint if there is one."""
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
        file = checkpoint and checkpoint_path(Path(checkpoint), name, self.method, self.scenarios, self.seed)
        if file and file.exists():
            self.load(file)
        else:
            self.untrained = self.measure()
        return file

    def learn_task(self, file: Path | None) -> None:
        """Train on the present task from the present step on."""
        data, order = self.begin_task()
        optimizer, total = self.optimizer, self.config.steps(len(data))
        assert optimizer is not None
        before, started = self.train_seconds[-1], time.perf_counter()

        def after_step(steps: int) -> None:
            self.step = steps
            self.follow(optimizer, steps, total)
            if file and steps % CHECKPOINT_EVERY == 0 and steps < total:
                self.train_seconds[-1] = before + time.perf_counter() - started
                self.save(file)

        self.set_rate(optimizer, self.step / total)
        with self.compiler.training():
            fit_task(self.learner, optimizer, data, order, self.step, after_step, self.augment())
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
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.task) % SEEDS)
        steps, batch = self.config.steps(len(data)), self.config.batch_size
        order = draw_rows(len(data), batch, steps, generator, self.step, self.device)
        self.learner.begin_task(self.task)  # may add parameters, so before the optimizer is made
        self.learner.train()  # a target given by hand may be in any mode
        if self.step == 0:
            if self.learner.fresh_optimizer or self.optimizer is None:
                self.optimizer = self.new_optimizer(self.learner.trainable())
            self.train_seconds.append(0.0)
        return data, order

    def finish_task(self, file: Path | None) -> None:
        """After its last step: what the method does at a task's end, measure on all tasks, keep that in ``file``."""
        self.check_finite()  # before the task's end too, which may do sums with the weights
        started = time.perf_counter()
        with self.compiler.as_written():  # importances are taken once a task
            self.learner.end_task(self.task, self.benchmark.tasks[self.task].train.to(self.device))
        self.train_seconds[-1] += clock(self.device) - started
        self.check_finite()
        for scenario, row in self.measure().items():
            self.accuracy[scenario].append(row)
        self.task, self.step = self.task + 1, 0
        if file:
            self.save(file)

    def check_finite(self) -> None:
        """Raise `InputError` for a parameter or buffer that became NaN or infinite."""
        for name in sorted(not_finite(self.learner) - self.never_finite):
            raise InputError(
                f"{self.method} on {self.benchmark.name}: {name} became NaN or infinite in task {self.task}; "
                "a smaller learning rate or beta may help"
            )

    def training_data(self) -> Examples:
        """What is trained on in the present task."""
        return self.learner.training_data([task.train for task in self.benchmark.tasks[: self.task + 1]])

    def follow(self, optimizer: Optimizer, steps: int, total: int) -> None:
        """After a step: set the learning rate for the next one, and tell of the progress now and then."""
        self.set_rate(optimizer, steps / total)
        if steps % 50 == 0 or steps == total:
            self.progress(self.task, steps)

    def set_rate(self, optimizer: Optimizer, done: float) -> None:
        """The learning rate after the fraction ``done`` of the present task, for the optimizer's next step."""
        for group in optimizer.param_groups:
            group["lr"] = self.config.rate(done)

    def new_optimizer(self, parameters: Iterable[Tensor]) -> Adam:
        """Adam as the papers use it; fused, because the step over all parameters is a good part of the time."""
        return Adam(parameters, lr=self.config.learning_rate, betas=(0.9, 0.999), fused=True)

    def measure(self) -> dict[str, list[float]]:
        """Test accuracy on every task, in each scenario."""
        rows: dict[str, list[float]] = {}
        for scenarios in self.asked_at_once():
            started = time.perf_counter()
            columns, found, images = [], 0.0, 0
            for number, task in enumerate(self.benchmark.tasks):
                with self.compiler.as_written():
                    right, inferred = evaluation.accuracies(self.learner, task.test, scenarios, number)
                columns.append(right)
                found = found + inferred * len(task.test) if inferred is not None else float("nan")
                images += len(task.test)
            seconds = time.perf_counter() - started
            for scenario, row in zip(scenarios, zip(*columns, strict=True), strict=True):
                rows[scenario] = list(row)
                self.inferred[scenario] = None if found != found else found / images
                self.evaluate_seconds[scenario] += seconds
        return rows

    def asked_at_once(self) -> list[list[Scenario]]:
        """The scenarios, those together in which the learner predicts the same."""
        if not self.learner.declares("infers_alike"):
            return [[scenario] for scenario in self.scenarios]
        groups: dict[bool, list[Scenario]] = {}
        for scenario in self.scenarios:
            groups.setdefault(scenario == "cl1", []).append(scenario)
        return list(groups.values())

    def result(self, scenario: Scenario) -> Result:
        """The result of a finished run."""
        matrix, sizes = self.accuracy[scenario], self.learner.sizes(scenario)
        lower = self.measured is not None and self.measured.lower_is_better
        return Result(
            benchmark=self.benchmark.name,
            method=self.method,
            scenario=scenario,
            seed=self.seed,
            config=self.recorded,
            accuracy_matrix=matrix,
            untrained_accuracy=self.untrained[scenario],
            metrics=Metrics(
                **metrics_of(matrix, self.untrained[scenario], lower),  # type: ignore[arg-type]  # pydantic checks them
                task_inference_accuracy=self.inferred[scenario],
            ),
            parameters=Parameters(**asdict(sizes), compression_ratio=sizes.compression_ratio),
            seconds=Seconds(train=self.train_seconds, evaluate=self.evaluate_seconds[scenario]),
            environment=environment(self.device) | ({"compiled": "target"} if self.compiler.used else {}),
            version=__version__,
            commit=commit(),
            images=self.fingerprint,
            changed=list(self.benchmark.changes),
            measure=self.measured,
        )

    def identity(self) -> dict[str, Any]:
        """All that has to be the same for a checkpoint to be continued as if nothing had happened."""
        return {
            "checkpoint format": CHECKPOINT_FORMAT,
            "hyperlearn": __version__,
            "torch": str(torch.__version__),
            "device": self.device.type,
            "benchmark": self.benchmark.name,
            "images": [(len(task.train), len(task.test)) for task in self.benchmark.tasks],
            "fingerprint of the images and labels": self.fingerprint,
            "method": self.method,
            "scenarios": tuple(self.scenarios),
            "seed": self.seed,
            **self.recorded,
            **self.printed,
            **({"measure": asdict(self.measured)} if self.measured else {}),
        }

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same images and labels in the same order; of other data a run must not go on."""
        made = blake2b(digest_size=8)
        for task in self.benchmark.tasks:
            for examples in (task.train, task.test):
                for tensor in (*in_pieces(examples.images), examples.labels):
                    made.update(tensor.contiguous().numpy(force=True).data)
        return made.hexdigest()

    def save(self, file: Path) -> None:
        """Write a checkpoint atomically."""
        assert self.optimizer is not None
        state = {
            "run": self.identity(),
            "position": {name: getattr(self, name) for name in _Position.__dataclass_fields__},
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "without optimizer state": without_state(self.optimizer),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
        }
        save_tensors(file, state | {"digest": digest(state)})

    def load(self, file: Path) -> None:
        """Go on from a checkpoint; only tensors and plain data are read from it, never code."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of odd tensors, and then they are refused
            self.take_up(file)

    def take_up(self, file: Path) -> None:
        """`load` but for PyTorch's warnings."""
        # A file may hold anything, and so torch and the learner may raise anything.
        try:
            state: dict[str, Any] = load_tensors(file, self.device)
            differing = difference(state["run"], self.identity())
        except Exception as error:
            raise InputError(f"{file} is no readable checkpoint; remove it to start anew") from error
        if differing:
            raise InputError(
                f"{file} is the checkpoint of a run with {differing}; name another folder or remove it to start anew"
            )
        try:
            # Whatever was changed in it would be taken over in silence, or crash the optimizer.
            if state.pop("digest") != digest(state):
                raise ValueError("its content is not what was written")
            self.restore(state)
        except Exception as error:
            raise InputError(f"{file} does not hold what its run needs; remove it to start anew") from error

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's content; raises an error of any kind where it does not fit."""
        position = _Position(**state["position"])
        position.check(len(self.benchmark), self.scenarios)
        vars(self).update(vars(position))
        if self.step and self.step >= self.config.steps(len(self.training_data())):
            raise InputError("no such step")
        self.learner.load_state_dict(state["learner"])
        now = {k: v for k, v in self.learner.state_dict().items() if isinstance(v, Tensor)}
        check_alike({name: state["learner"][name] for name in now}, now)  # load_state_dict converts other dtypes
        self.learner.check_state(self.task, self.task + (self.step > 0))
        if not_finite(self.learner) - self.never_finite:
            raise InputError("weights that are NaN or infinite")
        self.optimizer = self.new_optimizer(self.learner.trainable())
        if self.step or not self.learner.fresh_optimizer:  # at a task's end a fresh optimizer comes next anyway
            take_over(self.optimizer, state["optimizer"], state["without optimizer state"])
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["rng_cuda"].cpu())


def without_state(optimizer: Optimizer) -> list[int]:
    """The numbers of the parameters that have no state yet, since they never had a gradient."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return [number for number, p in enumerate(params) if p not in optimizer.state]


@torch.no_grad()
def take_over(optimizer: Adam, saved: dict[str, Any], without: list[int]) -> None:
    """Give a new optimizer the state of the one that was saved, which is checked: a fused step trusts its memory.

    Args:
        optimizer: of the run that goes on.
        saved: the ``state_dict()`` of its optimizer before.
        without: what `without_state` said of it.

    Raises an error of any kind where the saved state is not that of the same optimizer.
    """
    fresh = optimizer.state_dict()
    for kept, own in zip(saved["param_groups"], fresh["param_groups"], strict=True):
        if {**kept, "lr": None} != {**own, "lr": None}:  # the schedule sets the rate before each step
            raise InputError("an optimizer with other settings")
    params = [p for group in optimizer.param_groups for p in group["params"]]
    if sorted([*saved["state"], *without]) != list(range(len(params))):
        raise InputError("the optimizer's state is that of other parameters")
    for number, kept in saved["state"].items():
        p = params[number]
        like = {"step": torch.zeros((), device=p.device), "exp_avg": p, "exp_avg_sq": p}
        check_alike(kept, like)
        if bool((kept["step"] < 0) | (kept["exp_avg_sq"] < 0).any()):
            raise InputError("an optimizer's state below 0")
        # Copied, for memory of the parameter's own layout: what was read may be a view that repeats one number.
        optimizer.state[p] = {name: torch.zeros_like(made).copy_(kept[name]) for name, made in like.items()}


def _target_maker(
    target: nn.Module | Callable[[int], nn.Module] | None, config: Config
) -> Callable[[int], nn.Module] | None:
    if not isinstance(target, nn.Module):
        return target
    if not issubclass(config.learner_class, HypernetLearner):
        raise InputError(
            "this method makes its target itself, with as many logits as it needs and from the seed's first weights; "
            "give a function outputs -> module"
        )
    module = target
    return lambda outputs: module


def not_finite(module: nn.Module) -> set[str]:
    """Names of the parameters and buffers that hold a NaN or an infinite value."""
    state = module.state_dict().items()
    return {name for name, kept in state if isinstance(kept, Tensor) and not bool(kept.isfinite().all())}


def _name(target: nn.Module | Callable[[int], nn.Module]) -> str:
    """What a record calls a target of the user's own: where its class or function was defined, ``__main__.ConvNet``."""
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{named.__module__}.{named.__qualname__}"


def in_words(transform: object) -> str:
    """What a record calls a transform: where a function was defined, or how an object prints.

    Example:
        >>> in_words(flip_and_crop), in_words(nn.Dropout(0.25))
        ('hyperlearn.data.flip_and_crop', 'Dropout(p=0.25, inplace=False)')
    """
    if hasattr(transform, "__qualname__"):
        return f"{transform.__module__}.{transform.__qualname__}"
    return re.sub(r"\s+", " ", re.sub(" at 0x[0-9a-f]+", "", repr(transform)))  # an address is another in each process


def environment(device: torch.device) -> dict[str, str | int]:
    """Where a run ran: versions, processor, device, threads."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": device.type,
        "gpu": gpu,
        "threads": torch.get_num_threads(),
    }


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or "unknown"


@cache
def commit() -> str | None:
    """The commit of the source tree that this file lies in, "-dirty" where it was changed since; None elsewhere."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # An installed copy may lie in a virtual environment inside somebody else's repository.
    tracked = (here.parent / "pyproject.toml").exists()
    return described.stdout.strip() if tracked and described.returncode == 0 else None
