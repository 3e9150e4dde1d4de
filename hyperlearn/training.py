"""The training step, a task, a run; and checkpoints that a run goes on from."""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from . import evaluation
from .benchmarks import Benchmark
from .data import Examples, draw_indices
from .errors import InputError
from .methods import SCENARIOS, Config, Learner, Scenario
from .results import Metrics, Parameters, Result, Seconds, write_atomically
from .version import __version__

CHECKPOINT_EVERY = 1000
"""Steps between two checkpoints within a task; there is one at the end of each task too."""

CHECKPOINT_FORMAT = 1


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


def fit_task(
    learner: Learner,
    optimizer: Optimizer,
    train: Examples,
    order: torch.Tensor,
    start: int = 0,
    after_step: Callable[[int], None] = lambda steps: None,
) -> None:
    """Take one step for each row of ``order`` [steps, B] from row ``start`` on.

    Args:
        learner: after `Learner.begin_task`.
        optimizer: over `Learner.trainable`.
        train: the images, on the learner's device.
        order: indices into ``train``, on the same device.
        start: steps that were taken before.
        after_step: called with the number of steps taken so far.
    """
    for step in range(start, len(order)):
        optimizer.zero_grad(set_to_none=True)
        learner.backward(train[order[step]], optimizer)
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
) -> dict[Scenario, Result]:
    """Learn all tasks of ``benchmark`` in turn and measure after each.

    Args:
        method: the method's name, for the record.
        config: its hyperparameters.
        benchmark: the tasks.
        scenarios: what to measure; more than one only where one training serves them. Default: all that it serves, or
            CL1 where the method trains differently in each.
        seed: of initialisation and of the order of images.
        device: ``auto``, ``cpu`` or ``cuda``.
        target: a target network in place of the configuration's: a function from the number of logits to a module, or
            a module, for methods that need no more than its shapes.
        checkpoint: a folder; the run leaves a checkpoint there and goes on from one that it finds.
        progress: called as the run goes on.

    Returns:
        One result for each scenario.

    Raises:
        InputError: a name or value is out of range, or training ran into NaN; the message says which task.
    """
    place = pick_device(device)
    scenarios = _check_scenarios(method, config, benchmark, scenarios)
    # One stream of random numbers for the run: nothing before it matters, and nothing after it is disturbed.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if place.type == "cuda" else []):
        torch.manual_seed(seed)
        setting = config.setting(benchmark, *scenarios, make_target=_target_maker(target, config))
        learner = config.learner_class(config, setting).to(place)
        run = _Run(method, config, benchmark, scenarios, seed, learner, place, progress or _silent)
        run.go(checkpoint)
    return {scenario: run.result(scenario) for scenario in scenarios}


def _silent(task: int, step: int) -> None:
    pass


def _check_scenarios(
    method: str, config: Config, benchmark: Benchmark, scenarios: Sequence[Scenario] | None
) -> Sequence[Scenario]:
    for scenario in scenarios or ():
        if scenario not in SCENARIOS:
            raise InputError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    serves = config.learner_class.serves
    if scenarios is None:
        return serves or ("cl1",)
    if len(scenarios) != 1 and not set(scenarios) <= set(serves):
        raise InputError(f"{method} trains differently in each scenario; name one of {', '.join(SCENARIOS)}")
    return scenarios


