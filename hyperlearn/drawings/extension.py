"""Drawings of the book's last part: a cheaper regulariser, networks that grow by a little, and parts of one's own."""

from .grammar import BLUE, GRAY, GREEN, PINK, Drawing


def gram_shapes() -> Drawing:
    """Why the Gram form is cheap: the wide matrix is multiplied with itself, once for all tasks."""
    drawing = Drawing(252)
    drawing.say(8, 10, "direct: a wide matrix for each old task", align="left", bold=True)
    for shift in (12, 6, 0):
        drawing.block(262 + shift, 58 - shift, 124, 56, "" if shift else "$A\\, W$", PINK)
    drawing.block(22, 58, 26, 56, "$A$", GREEN)
    drawing.say(44, 58, "·")
    drawing.block(114, 58, 124, 26, "$W$", BLUE)
    drawing.say(188, 58, "=")
    drawing.say(9, 101, "an old task's features", GRAY, align="left")
    drawing.say(114, 80, "last layer", GRAY)
    drawing.rule(118)
    drawing.say(8, 131, "Gram: a small square for all tasks", align="left", bold=True)
    drawing.block(70, 194, 124, 26, "$W$", BLUE)
    drawing.say(142, 194, "·")
    drawing.block(164, 194, 26, 108, "$W^\\top$", BLUE)
    drawing.say(190, 194, "=")
    drawing.block(216, 194, 26, 26, "", BLUE)
    drawing.say(236, 194, "$W W^\\top$: as small\nas a row of $A$", align="left")
    return drawing


def sockets() -> Drawing:
    """The parts of a run, with the numbers of the sections in which each becomes your own."""
    drawing = Drawing(172)
    drawing.frame(8, 22, 86, 142)
    drawing.say(51, 11, "2 benchmark", bold=True)
    for number in (1, 2, 3):
        drawing.put("data", 51, 2 + 46 * number, f"task {number}", 62, 32)
    drawing.frame(118, 22, 142, 142)
    drawing.say(189, 11, "4 learner", bold=True)
    code = drawing.put("embedding", 189, 43, "embedding", 78, 22)
    writer = drawing.put("hypernet", 189, 90, "3 hypernetwork", 118, 28)
    target = drawing.put("target", 189, 139, "1 target network", 118, 28)
    drawing.both(code.bottom(), writer.top())
    drawing.both(writer.bottom(), target.top())
    record = drawing.put("data", 308, 93, "record", 54, 36)
    drawing.arrow((94, 93), (118, 93))
    drawing.arrow((260, 93), record.left())
    return drawing.legend()


def base_and_additions() -> Drawing:
    """A layer as a frozen matrix and the little that a task adds to it."""
    drawing = Drawing(262)
    drawing.say(8, 10, "frozen for all tasks", align="left", bold=True)
    drawing.say(152, 10, "added by task $t$", align="left", bold=True)
    drawing.say(8, 57, "layer 1", align="left")
    drawing.block(96, 57, 88, 62, "$W_1$", BLUE, held=True)
    drawing.say(151, 57, "+")
    drawing.block(174, 57, 22, 62, "$C^t$", PINK)
    drawing.say(194, 57, "·")
    drawing.block(246, 57, 88, 22, "$\\Phi$", BLUE, held=True)
    drawing.say(246, 82, "basis: directions\nof task 1's images", GRAY)
    drawing.say(8, 144, "layer 2", align="left")
    drawing.block(83, 144, 62, 62, "$W_2$", BLUE, held=True)
    drawing.say(151, 144, "+")
    drawing.block(174, 144, 22, 62, "$B^t$", PINK)
    drawing.say(194, 144, "·")
    drawing.block(233, 144, 62, 22, "$A^t$", PINK)
    drawing.say(240, 170, "two thin matrices", GRAY)
    drawing.say(8, 215, "layer 3", align="left")
    drawing.block(83, 215, 62, 28, "$W_3$", BLUE, held=True)
    drawing.say(151, 215, "+")
    drawing.block(194, 215, 62, 28, "$D^t$", PINK)
    drawing.say(236, 215, "small enough\nto be whole", GRAY, align="left")
    drawing.say(8, 250, "biases: $b_l + d_l^t$", align="left")
    return drawing.legend()
