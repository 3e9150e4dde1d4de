"""The playground, driven in a browser: by mouse, finger and keyboard, at both widths and in both themes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browsing import SITE, WIDTHS, Visit, skip_or_fail
from playwright.sync_api import Browser, Locator
from test_pages import AXE

PAGE = SITE / "book" / "playground.html"
METHODS = ["finetune", "hypernet", "ewc", "replay"]
QUICK = "#steps=40"

pytestmark = pytest.mark.xdist_group("book/playground.html")


class Playground(Visit):
    def __init__(self, browser: Browser, fragment: str = "", width: int = WIDTHS[0]) -> None:
        super().__init__(browser, PAGE)
        self.resize(width)
        if fragment:
            self.goto(fragment)

    def goto(self, fragment: str) -> None:
        """Opens an address anew, as a link to it does, and not as a change within the page."""
        self.page.goto("about:blank")
        self.page.goto(PAGE.as_uri() + fragment, wait_until="load")

    def button(self, name: str) -> Locator:
        return self.page.locator(f"#hl-playground button[name={name}]")

    def control(self, name: str) -> Locator:
        return self.page.locator(f"#hl-playground select[name={name}]")

    @property
    def steps(self) -> int:
        return int(self.page.locator("#hl-playground").get_attribute("data-steps") or "")

    @property
    def state(self) -> str | None:
        return self.page.locator("#hl-playground").get_attribute("data-state")

    @property
    def settings(self) -> dict[str, str]:
        """What the controls say."""
        return self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("#hl-playground select")].map(
                control => [control.name, control.value]))"""
        )

    @property
    def fragment(self) -> str:
        return self.page.evaluate("decodeURIComponent(location.hash)")

    def matrix(self, method: str) -> list[list[str]]:
        """The cells of a method's accuracy matrix, as they are read."""
        return self.page.locator(f".hl-card[data-method={method}] .hl-matrix tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent))"
        )

    def maps(self, method: str) -> Locator:
        return self.page.locator(f".hl-card[data-method={method}] .hl-maps canvas")

    def ink(self, canvas: Locator) -> int:
        """How many pixels of a canvas are drawn."""
        return canvas.evaluate(
            """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
                .filter((value, i) => i % 4 === 3 && value > 0).length"""
        )


