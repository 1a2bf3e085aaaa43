"""Headless Chromium at the desk: windows of a person, in a language, a theme and a width."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from appliance.domain import Role
from tests.support.desk import Desk
from tests.support.room import ARGUMENTS, CHROMIUM, Server


@contextlib.contextmanager
def at_the_desk(desk: Desk) -> Iterator[DeskBrowser]:
    """A server and a browser. Prepare the desk before: Playwright keeps an event loop in this thread."""
    tokens = {role: desk.token(role) for role in desk.people}
    server = Server(desk.app)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            yield DeskBrowser(browser, server, tokens)
            browser.close()
    finally:
        server.stop()


class DeskBrowser:
    """Opens windows; `problems` collects what the policy stopped and what scripts threw."""

    def __init__(self, browser: Browser, server: Server, tokens: dict[Role, str]) -> None:
        self.browser, self.server, self.tokens = browser, server, tokens
        self.problems: list[str] = []

    def window(self, role: Role | None, lang: str = "en", scheme: str = "light", width: int = 1366) -> Page:
        """A fresh window of the person with this role."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 768 if width > 400 else 640},
            color_scheme=scheme,
            base_url=self.server.url,
        )
        context.add_cookies([{"name": "fupan_lang", "value": lang, "url": self.server.url}])
        if role is not None:
            context.add_cookies([{"name": "fupan", "value": self.tokens[role], "url": self.server.url}])
        page = context.new_page()
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url} {error}"))
        return page

    def replay(self, view: str, **look: object) -> Page:
        """The recruiter's window on a replay, ready."""
        page = self.window(Role.RECRUITER, **look)
        page.goto(view)
        ready(page)
        return page

    def _told(self, message: ConsoleMessage) -> None:
        if "Content Security" in message.text or "violates" in message.text:
            self.problems.append(message.text)


def ready(page: Page) -> None:
    """Wait until the replay page has its transcript and its picture."""
    page.wait_for_selector("main[data-ready]")
    page.wait_for_selector("#panel-transcript[data-state=ready]")
    page.wait_for_function("() => document.querySelector('video').readyState >= 2")
