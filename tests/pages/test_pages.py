"""The built pages, opened from disk in a real browser that has no network."""

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from browsing import BUILD, SITE, WIDTHS, Theme, Visit, skip_or_fail
from playwright.sync_api import Browser, Locator

THEMES: list[Theme] = ["light", "dark"]
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"  # `make test` has npm fetch it

PUBLISHED = "https://hyperlearn-book.github.io/hyperlearn/"
INDEX = SITE / "index.html"  # leads on to the first page
PAGES = sorted(page for page in SITE.rglob("*.html") if page != INDEX and not page.is_relative_to(SITE / "_static"))


def name_of(path: Path) -> str:
    return path.relative_to(SITE).as_posix()


# A page is opened once for all its tests, so all of them go to one of the processes of `pytest -n`.
EACH = [pytest.param(path, id=name_of(path), marks=pytest.mark.xdist_group(name_of(path))) for path in PAGES]
every_page = pytest.mark.parametrize("path", EACH)
every_opened_page = pytest.mark.parametrize("opened", EACH, indirect=True, scope="module")


@pytest.fixture(scope="module")
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    visit = Visit(browser, request.param)
    yield visit
    visit.page.close()
    assert visit.errors == []


def test_the_index_opens_the_book(browser: Browser) -> None:
    page = browser.new_page()
    page.goto(INDEX.as_uri())
    page.wait_for_url("**/book/intro.html")
    page.close()


@every_opened_page
def test_page_loads_whole_and_without_the_network(opened: Visit) -> None:
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
    if opened.path.parent != SITE:  # the theme's own pages, search and index, have no text to describe them by
        for name in ["property='og:description'", "name='description'"]:
            description = opened.page.locator(f"meta[{name}]").get_attribute("content")
            assert description
            assert "Open in Colab" not in description
        image = opened.page.locator("meta[property='og:image']").get_attribute("content") or ""
        assert image.startswith(PUBLISHED)
        assert (SITE / image.removeprefix(PUBLISHED)).stat().st_size > 10_000


@every_opened_page
def test_no_field_of_the_reference_is_listed_twice(opened: Visit) -> None:
    twice = opened.page.evaluate(
        """() => [...document.querySelectorAll("dl.py > dd")].map(entry => ({
            of: entry.previousElementSibling.id,
            names: [...entry.querySelectorAll(":scope > dl.field-list > dt")].map(field => field.textContent)
        })).filter(entry => new Set(entry.names).size < entry.names.length).map(entry => entry.of)"""
    )
    assert twice == []


@every_opened_page
def test_mathematics_and_tables_are_typeset(opened: Visit) -> None:
    page = opened.page
    assert page.locator("mjx-merror").count() == 0
    assert page.locator(".math:not(:has(mjx-container))").all_inner_texts() == []
    prose = page.evaluate(
        """() => {
            const copy = document.querySelector("main, body").cloneNode(true);
            copy.querySelectorAll("pre, code, script, style, mjx-container").forEach(node => node.remove());
            return copy.textContent;
        }"""
    )
    assert re.findall(r"\\\(|\\\[|\\begin\{|\$[^\n]*\$", prose) == []
    assert re.findall(r"^[ \t]*\|.*\|[ \t]*$", prose, re.M) == []  # a table that stayed text


@every_opened_page
def test_page_fits_the_screen(opened: Visit) -> None:
    for width in WIDTHS:
        opened.resize(width)
        name = "-".join(opened.path.relative_to(SITE).with_suffix("").parts)
        opened.page.screenshot(path=BUILD / "screenshots" / f"{name}-{width}.png", full_page=True)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.resize(WIDTHS[0])


@every_opened_page
def test_nothing_is_wider_than_its_box(opened: Visit) -> None:
    """Code, outputs, tables and equations on a laptop, with all that is folded open; equations on a phone too."""
    folded = opened.page.locator("details:not([open])").element_handles()
    for details in folded:
        details.evaluate("details => details.open = true")
    equations = "mjx-container[display=true]"
    for width, boxes in [(WIDTHS[0], f"pre, table, figure, .cell_output, {equations}"), (WIDTHS[1], equations)]:
        opened.resize(width)
        cut = opened.page.locator(".bd-article").evaluate_all(
            """(articles, boxes) => articles.flatMap(article => [...article.querySelectorAll(boxes)])
                .filter(box => box.clientWidth && box.scrollWidth > box.clientWidth + 1)
                .map(box => `${box.scrollWidth} > ${box.clientWidth}: ${box.textContent.trim().slice(0, 120)}`)""",
            boxes,
        )
        assert cut == [], f"{width} px"
    opened.resize(WIDTHS[0])
    for details in folded:
        details.evaluate("details => details.open = false")


