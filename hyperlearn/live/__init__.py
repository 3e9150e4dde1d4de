"""Figures that compute in the page: plain JavaScript and stored numbers, without a kernel and without the network.

A figure shows itself as HTML in a notebook. The same HTML works in Jupyter, on Colab and in the built book. Where no
script runs, a still picture stands in its place.
"""

from .compression import CompressionRatio
from .costs import CostOverTasks
from .drawing import DrawADigit, DrawItAgain
from .numbers import round_
from .pins import PinnedCurve
from .plane import EmbeddingPlane
from .valleys import TwoValleys

__all__ = [
    "CompressionRatio",
    "CostOverTasks",
    "DrawADigit",
    "DrawItAgain",
    "EmbeddingPlane",
    "PinnedCurve",
    "TwoValleys",
    "round_",
]
