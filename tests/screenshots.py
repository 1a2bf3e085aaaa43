"""`make screenshots`: every page, in Chinese and English, two sizes, light and dark.

    python -m tests.screenshots build/screenshots [--readme]

The product runs as people run it, with its demo. `--readme` also renews the pictures in docs/images/.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Playwright, sync_playwright
from sqlalchemy import select

from appliance import database
from appliance.embedded.demo import EMAIL
from appliance.tables import attempt, candidate
from tests.support import fake_camera, product, room, story
from tests.support.product import Product

SIZES = {"wide": (1366, 768), "narrow": (360, 640)}
SCHEMES = ("light", "dark")
LANGUAGES = {"zh": "zh-CN", "en": "en-GB"}
# Account → the pages that only it sees, as name → path below the staff's address.
PAGES = {
    "recruiter": {
        "today": "/",
        "positions": "/positions",
        "position_new": "/positions/new",
        "candidates": "/candidates",
        "attempt": "/attempts/{demo}",
        "notes": "/attempts/{demo}/notes",
        "erase": "/attempts/{demo}/erase",
        "not_found": "/no-such-page",
        "styleguide": "/_styleguide",
    },
    "auditor": {"access_log": "/audit", "access_log_recording": "/audit/recordings/{demo}"},
    "security": {"accounts": "/accounts", "erasures": "/erasures"},
    "system": {"health": "/health", "vault": "/vault"},
}
README = ("room", "replay", "access_log")


class Album:
    """Takes one page in every size and scheme."""

    def __init__(self, folder: Path, language: str) -> None:
        self._folder, self._language = folder, language
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Page, name: str, *, full: bool = True) -> None:
        """`full`: the page to its end, not only what fits."""
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.wait_for_timeout(150)
                path = self._folder / f"{self._language}_{name}_{size}_{scheme}.png"
                page.screenshot(path=path, full_page=full and size == "narrow")


def main() -> int:
    """Take all of them; says how many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readme", action="store_true", help="renew docs/images/ too")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    with product.running(demo=True) as running, sync_playwright() as playwright, _scratch() as scratch:
        camera = fake_camera.make(scratch)
        demo = _demo(running)
        story.wait_for_report(running.settings, demo)
        for language, locale in LANGUAGES.items():
            album = Album(arguments.folder, language)
            _room(playwright, running, album, camera, scratch / f"room-{language}", locale)
            _desk(playwright, running, album, demo, scratch / f"desk-{language}", locale)
    if arguments.readme:
        for name in README:
            shutil.copy(arguments.folder / f"zh_{name}_wide_light.png", Path("docs/images") / f"{name}.png")
    print(f"{len(list(arguments.folder.glob('*.png')))} pictures in {arguments.folder}")
    return 0


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fupan-pictures-") as folder:
        yield Path(folder)


def _demo(running: Product):
    with database.transaction("staff", running.settings) as tx:
        return tx.scalar(
            select(attempt.c.id)
            .join(candidate, candidate.c.id == attempt.c.candidate_id)
            .where(candidate.c.email == EMAIL)
        )


def _in_language(link: str, locale: str) -> str:
    address, _, secret = link.partition("#")
    return f"{address}?lang={locale[:2]}#{secret}"


def _room(
    playwright: Playwright,
    running: Product,
    album: Album,
    camera: fake_camera.FakeCamera,
    profile: Path,
    locale: str,
) -> None:
    """The candidate's screens, from the link to the receipt."""
    with room.chromium(playwright, profile, *camera.arguments, locale=locale) as browser:
        page = browser.pages[0]
        page.goto(_in_language(running.invitation("--name", f"林夏 {locale}"), locale))
        for screen, leave in (
            ("welcome", "#begin:not([disabled])"),
            ("check", "#check-go:not([disabled])"),
            ("trial", "#trial-go"),
            ("rules", "#agree:not([disabled])"),
        ):
            room.at(page, screen)
            if screen == "check":
                page.click("#play-sound")
                page.click("#heard")
                page.wait_for_selector(leave)
            if screen == "rules":
                page.check("#tick-record")
                page.check("#tick-analysis")
            album.take(page, screen)
            page.click(leave)
        room.at(page, "room")
        page.wait_for_timeout(4000)
        album.take(page, "room")
        room.answer_and_finish(page, 60000)
        album.take(page, "done")
        page.click("#to-status")
        room.at(page, "status")
        album.take(page, "status")


def _desk(playwright: Playwright, running: Product, album: Album, demo, profile: Path, locale: str) -> None:
    """The staff's pages, each as the account that sees it."""
    site, language = running.settings.staff_url, locale[:2]
    with room.chromium(playwright, profile, locale=locale) as browser:
        page = browser.pages[0]
        page.goto(f"{site}/sign-in?lang={language}")
        album.take(page, "sign_in")
        for account, pages in PAGES.items():
            browser.clear_cookies()
            page = story.sign_in(browser, running.sign_in_link(account))
            page.goto(f"{site}/?lang={language}")
            for name, path in pages.items():
                page.goto(site + path.format(demo=demo))
                album.take(page, name)
            if account == "recruiter":
                story.open_replay(page, running.settings, demo)
                story.seek(page, 5)
                page.wait_for_timeout(1000)
                album.take(page, "replay")
            page.close()


if __name__ == "__main__":
    sys.exit(main())