CHAPTERS = [page for page in PAGES if re.match(r"\d\d_", page.name)]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapters_and_their_figures_are_numbered(path: Path) -> None:
    html, number = path.read_text(encoding="utf-8"), int(path.name[:2])
    assert re.search(rf"<h1>{number}\. ", html)
    for chapter in CHAPTERS:
        link = re.search(
            rf'<li class="toctree-l1[^>]*><a [^>]*href="(?:{chapter.name}|#)">{int(chapter.name[:2])}\. ', html
        )
        assert link, chapter.name
    assert html.count('class="caption-number"') == len(re.findall(r"<figcaption", html))
    counted = re.findall(r'<span class="caption-number">([^<]*)</span>', html)
    assert counted == [f"Figure {number}.{count} " for count in range(1, len(counted) + 1)]


@every_opened_page
def test_a_figure_has_one_row_of_folded_code(opened: Visit) -> None:
    rows = opened.page.evaluate(
        """() => [...document.querySelectorAll(".cell.tag_hide-input:not(:has(.cell_output))")].filter(cell =>
            cell.nextElementSibling?.matches(".cell.tag_hide-input")).map(cell => cell.textContent.slice(0, 100))"""
    )
    assert rows == []


@every_page
def test_links_between_chapters_stay_inside(path: Path) -> None:
    if path.parent != SITE:
        article = (
            path.read_text(encoding="utf-8").partition('<article class="bd-article">')[2].partition("</article>")[0]
        )
        assert article
        assert re.findall(rf'href="{PUBLISHED}book/[^"]*', article) == []


@every_opened_page
def test_moving_a_slider_changes_the_picture(opened: Visit) -> None:
    for figure in opened.page.locator("[data-hyperlearn-slider]").all():
        frames = figure.locator("[data-frame]:visible")
        slider = figure.locator("input[type=range]").first
        assert slider.get_attribute("aria-label")

        def shown(frames: Locator = frames) -> tuple[str | None, bytes]:
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


@every_opened_page
def test_page_keeps_the_accessibility_rules(opened: Visit) -> None:
    """All that axe can check of WCAG 2 at the levels A and AA; with the theme only the colours change."""
    if not AXE.is_file():
        skip_or_fail("no axe-core: `npm ci --prefix tests/pages` fetches it")
    opened.page.evaluate(AXE.read_text(encoding="utf-8"))
    opened.page.evaluate("document.querySelectorAll('details').forEach(solution => solution.open = true)")
    levels = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    colors = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    found = []
    for width in WIDTHS:
        opened.resize(width)
        for theme, rules in zip(THEMES, [levels, colors], strict=True):
            opened.use(theme)
            violations = opened.page.evaluate(
                """rules => axe.run({runOnly: rules, resultTypes: ["violations"], preload: false}).then(result =>
                    result.violations.flatMap(rule => rule.nodes.map(node =>
                        `${rule.id}: ${node.target} ${node.html.slice(0, 200)} ${node.failureSummary}`)))""",
                rules,
            )
            found += [f"{width} px, {theme}: {violation}" for violation in violations]
    assert not found, "\n".join(found)


class Targets(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str | None] = set()
        self.links: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.ids |= {value for key, value in attributes if key in {"id", "name"}}
        self.links |= {value for key, value in attributes if key in {"href", "src"} and value}


@cache
def targets(path: Path) -> Targets:
    return Targets(path.read_text(encoding="utf-8"))


@every_page
def test_links_within_the_book_lead_somewhere(path: Path) -> None:
    dead = []
    for link in targets(path).links:
        address, anchor = urldefrag(urljoin(path.as_uri(), link))
        if urlsplit(address).scheme != "file":
            continue
        target = Path(unquote(urlsplit(address).path))
        if not target.is_file() or (anchor and target.suffix == ".html" and unquote(anchor) not in targets(target).ids):
            dead.append(link)
    assert dead == []
