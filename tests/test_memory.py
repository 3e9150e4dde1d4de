"""Memory that is freed and allocated again in each step."""

import platform
import subprocess
import sys

import pytest

import hyperlearn as hl

FAULTS = """
import resource, sys
import torch
from hyperlearn.memory import keep_freed_memory

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
