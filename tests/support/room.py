"""The room driven for real: a server for the intake application, headless Chromium with a fake camera."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, Page, Playwright, expect
from werkzeug.serving import BaseWSGIServer, make_server

CHROMIUM = Path("/usr/bin/chromium")
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
]


class Server:
    """The application on 127.0.0.1; it may be stopped and started again on the same port."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.port = 0
        self._server: BaseWSGIServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self.app, threaded=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(10)
            self._server = None


@contextlib.contextmanager
def chromium(
    playwright: Playwright, profile: Path, *more: str, **options: object
) -> Iterator[BrowserContext]:
    """A browser with camera and microphone allowed, keeping its profile in `profile`."""
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=CHROMIUM,
        headless=True,
        args=[*ARGUMENTS, *more],
        permissions=["camera", "microphone"],
        **options,
    )
    try:
        yield context
    finally:
        with contextlib.suppress(Exception):
            context.close()


def kill_browser(profile: Path) -> None:
    """SIGKILL for every process of the browser that uses this profile, as a crash would."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(profile).encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


def at(page: Page, screen: str, timeout: float = 20000) -> None:
    """Wait until a screen is shown."""
    page.wait_for_selector(f'html[data-at="{screen}"]', state="attached", timeout=timeout)


def until(page: Page, condition: Callable[[], bool], timeout: float = 20) -> None:
    """Let the page run until something outside it is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        page.wait_for_timeout(50)


def go_to_rules(page: Page, link: str) -> None:
    """From the link to the rules, as a candidate does."""
    page.goto(link)
    at(page, "welcome")
    page.click("#begin:not([disabled])")
    pass_check(page)


def pass_check(page: Page) -> None:
    """From the check of camera and microphone to the rules."""
    at(page, "check")
    page.click("#play-sound")
    page.click("#heard")
    page.click("#check-go:not([disabled])")
    at(page, "trial")
    page.click("#trial-go")
    at(page, "rules")


def start_recording(page: Page, analysis: bool = True) -> None:
    """Agree, and wait for the first question."""
    page.check("#tick-record")
    if analysis:
        page.check("#tick-analysis")
    page.click("#agree:not([disabled])")
    at(page, "room")
    expect(page.locator("#question-number")).not_to_be_empty()


def begin_recording(page: Page, link: str, analysis: bool = True) -> None:
    """From the link to the first question."""
    go_to_rules(page, link)
    start_recording(page, analysis)


# Everything that tells whether the room has gone on after a press.
STANDING = """() => [
  document.documentElement.dataset.at,
  ...["question-number", "advance"].map((name) => document.getElementById(name).textContent),
  document.getElementById("advance").disabled,
].join("|")"""
RECORDING = (
    "() => document.documentElement.dataset.at === 'room' && !document.getElementById('advance').disabled"
)


def advance(page: Page) -> None:
    """Press the one primary button and wait until the room has gone on.

    A press at the very moment at which the room goes on by itself does not count: it is repeated.
    """
    before = page.evaluate(STANDING)
    while page.evaluate(STANDING) == before:
        page.click("#advance")
        with contextlib.suppress(TimeoutError):
            until(page, lambda: page.evaluate(STANDING) != before, 5)


def answer_and_finish(page: Page, timeout: float = 30000) -> None:
    """From wherever the room is to the receipt."""
    while page.evaluate(RECORDING):
        advance(page)
    at(page, "done", timeout)
