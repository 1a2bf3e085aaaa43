"""Promise: an action that cannot be recorded does not happen, however the log fails.

Each audited action meets each failure of the log; afterwards no row of any table differs, and the person got
the one typed error.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from appliance.audit import log
from appliance.audit.log import Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Question, Role
from appliance.errors import AuditUnavailableError, FupanError
from appliance.keyholder.client import Keyholder
from appliance.people import accounts, sessions
from appliance.people.directory import hash_password
from appliance.stages import invite, position, replay
from appliance.stages.invite import Invitee
from appliance.stages.position import PositionForm
from tests.support import factory

pytestmark = pytest.mark.promise

PASSWORD = "long enough password"
BY = Actor.unit("test")
FORM = PositionForm("工程师", "zh", [Question(1, "请介绍一下自己。", 30, 120)])
Action = Callable[[], object]


class Site:
    """People, a position and a sealed recording; `actions` is everything audited that staff can do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        department = factory.make_department(settings)
        hashed = hash_password(PASSWORD)
        me = factory.make_user(settings, Role.RECRUITER, username="chen", password_hash=hashed)
        self.recruiter, person = me, factory.make_user(settings, Role.INTERVIEWER).account_id
        self.recording = factory.make_attempt(settings, department)
        later = dt.datetime.now(dt.UTC) + dt.timedelta(days=7)
        one, two = Invitee("王小明", "xm@example.com"), Invitee("李雷", "ll@example.com")
        with transaction("staff", settings) as tx:
            link = sessions.issue_link(tx, person, BY)
            job = position.create(tx, me, department, FORM)
            (invited,) = invite.invite(tx, me, job, [one], later)
        session = sessions.sign_in_by_password("chen", PASSWORD, "127.0.0.1", settings)
        # in an order in which each of them can be done
        self.actions: dict[str, Action] = {
            "sign in by password": lambda: sessions.sign_in_by_password("chen", PASSWORD, "::1", settings),
            "sign in by link": lambda: sessions.sign_in_by_link(link, "::1", settings),
            "sign out": lambda: sessions.sign_out(session.token, "::1", settings),
            "issue a link": self.within(lambda tx: sessions.issue_link(tx, person, BY)),
            "create an account": self.within(lambda tx: accounts.create(tx, BY, "new", "N", Role.RECRUITER)),
            "change an account": self.within(
                lambda tx: accounts.change(tx, BY, person, "N", Role.AUDITOR, None)
            ),
            "set a password": self.within(lambda tx: accounts.set_password(tx, BY, person, PASSWORD)),
            "disable an account": self.within(lambda tx: accounts.set_disabled(tx, BY, person, True)),
            "create a position": self.within(lambda tx: position.create(tx, me, department, FORM)),
            "change a position": self.within(lambda tx: position.change(tx, me, job, FORM)),
            "invite": self.within(lambda tx: invite.invite(tx, me, job, [two], later)),
            "invite again": self.within(lambda tx: invite.invite_again(tx, me, invited)),
            "close a position": self.within(lambda tx: position.close(tx, me, job)),
            "open a replay": lambda: replay.open_view(settings, me, self.recording),
        }

    def within(self, work: Callable[..., object]) -> Action:
        def run() -> object:
            with transaction("staff", self.settings) as tx:
                return work(tx)

        return run

    def outcome(self, name: str) -> str:
        try:
            self.actions[name]()
        except FupanError as error:
            return error.code
        return "done"


@pytest.fixture
def site(settings: Settings, keyholder: Keyholder) -> Site:
    return Site(settings)


def everything(settings: Settings) -> dict[str, str]:
    """A digest of each table's rows."""
    with transaction("owner", settings) as tx:
        tables = tx.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        digest = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
        return {name: str(tx.scalar(text(digest.format(name)))) for name in tables}


@contextlib.contextmanager
def fault(settings: Settings, before: str, after: str) -> Iterator[None]:
    with transaction("owner", settings) as tx:
        tx.execute(text(before))
    yield
    with transaction("owner", settings) as tx:
        tx.execute(text(after))


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION full_disk()
"""
FAULTS = {
    "unwritable": (
        "REVOKE EXECUTE ON FUNCTION audit_append(text) FROM fupan_staff",
        "GRANT EXECUTE ON FUNCTION audit_append(text) TO fupan_staff",
    ),
    "full": (FULL, "DROP FUNCTION full_disk() CASCADE"),
    "gone": ("ALTER TABLE audit_event RENAME TO lost", "ALTER TABLE lost RENAME TO audit_event"),
    "without its head": ("ALTER TABLE audit_head RENAME TO lost", "ALTER TABLE lost RENAME TO audit_head"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_happens_while_the_log_cannot_be_written(
    site: Site, name: str, record_property: Callable[[str, object], None]
) -> None:
    before = everything(site.settings)
    with fault(site.settings, *FAULTS[name]):
        outcomes = {action: site.outcome(action) for action in site.actions}
    assert set(outcomes.values()) == {AuditUnavailableError.code}, outcomes
    assert everything(site.settings) == before
    record_property("figure", f"{len(outcomes)} of {len(outcomes)} actions refused, 0 rows changed")


def test_nothing_happens_while_the_log_hangs_and_nobody_waits_long(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    before = everything(site.settings)
    # two that touch one row would wait for each other first, so each kind of row has one here
    chosen = ("sign in by password", "create an account", "close a position", "open a replay")
    with transaction("owner", site.settings) as holder, ThreadPoolExecutor(len(chosen)) as threads:
        holder.execute(text("SELECT 1 FROM audit_head FOR UPDATE"))
        started = time.monotonic()
        outcomes = dict(zip(chosen, threads.map(site.outcome, chosen), strict=True))
        waited = time.monotonic() - started
    assert set(outcomes.values()) == {AuditUnavailableError.code}, outcomes
    assert everything(site.settings) == before
    assert 2 <= waited < 3.5
    record_property("figure", f"{len(outcomes)} of {len(outcomes)} actions refused after {waited:.1f} s")


def test_a_failing_log_gives_no_key(site: Site, keyholder: Keyholder) -> None:
    """The event is rolled back with the view, so what a caller remembers of it opens nothing."""
    remembered: list[uuid.UUID] = []
    with pytest.raises(RuntimeError, match="power cut"):
        open_and_fail(site, remembered)
    with pytest.raises(FupanError) as caught:
        keyholder.file_keys(site.recording, remembered[0], "replay", [])
    assert caught.value.code == "key_refused"


def open_and_fail(site: Site, remembered: list[uuid.UUID]) -> None:
    with transaction("staff", site.settings) as tx:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=2)
        event = log.append(
            tx, log.Action.REPLAY_OPEN, Actor.of(site.recruiter), "recording", site.recording,
            details=log.key_use(site.recording, "replay", "staff", until),
        )  # fmt: skip
        remembered.append(event.id)
        raise RuntimeError("power cut before the commit")


def test_the_same_actions_happen_and_are_recorded_when_the_log_works(site: Site) -> None:
    """The negative control: nothing but the log stood in their way, and each of them is on it."""
    for name in site.actions:
        before = length(site.settings)
        assert site.outcome(name) == "done", name
        assert length(site.settings) > before, name


def length(settings: Settings) -> int:
    with transaction("auditor", settings) as tx:
        return int(tx.scalar(text("SELECT count(*) FROM audit_event")) or 0)
