"""The destruction of day keys held against a plain model: invitations, bindings by clocks that are apart,
seals, failures, long locks and late pulls in any order. No key goes while something may be sealed to it; in
the end every key but the last one has gone."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as runs
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import insert, text, update

from appliance.config import Settings
from appliance.database import transaction
from appliance.keyholder import day_keys, unlock, vault_file
from appliance.keyholder.answers.days import Days
from appliance.keyholder.answers.desk import Desk, Peer
from appliance.keyholder.ceremony import Ceremonies
from appliance.keyholder.clock import Clock
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.keyring import Keyring
from appliance.keyholder.use_limits import UseLimits
from appliance.tables import attempt, browser_key, candidate, recording
from tests.support import factory

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
AHEAD = 3
GRACE = 6 * HOUR
HERE = Peer(1, 1)


@dataclass
class Attempt:
    """What really happened, by the one true clock; `keys`: those that its browsers seal to."""

    id: uuid.UUID
    deadline: dt.datetime
    keys: set[str] = field(default_factory=set)
    generation: int = 1
    waiting: list[tuple[int, str]] = field(default_factory=list)
    state: str = "open"  # open, sealing, failed, sealed, cleared, expired


class Machine(RuleBasedStateMachine):
    site: Settings
    department: uuid.UUID
    position: uuid.UUID
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.now = START
        self.known: list[Attempt] = []
        self.destroyed: set[str] = set()
        with transaction("owner", self.site) as tx:
            tx.execute(text("TRUNCATE attempt CASCADE"))
        here = replace(self.site, data=self.folder)
        shutil.copytree(self.site.secrets_folder, here.secrets_folder)
        unlock.create_vault(here)
        self.journal = Journal(vault_file.own_folder(here) / "journal")
        self.custody = Custody(here, self.journal)
        self.ahead = mock.patch.object(day_keys, "DAYS_AHEAD", AHEAD)
        self.ahead.start()
        self.keyring = Keyring(here, Ceremonies())
        self._unlock()
        clock = Clock(lambda: self.now.timestamp(), lambda: self.now.timestamp())
        limits = UseLimits.of(self.site.keyholder)
        self.days = Days(
            Desk(self.site, self.custody, self.journal, Ceremonies(), self.keyring, limits, clock)
        )
        self.listed: list[str] = []
        self.bring_list()

    def _unlock(self) -> None:
        slot = self.keyring.at_hand(self.custody.description)
        assert slot is not None
        with mock.patch.object(self.custody.days, "publish"):  # which would be for the real day
            self.custody.unlock(slot, self.keyring.slot_key(self.custody.description, slot))

    def teardown(self) -> None:
        try:
            self._everything_ends()
        finally:
            self.ahead.stop()
            self.journal.close()
            shutil.rmtree(self.folder)

    # --- time, keys, and the way to intake -----------------------------------------------------------------

    @rule(hours=st.integers(1, 90), intake_is_reached=st.booleans())
    def time_passes(self, hours: int, intake_is_reached: bool) -> None:
        """Until the jobs of the night have run."""
        self.now += hours * HOUR
        self._expire()
        if intake_is_reached:
            self.bring_list()
        if not self.custody.locked:
            self.destroy()

    def bring_list(self) -> None:
        """The five-minute job: makes keys while unlocked, and replaces intake's list."""
        self.custody.days.publish(self.now.date())
        self.listed = [key.id for key in self.custody.days.listed(self.now.date())]

    @rule()
    def lock_or_unlock(self) -> None:
        if self.custody.locked:
            self._unlock()
        else:
            self.custody.lock()

    # --- interviews ----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.known) < 3)
    @rule(target=attempts, hours=st.integers(1, 72))
    def invite(self, hours: int) -> Attempt:
        made = Attempt(uuid.uuid4(), self.now + hours * HOUR)
        person = uuid.uuid4()
        with transaction("staff", self.site) as tx:
            values = {"name": "x", "email": "x@example.com", "department_id": self.department}
            tx.execute(insert(candidate).values(id=person, **values))
            values = {"position_id": self.position, "candidate_id": person, "created_at": self.now}
            values["snapshot"] = {"limits": {"grace_hours": GRACE // HOUR}}
            tx.execute(insert(attempt).values(id=made.id, deadline=made.deadline, **values))
            tx.execute(insert(recording).values(id=made.id, state="collecting"))
        self.known.append(made)
        return made

    @rule(made=attempts, hours=st.integers(1, 72))
    def fresh_link(self, made: Attempt, hours: int) -> None:
        """Also with an earlier deadline than before; an expired interview is opened again."""
        if made.state not in ("open", "expired"):
            return
        made.state = "open"
        made.generation += 1
        at = self.now + hours * HOUR
        made.deadline = max(made.deadline, at)  # until then intake takes something by one of its packets
        with transaction("staff", self.site) as tx:
            known = attempt.c.id == made.id
            tx.execute(update(attempt).where(known).values(deadline=at, state="invited"))

    @rule(made=attempts, skew=st.integers(-23, 23))
    def begin(self, made: Attempt, skew: int) -> None:
        """By intake's clock, less than a day apart from the inside's."""
        if made.state != "open" or self.now > made.deadline:
            return
        today = (self.now + skew * HOUR).date().isoformat()
        come = [day for day in self.listed if day <= today]
        key = max(come) if come else min(self.listed)
        assert key not in self.destroyed, "a link was bound with a key that is gone"
        made.keys.add(key)
        made.waiting.append((made.generation, key))

    @rule(made=attempts)
    def pull(self, made: Attempt) -> None:
        """Some time later; what was bound twice under one link counts once."""
        with transaction("worker", self.site) as tx:
            for generation, key in made.waiting:
                values = {"attempt_id": made.id, "generation": generation, "public_key": bytes(65)}
                known = text("SELECT 1 FROM browser_key WHERE attempt_id = :a AND generation = :g")
                if tx.scalar(known, {"a": made.id, "g": generation}) is None:
                    tx.execute(insert(browser_key).values(**values, day_key_id=key))
        made.waiting = []

    @rule(made=attempts)
    def finish(self, made: Attempt) -> None:
        if made.state == "open" and made.keys:
            self._set(made, "sealing", "finished", "sealing")

    @rule(made=attempts)
    def fail(self, made: Attempt) -> None:
        if made.state == "sealing":
            self._set(made, "failed", "finished", "failed")

    @rule(made=attempts)
    def finish_and_be_sealed(self, made: Attempt) -> None:
        self.finish(made)
        if not self.custody.locked:
            self.seal(made)

    @precondition(lambda self: not self.custody.locked)
    @rule(made=attempts)
    def seal(self, made: Attempt) -> None:
        if made.state in ("sealing", "failed"):
            self.custody.tree.create_recording_key(made.id, self.department, 2026)
            self._set(made, "sealed", "finished", "sealed")

    @rule(made=attempts)
    def clear(self, made: Attempt) -> None:
        if made.state == "sealed":
            made.state = "cleared"
            with transaction("worker", self.site) as tx:
                known = recording.c.id == made.id
                tx.execute(update(recording).where(known).values(journals_removed_at=self.now))

    def _expire(self) -> None:
        """The minute job: what was recorded is to be sealed, the rest has expired."""
        for made in self.known:
            if made.state == "open" and self.now > made.deadline + GRACE:
                if made.keys:
                    self._set(made, "sealing", "finished", "sealing")
                else:
                    self._set(made, "expired", "expired", "collecting")

    def _set(self, made: Attempt, state: str, of_attempt: str, of_recording: str) -> None:
        made.state = state
        with transaction("worker", self.site) as tx:
            tx.execute(update(attempt).where(attempt.c.id == made.id).values(state=of_attempt))
            tx.execute(update(recording).where(recording.c.id == made.id).values(state=of_recording))

    # --- what is promised ----------------------------------------------------------------------------------

    def destroy(self) -> None:
        for day in self.days._idle(HERE):
            self.custody.erasures.note_day_key(day)
            self.custody.days.destroy(day)
            self.destroyed.add(day)

    @invariant()
    def nothing_is_lost(self) -> None:
        for made in self.known:
            if made.state != "cleared":
                assert not made.keys & self.destroyed, (made, self.destroyed)

    def _everything_ends(self) -> None:
        """Every interview ends one way or the other, and the vault is unlocked: then nothing is kept."""
        if self.custody.locked:
            self._unlock()
        self.now += 14 * DAY
        self._expire()
        for made in self.known:
            self.pull(made)
            self.seal(made)
            self.clear(made)
            assert made.state in ("cleared", "expired")
        self.bring_list()
        last = self.now.date()
        self.now += (AHEAD + 5) * DAY
        self.destroy()
        kept = self.custody.store.list("day")
        assert kept == [(last + AHEAD * DAY).isoformat()]
        self.nothing_is_lost()


@pytest.fixture
def machine(settings: Settings) -> type[Machine]:
    Machine.site = settings
    Machine.department = factory.make_department(settings)
    Machine.position = factory.make_position(settings, Machine.department)
    return Machine


CHECKS = list(HealthCheck)


@pytest.mark.parametrize("examples", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_no_key_goes_too_early_and_every_key_goes(machine: type[Machine], examples: int) -> None:
    chosen = runs(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=CHECKS)
    run_state_machine_as_test(machine, settings=chosen)
