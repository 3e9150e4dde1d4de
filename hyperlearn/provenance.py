"""Where numbers come from: machine, versions, commit, and the images that were learnt."""

import os
import platform
import subprocess
from functools import cache
from hashlib import blake2b
from pathlib import Path

import torch

from .benchmarks import Benchmark
from .data import in_pieces


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


def fingerprint(benchmark: Benchmark) -> str:
    """The same for the same images and labels in the same order; of other data a run must not go on."""
    made = blake2b(digest_size=8)
    for task in benchmark.tasks:
        for examples in (task.train, task.test):
            for tensor in (*in_pieces(examples.images), examples.labels):
                made.update(tensor.contiguous().numpy(force=True).data)
    return made.hexdigest()
