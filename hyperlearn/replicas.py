r"""Several seeds at once: replicas of a run whose steps are one batched program.

A small network leaves a GPU idle, and a step's time goes into starting its kernels. R replicas of a method that differ
in their seed alone, in their first weights and in the order of images, have the same step; `torch.func.vmap` makes it
one step on tensors with one more dimension, and takes about as many kernels as a single run. Adam works on each value
by itself, and so one Adam serves all.

What is done once a task stays as it is: each replica has its own `Run`, which measures, ends tasks and keeps its
checkpoint as if it were alone. So a run that was begun alone can go on beside others, and the other way round.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.optim import Optimizer

from .callbacks import Callbacks
from .data import Batch
from .errors import InputError
from .hypernets import EmbeddingHypernet, Hypernetwork
from .methods import Learner, Scenario
from .methods.hypernet import GeneratingLearner, HypernetLearner
from .params import Params
from .processor import flush_denormals
from .regularizers import OutputRegularizer, lookahead
from .results import Result
from .spec import RunSpec, with_seed
from .swap import call_with
from .training import Run, clock, fit_task, set_rate


def train_replicas(
    spec: RunSpec, seeds: Sequence[int], *, checkpoint: Path | None = None, callbacks: Callbacks = ()
) -> list[dict[Scenario, Result]]:
    """What `train` returns for ``spec`` from each of ``seeds``, trained together.

    Each replica ends where its single run does, but for the order in which floating-point numbers are added. The time
    of training that a result states is that of all replicas divided by their number, which is in its environment.

    Args:
        spec: of each, but for its seed; it is not compiled, since several at once are one program already.
        seeds: one for each replica.
        checkpoint: a folder. At the end of each task every replica leaves the checkpoint of its single run there, and
            they go on from the first task that none of them has begun, after those behind have caught up one by one.
        callbacks: called as the runs go on, with the first of them and the mean loss.

    Raises:
        InputError: as `train`; two seeds are the same; or the method, its target, its augmentation or the number of
            tasks needs what one program cannot do for several: random numbers, or state that is not a parameter.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"replicas need one seed each, all different, got {list(seeds)}")
    if spec.compile == "on":
        raise InputError("several seeds at once are one program already, which cannot be compiled; give compile=auto")
    runs = [Run(replace(with_seed(spec, seed), compile="off"), callbacks if seed == seeds[0] else ()) for seed in seeds]
    _check(spec, runs[0].learner)
    files = []
    for run in runs:
        with run.random.current():
            files.append(run.start(checkpoint))
    together = max(run.task + (run.step > 0) for run in runs)
    for run, file in zip(runs, files, strict=True):
        while run.task < together:
            with run.random.current(), flush_denormals():
                run.learn_task(file)
                run.finish_task(file)
    while runs[0].task < len(runs[0].benchmark):
        with flush_denormals():
            _learn_task(runs)
        for run, file in zip(runs, files, strict=True):
            with run.random.current():
                run.finish_task(file)
    return [{scenario: _result(run, scenario, len(runs)) for scenario in run.scenarios} for run in runs]


def _result(run: Run, scenario: Scenario, replicas: int) -> Result:
    """The result of a finished run, which says how many were trained beside it: its time is a share of theirs."""
    result = run.result(scenario)
    return replace(result, environment=result.environment | {"replicas": replicas})


def _check(spec: RunSpec, learner: Learner) -> None:
    """Raise `InputError` unless replicas of ``learner`` can be trained together."""
    reason, regularizer = "", getattr(learner, "regularizer", None)
    if not learner.declares("replicable"):
        reason = "its step needs more than parameters and a batch"
    elif regularizer is not None and regularizer.draws:
        reason = "its regularizer draws random numbers"
    elif not isinstance(regularizer, OutputRegularizer | None):
        reason = "its regularizer is not the output regularizer"
    elif learner.config.clip_norm is not None:
        reason = "the gradients of each would have to be clipped by themselves"
    elif getattr(learner, "doubt", None) is not None:
        reason = "the outliers of doubt are drawn at random"
    elif learner.config.augmentation or spec.benchmark.augment:
        reason = "augmentation draws random numbers"
    elif any(True for _ in learner.buffers()):
        reason = "its target has buffers, as batch norm has, or values that are not generated"
    if reason:
        raise InputError(f"{spec.method} cannot train several seeds at once: {reason}; run them one by one")


def _learn_task(runs: list[Run]) -> None:
    """Train all replicas on the present task."""
    first, orders = runs[0], []  # of each replica, the rows of each step
    for run in runs:
        with run.random.current():
            data, order = run.begin_task()
            orders.append(order)
    program = _Program([run.learner for run in runs])
    optimizer = _stacked_adam(program, runs)
    started = time.perf_counter()
    set_rate(optimizer, first.config, 0.0)
    rows = (torch.stack(each) for each in zip(*orders, strict=True))  # [R, B] of each step

    def after_step(steps: int, losses: Tensor | None) -> bool:
        assert losses is not None
        for run, loss in zip(runs[1:], losses[1:], strict=True):
            run.follow(optimizer, steps, loss)
        return first.follow(optimizer, steps, losses[0])

    fit_task(program, optimizer, data, rows, after_step=after_step)
    _unstack(program, optimizer, runs)
    seconds = (clock(first.device) - started) / len(runs)
    for run in runs:
        run.train_seconds[-1] += seconds


