"""nbval starts the kernels of the chapters in a function that takes no configuration."""

from __future__ import annotations

from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager
from kernels import without_ports


def manager(**settings: Any) -> KernelManager:
    return KernelManager(**settings, config=without_ports())


nbval.kernel.KernelManager = manager
