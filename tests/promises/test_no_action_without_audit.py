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
from sqlalchemy import insert, text, update

from appliance.audit import log
from appliance.audit.log import Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Question, Role
from appliance.errors import AuditUnavailableError, FupanError
from appliance.keyholder import orders
from appliance.keyholder.client import Keyholder
from appliance.keyholder.vault_client import VaultKeyholder
from appliance.people import accounts, assignments, sessions
from appliance.people.directory import hash_password
from appliance.stages import analyse, erase, invite, position, replay, seal
from appliance.stages.decide import notes
from appliance.stages.erase import holds
from appliance.stages.invite import Invitee
from appliance.stages.position import PositionForm
from appliance.stages.talent import resume
from appliance.tables import attempt, consent
from tests.support import custodians, factory, papers
from tests.support.desk import SAME_ORIGIN
from tests.support.keyholder import running_keyholder
from webui.staff.app import create_app

pytestmark = pytest.mark.promise

PASSWORD = "long enough password"
BY = Actor.unit("test")
FORM = PositionForm("工程师", "zh", [Question(1, "请介绍一下自己。", 30, 120)])
Action = Callable[[], object]

# Each route of the staff pages that changes something → the actions it leads to. UNRECORDED says why not.
ROUTES = {
    "session.sign_in_by_password": ["sign in by password"],
    "session.sign_in_by_link": ["sign in by link"],
    "session.sign_out": ["sign out"],
    "positions.create": ["create a position"],
    "positions.change": ["change a position"],
    "positions.close": ["close a position"],
    "positions.invite": ["invite"],
    "candidates.invite_again": ["invite again"],
    "candidates.seal_again": ["seal again"],
    "candidates.analyse_again": ["analyse again"],
    "candidates.assign": ["assign"],
    "candidates.unassign": ["unassign"],
    "resume.keep": ["keep a résumé"],
    "resume.open_version": ["open a résumé"],
    "notes.write": ["write a note"],
    "notes.change": ["change a note"],
    "erasures.mark": ["mark for erasure"],
    "erasures.withdraw": ["withdraw a mark"],
    "erasures.hold": ["set a hold"],
    "erasures.lift": ["lift a hold"],
    "replay.open_view": ["open a replay"],
    "replay.close": ["close a replay"],
    "access_log.verify": ["verify the log"],
    "accounts.create": ["create an account"],
    "accounts.change": ["change an account"],
    "accounts.switch": ["disable an account", "enable an account"],
    "accounts.link": ["issue a link"],
    "accounts.remove_password": ["remove a password"],
    "own_account.set_password": ["set a password"],
}
UNRECORDED = {
    "replay.watched": "seconds watched under a view whose opening is recorded; told when it closes",
    "vault.begin": "a key pair in the keyholder's memory; each share that is given to it is recorded",
    "vault.give": "wants a locked vault: test_shares_given_while_the_log_cannot_be_written_unlock_nothing",
}
# What only reads, and is recorded all the same; what only the command line does.
BESIDE = {"export the log", "let many be erased", "unlock the vault", "read notes"}


# What reads the log before it writes to it → where that finds none.
READERS = {each: {"verify the log", "export the log"} for each in ("gone", "without its head")}


class UnreadableError(FupanError):
    """The page reads the log before it writes to it, and found none."""

    code = "log_unreadable"