class _Run:
    """A run's state: what has been learnt and measured so far."""

    def __init__(
        self,
        method: str,
        config: Config,
        benchmark: Benchmark,
        scenarios: Sequence[Scenario],
        seed: int,
        learner: Learner,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.method, self.config, self.benchmark, self.seed = method, config, benchmark, seed
        self.scenarios, self.learner, self.device, self.progress = scenarios, learner, device, progress
        self.optimizer: Optimizer | None = None
        self.task = 0
        self.step = 0
        self.accuracy: dict[str, list[list[float]]] = {scenario: [] for scenario in scenarios}
        self.untrained: dict[str, list[float]] = {}
        self.inferred: dict[str, float | None] = {}
        self.train_seconds: list[float] = []
        self.evaluate_seconds = dict.fromkeys(scenarios, 0.0)

    def go(self, checkpoint: Path | None) -> None:
        """Train and measure to the end, from a checkpoint if there is one."""
        file = checkpoint and checkpoint / f"{self.identity()}.pt"
        if file and file.exists():
            self.load(file)
        else:
            for scenario in self.scenarios:
                self.untrained[scenario] = self.measure(scenario)
        while self.task < len(self.benchmark):
            self.learn_task(file)
            self.task, self.step = self.task + 1, 0
            if file:
                self.save(file)

    def learn_task(self, file: Path | None) -> None:
        """Train on the present task from the present step, then measure on all tasks."""
        task, learner, config = self.task, self.learner, self.config
        own = self.benchmark.tasks[task].train.to(self.device)
        data = learner.training_data([t.train for t in self.benchmark.tasks[: task + 1]]).to(self.device)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + task)
        order = draw_indices(len(data), config.batch_size, config.iterations, generator).to(self.device)
        learner.begin_task(task)  # may add parameters, so before the optimizer is made
        if self.step == 0 and (learner.fresh_optimizer or self.optimizer is None):
            self.optimizer = self.new_optimizer()
        assert self.optimizer is not None
        if self.step == 0:
            self.train_seconds.append(0.0)
        before, started = self.train_seconds[-1], time.perf_counter()

        def after_step(steps: int) -> None:
            self.step = steps
            if steps % 50 == 0 or steps == config.iterations:
                self.progress(task, steps)
            if file and steps % CHECKPOINT_EVERY == 0 and steps < config.iterations:
                self.train_seconds[-1] = before + time.perf_counter() - started
                self.save(file)

        fit_task(learner, self.optimizer, data, order, self.step, after_step)
        learner.end_task(task, own)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.train_seconds[-1] = before + time.perf_counter() - started
        for name, tensor in learner.state_dict().items():
            if isinstance(tensor, torch.Tensor) and not bool(tensor.isfinite().all()):
                raise InputError(
                    f"{self.method} on {self.benchmark.name}: {name} became NaN or infinite in task {task}; "
                    "a smaller learning rate or beta may help"
                )
        for scenario in self.scenarios:
            self.accuracy[scenario].append(self.measure(scenario))

    def new_optimizer(self) -> Optimizer:
        """Adam as the papers use it; fused, because the step over all parameters is a good part of the time."""
        return Adam(self.learner.trainable(), lr=self.config.learning_rate, betas=(0.9, 0.999), fused=True)

    def measure(self, scenario: Scenario) -> list[float]:
        """Test accuracy on every task."""
        started = time.perf_counter()
        row, found, images = [], 0.0, 0
        for number, task in enumerate(self.benchmark.tasks):
            right, inferred = evaluation.accuracy(self.learner, task.test, scenario, number)
            row.append(right)
            found = found + inferred * len(task.test) if inferred is not None else float("nan")
            images += len(task.test)
        self.inferred[scenario] = None if found != found else found / images
        self.evaluate_seconds[scenario] += time.perf_counter() - started
        return row

    def result(self, scenario: Scenario) -> Result:
        """The result of a finished run."""
        matrix, sizes = self.accuracy[scenario], self.learner.sizes(scenario)
        return Result(
            benchmark=self.benchmark.name,
            method=self.method,
            scenario=scenario,
            seed=self.seed,
            config=asdict(self.config),
            accuracy_matrix=matrix,
            untrained_accuracy=self.untrained[scenario],
            metrics=Metrics(
                average_accuracy=evaluation.average_accuracy(matrix),
                during_accuracy=evaluation.during_accuracy(matrix),
                forgetting=evaluation.forgetting(matrix),
                backward_transfer=evaluation.backward_transfer(matrix),
                forward_transfer=evaluation.forward_transfer(matrix, self.untrained[scenario]),
                task_inference_accuracy=self.inferred[scenario],
            ),
            parameters=Parameters(**asdict(sizes), compression_ratio=sizes.compression_ratio),
            seconds=Seconds(train=self.train_seconds, evaluate=self.evaluate_seconds[scenario]),
            environment=environment(self.device),
            version=__version__,
            commit=commit(),
        )

    def identity(self) -> str:
        """A file name that tells runs apart: what is run, and a digest of every hyperparameter."""
        config = sha256(repr(sorted(asdict(self.config).items())).encode()).hexdigest()[:8]
        return f"{self.benchmark.name}-{self.method}-{'+'.join(self.scenarios)}-seed{self.seed}-{config}"

    def save(self, file: Path) -> None:
        """Write a checkpoint atomically."""
        import io

        assert self.optimizer is not None
        state = {
            "format": CHECKPOINT_FORMAT,
            "identity": self.identity(),
            "task": self.task,
            "step": self.step,
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            "accuracy": self.accuracy,
            "untrained": self.untrained,
            "inferred": self.inferred,
            "train_seconds": self.train_seconds,
            "evaluate_seconds": self.evaluate_seconds,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, buffer.getvalue())

    def load(self, file: Path) -> None:
        """Go on from a checkpoint; only tensors and plain data are read from it, never code."""
        try:
            state: dict[str, Any] = torch.load(file, map_location=self.device, weights_only=True)
            found = (state["format"], state["identity"])
        except Exception as error:  # torch.load raises many kinds, all of which mean the same here
            raise InputError(f"{file} is no readable checkpoint; remove it to start anew") from error
        if found != (CHECKPOINT_FORMAT, self.identity()):
            raise InputError(f"{file} is the checkpoint of another run or version ({found[1]}); remove it")
        self.task, self.step = state["task"], state["step"]
        self.learner.load_state_dict(state["learner"])
        self.accuracy, self.untrained, self.inferred = (
            state["accuracy"],
            state["untrained"],
            state["inferred"],
        )
        self.train_seconds, self.evaluate_seconds = state["train_seconds"], state["evaluate_seconds"]
        self.optimizer = self.new_optimizer()
        if self.step or not self.learner.fresh_optimizer:  # at a task's end a fresh optimizer comes next anyway
            self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda" and state["rng_cuda"] is not None:
            torch.cuda.set_rng_state(state["rng_cuda"].cpu())


def _target_maker(
    target: nn.Module | Callable[[int], nn.Module] | None, config: Config
) -> Callable[[int], nn.Module] | None:
    if not isinstance(target, nn.Module):
        return target
    if not config.learner_class.serves:
        raise InputError(
            "this method's target has one logit for each class of all tasks; give a function outputs -> module"
        )
    from copy import deepcopy

    module = target

    def copy_of(outputs: int) -> nn.Module:
        return deepcopy(module)

    return copy_of


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
