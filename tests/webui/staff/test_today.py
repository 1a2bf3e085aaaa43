"""The start page: what is new, what runs, and that it keeps itself fresh while something runs."""

from __future__ import annotations

import datetime as dt
import re
import uuid

from sqlalchemy import text, update

from appliance.database import transaction
from appliance.domain import Limits, Role
from appliance.tables import attempt, recording
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


def begun(desk: Desk, *, answered: int) -> uuid.UUID:
    """Someone who answered so many of the two questions and whose finish has not arrived."""
    [made] = desk.site.invite("ming")
    desk.site.run_jobs()
    browser = desk.site.begun(made)
    for ordinal in (1, 2):
        for step in ("open", "close")[: 2 if ordinal <= answered else 1]:
            assert browser.api("POST", f"/questions/{ordinal}/{step}")[0] == 200
    desk.site.pull()
    return made


def lists(desk: Desk) -> dict[str, str]:
    """What each part of the page says, by its heading."""
    page = desk.client(Role.RECRUITER).get("/").text
    parts = re.findall(r"<h2[^>]*>([^<]*).*?</h2>(.*?)</section>", page, re.S)
    return {title.strip(): re.sub(r"<[^>]*>|\s+", " ", rest) for title, rest in parts}


def test_whoever_still_answers_is_running_and_nothing_waits_to_be_taken_in(desk: Desk) -> None:
    begun(desk, answered=1)
    assert "Recording" in lists(desk)["Running now"]
    assert "Being taken in" not in lists(desk)


def test_between_the_last_answer_and_the_seal_an_interview_is_listed(desk: Desk) -> None:
    made = begun(desk, answered=2)
    shown = lists(desk)
    assert "Waiting for the last pieces" in shown["Being taken in"]
    assert "Recording" not in shown["Running now"]
    with transaction("worker", desk.settings) as tx:
        tx.execute(update(attempt).where(attempt.c.id == made).values(state="finished"))
        tx.execute(update(recording).where(recording.c.id == made).values(state="sealing"))
    assert "Finished, waiting to be sealed" in lists(desk)["Being taken in"]
    with transaction("worker", desk.settings) as tx:
        tx.execute(update(recording).where(recording.c.id == made).values(problem="vault_locked"))
    assert "Waiting: the vault is locked." in lists(desk)["Being taken in"]
    with transaction("worker", desk.settings) as tx:
        tx.execute(
            text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args, status)"
                " VALUES ('default', 'seal', :lock, '{}', 'doing')"
            ),
            {"lock": f"recording:{made}"},
        )
    shown = lists(desk)
    assert "Sealing" in shown["Running now"]
    assert "Being taken in" not in shown


def test_what_cannot_be_ended_after_deadline_and_grace_needs_a_person(desk: Desk) -> None:
    made = begun(desk, answered=2)
    [never_begun] = desk.site.invite("hong")
    for minutes, shown_under in ((-5, "Being taken in"), (5, "Being taken in"), (20, "Needs a person")):
        over = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)
        with transaction("worker", desk.settings) as tx:
            grace = dt.timedelta(hours=Limits.grace_hours)
            tx.execute(update(attempt).where(attempt.c.id == made).values(deadline=over - grace))
            tx.execute(update(attempt).where(attempt.c.id == never_begun).values(deadline=over))
        shown = lists(desk)
        assert {title for title, rest in shown.items() if "ming" in rest} == {shown_under}
        assert ("hong" in shown["Needs a person"]) == (shown_under == "Needs a person")
    assert shown["Needs a person"].count("Over, but not taken in") == 2


def test_after_the_deadline_what_was_begun_is_listed_until_it_is_sealed(desk: Desk) -> None:
    made = begun(desk, answered=1)
    with transaction("worker", desk.settings) as tx:
        past = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
        tx.execute(update(attempt).where(attempt.c.id == made).values(deadline=past))
    shown = lists(desk)
    assert "Waiting for the last pieces" in shown["Being taken in"]
    assert "Recording" not in shown["Running now"]