class Site:
    """People, a position and recordings; `actions` is everything audited that staff can do (see ROUTES)."""

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
        factory.make_user(settings, Role.INTERVIEWER, username="lin", password_hash=hashed)
        own = sessions.sign_in_by_password("lin", PASSWORD, "127.0.0.1", settings).user
        officer = factory.make_user(settings, Role.SECURITY_ADMIN)
        self._more(settings, department)
        with transaction("staff", settings) as tx:
            self.mark = erase.mark(tx, settings, me, self.recording, whole=False, basis="request")
            self.hold = holds.set_hold(tx, officer, str(self.unsealed), "dispute")
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
            "set a password": lambda: accounts.set_own_password(own, PASSWORD, PASSWORD[::-1], settings),
            "remove a password": self.within(lambda tx: accounts.remove_password(tx, BY, me.account_id)),
            "disable an account": self.within(lambda tx: accounts.set_disabled(tx, BY, person, True)),
            "enable an account": self.within(lambda tx: accounts.set_disabled(tx, BY, self.away, False)),
            "create a position": self.within(lambda tx: position.create(tx, me, department, FORM)),
            "change a position": self.within(lambda tx: position.change(tx, me, job, FORM)),
            "invite": self.within(lambda tx: invite.invite(tx, me, job, [two], later)),
            "invite again": self.within(lambda tx: invite.invite_again(tx, me, invited)),
            "close a position": self.within(lambda tx: position.close(tx, me, job)),
            "keep a résumé": lambda: resume.keep(settings, me, self.recording, lambda: papers.PDF),
            "open a résumé": lambda: resume.opened(settings, me, self.recording, 1),
            "write a note": lambda: notes.write(settings, me, self.recording, "one more"),
            "change a note": lambda: notes.change(settings, me, self.recording, self.note, "other", 1),
            "read notes": lambda: notes.opened(settings, me, self.recording),
            "open a replay": lambda: replay.open_view(settings, me, self.recording),
            "close a replay": lambda: replay.close(settings, me, self.view),
            "assign": self.within(
                lambda tx: assignments.assign(tx, me, self.recording, self.interviewers[0])
            ),
            "unassign": self.within(
                lambda tx: assignments.unassign(tx, me, self.recording, self.interviewers[1])
            ),
            "seal again": self.within(lambda tx: seal.order_again(tx, me, self.unsealed)),
            "analyse again": self.within(lambda tx: analyse.order_again(tx, settings, me, self.recording)),
            "mark for erasure": self.within(
                lambda tx: erase.mark(tx, settings, me, self.unsealed, whole=False, basis="request")
            ),
            "withdraw a mark": self.within(lambda tx: erase.withdraw(tx, me, self.mark)),
            "set a hold": self.within(lambda tx: holds.set_hold(tx, officer, str(self.recording), "dispute")),
            "lift a hold": self.within(lambda tx: holds.lift(tx, officer, self.hold)),
            "let many be erased": lambda: erase.confirm_many(settings, BY),
            "verify the log": lambda: self.asked("POST", "/audit/verify"),
            "export the log": lambda: self.asked("GET", "/audit/export.json"),
            "unlock the vault": lambda: orders.unlock(settings, BY),
        }

    def _more(self, settings: Settings, department: uuid.UUID) -> None:
        """What the later actions are about."""
        self.interviewers = [factory.make_user(settings, Role.INTERVIEWER).account_id for _ in range(2)]
        self.away = factory.make_user(settings, Role.INTERVIEWER).account_id
        self.unsealed = factory.make_attempt(settings, department, state="failed")
        factory.set_analysis(settings, self.recording, "failed")
        pack = settings.models_folder / "active"
        pack.mkdir(parents=True)
        (pack / "manifest.json").write_text('{"version": "test"}')
        self.view = replay.open_view(settings, self.recruiter, self.recording)
        factory.give_recording_key(settings, self.recording, department)
        resume.keep(settings, self.recruiter, self.recording, lambda: papers.PDF)
        self.note = notes.write(settings, self.recruiter, self.recording, "as it was")
        with transaction("staff", settings) as tx:
            assignments.assign(tx, self.recruiter, self.recording, self.interviewers[1])
            accounts.set_disabled(tx, BY, self.away, True)
            offered = {"policy": {"analysis": "offered"}}
            tx.execute(update(attempt).where(attempt.c.id == self.recording).values(snapshot=offered))
        with transaction("worker", settings) as tx:
            tx.execute(
                insert(consent).values(
                    id=uuid.uuid4(), attempt_id=self.recording, seq=1, purpose="analysis", granted=True,
                    text_sha256="0" * 64, language="zh", at=dt.datetime.now(dt.UTC), receipt={},
                )
            )  # fmt: skip
        self.app = create_app(settings)
        self.auditor = self.app.test_client()
        hashed = hash_password(PASSWORD)
        factory.make_user(settings, Role.AUDITOR, username="shen", password_hash=hashed)
        token = sessions.sign_in_by_password("shen", PASSWORD, "127.0.0.1", settings).token
        self.auditor.set_cookie("fupan", token, domain="localhost")

    def asked(self, method: str, path: str) -> None:
        """A page's request; a refusal is raised as the error that it stands for."""
        answer = self.auditor.open(path, method=method, headers={**SAME_ORIGIN, "Accept": "application/json"})
        if answer.status_code in (200, 303):
            return
        raise {each.code: each for each in (AuditUnavailableError, UnreadableError)}[answer.json["code"]]

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


def test_every_staff_route_that_changes_something_is_among_the_actions(site: Site) -> None:
    changing = {
        rule.endpoint
        for rule in site.app.url_map.iter_rules()
        if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    assert changing == ROUTES.keys() | UNRECORDED.keys()
    assert {name for names in ROUTES.values() for name in names} | BESIDE == set(site.actions)


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
        "REVOKE EXECUTE ON FUNCTION audit_append(text) FROM fupan_staff, fupan_auditor",
        "GRANT EXECUTE ON FUNCTION audit_append(text) TO fupan_staff, fupan_auditor",
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
    unreadable = READERS.get(name, set())
    assert {each for each in outcomes if outcomes[each] == UnreadableError.code} == unreadable, outcomes
    assert {outcomes[each] for each in outcomes.keys() - unreadable} == {AuditUnavailableError.code}, outcomes
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
    assert 2 <= waited < 20  # the lock is waited for two seconds; what is on top is this machine
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


def test_shares_given_while_the_log_cannot_be_written_unlock_nothing(settings: Settings) -> None:
    installed = custodians.installed(settings)
    with running_keyholder(installed):
        shares = custodians.init(installed, 2, 3)
        orders.lock(installed, BY)
        keyholder = VaultKeyholder(installed)
        ceremony = keyholder.begin("unlock", "shares")
        with fault(installed, *FAULTS["unwritable"]):
            for share in shares[:2]:
                with pytest.raises(AuditUnavailableError):
                    custodians.give(installed, ceremony, share)
            with pytest.raises(AuditUnavailableError):
                orders.unlock(installed, BY, "shares")
        assert keyholder.vault().locked


def length(settings: Settings) -> int:
    with transaction("auditor", settings) as tx:
        return int(tx.scalar(text("SELECT count(*) FROM audit_event")) or 0)
