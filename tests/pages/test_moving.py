"""The figures that compute, moved by a reader: with mouse, finger and keys, on a laptop and on a phone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import SITE, WIDTHS, Visit
from playwright.sync_api import Browser, Locator, Page

Shown = dict[str, Any]
Place = tuple[float, float]

BOOK = SITE / "book"
PLANES = [BOOK / "intro.html", BOOK / "04_a_network_that_writes_a_network.html"]

DRAWING = BOOK / "09_which_task.html"
REDRAWING = BOOK / "15_knowing_what_one_does_not_know.html"
PADS = [DRAWING, REDRAWING]

every_plane = pytest.mark.parametrize("path", PLANES, ids=lambda path: path.stem)
every_pad = pytest.mark.parametrize("path", PADS, ids=lambda path: path.stem)
every_width = pytest.mark.parametrize("width", WIDTHS)


class Plane:
    """The figure with the plane of embeddings, and what it shows now."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.figure = page.locator("[data-hyperlearn-live=plane][data-ready]")
        self.figure.wait_for()
        self.figure.scroll_into_view_if_needed()
        self.map = self.figure.locator(".hl-map")
        self.dot = self.figure.get_by_role("slider")

    def shown(self) -> Shown:
        """Everything that depends on the embedding."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        drawn = "canvases => canvases.map(canvas => canvas.toDataURL())"
        return {
            "embedding": self.figure.locator(".hl-place").inner_text(),
            "weights": self.figure.locator(".hl-tiles canvas").evaluate_all(drawn),
            "answers": self.figure.locator(".hl-answer").all_inner_texts(),
            "accuracies": self.figure.locator(".hl-percent").all_inner_texts(),
            "bars": self.figure.locator(".hl-bar i").evaluate_all("bars => bars.map(bar => bar.style.width)"),
            "statement": self.figure.get_by_role("status").inner_text(),
        }

    def place(self, flag: str) -> Place:
        """Where on the screen the embedding of a flag is."""
        box = self.map.bounding_box()
        assert box
        left, top = self.flag(flag).evaluate("flag => [flag.style.left, flag.style.top].map(parseFloat)")
        return box["x"] + box["width"] * left / 100, box["y"] + box["height"] * top / 100

    def flag(self, name: str) -> Locator:
        return self.figure.get_by_role("button", name=name)


def all_differ(before: Shown, after: Shown) -> bool:
    return {what: before[what] != after[what] for what in before} == dict.fromkeys(before, True)


def finger(page: Page) -> Callable[..., None]:
    """Touches the screen: a function of "touchStart", "touchMove" and "touchEnd" and a place."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *place: float) -> None:
        points = [{"x": place[0], "y": place[1]}] if place else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return touch


@every_plane
@every_width
def test_the_dot_follows_the_mouse(browser: Browser, path: Path, width: int) -> None:
    visit = Visit(browser, path, viewport={"width": width, "height": 900})
    plane = Plane(visit.page)
    first = plane.shown()
    assert len(first["weights"]) == 16
    assert len(first["answers"]) == 10
    assert first["statement"] == "Written here: a network for 4 or 5."
    visit.page.mouse.move(*plane.place("4 or 5"))
    visit.page.mouse.down()
    visit.page.mouse.move(*plane.place("0 or 1"), steps=5)
    second = plane.shown()
    assert all_differ(first, second)
    assert second["statement"].startswith("Written here: a network for 0 or 1")
    assert second["answers"][:2] == ["0 ✓", "1 ✓"]
    visit.page.mouse.up()
    visit.page.mouse.move(*plane.place("8 or 9"))
    assert plane.shown() == second  # nothing follows a mouse that is not pressed
    visit.page.close()
    assert visit.errors == []


