"""The start page: what is new, what runs, and that it keeps itself fresh while something runs."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import update

from appliance.database import transaction
from appliance.domain import Role
from appliance.tables import recording
from tests.support.desk import Desk


def test_what_is_new_to_replay_begins_with_what_was_sealed_last(desk: Desk) -> None:
    made = desk.people_in_every_state()
    sealed = {"no_pack": ("周杰", 3), "declined": ("吴敏", 1), "analysis_failed": ("Grace Hopper", 2)}
    with transaction("worker", desk.settings) as tx:
        for state, (_, hours) in sealed.items():
            at = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)
            tx.execute(update(recording).where(recording.c.id == made[state]).values(sealed_at=at))
    text = desk.client(Role.RECRUITER).get("/").text
    new = text[text.index("New to replay") : text.index("Needs a person")]
    assert new.index("吴敏") < new.index("Grace Hopper") < new.index("周杰")


def test_it_keeps_itself_fresh_more_often_while_something_runs(desk: Desk) -> None:
    browser = desk.client(Role.RECRUITER)
    assert 'hx-trigger="every 30s"' in browser.get("/").text
    desk.people_in_every_state()
    assert 'hx-trigger="every 5s"' in browser.get("/").text
