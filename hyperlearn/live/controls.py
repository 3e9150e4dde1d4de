"""Controls that compute anew with PyTorch, in a notebook whose kernel runs."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any

import torch

from ..notebooks import kernel_runs, show


def controls(function: Callable[..., None], /, button: str = "", **choices: Any) -> None:
    """Sliders for the arguments of ``function``, which is called with what they say; what it shows stands below them.

    A thin wrapper of `ipywidgets.interactive`, for Jupyter and Colab. Nothing is shown where no kernel runs, and a
    built page leaves the controls out, since nobody would answer there. Random numbers that ``function`` draws are not
    taken from those of the notebook, so what comes after does not depend on how long somebody played.

    Args:
        function: draws a figure or displays a text; the defaults of its arguments are where the controls start.
        button: what stands on a button that calls ``function``, for one that takes seconds. Without it ``function`` is
            called at each change, and once at the start.
        choices: for each argument a list of values, or what `ipywidgets.interactive` takes: ``(low, high, step)``, a
            text, a widget.

    Example::

        def square(side=3):
            print(side**2)

        hl.live.controls(square, side=(1, 10))
    """
    if not kernel_runs():
        return
    from ipywidgets import SelectionSlider, interactive

    @wraps(function)
    def apart(**chosen: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            function(**chosen)

    starts = {name: p.default for name, p in signature(function).parameters.items() if p.default is not Parameter.empty}
    for name, values in choices.items():
        if isinstance(values, list):
            start = {"value": starts[name]} if name in starts else {}
            choices[name] = SelectionSlider(options=values, continuous_update=False, **start)
    box = interactive(apart, {"manual": bool(button), "manual_name": button}, **choices)
    for control in box.kwargs_widgets:
        control.description = control.description.replace("_", " ")
        control.style.description_width = "9em"
        control.layout.width = "32em"
        control.layout.max_width = "100%"
    show(box)
