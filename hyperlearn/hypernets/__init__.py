"""Networks that write the parameters of other networks."""

from .base import EmbeddingHypernet, GrowingHypernetwork, Hypernetwork, SharedHead
from .basis import BasisGrowthHypernet
from .chunked import ChunkedHypernet
from .growing import GrowingLSTMHypernet
from .lstm import LSTMHypernet
from .separate import SeparateNetworks

__all__ = [
    "BasisGrowthHypernet",
    "ChunkedHypernet",
    "EmbeddingHypernet",
    "GrowingHypernetwork",
    "GrowingLSTMHypernet",
    "Hypernetwork",
    "LSTMHypernet",
    "SeparateNetworks",
    "SharedHead",
]
