"""Networks that write the parameters of other networks."""

from .base import EmbeddingHypernet, Hypernetwork, SharedHead
from .chunked import ChunkedHypernet
from .growing import GrowingLSTMHypernet
from .lstm import LSTMHypernet
from .separate import SeparateNetworks

__all__ = [
    "ChunkedHypernet",
    "EmbeddingHypernet",
    "GrowingLSTMHypernet",
    "Hypernetwork",
    "LSTMHypernet",
    "SeparateNetworks",
    "SharedHead",
]
