"""What the desk says of damage: who is needed, what was found, and how much was read."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import insert, update

from appliance.database import transaction
from appliance.domain import Role
from appliance.tables import checked_part, recording
from appliance.upkeep import alarms
from tests.support.desk import Desk


def read(desk: Desk, parts: int, damaged: int = 0, days: float = 1) -> None:
    """So many parts of the vault as the nightly job leaves them."""
    at = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    values = {"ended_at": at, "files": 10, "by_tags": 10, "by_digest": 0}
    with transaction("worker", desk.settings) as tx:
        for part in range(1, parts + 1):
            found = damaged if part == 1 else 0
            tx.execute(insert(checked_part).values(part=part, damaged=found, **values))


def panel(desk: Desk) -> str:
    page = desk.client(Role.SYSTEM_ADMIN).get("/health").text
    return page[page.index("Check of what is stored") :].partition("</section>")[0]


def test_health_says_how_much_was_read_and_when(desk: Desk) -> None:
    assert "Not begun yet" in panel(desk)
    read(desk, 14)
    assert "No damage found" in panel(desk)
    assert "50" in panel(desk)


def test_what_was_read_long_ago_counts_no_more(desk: Desk) -> None:
    read(desk, 28, damaged=1, days=40)
    assert "0" in panel(desk)
    assert "No damage found" in panel(desk)


def test_damage_is_said_and_its_alarm_names_the_files(desk: Desk) -> None:
    read(desk, 2, damaged=2)
    vault = desk.keyholder.status().vault_id
    about = {"count": 2, "places": ["/data/vault/22f/x.track.camera.fps", "/data/y.fps"]}
    with transaction("worker", desk.settings) as tx:
        alarms.note_once(tx, vault, "damage", "x", about)
    assert "2 damaged files" in panel(desk)
    page = desk.client(Role.SYSTEM_ADMIN).get("/health").text
    assert "2 stored files are damaged, among them /data/vault/22f/x.track.camera.fps, /data/y.fps." in page


def test_a_damaged_recording_needs_a_person_until_it_is_mended(desk: Desk) -> None:
    made = desk.people_in_every_state()["declined"]
    browser = desk.client(Role.RECRUITER)
    for problem, listed in (("damaged", True), (None, False)):
        with transaction("worker", desk.settings) as tx:
            tx.execute(update(recording).where(recording.c.id == made).values(problem=problem))
        assert (f'id="damaged-{made}"' in browser.get("/").text) is listed
        page = browser.get(f"/attempts/{made}").text
        assert ("A stored file of this recording is damaged." in page) is listed
