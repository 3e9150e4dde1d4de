"""Explanatory drawings, all in one visual language: the same thing has the same shape and colour in every chapter."""

from .extension import base_and_additions, gram_shapes, sockets
from .grammar import KINDS, Drawing, Part
from .hypernetworks import chunks, equation_2, gates, hypernetwork, unrolled, who_owns_what
from .problem import path_of_si, questions, tasks_arriving, teacher_of_lwf
from .settings import ask_all, batch_statistics, draw_again, replay_step, two_ways, verdicts

__all__ = [
    "KINDS",
    "Drawing",
    "Part",
    "ask_all",
    "base_and_additions",
    "batch_statistics",
    "chunks",
    "draw_again",
    "equation_2",
    "gates",
    "gram_shapes",
    "hypernetwork",
    "path_of_si",
    "questions",
    "replay_step",
    "sockets",
    "tasks_arriving",
    "teacher_of_lwf",
    "two_ways",
    "unrolled",
    "verdicts",
    "who_owns_what",
]