Open = Callable[..., Playground]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens the playground; at the end nothing may have gone wrong or asked for the network."""
    visits: list[Playground] = []

    def make(*arguments: Any, **named: Any) -> Playground:
        visits.append(Playground(browser, *arguments, **named))
        return visits[-1]

    yield make
    for one in visits:
        one.page.close()
        assert one.errors == []


@pytest.mark.parametrize("width", WIDTHS)
def test_each_button_does_what_it_says(visit: Open, width: int) -> None:
    here = visit(QUICK, width=width)
    assert (here.state, here.steps) == ("paused", 0)
    here.button("step").click()
    assert (here.state, here.steps) == ("paused", 1)
    here.button("task").click()
    assert here.steps == 40
    here.button("task").click()
    assert here.steps == 80
    for method in METHODS:
        filled = [[bool(cell) for cell in row] for row in here.matrix(method)]
        assert filled == [[True] * 5] * 2 + [[False] * 5] * 3
    here.button("reset").click()
    assert here.steps == 0
    assert here.matrix("ewc") == [[""] * 5] * 5

    here.button("play").click()
    here.page.wait_for_function("Number(document.getElementById('hl-playground').dataset.steps) > 3")
    assert here.state == "playing"
    here.button("play").click()
    assert here.state == "paused"
    reached = here.steps
    here.resize(width)  # two frames later
    assert here.steps == reached
    here.button("play").click()
    for _ in range(5):
        if here.button("task").is_enabled():
            here.button("task").click()
    assert here.state == "finished"
    assert here.steps == 200
    assert here.button("step").is_disabled()
    assert here.button("play").inner_text() == "Play again"
    assert [row[-1] != "" for row in here.matrix("replay")] == [True] * 5


def test_the_page_shows_what_its_scripts_compute(visit: Open) -> None:
    here = visit(QUICK)
    for _ in range(5):
        here.button("task").click()
    computed = here.page.evaluate(
        """() => {
            const run = new hyperlearn.Run(hyperlearn.readSettings(location.hash));
            while (!run.finished) run.step();
            return run.entries.map(entry => [entry.name, entry.matrix, run.mean(entry), entry.learner.sizes()]);
        }"""
    )
    rows = here.page.locator(".hl-stored tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')]"
        ".map(cell => Number(cell.textContent.replace(',', ''))))"
    )
    for (method, matrix, mean, sizes), stored in zip(computed, rows, strict=True):
        assert here.matrix(method) == [[str(int(100 * value + 0.5)) for value in row] for row in matrix]
        score = here.page.locator(f".hl-scores [data-method={method}] output").inner_text()
        assert score == f"{int(100 * mean + 0.5)}%"
        assert stored == [sizes["trained"], sizes["kept"], sizes["held"]]
    assert [name for name, *_ in computed] == METHODS


@pytest.mark.parametrize("tasks", ["moons", "digits"])
def test_what_a_network_answers_is_drawn_anew(visit: Open, tasks: str) -> None:
    here = visit(f"{QUICK}&tasks={tasks}")
    first, last = here.maps("finetune").first, here.maps("finetune").last
    assert here.ink(first) > 0
    assert here.ink(last) == 0
    before = first.screenshot()
    here.button("task").click()
    learnt = first.screenshot()
    assert before != learnt
    for _ in range(4):
        here.button("task").click()
    assert first.screenshot() != learnt
    assert here.ink(last) > 0
    assert "right" in (last.get_attribute("aria-label") or "")
    light = first.screenshot()
    here.use("dark")
    here.resize(WIDTHS[0])
    assert first.screenshot() != light
    here.use("light")


def test_the_keyboard_reaches_and_works_everything(visit: Open) -> None:
    here = visit(QUICK)
    keys = here.page.keyboard
    here.button("play").focus()
    keys.press("Enter")
    here.page.wait_for_function("document.getElementById('hl-playground').dataset.state === 'playing'")
    keys.press("Space")
    assert here.state == "paused"
    keys.press("Tab")
    before = here.steps
    keys.press("Enter")
    assert here.steps == before + 1
    reached = []
    for _ in range(30):
        name = here.page.evaluate("document.activeElement.closest('#hl-playground') && document.activeElement.name")
        if not name:
            break
        outline = here.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"no focus to be seen on {name}"
        reached.append(name)
        keys.press("Tab")
    assert reached[:3] == ["step", "task", "reset"]
    assert reached.count("method") == 4
    assert {*reached} >= {"tasks", "scenario", "rate", "steps", "lambda", "kept", "beta", "chunk", "seed"}

    here.control("beta").focus()
    keys.press("Home")
    assert here.control("beta").input_value() == "0"
    assert "beta=0&" in here.fragment
    assert here.steps == 0
    here.page.locator("[name=method][value=ewc]").focus()
    keys.press("Space")
    assert here.page.locator(".hl-card").count() == 3
    assert "method=finetune,hypernet,replay" in here.fragment


def test_a_finger_works_it(browser: Browser) -> None:
    context = browser.new_context(viewport={"width": WIDTHS[1], "height": 900}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(PAGE.as_uri() + QUICK)
    page.locator("#hl-playground [name=task]").tap()
    assert page.locator("#hl-playground").get_attribute("data-steps") == "40"
    context.close()


def test_the_address_brings_the_same_run(visit: Open) -> None:
    here = visit("#steps=20&tasks=places&method=hypernet,replay&beta=0.037&kept=3&scenario=cl2")
    asked = {"steps": "20", "tasks": "places", "beta": "0.037", "kept": "3", "scenario": "cl2", "chunk": "40"}
    assert here.settings.items() >= asked.items()
    assert here.page.locator(".hl-card").evaluate_all("cards => cards.map(card => card.dataset.method)") == [
        "hypernet",
        "replay",
    ]
    here.control("seed").select_option("2")
    for _ in range(5):
        here.button("task").click()
    sent, matrix = here.fragment, here.matrix("hypernet")

    there = visit(sent)
    assert there.settings == here.settings
    for _ in range(5):
        there.button("task").click()
    assert there.matrix("hypernet") == matrix
    # Back to a heading of the page, and to another address: the first leaves the run alone, the second starts one.
    there.page.evaluate("location.hash = '#what-to-try'")
    assert there.steps == 100
    there.page.evaluate("location.hash = '#steps=30'")
    there.page.wait_for_function("document.getElementById('hl-playground').dataset.steps === '0'")
    assert there.settings["steps"] == "30"


def test_other_tasks_bring_the_settings_that_fit_them(visit: Open) -> None:
    here = visit("#beta=1")
    here.control("tasks").select_option("digits")
    assert here.settings["chunk"] == "50"
    assert here.settings["beta"] == "1"
    assert here.page.locator(".hl-timeline li").all_inner_texts()[1] == "2: 2 or 3"


def test_each_thing_to_try_starts(visit: Open) -> None:
    here = visit()
    buttons = here.page.locator("button[data-playground]")
    assert buttons.count() >= 6
    for button in buttons.all():
        button.click()
        assert here.state == "playing"
        wanted = dict(part.split("=") for part in (button.get_attribute("data-playground") or "").split("&"))
        assert wanted.items() <= dict(part.split("=") for part in here.fragment[1:].split("&")).items()
        assert here.page.evaluate("document.activeElement.name") == "play"
        here.button("play").click()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("tasks", ["moons", "places", "digits"])
def test_nothing_is_cut_off(visit: Open, width: int, tasks: str) -> None:
    here = visit(f"{QUICK}&tasks={tasks}", width=width)
    for _ in range(5):
        here.button("task").click()
    here.page.screenshot(path=SITE.parent / "screenshots" / f"playground-{tasks}-{width}.png", full_page=True)
    cut = here.page.evaluate(
        """() => [...document.querySelectorAll("#hl-playground *:not(option, .hl-said)")].filter(box =>
            box.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0).map(box => box.outerHTML.slice(0, 120))"""
    )
    assert cut == []
    assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    small = here.page.evaluate(
        """() => [...document.querySelectorAll("#hl-playground *")].filter(box =>
            box.childElementCount === 0 && box.textContent.trim() && parseFloat(getComputedStyle(box).fontSize) < 9
        ).length"""
    )
    assert small == 0


def test_a_finished_run_keeps_the_accessibility_rules(visit: Open) -> None:
    if not AXE.is_file():
        skip_or_fail("no axe-core: `npm ci --prefix tests/pages` fetches it")
    here = visit(QUICK)
    for _ in range(5):
        here.button("task").click()
    here.page.evaluate(AXE.read_text(encoding="utf-8"))
    for width in WIDTHS:
        here.resize(width)
        for theme in ("light", "dark"):
            here.use(theme)
            found = here.page.evaluate(
                """() => axe.run("#hl-playground", {resultTypes: ["violations"], preload: false}).then(result =>
                    result.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.html}`)))"""
            )
            assert found == [], f"{width} px, {theme}:\n" + "\n".join(found)


def test_page_and_scripts_are_small() -> None:
    if not PAGE.is_file():
        skip_or_fail("no built site: run `make site`")
    parts = {path.name: path.stat().st_size for path in [PAGE, *(SITE / "book" / "playground").iterdir()]}
    assert sum(parts.values()) < 300_000, json.dumps(parts)


def test_the_page_with_all_that_it_loads_is_small(browser: Browser) -> None:
    """The theme included; the icons it shows are drawn all the same."""
    files: set[Path] = set()
    page = browser.new_page()
    page.on("request", lambda request: files.add(Path(unquote(urlsplit(request.url).path))))
    page.goto(PAGE.as_uri(), wait_until="load")
    icons = page.locator("svg.svg-inline--fa")
    icons.first.wait_for(state="attached")
    assert icons.evaluate_all("icons => icons.filter(icon => !icon.querySelector('path')?.getAttribute('d'))") == []
    assert page.locator("i[class*=fa-]").count() == 0
    page.close()
    sizes = {path.name: path.stat().st_size for path in files if path.is_file()}
    assert {"playground.html", "fontawesome.js", "page.js"} <= set(sizes)
    assert sum(sizes.values()) < 1_000_000, json.dumps(sizes)
