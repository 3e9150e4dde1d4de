"""Drawings of the book's third part: which task it is, generative replay, and what is kept beside the parameters."""

from itertools import pairwise
from typing import Any

from .grammar import AMBER, GRAY, INK, Drawing


def ask_all(image: Any) -> Drawing:
    """Task inference: the hypernetwork writes the networks of all tasks, and the surest of them is believed."""
    drawing = Drawing(224)
    writer = drawing.put("hypernet", 171, 76, "hypernetwork", 322, 28)
    answers = [(0.6, 0.4), (0.97, 0.03), (0.35, 0.65)]
    for number, (x, answer) in enumerate(zip((58, 171, 284), answers, strict=True), start=1):
        code = drawing.put("embedding", x + 16, 26, f"$e_{number}$", 44)
        drawing.arrow(code.bottom(), (code.x, writer.top()[1]))
        shown = drawing.image(x - 34, 126, image, size=28)
        network = drawing.put("target", x + 16, 126, f"$\\Theta^{number}$", 44, 28)
        drawing.arrow((network.x, writer.bottom()[1]), network.top())
        drawing.arrow(shown.right(), network.left())
        bars = drawing.bars(network.x, 172, answer)
        drawing.arrow(network.bottom(), bars.top())
        sure = number == 2
        drawing.say(x + 16, 195, "low entropy" if sure else "high entropy", INK if sure else GRAY, bold=sure)
        if sure:
            drawing.say(x + 16, 210, "task 2, first label", bold=True)
            drawing.frame(x - 36, 151, 104, 68, AMBER)
    return drawing.legend()


def two_ways() -> Drawing:
    """How a generator remembers: by its own drawings in DGR, by pins on what a hypernetwork writes in +R."""
    drawing = Drawing(322)
    columns = (54, 171, 288)
    drawing.say(8, 10, "DGR: one generator that has to remember all", align="left", bold=True)
    generators = []
    for number, x in enumerate(columns, start=1):
        generators.append(drawing.put("network", x, 42, f"generator\nafter task {number}", 78, 38))
        images = drawing.put("data", x, 98, f"images of\ntask {number}", 66, 38)
        drawing.arrow(images.top(), generators[-1].bottom())
    for before, after in pairwise(generators):
        drawing.arrow(before.right(), after.left())
        drawing.say((before.x + after.x) / 2, 27, "draws", GRAY)
    drawing.rule(128)
    drawing.say(8, 141, "+R: a decoder for each task; what was written is pinned", align="left", bold=True)
    writer = drawing.put("hypernet", 171, 212, "one hypernetwork, $\\Theta_h$", 312, 28)
    for number, x in enumerate(columns, start=1):
        code = drawing.put("embedding", x, 166, f"$e_{number}$", 44, held=number < 3)
        decoder = drawing.put("target", x, 256, f"decoder {number}", 78, 26)
        images = drawing.put("data", x, 301, f"drawn: task {number}", 94, 30)
        drawing.arrow(code.bottom(), (x, writer.top()[1]))
        drawing.arrow((x, writer.bottom()[1]), decoder.top())
        drawing.arrow(decoder.bottom(), images.top())
    return drawing.legend()


def replay_step() -> Drawing:
    """What is trained in a step of +R: above the decoder, which learns to draw, below the classifier."""
    drawing = Drawing(352)
    drawing.say(8, 9, "Learn to draw the new task: the VAE", align="left", bold=True)
    fresh = drawing.put("embedding", 118, 40, "$e_T$", 40)
    writer = drawing.put("hypernet", 222, 40, "hypernetwork", 88, 28)
    images = drawing.put("data", 34, 98, "images\nof task $T$", 60, 40)
    encoder = drawing.put("network", 104, 98, "encoder", 54, 28)
    code = drawing.put("embedding", 160, 98, "$z$", 30)
    decoder = drawing.put("target", 222, 98, "decoder $T$", 68, 28)
    drawn = drawing.put("data", 305, 98, "drawn", 50, 34)
    loss = drawing.put("loss", 170, 148, "$L_\\mathrm{VAE}$", 52, 28)
    drawing.both(fresh.right(), writer.left())
    drawing.both(writer.bottom(), decoder.top())
    drawing.say(232, 68, "writes its parameters", align="left")
    drawing.arrow(images.right(), encoder.left())
    drawing.arrow(encoder.right(), code.left())
    drawing.arrow(code.right(), decoder.left())
    drawing.arrow(decoder.right(), drawn.left())
    drawing.arrow(drawn.bottom(), (305, 148), loss.right())
    drawing.arrow(images.bottom(), (34, 148), loss.left())
    drawing.arrow((188, 138), (222, 126), (222, 112), gradient=True)
    drawing.arrow((152, 138), (104, 126), (104, 112), gradient=True)

    drawing.rule(172)
    drawing.say(8, 184, "Learn to answer: the classifier", align="left", bold=True)
    old = drawing.put("embedding", 36, 210, "$e_t,\\ t < T$", 60, held=True)
    again = drawing.put("hypernet", 142, 210, "hypernetwork", 88, 28)
    noise = drawing.put("embedding", 36, 262, "noise $z$", 58)
    past = drawing.put("target", 142, 262, "decoder $t$", 68, 28)
    replayed = drawing.put("data", 213, 262, "drawn", 50, 34)
    teacher = drawing.put("network", 296, 222, "old classifier", 78, 28, held=True)
    student = drawing.put("network", 262, 324, "classifier", 66, 30)
    drawing.arrow(old.right(), again.left())
    drawing.arrow(again.bottom(), past.top())
    drawing.arrow(noise.right(), past.left())
    drawing.arrow(past.right(), replayed.left())
    drawing.arrow(replayed.top(), (213, 222), teacher.left())
    drawing.arrow(replayed.bottom(), (213, 318), student.left(-6))
    held = drawing.put("loss", 312, 272, "$L_\\mathrm{KD}$", 46, 28)
    right = drawing.put("loss", 148, 324, "$L_\\mathrm{CE}$", 46, 28)
    new = drawing.put("data", 46, 324, "new images,\nlabels", 80, 38)
    drawing.arrow(teacher.bottom(16), held.top())
    drawing.arrow((278, 309), (300, 284))
    drawing.arrow((308, 286), (287, 309), gradient=True)
    drawing.arrow(new.right(), right.left())
    drawing.both(student.left(6), right.right(6))
    return drawing.legend()


