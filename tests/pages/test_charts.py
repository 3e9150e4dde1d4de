"""The figures with a chart, moved by a reader: with mouse, finger and keys, on a laptop and on a phone."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from browsing import SITE, WIDTHS, Visit
from playwright.sync_api import Browser, Locator, Page
from test_moving import COLAB, JUPYTER, finger, luminance

BOOK = SITE / "book"


@dataclass(frozen=True)
class Kind:
    """What a figure has: its page, its ranges by name, how many points can be dragged, and the choices."""

    name: str
    page: Path
    ranges: tuple[str, ...]
    knobs: int
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


CHAPTER_5 = BOOK / "05_chunks_and_the_output_regulariser.html"
SIZES = ("width of the hidden layers", "size of a task embedding", "size of a chunk embedding")
KINDS = [
    Kind("valleys", BOOK / "03_classic_remedies.html", ("strength λ", "tilt of the first valley"), 2),
    Kind("compression", CHAPTER_5, SIZES, 1, ("target", "hypernetwork")),
    Kind("pins", CHAPTER_5, ("strength of the pins β",), 3),
    Kind(
        "costs",
        BOOK / "13_remembering_at_constant_cost.html",
        ("old tasks", "chunk size", "stored images a task"),
        2,
        ("hypernetwork",),
    ),
]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
every_width = pytest.mark.parametrize("width", WIDTHS)


class Chart:
    """A figure with a chart, and what it shows now."""

    def __init__(self, page: Page, kind: Kind) -> None:
        self.page = page
        self.figure = page.locator(f"[data-hyperlearn-live={kind.name}][data-ready]")
        self.figure.wait_for()
        self.figure.locator(".hl-axes").first.scroll_into_view_if_needed()
        self.knobs = self.figure.locator(".hl-knob")

    def shown(self) -> dict[str, object]:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return {
            "drawn": self.figure.locator(".hl-axes").evaluate_all("all => all.map(one => one.innerHTML)"),
            "values": self.figure.locator(".hl-value, .hl-legend b").all_inner_texts(),
            "told": self.knobs.evaluate_all("all => all.map(knob => knob.getAttribute('aria-valuetext'))"),
            "said": self.figure.get_by_role("status").inner_text(),
        }

    def middle(self, knob: Locator) -> tuple[float, float]:
        knob.scroll_into_view_if_needed()
        box = knob.bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def changed(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [what for what in before if before[what] != after[what]]


EVERYTHING = ["drawn", "values", "told", "said"]


@every_kind
@every_width
def test_points_follow_the_mouse(browser: Browser, kind: Kind, width: int) -> None:
    visit = Visit(browser, kind.page, viewport={"width": width, "height": 900})
    chart = Chart(visit.page, kind)
    assert chart.knobs.count() == kind.knobs
    for knob in chart.knobs.all():
        before = chart.shown()
        x, y = chart.middle(knob)
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        visit.page.mouse.move(x + 40, y + 30, steps=4)
        after = chart.shown()
        assert changed(before, after) == EVERYTHING
        visit.page.mouse.up()
        visit.page.mouse.move(x - 20, y)
        assert chart.shown() == after  # nothing follows a mouse that is not pressed
    visit.page.close()
    assert visit.errors == []


@every_kind
def test_points_follow_a_finger(browser: Browser, kind: Kind) -> None:
    visit = Visit(browser, kind.page, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    chart, touch = Chart(visit.page, kind), finger(visit.page)
    for knob in chart.knobs.all():
        before = chart.shown()
        x, y = chart.middle(knob)
        scrolled = visit.page.evaluate("scrollY")
        touch("touchStart", x, y)
        for step in range(1, 9):
            touch("touchMove", x + 6 * step, y)
        touch("touchEnd")
        assert changed(before, chart.shown()) == EVERYTHING
        assert visit.page.evaluate("scrollY") == scrolled
    for label in kind.ranges:
        slider = chart.figure.get_by_label(label, exact=True)
        slider.scroll_into_view_if_needed()
        box, before = slider.bounding_box(), chart.shown()
        assert box
        visit.page.touchscreen.tap(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
        assert "values" in changed(before, chart.shown()), label
    visit.page.close()
    assert visit.errors == []


@every_kind
@every_width
def test_points_and_ranges_follow_the_keys(browser: Browser, kind: Kind, width: int) -> None:
    visit = Visit(browser, kind.page, viewport={"width": width, "height": 900})
    chart = Chart(visit.page, kind)
    begin = chart.shown()
    for knob in chart.knobs.all():
        assert knob.get_attribute("aria-label")
        knob.focus()
        before = chart.shown()
        visit.page.keyboard.press("Shift+ArrowRight")
        after = chart.shown()
        assert changed(before, after) == EVERYTHING
        visit.page.keyboard.press("Shift+ArrowLeft")
        if kind.name != "compression":  # there a step is a share of the chunk, rounded
            assert chart.shown() == before
    for label in kind.ranges:
        slider = chart.figure.get_by_label(label, exact=True)
        before = chart.shown()
        slider.focus()
        visit.page.keyboard.press("End")
        visit.page.keyboard.press("PageDown")
        after = chart.shown()
        assert {"drawn", "values"} <= set(changed(before, after)), label
        shown = slider.locator("xpath=../b").inner_text()
        assert slider.get_attribute("aria-valuetext") == shown
        visit.page.keyboard.press("Home")
        visit.page.keyboard.press("ArrowRight")
        assert changed(after, chart.shown())
        assert slider.locator("xpath=../b").inner_text() != shown
    for label in kind.choices:
        before = chart.shown()
        chart.figure.get_by_label(label, exact=True).select_option(index=1)
        assert {"drawn", "values", "said"} <= set(changed(before, chart.shown())), label
    assert changed(begin, chart.shown())
    visit.page.close()
    assert visit.errors == []


def test_the_compression_ratio_is_the_chapters(browser: Browser) -> None:
    """The number that the page says is the one that the chapter printed from PyTorch's modules."""
    text = CHAPTER_5.read_text(encoding="utf-8")
    counted = re.search(r"475,202 parameters in the target, ([\d,]+) in its hypernetwork: ratio ([\d.]+)", text)
    assert counted
    visit = Visit(browser, CHAPTER_5)
    said = str(Chart(visit.page, KINDS[1]).shown()["said"])
    assert said.startswith(
        f"Chunks of 42,000: {counted[1]} parameters write 475,202, a compression ratio of {counted[2]}"
    )
    visit.page.close()


