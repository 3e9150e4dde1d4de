"""Drawings of the book's second part: networks that write networks, and how old tasks are held."""

from typing import Any

from .grammar import BLUE, GRAY, Drawing


def equation_2() -> Drawing:
    r"""One training step by equation 2: the task's loss on the left, the output regulariser on the right.

    .. math::
        \begin{aligned}
        L ={} & L_\text{task} + \frac{\beta}{T-1} \sum_{t<T} \lVert f_h(e_t, \Theta_h^*) \\
        & - f_h(e_t, \Theta_h + \Delta\Theta_h) \rVert^2
        \end{aligned}
    """
    drawing = Drawing(292)
    one, two, three, between = 64, 186, 293, 239.5
    drawing.say(one, 9, "the new task", bold=True)
    drawing.say(between, 9, "the pins: one for each old task", bold=True)
    fresh = drawing.put("embedding", one, 34, "$e_T$", 50)
    old = drawing.put("embedding", between, 34, "$e_1, \\dots, e_{T-1}$", 84, held=True)
    here = drawing.put("hypernet", one, 92, "hypernetwork\n$\\Theta_h$", 84, 38)
    ahead = drawing.put("hypernet", two, 92, "one step ahead\n$\\Theta_h + \\Delta\\Theta_h$", 92, 38)
    copy = drawing.put("hypernet", three, 92, "before task $T$\n$\\Theta_h^*$", 86, 38, held=True)
    drawing.both(fresh.bottom(), here.top())
    drawing.arrow(old.bottom(-20), (219.5, 58), (two, 58), ahead.top())
    drawing.arrow(old.bottom(20), (259.5, 58), (three, 58), copy.top())
    drawing.both(here.right(), ahead.left())
    written = drawing.put("parameters", one, 152, "$\\Theta^T$", 70, 28)
    now = drawing.put("parameters", two, 152, "would write", 78, 28)
    before = drawing.put("parameters", three, 152, "wrote", 70, 28)
    drawing.both(here.bottom(), written.top())
    drawing.both(ahead.bottom(), now.top())
    drawing.arrow(copy.bottom(), before.top())
    target = drawing.put("target", one, 206, "target network", 90, 26)
    drawing.both(written.bottom(), target.top())
    distance = drawing.put("loss", between, 210, "$\\|$ difference $\\|^2$", 102, 30)
    drawing.arrow(now.bottom(-3), (two + 16, 198.5))
    drawing.arrow((two + 24, 196.5), now.bottom(5), gradient=True)
    drawing.arrow(before.bottom(), (three - 20, 198))
    task = drawing.put("loss", 96, 264, "$L_\\mathrm{task}$", 50, 30)
    data = drawing.put("data", 33, 264, "$X_T, Y_T$", 50, 28)
    drawing.arrow(data.top(-4), (data.x - 4, 219))
    drawing.arrow(data.right(), task.left())
    drawing.both((90, 219), (90, 249.5))
    total = drawing.put("loss", between, 266, "$L_\\mathrm{total}$", 54, 30)
    drawing.both(task.right(2), total.left())
    drawing.both(distance.bottom(), total.top())
    drawing.say(249, 238, "$\\times\\, \\beta / (T - 1)$", align="left")
    return drawing.legend()


def gates() -> Drawing:
    """One step of the LSTM that writes chunk j, with the names of section 3.1 of the paper."""
    drawing = Drawing(262)
    drawing.frame(44, 20, 248, 172, BLUE)
    drawing.say(52, 11, "LSTM: the same weights $w, u$ for every chunk", BLUE, align="left")
    keep, add = drawing.sign(78, 48, "⊙"), drawing.sign(162, 48, "+")
    drawing.arrow((6, 48), keep.left())
    drawing.arrow(keep.right(), add.left())
    drawing.arrow(add.right(), (336, 48))
    drawing.say(22, 38, "$s_{j-1}$")
    drawing.say(318, 38, "$s_j$")
    drawing.say(22, 63, "cell\nstate", GRAY)
    names = [("forget", "f", "\\sigma"), ("input", "i", "\\sigma"), ("cell", "g", "\\tanh"), ("output", "o", "\\sigma")]
    boxes = {}
    for x, (name, letter, function) in zip((78, 133, 190, 248), names, strict=True):
        boxes[letter] = drawing.put("step", x, 140, f"{name}\n${letter}_j,\\ {function}$", 49, 34)
        drawing.arrow((x, 178), boxes[letter].bottom())
    scale = drawing.sign(162, 90, "⊙")
    drawing.arrow(boxes["f"].top(), keep.bottom())
    drawing.arrow(boxes["i"].top(), (133, 90), scale.left())
    drawing.arrow(boxes["g"].top(), (190, 90), scale.right())
    drawing.arrow(scale.top(), add.bottom())
    squash, show = drawing.put("step", 248, 71, "tanh", 34, 18), drawing.sign(248, 102, "⊙")
    drawing.arrow((248, 48), squash.top())
    drawing.arrow(squash.bottom(), show.top())
    drawing.arrow(boxes["o"].top(), show.bottom())
    drawing.arrow(show.right(), (336, 102))
    drawing.say(318, 92, "$h_j$")
    drawing.say(318, 117, "hidden\nstate", GRAY)
    drawing.arrow((6, 178), (248, 178), head=False)
    drawing.say(22, 168, "$h_{j-1}$")
    task, chunk = drawing.put("embedding", 110, 224, "$e_t$", 44), drawing.put("embedding", 162, 224, "$c_j$", 44)
    drawing.arrow(task.top(), (110, 178))
    drawing.arrow(chunk.top(), (162, 178))
    drawing.say(136, 248, "embeddings of task and chunk")
    drawing.arrow((282, 102), (282, 210))
    drawing.say(278, 201, "$\\times\\, W$", align="right")
    drawing.put("parameters", 278, 225, "chunk $\\Theta^{t,j}$", 88, 30)
    return drawing.legend()


