"""Figures that compute in the page: plain JavaScript and stored numbers, without a kernel and without the network.

A figure shows itself as HTML in a notebook. The same HTML works in Jupyter, on Colab and in the built book. Where no
script runs, a still picture stands in its place. `controls` is for notebooks whose kernel runs, and computes there.
"""

from .compression import CompressionRatio
from .controls import controls
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
    "controls",
    "round_",
]