def test_a_pin_that_is_let_go_is_missed(browser: Browser) -> None:
    visit = Visit(browser, CHAPTER_5)
    chart = Chart(visit.page, KINDS[2])
    missed = []
    for key in ("End", "Home"):
        chart.figure.get_by_label("strength of the pins β", exact=True).press(key)
        found = re.search(r"misses an old point by ([\d.]+) at most", str(chart.shown()["said"]))
        assert found
        missed.append(float(found[1]))
    assert missed[0] < 0.05 < 0.5 < missed[1]
    visit.page.close()


def test_ewc_is_exact_along_the_axes_only(browser: Browser) -> None:
    visit = Visit(browser, KINDS[0].page)
    chart = Chart(visit.page, KINDS[0])
    strength, tilt = (chart.figure.get_by_label(label, exact=True) for label in KINDS[0].ranges)
    strength.fill("60")  # 60 steps of 0.05 from 0.001 on: 1
    assert chart.shown()["values"][:2] == ["1", "0°"]  # type: ignore[index]
    assert str(chart.shown()["said"]).startswith("EWC ends at the best place for both tasks")
    tilt.press("PageUp")
    assert "more than at the best place" in str(chart.shown()["said"])
    visit.page.close()


@every_kind
def test_a_page_without_scripts_shows_the_still_picture(browser: Browser, kind: Kind) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(kind.page.as_uri())
    still = page.locator(f"[data-hyperlearn-live={kind.name}] img")
    assert still.is_visible()
    assert still.get_attribute("alt")
    page.close()


