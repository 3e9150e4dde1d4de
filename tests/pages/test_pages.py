"""The built pages, opened from disk in a real browser that has no network."""

import os
import shutil
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from playwright.sync_api import sync_playwright

BUILD = Path(__file__).parents[2] / "_build"
SITE = BUILD / "html"
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
WIDTHS = [1280, 390]  # a laptop, a phone

INDEX = SITE / "index.html"  # leads on to the first page
PAGES = sorted(page for page in SITE.rglob("*.html") if page != INDEX and not page.is_relative_to(SITE / "_static"))
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(SITE).as_posix())


@pytest.fixture(scope="session")
def browser():
    missing = "no built site: run `make site`" if not PAGES else "no Chromium" if not CHROMIUM else None
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    elif missing:
        pytest.skip(missing)
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield browser
        browser.close()


class Visit:
    """An opened page, and all that went wrong or asked for the network while it was open."""

    def __init__(self, browser, path, width=1280):
        self.errors = []
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(120_000)  # a busy CI machine takes its time
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(f"did not load: {request.url}"))
        self.page.route("**/*", self.from_disk_only)
        self.page.goto(path.as_uri(), wait_until="load")
        self.page.evaluate("window.MathJax && MathJax.startup.promise")

    def from_disk_only(self, route):
        local = urlsplit(route.request.url).scheme in {"file", "data", "blob"}
        route.continue_() if local else route.abort()


@pytest.fixture
def visit(browser):
    visits = []

    def open_page(path, **options):
        visits.append(Visit(browser, path, **options))
        return visits[-1]

    yield open_page
    for each in visits:
        each.page.close()


def test_the_index_opens_the_book(browser):
    page = browser.new_page()
    page.goto(INDEX.as_uri())
    page.wait_for_url("**/book/intro.html")
    page.close()


@every_page
def test_page_loads_whole_and_without_the_network(visit, path):
    opened = visit(path)
    broken = opened.page.evaluate(
        """() => Promise.all([...document.images].map(async image => {
            image.loading = "eager";
            const loaded = await image.decode().then(() => true, () => false);
            return loaded && image.naturalWidth > 0 ? null : image.src.slice(0, 100);
        })).then(sources => sources.filter(Boolean))"""
    )
    assert broken == []
    assert opened.errors == []
    assert opened.page.locator("img:not([alt]), img[alt='']").all() == []


@every_page
def test_mathematics_is_typeset(visit, path):
    page = visit(path).page
    assert page.locator("mjx-merror").count() == 0
    assert page.locator(".math:not(:has(mjx-container))").all_inner_texts() == []
    prose = page.evaluate(
        """() => {
            const copy = document.querySelector("main, body").cloneNode(true);
            copy.querySelectorAll("pre, code, script, style, mjx-container").forEach(node => node.remove());
            return copy.textContent;
        }"""
    )
    assert not [mark for mark in (r"\(", r"\[", "$$", r"\begin{") if mark in prose]


@every_page
@pytest.mark.parametrize("width", WIDTHS)
def test_page_fits_the_screen(visit, path, width):
    page = visit(path, width=width).page
    name = "-".join(path.relative_to(SITE).with_suffix("").parts)
    page.screenshot(path=BUILD / "screenshots" / f"{name}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@every_page
def test_moving_a_slider_changes_the_picture(visit, path):
    for figure in visit(path).page.locator("[data-hyperlearn-slider]").all():
        frames = figure.locator("[data-frame]:visible")
        slider = figure.locator("input[type=range]").first
        assert slider.get_attribute("aria-label")

        def shown(frames=frames):
            assert frames.count() == 1
            return frames.get_attribute("data-frame"), frames.screenshot()

        slider.focus()
        slider.press("Home")
        first = shown()
        slider.press("ArrowRight")
        second = shown()
        assert first[0] != second[0]
        assert first[1] != second[1]
        slider.press("End")
        assert shown()[0] == figure.locator("[data-frame]").last.get_attribute("data-frame")
        slider.press("Home")
        assert shown() == first


class Targets(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.ids, self.links = set(), set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.ids |= {value for key, value in attributes if key in {"id", "name"}}
        self.links |= {value for key, value in attributes if key in {"href", "src"} and value}


@cache
def targets(path):
    return Targets(path.read_text(encoding="utf-8"))


@every_page
def test_links_within_the_book_lead_somewhere(path):
    dead = []
    for link in targets(path).links:
        address, anchor = urldefrag(urljoin(path.as_uri(), link))
        if urlsplit(address).scheme != "file":
            continue
        target = Path(unquote(urlsplit(address).path))
        if not target.is_file() or (anchor and target.suffix == ".html" and unquote(anchor) not in targets(target).ids):
            dead.append(link)
    assert dead == []