@every_plane
@every_width
def test_the_dot_follows_the_keys_and_the_flags(browser: Browser, path: Path, width: int) -> None:
    visit = Visit(browser, path, viewport={"width": width, "height": 900})
    plane = Plane(visit.page)
    first = plane.shown()
    plane.dot.focus()
    visit.page.keyboard.press("ArrowRight")
    second = plane.shown()
    assert second["embedding"] != first["embedding"]
    assert second["weights"] != first["weights"]
    visit.page.keyboard.press("ArrowLeft")
    assert plane.shown() == first
    for key in ("ArrowRight", "ArrowDown"):
        for _ in range(12):
            visit.page.keyboard.press(f"Shift+{key}")
    corner = plane.shown()  # the plane ends there
    visit.page.keyboard.press("ArrowDown")
    assert plane.shown() == corner
    assert all_differ(first, corner)
    assert (plane.dot.get_attribute("aria-valuetext") or "").endswith(corner["statement"])
    plane.flag("8 or 9").focus()
    visit.page.keyboard.press("Enter")
    assert plane.shown()["statement"].startswith("Written here: a network for 8 or 9")
    visit.page.close()
    assert visit.errors == []


@every_plane
def test_the_dot_follows_a_finger(browser: Browser, path: Path) -> None:
    visit = Visit(browser, path, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    plane = Plane(visit.page)
    first = plane.shown()
    touch, scrolled = finger(visit.page), visit.page.evaluate("scrollY")
    (x, y), end = plane.place("4 or 5"), plane.place("0 or 1")
    touch("touchStart", x, y)
    for step in range(1, 6):
        touch("touchMove", x + (end[0] - x) * step / 5, y + (end[1] - y) * step / 5)
    second = plane.shown()
    touch("touchEnd")
    assert all_differ(first, second)
    assert second["statement"].startswith("Written here: a network for 0 or 1")
    assert visit.page.evaluate("scrollY") == scrolled  # the finger moves the dot and not the page
    plane.flag("6 or 7").tap()
    assert plane.shown()["statement"].startswith("Written here: a network for 6 or 7")
    visit.page.close()
    assert visit.errors == []


class Pad:
    """The figure to draw in, and what it shows now."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.figure = page.locator(".hl-sketch[data-written]")
        self.figure.wait_for()
        self.pad = self.figure.locator(".hl-pad")
        self.pad.scroll_into_view_if_needed()

    def shown(self) -> Shown:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return {
            "image": self.figure.locator(".hl-seen canvas").evaluate("canvas => canvas.toDataURL()"),
            "amounts": self.figure.locator(".hl-amount").all_inner_texts(),
            "marks": self.figure.locator(".hl-mark").evaluate_all(
                "marks => marks.map(mark => Number(mark.style.getPropertyValue('--at')))"
            ),
            "verdict": self.figure.get_by_role("status").inner_text(),
        }

    def believed(self) -> int:
        """The number of the one network that is believed."""
        flags = self.figure.locator("li").evaluate_all("rows => rows.map(row => row.dataset.believed)")
        assert flags.count("true") == 1
        return int(flags.index("true"))

    def at(self, x: float, y: float) -> Place:
        box = self.pad.bounding_box()
        assert box
        return box["x"] + box["width"] * x, box["y"] + box["height"] * y


SEVEN = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.85)]


def is_an_answer(pad: Pad, shown: Shown, before: Shown) -> None:
    assert all_differ(before, shown)
    assert len(shown["amounts"]) == 5
    assert shown["marks"].index(min(shown["marks"])) == pad.believed()


@every_pad
@every_width
def test_a_digit_is_drawn_with_the_mouse(browser: Browser, path: Path, width: int) -> None:
    visit = Visit(browser, path, viewport={"width": width, "height": 900})
    pad = Pad(visit.page)
    before = pad.shown()
    visit.page.mouse.move(*pad.at(*SEVEN[0]))
    visit.page.mouse.down()
    for place in SEVEN[1:]:
        visit.page.mouse.move(*pad.at(*place), steps=5)
    drawn = pad.shown()
    is_an_answer(pad, drawn, before)
    visit.page.mouse.up()
    visit.page.mouse.move(*pad.at(0.1, 0.1))
    assert pad.shown() == drawn
    visit.page.mouse.down()  # a second stroke, of one point, joins the first
    assert pad.shown()["image"] not in (drawn["image"], before["image"])
    visit.page.mouse.up()
    pad.figure.get_by_role("button", name="clear").click()
    assert pad.shown()["verdict"] == "Nothing is drawn yet."
    assert pad.shown()["amounts"] == [""] * 5
    visit.page.close()
    assert visit.errors == []


@every_pad
def test_a_digit_is_drawn_with_a_finger(browser: Browser, path: Path) -> None:
    visit = Visit(browser, path, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    pad = Pad(visit.page)
    before, scrolled = pad.shown(), visit.page.evaluate("scrollY")
    touch = finger(visit.page)
    touch("touchStart", *pad.at(*SEVEN[0]))
    for place in SEVEN[1:]:
        touch("touchMove", *pad.at(*place))
    touch("touchEnd")
    is_an_answer(pad, pad.shown(), before)
    assert visit.page.evaluate("scrollY") == scrolled
    visit.page.close()
    assert visit.errors == []


@every_pad
@every_width
def test_test_digits_and_what_is_none_are_chosen_with_the_keys(browser: Browser, path: Path, width: int) -> None:
    visit = Visit(browser, path, viewport={"width": width, "height": 900})
    pad = Pad(visit.page)
    begin = pad.shown()
    seen = []
    for digit in range(10):
        button = pad.figure.get_by_role("button", name=f"The test digit {digit}")
        button.focus()
        visit.page.keyboard.press("Enter")
        seen.append(pad.shown())
        assert button.get_attribute("aria-pressed") == "true"
        assert ("right" in seen[-1]["verdict"]) or (f"It was the digit {digit}" in seen[-1]["verdict"])
    assert begin in seen
    for what in ("a face", "a letter", "noise"):
        pad.figure.get_by_role("button", name=what).focus()
        visit.page.keyboard.press("Space")
        seen.append(pad.shown())
        assert seen[-1]["verdict"].endswith(f"It was shown {what}.")
        if path is DRAWING:
            pad.believed()
        else:
            assert seen[-1]["verdict"].startswith("None of these")
    assert len({shown["image"] for shown in seen}) == 13
    visit.page.close()
    assert visit.errors == []


CROSS = [(0.2, 0.2), (0.8, 0.8), (0.5, 0.5), (0.8, 0.2), (0.2, 0.8)]
SQUARE = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]


def test_what_is_foreign_is_refused_and_what_is_simple_passes(browser: Browser) -> None:
    """As chapter 15 says of these four."""
    visit = Visit(browser, REDRAWING)
    pad = Pad(visit.page)
    verdicts = []
    for first, *others in ([(0.5, 0.5)], [(0.2, 0.5), (0.8, 0.5)], CROSS, SQUARE):
        pad.figure.get_by_role("button", name="clear").click()
        visit.page.mouse.move(*pad.at(*first))
        visit.page.mouse.down()
        for place in others:
            visit.page.mouse.move(*pad.at(*place), steps=8)
        visit.page.mouse.up()
        verdicts.append(pad.shown()["verdict"].split()[0])
    assert verdicts == ["Believed", "Believed", "None", "None"]
    visit.page.close()
    assert visit.errors == []


def test_the_dot_invites_the_reader_once(browser: Browser) -> None:
    visit = Visit(browser, PLANES[0], reduced_motion="no-preference")
    plane = Plane(visit.page)
    begin = plane.dot.get_attribute("aria-valuetext")
    visit.page.wait_for_function(
        "begin => document.querySelector('.hl-dot').getAttribute('aria-valuetext') !== begin", arg=begin
    )
    assert plane.figure.get_by_text("drag me").is_visible()
    plane.dot.focus()
    visit.page.keyboard.press("ArrowLeft")
    assert plane.figure.get_by_text("drag me").count() == 0
    stopped = plane.shown()
    assert plane.shown() == stopped
    visit.page.close()
    assert visit.errors == []


@pytest.mark.parametrize("path", [*PLANES, *PADS], ids=lambda path: path.stem)
def test_a_page_without_scripts_shows_the_still_picture(browser: Browser, path: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(path.as_uri())
    still = page.locator("[data-hyperlearn-live] img")
    assert still.is_visible()
    assert still.get_attribute("alt")
    assert page.locator(".hl-dot, .hl-pad").count() == 0
    page.close()


@pytest.mark.parametrize("path", [*PLANES, *PADS], ids=lambda path: path.stem)
def test_nothing_in_a_figure_is_cut_off(browser: Browser, path: Path) -> None:
    visit = Visit(browser, path)
    figure = visit.page.locator("[data-hyperlearn-live][data-ready]")
    figure.wait_for()
    for width in [*WIDTHS, 768, 320]:
        visit.resize(width)
        wide = figure.evaluate(
            """figure => [figure, ...figure.querySelectorAll("*")]
                .filter(box => box.clientWidth && box.scrollWidth > box.clientWidth + 1)
                .filter(box => getComputedStyle(box).display !== "inline").map(box => box.className)"""
        )
        assert wide == [], f"{width} px"
        letters = figure.evaluate(
            """figure => [...figure.querySelectorAll("*")].filter(box => box.textContent && box.tagName !== "STYLE")
                .map(box => parseFloat(getComputedStyle(box).fontSize))"""
        )
        assert min(letters) >= 11, f"{width} px"
    visit.page.close()


def luminance(color: str) -> float:
    red, green, blue = map(float, re.findall(r"[\d.]+", color)[:3])
    return 0.3 * red + 0.6 * green + 0.1 * blue


@every_plane
def test_the_figure_is_dark_in_a_dark_page(browser: Browser, path: Path) -> None:
    visit = Visit(browser, path)
    plane = Plane(visit.page)
    light = plane.shown()
    corner = "map => [...map.querySelector('canvas').getContext('2d').getImageData(0, 0, 1, 1).data].join()"
    in_light = plane.map.evaluate(corner)
    visit.use("dark")
    plane.figure.and_(visit.page.locator("[data-theme=dark]")).wait_for()
    assert plane.shown()["weights"] != light["weights"]
    assert luminance(plane.map.evaluate(corner)) < luminance(in_light)
    statement = plane.figure.get_by_role("status")
    assert luminance(statement.evaluate("element => getComputedStyle(element).color")) > 128
    visit.use("light")
    plane.figure.and_(visit.page.locator("[data-theme=light]")).wait_for()
    assert plane.shown() == light
    visit.page.close()
    assert visit.errors == []


# Neither has anything of the book's around the figure. Jupyter sets the HTML and then runs its scripts; Colab writes it
# into a frame of its own.
JUPYTER = """html => {
    const output = document.body.appendChild(document.createElement("div"));
    output.innerHTML = html;
    for (const script of output.querySelectorAll("script")) {
        const again = document.createElement("script");
        again.textContent = script.textContent;
        script.replaceWith(again);
    }
}"""
COLAB = """html => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.style.width = "100%";
    frame.style.height = "800px";
    frame.srcdoc = html;
}"""


@pytest.mark.parametrize("how", [JUPYTER, COLAB], ids=["jupyter", "colab"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("path", "button", "said"),
    [
        (PLANES[1], "2 or 3", "Written here: a network for 2 or 3"),
        (DRAWING, "a face", "It was shown a face"),
        (REDRAWING, "a face", "None of these"),
    ],
    ids=["plane", "drawing", "redrawing"],
)
def test_the_figure_works_in_a_notebook(
    browser: Browser, path: Path, button: str, said: str, how: str, dark: bool
) -> None:
    (html,) = re.findall(r"<figure class=\"hl-live .*?</figure>", path.read_text(encoding="utf-8"), re.S)
    page = browser.new_page(reduced_motion="reduce")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    colors = "background: #111; color: #eee" if dark else ""
    page.set_content(f'<body style="{colors}">')
    page.evaluate(how, f'<div style="{colors}">{html}</div>')
    where = page.frame_locator("iframe") if how is COLAB else page
    where.locator(f"[data-ready][data-theme={'dark' if dark else 'light'}]").wait_for()
    where.get_by_role("button", name=button).click()
    where.get_by_role("status").filter(has_text=said).wait_for()
    page.close()
    assert errors == []
