"""Random numbers of a run's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
