"""A page of the built site in a real browser, and what the tests of such pages share."""

import os
import shutil
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Route

BUILD = Path(__file__).parents[2] / "_build"
SITE = BUILD / "html"
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
WIDTHS = [1280, 390]  # a laptop, a phone
Theme = Literal["light", "dark"]


def skip_or_fail(missing: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


class Visit:
    """An opened page, and all that went wrong or asked for the network while it was open.

    Args:
        browser: see conftest.py.
        path: the page's file.
        options: of Playwright's `Browser.new_page`, beside a laptop's window, a light page and no motion.
    """

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.path = path
        self.errors: list[str] = []
        usual: dict[str, Any] = {
            "viewport": {"width": WIDTHS[0], "height": 900},
            "color_scheme": "light",
            "reduced_motion": "reduce",
        }
        self.page = browser.new_page(**(usual | options))
        self.page.set_default_timeout(120_000)  # a busy CI machine takes its time
        self.page.on("console", lambda message: self.errors.extend([message.text] if message.type == "error" else []))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(f"did not load: {request.url}"))
        self.page.route("**/*", self.from_disk_only)
        self.page.goto(path.as_uri(), wait_until="load")
        # A cell that is opened would fade in for a while, and be too faint to read meanwhile.
        self.page.add_style_tag(
            content="*, ::before, ::after { animation: none !important; transition: none !important; }"
        )
        self.page.evaluate("window.MathJax && MathJax.startup.promise")

    def from_disk_only(self, route: Route) -> None:
        local = urlsplit(route.request.url).scheme in {"file", "data", "blob"}
        route.continue_() if local else route.abort()

    def resize(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": 900})
        self.settle()

    def settle(self) -> None:
        """What follows a change, book.js's observer and the figures' drawing among it, has run two frames later."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def use(self, theme: Theme) -> None:
        """Light or dark, as the reader's system would have it."""
        self.page.emulate_media(color_scheme=theme)
        self.page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