@every_kind
def test_nothing_in_a_chart_is_cut_off(browser: Browser, kind: Kind) -> None:
    visit = Visit(browser, kind.page)
    figure = Chart(visit.page, kind).figure
    for width in [*WIDTHS, 768, 320]:
        visit.resize(width)
        wide = figure.evaluate(
            """figure => [figure, ...figure.querySelectorAll("*")]
                .filter(box => box instanceof HTMLElement && box.clientWidth && box.scrollWidth > box.clientWidth + 1)
                .filter(box => getComputedStyle(box).display !== "inline").map(box => box.outerHTML.slice(0, 80))"""
        )
        assert wide == [], f"{width} px"
        outside = figure.evaluate(
            """figure => {
                const edge = figure.getBoundingClientRect();
                return [...figure.querySelectorAll("text, .hl-knob, .hl-value, select")]
                    .map(box => [box, box.getBoundingClientRect()])
                    .filter(([box, at]) => at.left < edge.left - 1 || at.right > edge.right + 1)
                    .map(([box]) => box.textContent);
            }"""
        )
        assert outside == [], f"{width} px"
        letters = figure.evaluate(
            """figure => [...figure.querySelectorAll("*")].filter(box => box.textContent && box.tagName !== "STYLE")
                .map(box => parseFloat(getComputedStyle(box).fontSize))"""
        )
        assert min(letters) >= 11, f"{width} px"
    visit.page.close()


@every_kind
def test_a_chart_is_dark_in_a_dark_page(browser: Browser, kind: Kind) -> None:
    visit = Visit(browser, kind.page)
    figure = Chart(visit.page, kind).figure
    ground = figure.locator(".hl-ground").first
    fill = "ground => getComputedStyle(ground).fill"
    light = ground.evaluate(fill)
    visit.use("dark")
    figure.and_(visit.page.locator("[data-theme=dark]")).wait_for()
    assert luminance(ground.evaluate(fill)) < 60 < 200 < luminance(light)
    for name in figure.locator("text").all():
        assert luminance(name.evaluate("text => getComputedStyle(text).fill")) > 128
    visit.page.close()
    assert visit.errors == []


@pytest.mark.parametrize("how", [JUPYTER, COLAB], ids=["jupyter", "colab"])
@every_kind
def test_a_chart_works_in_a_notebook(browser: Browser, kind: Kind, how: str) -> None:
    text = kind.page.read_text(encoding="utf-8")
    html = next(
        html for html in re.findall(r"<figure class=\"hl-live .*?</figure>", text, re.S) if f"hl-{kind.name}" in html
    )
    page = browser.new_page(reduced_motion="reduce")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content("<body>")
    page.evaluate(how, f"<div>{html}</div>")
    where = page.frame_locator("iframe") if how is COLAB else page
    where.locator("[data-ready]").wait_for()
    slider = where.get_by_label(kind.ranges[0], exact=True)
    value = slider.locator("xpath=../b")
    before = value.inner_text()
    slider.press("End")
    value.filter(has_not_text=re.compile(f"^{before}$")).wait_for()
    page.close()
    assert errors == []


SEQUENCES = ["01_catastrophic_forgetting", "02_three_scenarios", "10_generative_replay"]


@pytest.mark.parametrize("chapter", SEQUENCES)
def test_a_sequence_plays_to_its_end(browser: Browser, chapter: str) -> None:
    visit = Visit(browser, BOOK / f"{chapter}.html")
    figures = visit.page.locator("[data-hyperlearn-slider]:has(button)")
    assert figures.count() >= 1
    visit.page.clock.install(time=datetime(2026, 1, 1))
    visit.page.clock.pause_at(datetime(2026, 1, 2))  # from here on it stands still but for `run_for`
    for figure in figures.all():
        slider, button = figure.locator("input"), figure.locator("button")
        slider.press("End")
        last = int(slider.input_value())
        button.press("Enter")  # from the end it begins anew
        assert (slider.input_value(), button.inner_text()) == ("0", "Pause")
        seen = []
        for _ in range(last):
            visit.page.clock.run_for(900)
            seen.append(figure.locator("[data-frame]:visible").get_attribute("data-frame"))
        assert seen == [str(place) for place in range(1, last + 1)]
        assert button.inner_text() == "Play"
        button.click()
        visit.page.clock.run_for(900)
        button.click()
        visit.page.clock.run_for(9_000)
        assert slider.input_value() == "1"  # paused
    visit.page.close()
    assert visit.errors == []
