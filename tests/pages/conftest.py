"""The browser that all tests of a process share."""

from collections.abc import Iterator

import pytest
from browsing import CHROMIUM, SITE, skip_or_fail
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not SITE.is_dir():
        skip_or_fail("no built site: run `make site`")
    if not CHROMIUM:
        skip_or_fail("no Chromium")
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield browser
        browser.close()
