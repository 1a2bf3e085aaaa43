"""While the vault is locked, pages say what waits and how long the room lasts; alarms are shown."""

from __future__ import annotations

import datetime as dt
import re
import uuid

import pytest
from sqlalchemy import delete, insert, update

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role
from appliance.keyholder.client import Keyholder
from appliance.reading import vault_notice
from appliance.tables import disk_sample, recording
from appliance.transport import transport_of
from appliance.upkeep import alarms, disk
from tests.support import factory
from tests.support.desk import Desk
from tests.support.site import Site

NOW = dt.datetime.now(dt.UTC)
MINUTE = dt.timedelta(minutes=1)
GB = 10**9

PAGES = {
    Role.SYSTEM_ADMIN: ["/health", "/account"],
    Role.SECURITY_ADMIN: ["/accounts", "/health", "/account"],
    Role.AUDITOR: ["/audit", "/health", "/account"],
    Role.RECRUITER: ["/"],
}


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def samples(settings: Settings, *taken: tuple[int, float, float]) -> None:
    """(minutes ago, GB at intake, GB free)."""
    now = dt.datetime.now(dt.UTC)
    with transaction("worker", settings) as tx:
        tx.execute(delete(disk_sample))
        for ago, held, free in taken:
            values = {"intake_bytes": int(held * GB), "free_bytes": int(free * GB)}
            tx.execute(insert(disk_sample).values(at=now - ago * MINUTE, **values))


def test_every_page_of_administrators_says_it_while_locked_and_none_else(desk: Desk) -> None:
    factory.make_attempt(desk.settings, desk.department, state="sealing")
    made = factory.make_attempt(desk.settings, desk.department, state="sealed")
    factory.set_analysis(desk.settings, made, "queued")
    samples(desk.settings, (50, 1, 60), (0, 2, 50))
    floor = desk.settings.disk_floor_bytes / GB
    hours = round((50 - floor) * 50 / 60)
    for locked in (False, True):
        if locked:
            desk.keyholder.lock()
        for role, paths in PAGES.items():
            browser = desk.client(role)
            for path in paths:
                told = words(browser.get(path).text)
                assert ("The vault is locked." in told) == locked, (role, path)
                assert told.count("The vault is locked.") <= 1
                if locked:
                    assert "1 recording waits to be sealed, 1 to be analysed." in told
                    assert f"lasts {hours} hours" in told


@pytest.mark.parametrize(
    ("taken", "room"),
    [
        ([], None),
        ([(0, 1, 5)], (4.0, None, False)),
        ([(60 * 3, 0, 9), (0, 1, 5)], (4.0, None, False)),  # one of them is too old
        ([(50, 1, 9), (0, 1, 5)], (4.0, None, True)),
        ([(30, 1, 9), (0, 2, 5)], (4.0, 2.0, False)),
        ([(30, 9, 9), (15, 1, 9), (0, 3, 5)], (4.0, 1.0, False)),  # what was cleared is no less recorded
        ([(30, 1, 9), (0, 2, 0.5)], (0.0, 0.0, False)),
    ],
)
def test_how_long_the_room_lasts(
    settings: Settings, taken: list[tuple[int, float, float]], room: tuple[float, float | None, bool] | None
) -> None:
    from dataclasses import replace

    settings = replace(settings, disk_floor_bytes=GB)
    samples(settings, *taken)
    found = vault_notice.notice(settings).room  # no keyholder: the same as locked
    assert found is not None
    if room is None:
        assert (found.hours, found.resting) == (None, False)
        assert found.free > 0
        return
    assert (found.free / GB, found.resting) == (room[0], room[2])
    assert found.hours == (None if room[1] is None else pytest.approx(room[1]))


def test_samples_count_what_journals_hold_and_are_forgotten_after_a_day(
    settings: Settings, keyholder: Keyholder
) -> None:
    site = Site(settings, keyholder)
    made = site.finished([b"x" * 5000])
    transport = transport_of(settings)
    samples(settings, (60 * 25, 0, 9))
    disk.sample(settings, transport, NOW)
    with transaction("worker", settings) as tx:
        tx.execute(update(recording).where(recording.c.id == made).values(journals_removed_at=NOW))
    disk.sample(settings, transport, NOW + MINUTE)
    first, second = sorted(site.rows(disk_sample), key=lambda row: row.at)
    assert (first.at, first.intake_bytes > 5000, second.intake_bytes) == (NOW, True, 0)
    assert first.free_bytes > 0


def test_without_the_database_the_banner_has_no_numbers(settings: Settings) -> None:
    from dataclasses import replace

    from appliance.config import Database

    away = replace(settings, database=Database(host="/nonexistent"))
    assert vault_notice.notice(away) == vault_notice.Notice("down")


def test_alarms_show_on_health_and_on_top_of_administrators_pages_alone(desk: Desk) -> None:
    with transaction("worker", desk.settings) as tx:
        vault = desk.keyholder.status().vault_id
        alarms.note(tx, vault, uuid.uuid4(), "bulk_use", {"who": "x", "unit": "worker", "limit": 9})
        alarms.note_once(tx, vault, "events_missing", "x", {"count": 3, "events": []})
    for role in (Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDITOR):
        browser = desk.client(role)
        health = words(browser.get("/health").text)
        assert "Keys were given for 3 events" in health
        assert "The keys of more than 9 recordings" in health
        assert "2 alarms about the vault within a week." in words(browser.get("/account").text)
    assert "alarm" not in words(desk.client(Role.RECRUITER).get("/").text)


def test_health_says_how_many_days_have_keys(desk: Desk) -> None:
    told = words(desk.client(Role.SYSTEM_ADMIN).get("/health").text)
    assert "1 day left" in told
