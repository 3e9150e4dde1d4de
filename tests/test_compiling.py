"""Target networks are compiled where it pays, in training alone, and learn what they learn as they are written."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn import compiling
from hyperlearn.catalog import Compile
from hyperlearn.cli import main
from hyperlearn.compiling import PAYS_FROM, TargetCompiler, can_compile

CPU = torch.device("cpu")


class SmallNet(nn.Linear):
    """Takes a second to compile."""

    def __init__(self) -> None:
        super().__init__(64, 2)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.flatten(1))


@pytest.fixture
def without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch traces the network and runs it as written, which takes no C++ and no time."""
    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_(self, backend="eager"))
    monkeypatch.setattr(compiling, "can_compile", lambda device: True)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def learnt(method: str, compile: Any, target: nn.Module | None = None, **overrides: Any) -> hl.Result:
    fewer: dict[str, Any] = {"iterations": 20, "batch_size": 16, **overrides}
    return hl.run(method, hl.benchmarks.split_digits(), target=target, compile=compile, **fewer)


def close(one: hl.Result, other: hl.Result) -> None:
    """Rounding may turn an image or two of the 70 to 75 of a task."""
    for row, expected in zip(one.accuracy_matrix, other.accuracy_matrix, strict=True):
        assert row == pytest.approx(expected, abs=0.03)


def graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("method", ["finetune", "scratch", "ewc", "lwf", "hnet", "lstm-net-iwr", "lstm-net-grow"])
def test_a_compiled_network_learns_the_same(method: str, without_a_compiler: None) -> None:
    """Also where networks are copied, replaced from task to task, or differentiated image by image."""
    as_written, compiled = learnt(method, "off"), learnt(method, "on")
    close(compiled, as_written)
    assert compiled.environment["compiled"] == "target"
    assert "compiled" not in as_written.environment


@pytest.mark.parametrize("method", ["hnet", "hnet-iwr", "ewc"])
def test_training_alone_is_compiled(method: str, without_a_compiler: None) -> None:
    """One graph for all steps of all tasks: evaluation and importances, of other batches, run as it is written."""
    before = graphs()
    learnt(method, "on")
    assert graphs() == before + 1


@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler on this machine")
def test_pytorch_compiles_it() -> None:
    before = graphs()
    as_written, compiled = (learnt("hnet", how, target=SmallNet(), chunk_size=50) for how in ("off", "on"))
    assert graphs() > before
    close(compiled, as_written)


@pytest.mark.parametrize(
    ("net", "choice", "steps", "expected"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 1)), "auto", PAYS_FROM, True),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), "auto", PAYS_FROM - 1, False),
        (nn.Linear(1, 1), "auto", PAYS_FROM, False),
        (nn.Linear(1, 1), "on", 1, True),
        (nn.Sequential(nn.Conv2d(1, 1, 1)), "off", PAYS_FROM, False),
    ],
)
def test_auto_compiles_convolutions_of_long_runs(
    net: nn.Module, choice: Compile, steps: int, expected: bool, without_a_compiler: None
) -> None:
    compiler = TargetCompiler(choice, steps, CPU)
    compiler.wrap(lambda outputs: net)(2)
    assert compiler.used is expected


def test_auto_leaves_it_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    compiler = TargetCompiler("auto", PAYS_FROM, CPU)
    compiler.wrap(lambda outputs: nn.Conv2d(1, 1, 1))(2)
    assert not compiler.used


def test_a_compiler_that_is_named_by_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/opt/icpx" if name == "icpx" else None)
    assert not can_compile(CPU)
    monkeypatch.setenv("CXX", "icpx")
    assert can_compile(CPU)


def test_what_cannot_be_compiled_is_said_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for command in (["run", "split-digits", "hnet"], ["sweep", "table1", "--benchmark", "split-digits"]):
        assert main([*command, f"--results={tmp_path}", "--device=cpu", "--compile=on"]) == 2
        assert "needs a C++ compiler" in capsys.readouterr().err
    with pytest.raises(hl.errors.InputError, match="compile is auto, on, off, not 'yes'"):
        learnt("hnet", "yes")


def test_several_seeds_at_once_are_not_compiled(
    without_a_compiler: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "split-digits", "hnet", "--seeds=2", f"--results={tmp_path}", "--device=cpu"]
    assert main([*command, "--compile=on"]) == 2
    assert "cannot be compiled" in capsys.readouterr().err