def batch_statistics() -> Drawing:
    """Batch norm's running statistics of each task: kept beside what the hypernetwork writes, and measured."""
    drawing = Drawing(250)
    drawing.say(90, 15, "learnt:\nan embedding for each task", bold=True)
    drawing.say(256, 15, "measured: running\nstatistics for each task", bold=True)
    drawing.put("embedding", 62, 44, "$e_1$", 44)
    second = drawing.put("embedding", 118, 44, "$e_2$", 44)
    writer = drawing.put("hypernet", 90, 97, "hypernetwork $\\Theta_h$", 116, 30)
    drawing.both((62, 56), (62, 82))
    drawing.arrow(second.bottom(), (118, 82))
    written = drawing.put("parameters", 90, 148, "$\\Theta^1$", 90, 30)
    drawing.both(writer.bottom(), written.top())
    kept = drawing.put("data", 220, 56, "task 1:\n$\\mu_1, \\sigma_1^2$", 62, 42)
    drawing.put("data", 294, 56, "task 2:\n$\\mu_2, \\sigma_2^2$", 62, 42)
    drawing.frame(6, 186, 330, 58)
    layers = [
        drawing.put("target", x, 223, name, width, 30)
        for x, name, width in ((113, "convolution", 74), (222, "batch norm", 74), (306, "…", 40))
    ]
    images = drawing.put("data", 36, 223, "images", 50, 30)
    drawing.say(330, 196, "target network", GRAY, align="right")
    drawing.arrow(images.right(), layers[0].left())
    drawing.both(layers[0].right(), layers[1].left())
    drawing.both(layers[1].right(), layers[2].left())
    drawing.both((86, 163), (86, 208))
    drawing.arrow((112, 163), (112, 176), (194, 176), (194, 208))
    drawing.arrow(kept.bottom(-8), layers[1].top(-10))
    drawing.arrow(layers[1].top(10), kept.bottom(12))
    drawing.say(242, 130, "updated in training;\nno gradient flows", align="left")
    drawing.say(207, 104, "used at\ntest time", align="right")
    return drawing.legend()


def verdicts() -> Drawing:
    """The rule by which a figure of ours agrees with the paper's: where the interval lies, and how wide it is."""
    drawing = Drawing(218)
    paper, narrow = 236.0, 12.0
    drawing.say(paper, 9, "the paper's mean", bold=True)
    drawing.ax.plot([paper, paper], [18, 186], color=INK, linewidth=1.4, zorder=3)
    rows = [
        ("above", "all of the interval lies right", 282, 24),
        ("below", "all of it lies left", 190, 18),
        ("agrees", "holds the mean, is narrow", 240, 9),
        ("inconclusive", "holds the mean, is wide", 228, 54),
        ("one run", "no interval", 268, 0),
    ]
    for row, (verdict, rule, mean, half) in enumerate(rows):
        y = 34 + 34 * row
        drawing.say(8, y - 6, verdict, align="left", bold=True)
        drawing.say(8, y + 7, rule, GRAY, align="left")
        drawing.interval(mean, y, half)
    drawing.interval(paper, 206, narrow, GRAY)
    drawing.say(paper - 20, 206, "at most as wide as this: narrow", GRAY, align="right")
    return drawing


def draw_again(image: Any) -> Drawing:
    """A network that draws the image again, once as each of its classes: the better drawing is the likelier class."""
    drawing = Drawing(304)
    shown = drawing.image(171, 30, image, size=40)
    drawing.say(196, 14, "image $x$", align="left")
    encoder = drawing.put("network", 171, 84, "encoder", 64, 26)
    code = drawing.put("embedding", 171, 128, "code $z$", 58)
    drawing.arrow(shown.bottom(), encoder.top())
    drawing.arrow(encoder.bottom(), code.top())
    for label, x, side in ((0, 92, -1), (1, 250, 1)):
        decoder = drawing.put("network", x, 176, f"decoder, told\n“class {label}”", 92, 34)
        drawn = drawing.put("data", x, 228, f"drawing $r_{label}$", 78, 30)
        error = drawing.put("loss", x, 280, f"$\\frac{{1}}{{2}}\\Vert r_{label} - x \\Vert^2$", 92, 34)
        drawing.arrow((code.x + side * 29, 128), (x, 128), decoder.top())
        drawing.arrow(decoder.bottom(), drawn.top())
        drawing.arrow(drawn.bottom(), error.top())
        edge = 171 + side * 155
        drawing.arrow((171 + side * 20, 30), (edge, 30), (edge, 280), (x + side * 46, 280))
    drawing.say(171, 280, "the smaller\nis likelier", bold=True)
    return drawing.legend()
