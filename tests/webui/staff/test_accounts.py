"""Accounts and health: who may manage whom, what is shown once, what a site without parts says."""

from __future__ import annotations

import dataclasses
import html
import os
import re
import shlex
from pathlib import Path

import pytest
from sqlalchemy import update

from appliance.config import Database
from appliance.database import transaction
from appliance.domain import Role
from appliance.people import accounts, sessions
from appliance.reading import health
from appliance.tables import analysis, recording
from tests.support.desk import Desk, post
from webui.staff.app import create_app


def test_an_account_is_made_and_its_link_signs_in_once(desk: Desk) -> None:
    admin = desk.client(Role.SECURITY_ADMIN)
    form = {"username": "Li.Lei", "display_name": "李雷", "role": "department_head"}
    refused = post(admin, "/accounts", data=form)
    assert (refused.status_code, 'value="Li.Lei"' in refused.text) == (422, True)
    made = post(admin, "/accounts", data=form | {"department_id": str(desk.department)})
    found = re.search(r'id="link">http://staff\.fupan\.test(/sign-in/[\w-]+)<', made.text)
    assert found is not None
    assert found.group(1) not in admin.get("/accounts").text
    new = desk.client()
    assert post(new, found.group(1)).status_code == 303
    assert "李雷" in new.get("/").text
    assert post(admin, "/accounts", data=form | {"role": "candidate"}).status_code == 422


def test_disabling_ends_the_session_and_the_last_security_admin_stays(desk: Desk) -> None:
    admin, head = desk.client(Role.SECURITY_ADMIN), desk.client(Role.DEPARTMENT_HEAD)
    target = desk.people[Role.DEPARTMENT_HEAD].account_id
    assert head.get("/candidates").status_code == 200
    assert post(admin, f"/accounts/{target}/disable").status_code == 303
    assert head.get("/candidates").status_code == 303
    assert post(admin, f"/accounts/{target}/enable").status_code == 303
    own = desk.people[Role.SECURITY_ADMIN].account_id
    last = post(admin, f"/accounts/{own}/disable")
    assert (last.status_code, "last security administrator" in last.text) == (422, True)
    assert post(admin, f"/accounts/{desk.department}/link").status_code == 404


def test_what_ends_the_sessions_of_a_person_asks_before_and_says_so(desk: Desk) -> None:
    me = desk.people[Role.DEPARTMENT_HEAD]
    accounts.set_own_password(
        sessions.load(desk.token(Role.DEPARTMENT_HEAD), "127.0.0.1", desk.settings) or me,
        "",
        "correct horse battery",
        desk.settings,
    )
    page = desk.client(Role.SECURITY_ADMIN).get(f"/accounts/{me.account_id}").text
    pane = page.partition("<dialog")[0]
    asked = dict(re.findall(r'<dialog id="([\w-]+)"(.*?)</dialog>', page, re.DOTALL))
    for act, dialog in (("remove-password", "remove-password"), ("disable", "disable-account")):
        action = f'action="/accounts/{me.account_id}/{act}"'
        assert action not in pane
        assert f'data-open="{dialog}"' in pane
        assert action in asked[dialog]
        assert "All sessions of this person end" in asked[dialog]
        assert "data-close" in asked[dialog]


def test_a_new_role_shows_at_once(desk: Desk) -> None:
    admin = desk.client(Role.SECURITY_ADMIN)
    target = desk.people[Role.INTERVIEWER].account_id
    form = {"display_name": "I", "role": "auditor", "department_id": ""}
    assert post(admin, f"/accounts/{target}", data=form).status_code == 303
    assert "Auditor" in admin.get(f"/accounts/{target}").text


def test_health_says_what_is_down(desk: Desk) -> None:
    admin = desk.client(Role.SYSTEM_ADMIN)
    assert "Unlocked" in admin.get("/health").text
    desk.keyholder.lock()
    shown = re.search(r'id="unlock">(.*?)</code>', admin.get("/health").text)
    assert shown is not None
    program, *arguments = shlex.split(html.unescape(shown[1]))
    assert Path(program).is_absolute()
    assert os.access(program, os.X_OK)
    assert arguments == ["vault", "unlock", "--data", str(desk.settings.data)]


@pytest.mark.parametrize(
    ("free", "floor", "words", "colour"),
    [
        (260, 50, "Enough room", "green"),
        (100, 50, "Enough room", "green"),
        (99, 50, "Nearly full", "amber"),
        (49, 50, "Full: new recordings are refused", "red"),
        (300, 300, "Enough room", "green"),
        (299, 300, "Full: new recordings are refused", "red"),
    ],
)
def test_the_words_and_the_colour_of_the_disk_agree(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, free: int, floor: int, words: str, colour: str
) -> None:
    told = health.health(desk.settings)
    known = dataclasses.replace(told, disk_free=free, disk_total=1000, disk_floor=floor)
    monkeypatch.setattr(health, "health", lambda settings: known)
    page = desk.client(Role.SYSTEM_ADMIN).get("/health").text
    assert words in page
    meter = {
        name: int(value) for name, value in re.findall(r'(\w+)="(\d+)"', page.partition("<meter")[2][:120])
    }
    used = meter["value"]
    shown = "green" if used <= meter["low"] else "amber" if used <= meter["high"] else "red"
    assert shown == colour


def test_health_says_how_many_recordings_wait_for_room(desk: Desk) -> None:
    made = desk.people_in_every_state()
    admin = desk.client(Role.SYSTEM_ADMIN)
    assert "for room" not in admin.get("/health").text
    with transaction("worker", desk.settings) as tx:
        tx.execute(update(recording).where(recording.c.id == made["sealing"]).values(problem="full"))
        waits = update(analysis).where(analysis.c.recording_id == made["running"])
        tx.execute(waits.values(state="queued", reason="full"))
    assert "2 recordings wait for room" in admin.get("/health").text


def test_without_a_database_machines_and_people_are_told(desk: Desk) -> None:
    away = dataclasses.replace(desk.settings, database=Database(host="/nowhere"))
    browser = create_app(away).test_client()
    browser.set_cookie("fupan", "anything")
    assert browser.get("/healthz").status_code == 503
    page = browser.get("/candidates", headers={"Accept-Language": "en"})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert "The database is not answering" in page.text