def hypernetwork(image: Any) -> Drawing:
    """What a hypernetwork is: it writes the parameters of a target network, and only its own weights are trained."""
    drawing = Drawing(176)
    code = drawing.put("embedding", 36, 40, "$e_t$", 54, 28)
    writer = drawing.put("hypernet", 154, 40, "hypernetwork\n$f_h$, weights $\\Theta_h$", 110, 44)
    written = drawing.put("parameters", 288, 40, "parameters $\\Theta^t$", 98, 44)
    drawing.both(code.right(), writer.left())
    drawing.both(writer.right(), written.left())
    drawing.say(36, 12, "which task?")
    shown = drawing.image(36, 128, image, size=44)
    target = drawing.put("target", 154, 128, "target network", 100, 44)
    loss = drawing.put("loss", 288, 128, "loss", 48, 28)
    drawing.arrow(shown.right(), target.left())
    drawing.both(target.right(), loss.left())
    drawing.arrow((284.5, 62), (284.5, 82.5), (150.5, 82.5), (150.5, 106))
    drawing.arrow((157.5, 106), (157.5, 89.5), (291.5, 89.5), (291.5, 62), gradient=True)
    drawing.say(217, 74, "become its parameters")
    drawing.say(36, 160, "an image")
    drawing.say(234, 112, "answer", GRAY)
    return drawing.legend()


def chunks() -> Drawing:
    """A chunked hypernetwork: the same small network writes every chunk, and the last one is cut."""
    drawing = Drawing(232)
    columns = [50 + 82 * number for number in range(4)]
    writer = drawing.put("hypernet", 171, 78, "hypernetwork $f_h$: the same weights for all chunks", 322, 30)
    for number, x in enumerate(columns, start=1):
        task = drawing.put("embedding", x - 18, 26, "$e_t$", 32)
        chunk = drawing.put("embedding", x + 18, 26, f"$c_{number}$", 32)
        for part in (task, chunk):
            drawing.arrow(part.bottom(), (part.x, writer.top()[1]))
        drawing.arrow((x, writer.bottom()[1]), (x, 118))
        if number < 4:
            drawing.put("parameters", x, 134, f"chunk {number}", 82, 32)
    drawing.put("parameters", 276.5, 134, "4", 43, 32)
    drawing.frame(299, 119, 37, 30)
    drawing.say(317.5, 134, "cut\noff", GRAY)
    drawing.say(171, 171, "the same values, as parameters of the target network", bold=True)
    left = 9.0
    for name, width in (("1st weight", 128), ("bias", 31), ("2nd weight", 99), ("bias", 31)):
        drawing.put("target", left + width / 2, 198, name, width, 28)
        left += width
    return drawing.legend()


def unrolled() -> Drawing:
    """How chunks come about: one by one in HNET, with a memory of the chunks before in LSTM_NET."""
    drawing = Drawing(306)
    for top, name, cell in ((0, "HNET: each chunk by itself", "$f_h$"), (156, "LSTM_NET: with a memory", "LSTM")):
        drawing.say(8, top + 10, name, align="left", bold=True)
        writers = []
        for number, x in enumerate((82, 184, 286), start=1):
            code = drawing.put("embedding", x, top + 34, f"$e_t, c_{number}$", 58)
            writer = drawing.put("hypernet", x, top + 82, cell, 50, 30)
            chunk = drawing.put("parameters", x, top + 130, f"$\\Theta^{{t,{number}}}$", 64, 30)
            drawing.arrow(code.bottom(), writer.top())
            drawing.arrow(writer.bottom(), chunk.top())
            writers.append(writer)
        if top:
            starts = [(14.0, writers[0].y), *(writer.right() for writer in writers[:-1])]
            for number, (start, writer) in enumerate(zip(starts, writers, strict=True)):
                drawing.arrow(start, writer.left())
                middle = (start[0] + writer.left()[0]) / 2
                drawing.say(middle, writer.y - 11, f"$h_{number}, s_{number}$" if number else "0, 0")
            drawing.arrow(writers[-1].right(), (336, writers[-1].y))
    return drawing.legend()


def who_owns_what() -> Drawing:
    """Growth while task 3 is learnt: what all tasks share was learnt with the first, and each task has its own rest."""
    drawing = Drawing(238)
    drawing.say(8, 10, "shared: learnt with task 1, then frozen", align="left", bold=True)
    drawing.put("parameters", 171, 34, "recurrent weights $u$", 322, 28, held=True)
    drawing.put("embedding", 171, 68, "chunk embeddings $c_j$", 322, 24, held=True)
    drawing.say(8, 97, "a task's own", align="left", bold=True)
    for number, x in enumerate((58, 171, 284), start=1):
        held = number < 3
        drawing.say(x, 113, f"task {number}: " + ("frozen" if held else "now learnt"), bold=not held)
        drawing.put("embedding", x, 136, f"embedding $e_{number}$", 96, 24, held=held)
        drawing.put("parameters", x, 172, f"input $w^{number}$", 96, 30, held=held)
        drawing.put("parameters", x, 212, f"output $W^{number}$ ?", 96, 30, held=held)
    return drawing.legend()
