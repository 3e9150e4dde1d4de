"""A kernel that needs no port.

jupyter_client picks five free ports, lets them go, and the kernel takes them a second later. Another kernel can take
one of them first, and so can a client that asks whether its kernel is up; then the kernel dies before it has answered.
Where kernels run side by side, as in the tests, this happens now and then. A socket in a file of its own cannot be
taken.
"""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import zmq
from traitlets.config import Config


def without_ports() -> Config:
    """The configuration of one kernel's manager. The path is short: the name of a socket has room for about 100."""
    if not zmq.has("ipc"):
        return Config()
    file = Path(tempfile.gettempdir(), f"kernel-{uuid.uuid4().hex[:12]}.json")
    return Config(KernelManager={"transport": "ipc", "connection_file": str(file)})
