"""What slows a training on a processor down: memory that is freed and allocated again, and denormal numbers."""

import platform
import subprocess
import sys
from typing import Any

import pytest
import torch

import hyperlearn as hl
from hyperlearn.processor import flush_denormals, flushes_denormals

FAULTS = """
import resource, sys
import torch
from hyperlearn.processor import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for step in range(12):
    if step == 2:
        before = faults()
    parts = [torch.ones(2**18) for _ in range(8)]  # a megabyte each, as a step's tensors are
    del parts
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_not_asked_for_again() -> None:
    """Page faults in ten rounds of the same allocations, beside a process that has glibc give memory back at once."""
    counted = {}
    for how in ("keep", "give"):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, how],
            capture_output=True,
            text=True,
            check=True,
            env={"MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
        )
        counted[how] = int(done.stdout)
    assert counted["give"] > 10_000  # 8 MiB are 2,048 pages, ten times
    assert counted["keep"] < counted["give"] / 20


def test_training_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr("hyperlearn.training.keep_freed_memory", lambda: called.append(True))
    hl.run("finetune", hl.benchmarks.split_digits(), iterations=1, device="cpu")
    assert called == [True]


def test_denormals_are_flushed_inside_alone() -> None:
    small = torch.full((1000,), 1e-39)
    assert bool((small * 1.0).any())
    assert not flushes_denormals()
    with flush_denormals():
        assert flushes_denormals()
        assert not (small * 1.0).any()
    with pytest.raises(RuntimeError, match="inside"), flush_denormals():
        raise RuntimeError("inside")
    assert not flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        with flush_denormals():
            pass
        assert flushes_denormals()  # whoever wanted it before has it still
    finally:
        torch.set_flush_denormal(False)


def test_training_flushes_denormals() -> None:
    seen = []

    class Seeing(hl.callbacks.Callback):
        def on_step(self, run: Any, loss: Any) -> None:
            seen.append(flushes_denormals())

    digits = hl.benchmarks.split_digits()
    hl.run("finetune", digits, iterations=1, device="cpu", callbacks=[Seeing()])
    assert seen == [True] * 5
    assert not flushes_denormals()