class _Loss(nn.Module):
    """A learner's loss and penalty as a module's forward, for `call_with`."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Batch | None, targets: Tensor | None) -> Tensor:
        learner = self.learner
        if targets is not None:
            assert isinstance(learner, HypernetLearner)
            assert isinstance(learner.regularizer, OutputRegularizer)
            learner.regularizer.memory.tensors = {"targets": targets}
            return learner.regularizer()
        assert batch is not None
        return learner.task_loss(batch) if isinstance(learner, GeneratingLearner) else learner.loss(batch)


class _Program:
    """One step of several learners."""

    batch_rows: Tensor | None = None

    def __init__(self, learners: list[Learner]) -> None:
        trained = {id(p) for p in learners[0].trainable()}
        self.module = _Loss(deepcopy(learners[0]))
        for part in self.module.modules():
            if isinstance(part, Hypernetwork):
                part.stepwise = True
        named = [dict(_Loss(learner).named_parameters()) for learner in learners]
        stacked = {name: torch.stack([each[name].detach() for each in named]) for name in named[0]}
        self.params: Params = {n: p.requires_grad_() for n, p in stacked.items() if id(named[0][n]) in trained}
        self.frozen: Params = {n: p for n, p in stacked.items() if n not in self.params}
        self.replicas = [[each[name] for name in self.params] for each in named]
        self.targets, self.looks_ahead = self._targets(learners), getattr(learners[0], "looks_ahead", False)
        if self.targets is not None:
            self._hold_directly()

    def _hold_directly(self) -> None:
        """Give the module's learner its regularizer in the direct form: vmap cannot follow the Gram form."""
        learner = self.module.learner
        assert isinstance(learner, HypernetLearner)
        assert isinstance(learner.hypernet, EmbeddingHypernet)
        assert isinstance(learner.regularizer, OutputRegularizer)
        direct = OutputRegularizer(learner.hypernet, learner.regularizer.beta, "direct")
        direct.load_state_dict({"tasks": learner.regularizer.tasks, "memory": {}})
        learner.regularizer = direct

    @staticmethod
    def _targets(learners: list[Learner]) -> Tensor | None:
        """What the regularizers hold on to: [R, T, N]; None where there is nothing yet."""
        kept = []
        for learner in learners:
            regularizer = learner.regularizer if isinstance(learner, HypernetLearner) else None
            if not isinstance(regularizer, OutputRegularizer) or not regularizer.tasks or not regularizer.beta:
                return None
            kept.append(torch.stack([regularizer.memory.target(i) for i in range(len(regularizer.tasks))]))
        return torch.stack(kept)

    def backward(self, batch: Batch, optimizer: Optimizer) -> Tensor:
        """Add the gradients of one step; ``batch`` has a dimension for replicas before that for images."""

        def loss(params: Params, frozen: Params, batch: Batch) -> Tensor:
            return call_with(self.module, params | frozen, batch, None)

        def penalty(params: Params, frozen: Params, targets: Tensor) -> Tensor:
            return call_with(self.module, params | frozen, None, targets)

        # A sum over replicas, none of whose parameters is another's: the gradient of each is that of its own loss.
        try:
            losses: Tensor = vmap(loss)(self.params, self.frozen, batch)
            losses.sum().backward()
        except RuntimeError as error:
            reasons = {
                "random operation": "draws random numbers, as dropout does",
                "vmap": "does what cannot be batched, such as computing activations anew in the backward pass",
            }
            for part, reason in reasons.items():
                if part in str(error):
                    raise InputError(
                        f"several seeds cannot train at once: the target {reason}; run them one by one"
                    ) from error
            raise
        if self.targets is None:
            return losses.detach()
        if self.looks_ahead:
            with lookahead(optimizer):
                vmap(penalty)(self.params, self.frozen, self.targets).sum().backward()
            return losses.detach()
        penalties: Tensor = vmap(penalty)(self.params, self.frozen, self.targets)
        penalties.sum().backward()
        return (losses + penalties).detach()

    def after_step(self) -> None:
        """Learners whose steps need parameters and a batch alone have nothing to do here."""


def _stacked_adam(program: _Program, runs: list[Run]) -> Optimizer:
    """One Adam for all replicas, which goes on with the state of theirs, where they have one."""
    optimizer = runs[0].new_optimizer(program.params.values())
    states_of = [run.optimizer.state for run in runs if run.optimizer is not None]
    for number, stacked in enumerate(program.params.values()):
        states = [of[each[number]] for of, each in zip(states_of, program.replicas, strict=True) if each[number] in of]
        if states:
            optimizer.state[stacked] = {
                name: value.clone() if name == "step" else torch.stack([state[name] for state in states])
                for name, value in states[0].items()
            }
    return optimizer


@torch.no_grad()
def _unstack(program: _Program, optimizer: Optimizer, runs: list[Run]) -> None:
    """Give each replica its weights and its optimizer's state."""
    for replica, run in enumerate(runs):
        assert run.optimizer is not None
        for own, stacked in zip(program.replicas[replica], program.params.values(), strict=True):
            own.copy_(stacked[replica])
            if stacked in optimizer.state:
                run.optimizer.state[own] = {
                    name: value.clone() if name == "step" else value[replica].clone()
                    for name, value in optimizer.state[stacked].items()
                }
