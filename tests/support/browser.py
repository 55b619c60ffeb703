"""A real browser before the page: Chromium, driven by Playwright. What it complains of is kept, for a page must give it
no cause."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

SCREENSHOTS = os.environ.get("QUEUEPOOL_TEST_SCREENSHOTS")
"""Directory where the tests of the page leave pictures of it; docs/images/ is made of them."""

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_AXE = Path(__file__).parent / "axe" / "axe.min.js"
LIMIT = 60_000
"""Milliseconds that anything on a page may take: a busy machine is no failure."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without windows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS), timeout=2 * LIMIT)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One page of a browser that nobody used before. complaints: what the console said that is an error or a warning
    (a breach of the Content Security Policy is one), and exceptions of scripts."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        options = {"viewport": {"width": 1200, "height": 800}, "locale": "en-US", **options}
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(LIMIT)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def log_in(self, name: str = "admin", password: str = "secret", view: str = "") -> None:
        """Open the page as somebody."""
        self.page.goto(f"{self.url}{view}")
        self.page.fill("[name=username]", name)
        self.page.fill("[name=password]", password)
        self.page.click("form.login button")
        self.live()

    def live(self) -> None:
        """Wait until it shows what is true now."""
        self.page.wait_for_selector("#live.live", state="attached")

    def go(self, view: str) -> None:
        """Another view, such as `queues`."""
        self.page.evaluate("view => { location.hash = '#/' + view }", view)
        self.page.wait_for_selector(f"nav a[aria-current][data-view={view.partition('/')[0] or 'overview'}]")

    def flaws(self) -> list[str]:
        """What axe finds that keeps people from using the page: rule, and where."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_AXE.read_text())  # by the debugger, to which the page's policy does not apply
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(it => it.violations)")
        return [
            f"{one['id']}: {one['help']}: {'; '.join(node['html'][:200] for node in one['nodes'][:3])}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def too_wide(self) -> int:
        """By how many pixels the page is wider than its window."""
        width: int = self.page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
        return width

    def picture(self, name: str) -> None:
        """Leave a picture, where that is asked for."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}.png", animations="disabled")
