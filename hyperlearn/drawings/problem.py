"""Drawings of the book's first part: tasks that arrive one after another, and the classic remedies."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .grammar import BLUE, DARK_VERMILION, GRAY, GREEN, INK, Drawing


def tasks_arriving(images: Sequence[Sequence[Any]], names: Sequence[str], now: int = 3) -> Drawing:
    """Five tasks on the line of time, at the moment when one of them is learnt: which images are there, what is tested.

    Args:
        images: two gray images ``[h, w]`` for each task.
        names: what the classes of each task are called.
        now: the number of the task that is learnt.
    """
    drawing = Drawing(246)
    columns = [38 + 66.5 * number for number in range(5)]
    networks = []
    for number, (x, pair, name) in enumerate(zip(columns, images, names, strict=True), start=1):
        status = "gone" if number < now else "to come" if number > now else "here now"
        ink = INK if number == now else GRAY
        drawing.say(x, 9, f"task {number}", ink, bold=number == now)
        for shift, pixels in zip((-14, 14), pair, strict=True):
            drawing.image(x + shift, 32, pixels, faint=number != now)
        drawing.say(x, 54, name, ink)
        if number < now:
            drawing.strike(x - 29, 47, x + 29, 17)
        drawing.say(x, 67, status, DARK_VERMILION if number == now else GRAY, bold=number == now)
        if number <= now:
            networks.append(drawing.put("network", x, 118, f"$\\Theta^{number}$", 40, 28))
        else:
            drawing.say(x, 118, "…", GRAY)
    for before, after in pairwise(networks):
        drawing.arrow(before.right(), after.left())
    here = columns[now - 1]
    drawing.arrow((here, 75), networks[-1].top())
    drawing.say(here + 8, 88, "trained on these alone", align="left")
    for number, x in enumerate(columns[:now], start=1):
        test = drawing.put("data", x, 190, f"test {number}", 50, 30)
        drawing.arrow(networks[-1].bottom(), (here, 154), (x, 154), test.top())
        drawing.say(x, 219, "still right?" if number < now else "right?", GRAY)
    drawing.say(here + 36, 190, "test images of all tasks\nmet so far: one row of\nthe accuracy matrix", align="left")
    return drawing.legend()


def questions(image: Any) -> Drawing:
    """One image of a 5, of the task of 4 and 5, and the outputs that may answer for it in the three scenarios."""
    drawing = Drawing(222)
    shown = drawing.image(60, 28, image, size=40)
    network = drawing.put("network", 171, 28, "network after\nfive tasks", 84, 34)
    drawing.arrow(shown.right(), network.left())
    drawing.arrow(network.right(), (262, 28))
    drawing.say(267, 28, "which outputs\nmay answer?", align="left")
    rows = [
        ("CL1: a 4 or a 5?", "task 3 is given: its two outputs", range(10), range(4, 6), 5),
        ("CL2: first or second of its pair?", "two outputs for all tasks", range(2), range(2), 1),
        ("CL3: which digit?", "no task is given: every output", range(10), range(10), 5),
    ]
    for row, (question, note, outputs, allowed, right) in enumerate(rows):
        y = 86 + 56 * row
        drawing.say(14, y - 21, question, align="left", bold=True)
        drawing.say(328, y - 21, note, GRAY, align="right")
        for k in outputs:
            x = 171 + 32 * (k - (len(outputs) - 1) / 2)
            drawing.output(x, y, str(k) if len(outputs) == 10 else ("1st", "2nd")[k], k in allowed, k == right)
    return drawing.legend()


def path_of_si(steep: float = 4.0, flat: float = 1.0) -> Drawing:
    r"""What SI counts, on a loss of two weights that gradient descent really walks down.

    .. math::
        \begin{aligned}
        \omega_i &= -\sum_\text{steps} g_i \Delta\Theta_i, \\
        \Omega_i &= \omega_i / (\Theta_i^1 - \Theta_i^0)^2
        \end{aligned}

    (Zenke et al. 2017, equations 3 and 5, without the small constant in the denominator.)

    Args:
        steep: curvature of the loss along the first weight.
        flat: along the second.
    """
    curvature, here = np.array([steep, flat]), np.array([1.1, 1.9])
    path, omega = [here], np.zeros(2)
    for _ in range(600):
        gradient = curvature * here
        step = -0.01 * gradient
        omega -= gradient * step
        here = here + step
        path.append(here)
    walked = (path[-1] - path[0]) ** 2
    drawing = Drawing(206)
    left, low, unit = 104.0, 156.0, 62.0

    def place(x: float, y: float) -> tuple[float, float]:
        return left + unit * x, low - unit * y

    turn = np.linspace(0, 2 * np.pi, 200)
    for level in (0.1, 0.5, 1.2, 2.2):
        ring = np.sqrt(2 * level) * np.stack([np.cos(turn) / np.sqrt(steep), np.sin(turn) / np.sqrt(flat)])
        points = np.where(ring[1] > -0.4, [left + unit * ring[0], low - unit * ring[1]], np.nan)
        drawing.ax.plot(*points, color="#b5b5b5", linewidth=1)
    moments = [path[number] for number in (0, 12, 26, 44, 70, 120)]
    for start, end in pairwise(moments):
        drawing.ax.plot(*np.transpose([place(*start), place(end[0], start[1])]), ":", color=BLUE, linewidth=2.4)
        drawing.ax.plot(*np.transpose([place(end[0], start[1]), place(*end)]), ":", color=GREEN, linewidth=2.4)
        drawing.arrow(place(*start), place(*end))
    for point in (path[0], path[-1]):
        drawing.ax.plot(*place(*point), "o", color=INK, markersize=6, zorder=3)
    drawing.say(place(*path[0])[0] + 6, place(*path[0])[1] + 9, "$\\Theta^0$", align="left")
    drawing.say(left + 6, low + 6, "$\\Theta^1$", align="left")
    drawing.arrow((10, 198), (60, 198))
    drawing.say(66, 197, "weight 1: the loss is steep", align="left")
    drawing.arrow((10, 198), (10, 50))
    drawing.say(6, 34, "weight 2:\nflat", align="left")

    rows = [
        ("share in the fall of the loss", "$\\omega_i = -\\Sigma\\, g_i\\, \\Delta\\Theta_i$", omega),
        ("way, squared", "$(\\Theta^1_i - \\Theta^0_i)^2$", walked),
        ("importance: quotient", "$\\Omega_i$", omega / walked),
    ]
    for row, (name, formula, values) in enumerate(rows):
        top = 9 + 62 * row
        drawing.say(204, top, name, bold=row == 2, align="left")
        drawing.say(204, top + 14, formula, align="left")
        for number, (value, color) in enumerate(zip(values, (BLUE, GREEN), strict=True)):
            y, length = top + 27 + 12 * number, 88 * value / max(values)
            drawing.ax.barh(y, length, 8.5, left=216, color=color)
            drawing.say(207, y, str(number + 1))
            drawing.say(221 + length, y, f"{value:.1f}", align="left")
    return drawing


def teacher_of_lwf() -> Drawing:
    """Learning without forgetting: a frozen copy of the network says what the new images are, and is held to that.

    (Li and Hoiem 2018.)
    """
    drawing = Drawing(200)
    images = drawing.put("data", 38, 88, "images\nof task 2", 62, 44)
    old = drawing.put("network", 138, 34, "copy, from\nafter task 1", 76, 36, held=True)
    new = drawing.put("network", 138, 132, "network in\ntraining", 76, 36)
    drawing.arrow(images.top(), (images.x, old.y), old.left())
    drawing.arrow(images.bottom(-8), (images.x - 8, new.y), new.left())
    said = drawing.bars(222, 34, (0.8, 0.2))
    says = drawing.bars(222, 132, (0.55, 0.1, 0.3, 0.05))
    drawing.say(186, 12, "$\\hat p$: of task 1's classes", align="left")
    drawing.say(222, 154, "$p$: of all")
    drawing.arrow(old.right(), said.left())
    drawing.arrow(new.right(), says.left())
    held = drawing.put("loss", 302, 82, "$L_\\mathrm{KD}$", 46, 28)
    right = drawing.put("loss", 302, 176, "$L_2$", 46, 28)
    labels = drawing.put("data", 38, 176, "labels", 52, 26)
    drawing.arrow(said.right(), (302, 34), held.top())
    drawing.arrow(says.right(-6), (302, 126), held.bottom())
    drawing.arrow(says.right(6), (302, 138), right.top())
    drawing.arrow(labels.right(), right.left())
    drawing.arrow(held.left(), (120, 82), (120, 113), gradient=True)
    drawing.arrow(right.left(-7), (138, 169), new.bottom(), gradient=True)
    drawing.say(206, 72, "give the same answers", GRAY)
    return drawing.legend()
