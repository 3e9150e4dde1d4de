"""Checkpoints: files that a run goes on from. Only tensors and plain data are read from them, never code."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torch.optim import Optimizer

from .errors import InputError
from .methods import Scenario
from .results import Fraction, difference, file_part
from .tensor_files import check_alike, digest, load_tensors, save_tensors

EVERY = 1000
"""Steps between two checkpoints within a task; there is one at the end of each task too."""

FORMAT = 8

Time = Annotated[float, Ge(0)]


def checkpoint_path(folder: Path, benchmark: str, method: str, scenarios: Sequence[Scenario], seed: int) -> Path:
    """Where a run's checkpoint lies: ``FOLDER/BENCHMARK-METHOD-SCENARIOS-seedN.pt``."""
    return Path(folder) / f"{file_part(benchmark)}-{file_part(method)}-{'+'.join(scenarios)}-seed{seed}.pt"


@validated(kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Position:
    """How far a run has come: what a checkpoint holds beside tensors."""

    task: int
    step: int
    accuracy: dict[str, list[list[float | None]]]
    untrained: dict[str, list[float]]
    inferred: dict[str, Fraction | None]
    loss: list[list[float]]
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
            lengths = [len(self.untrained[scenario]), *map(len, self.accuracy[scenario])]
            if lengths != [tasks] * (self.task + 1):
                raise InputError("accuracies are missing")
        for of_tasks in (self.train_seconds, self.loss):
            if len(of_tasks) != self.task + (self.step > 0):
                raise InputError("seconds or losses are missing")


def write(
    file: Path, identity: dict[str, Any], position: dict[str, Any], learner: nn.Module, optimizer: Optimizer
) -> None:
    """Write a checkpoint atomically, with torch's random numbers as they are."""
    cuda = next(learner.parameters()).is_cuda
    state = {
        "run": identity,
        "position": position,
        "learner": learner.state_dict(),
        "optimizer": optimizer.state_dict(),
        "without optimizer state": without_state(optimizer),
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state() if cuda else None,
    }
    save_tensors(file, state | {"digest": digest(state)})


def read(file: Path, identity: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """What `write` wrote, for the run that is described by ``identity``.

    Raises `InputError` where the file is damaged, was changed, or is another run's.
    """
    # A file may hold anything, and so torch may raise anything.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of odd tensors, and then they are refused
            state: dict[str, Any] = load_tensors(file, device)
            differing = difference(state["run"], identity)
    except Exception as error:
        raise InputError(f"{file} is no readable checkpoint; remove it to start anew") from error
    if differing:
        raise InputError(
            f"{file} is the checkpoint of a run with {differing}; name another folder or remove it to start anew"
        )
    try:
        # Whatever was changed in it would be taken over in silence, or crash the optimizer.
        intact = state.pop("digest") == digest(state)
    except Exception:
        intact = False
    if not intact:
        raise InputError(f"{file} does not hold what its run needs; remove it to start anew")
    return state


def restore_module(module: nn.Module, saved: dict[str, Any]) -> None:
    """Load a state dict; raises an error of any kind where it is another module's, in names, shapes or types."""
    module.load_state_dict(saved)
    now = {name: kept for name, kept in module.state_dict().items() if isinstance(kept, Tensor)}
    check_alike({name: saved[name] for name in now}, now)  # load_state_dict converts other dtypes


def restore_random(state: dict[str, Any], device: torch.device) -> None:
    """Give torch's generators the state that `write` noted."""
    torch.set_rng_state(state["rng"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["rng_cuda"].cpu())


def without_state(optimizer: Optimizer) -> list[int]:
    """The numbers of the parameters that have no state yet, since they never had a gradient."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return [number for number, p in enumerate(params) if p not in optimizer.state]


@torch.no_grad()
def restore_optimizer(optimizer: Optimizer, saved: dict[str, Any], without: list[int]) -> None:
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
