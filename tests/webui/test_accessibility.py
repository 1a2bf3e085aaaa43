"""axe finds nothing serious on any staff page, in both languages and themes, wide and narrow."""

from __future__ import annotations

import pytest

from appliance.config import Settings
from appliance.domain import Role
from appliance.keyholder.client import Keyholder
from appliance.tables import attempt
from tests.support import erasure as erasing
from tests.support import room
from tests.support.axe import serious
from tests.support.desk import Desk, post
from tests.support.desk_browser import at_the_desk, ready

pytestmark = room.NEEDS_BROWSER

LOOKS = [
    ("zh", "light", 1366),
    ("en", "dark", 360),
    ("zh", "dark", 1366),
    ("en", "light", 360),
]
# Every day each page in one of the first two looks by turns; in all of them in the long suite.
TURNS = [LOOKS[:2], *(pytest.param([look], marks=pytest.mark.long) for look in LOOKS)]


@pytest.mark.parametrize("looks", TURNS, ids=lambda looks: "-".join(map(str, sum(looks, ()))))
def test_no_page_has_a_serious_finding(
    settings: Settings, keyholder: Keyholder, looks: list[tuple[str, str, int]]
) -> None:
    desk = Desk(settings, keyholder)
    states = desk.people_in_every_state()
    recording = desk.sealed()
    post(desk.client(Role.RECRUITER), f"/attempts/{recording}/notes", data={"text": "她先量,再改。"})
    view = post(desk.client(Role.RECRUITER), f"/recordings/{recording}/views").location
    mark = erasing.mark(desk.site, states["invited"])
    position = f"/positions/{desk.site.row(attempt, recording).position_id}"
    pages: dict[Role | None, list[str]] = {
        None: ["/sign-in", "/sign-in/x", "/_styleguide", "/nowhere"],
        Role.RECRUITER: [
            "/",
            "/positions",
            "/positions?closed=1",
            "/positions/new",
            position,
            f"{position}/edit",
            "/candidates",
            "/candidates?q=nobody",
            *(f"/attempts/{states[state]}" for state in ("running", "failed", "invited")),
            f"/attempts/{recording}",
            f"/attempts/{recording}/notes",
            f"/attempts/{recording}/erase",
            f"/erasures/{mark}",
            view,
        ],
        Role.AUDITOR: ["/audit", "/audit/events/1", f"/audit/recordings/{recording}", "/audit?action=x"],
        Role.SECURITY_ADMIN: ["/erasures", "/accounts", f"/accounts/{desk.people[Role.AUDITOR].account_id}"],
        Role.SYSTEM_ADMIN: ["/health", "/vault", "/account", "/health?hint=password"],
    }
    found: list[str] = []
    with at_the_desk(desk) as browser:
        for role, paths in pages.items():
            windows = [browser.window(role, *look) for look in looks]
            for number, path in enumerate(paths):
                page = windows[number % len(windows)]
                page.goto(path)
                if path == view:
                    ready(page)
                if page.evaluate(
                    "document.documentElement.scrollWidth > document.documentElement.clientWidth"
                ):
                    found.append(f"{path} is wider than the window")
                assert browser.problems == []
                found += serious(page)
            for page in windows:
                page.context.close()
    assert found == []
