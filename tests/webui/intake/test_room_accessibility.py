"""axe finds nothing serious in the candidate's room: every screen, both languages and themes, at 360 px."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright

from appliance import texts
from appliance.domain import ScreenPolicy
from appliance.packet import Policy, link
from tests.support import room
from tests.support.axe import serious
from tests.support.intake_site import IntakeSite
from tests.support.room import Server, at, chromium, start_recording

pytestmark = room.NEEDS_BROWSER


def screens(page: Page, address: str) -> Iterator[str]:
    """Goes through the room and stops at each of its screens, and where something is amiss."""
    page.goto(address)
    page.wait_for_selector("#begin:not([disabled])")
    yield "welcome"
    page.route("**/begin", lambda route: route.fulfill(status=500, json={}), times=1)
    page.click("#begin")
    page.wait_for_selector("[data-trouble]:visible")
    yield "welcome, refused"
    page.click("#begin")
    at(page, "check")
    page.click("#play-sound")
    yield "check"
    page.evaluate(
        "() => { for (const light of document.querySelectorAll('.light')) {"
        " light.dataset.state = 'fail';"
        " for (const fix of light.querySelectorAll('[data-fix]')) fix.hidden = false; } }"
    )
    yield "check, failed"
    page.click("#heard")
    page.click("#check-go:not([disabled])")
    at(page, "trial")
    yield "trial"
    page.click("#trial-go")
    at(page, "rules")
    yield "rules"
    start_recording(page)
    page.click("details:has(#note) summary")
    yield "room"
    page.evaluate("for (const each of document.querySelectorAll('.banner')) each.hidden = false")
    yield "room, in trouble"
    room.answer_and_finish(page)
    yield "done"
    page.click("#to-status")
    at(page, "status")
    yield "status"
    page.goto(address.split("#")[0].rsplit("/", 1)[0] + "/00000000-0000-4000-8000-000000000000")
    yield "unknown link"


@pytest.mark.parametrize(
    ("lang", "scheme"), [("zh", "light"), pytest.param("en", "dark", marks=pytest.mark.long)]
)
def test_no_screen_has_a_serious_finding(
    playwright: Playwright, site: IntakeSite, server: Server, tmp_path: Path, lang: str, scheme: str
) -> None:
    packet, secret = site.invite(
        language=lang, guide=texts.guide(lang), policy=Policy(screen=ScreenPolicy.OPTIONAL)
    )
    other, _ = site.invite(language=lang)
    size = {"width": 360, "height": 640}
    found: list[str] = []
    with chromium(
        playwright, tmp_path / "profile", viewport=size, color_scheme=scheme, reduced_motion="reduce"
    ) as context:
        page = context.pages[0]
        for name in screens(page, link(server.url, packet.recording, secret)):
            found += [f"{name}: {each}" for each in serious(page)]
            if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
                found.append(f"{name}: wider than the window")
        page.goto(link(server.url, other.recording, "").split("#")[0])
        at(page, "problem")
        found += [f"problem: {each}" for each in serious(page)]
    assert found == []
