"""Figures that compute in the page: plain JavaScript and stored numbers, without a kernel and without the network.

A figure shows itself as HTML in a notebook. The same HTML works in Jupyter, on Colab and in the built book. Where no
script runs, a still picture stands in its place. `controls` is for notebooks whose kernel runs, and computes there.
"""

from .controls import controls
from .drawing import DrawADigit
from .numbers import round_
from .plane import EmbeddingPlane

__all__ = ["DrawADigit", "EmbeddingPlane", "controls", "round_"]
