"""Ingest: pull what candidates' browsers left at intake, believe what is signed, hand over to seal.

Intake may be hostile: a record counts only as far as its signature by a pinned browser key goes. The first
pull pins the browser key; a further one is pinned only under a newer packet that we sent out ourselves.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator

from sqlalchemy import select

from appliance import jobs
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Limits
from appliance.errors import AuditUnavailableError, DatabaseDownError
from appliance.intake_state import RecordKind
from appliance.stages.ingest.deadline import end_overdue, overdue
from appliance.stages.ingest.records import (
    Arrived,
    NotYetError,
    Taking,
    last_taken,
    lock_attempt,
    pinned_keys,
)
from appliance.tables import attempt
from appliance.transport import Transport, transport_of

logger = logging.getLogger(__name__)

FULL_PULL_SECONDS = 3600.0  # changes are seen by time stamps; this forgives a clock that was set back
OVERLAP_SECONDS = 10.0
OUTAGES = (DatabaseDownError, AuditUnavailableError)  # of everybody, so the round ends


@jobs.task("ingest_pull", retry=False)
def ingest_pull(work: jobs.Work) -> None:
    """Take in new records of every recording. Each record is taken once, by its number."""
    _puller(work.settings).pull(work.stopping)


@jobs.task("expire_attempts", retry=False)
def expire_attempts(work: jobs.Work) -> None:
    """End attempts whose time is over. What is ended is not open any more, so a second run finds nothing."""
    expire(work.settings, transport_of(work.settings), work.stopping)


class Puller:
    """Pulls recordings whose records changed since the last pull, and now and then all of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport = transport_of(settings)
        self._full_at = -FULL_PULL_SECONDS
        self._since = 0.0
        self._again: set[uuid.UUID] = set()

    def pull(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """One round. A recording that fails is looked at again next time and never holds up the others."""
        full = time.monotonic() - self._full_at >= FULL_PULL_SECONDS
        started = time.time()
        changed = self._transport.list_recordings(0.0 if full else self._since)
        left, self._again = {*changed, *self._again}, set()
        try:
            for recording_id in tuple(left):
                if stopping():
                    return
                with _alone(recording_id, "pulled"), contextlib.suppress(NotYetError):
                    pull_recording(self._settings, self._transport, recording_id)
                    left.remove(recording_id)
        finally:
            self._again |= left  # what failed, has not all arrived, or was not come to
        self._since = started - OVERLAP_SECONDS
        if full:
            self._full_at = time.monotonic()


_pullers: dict[Settings, Puller] = {}


def _puller(settings: Settings) -> Puller:
    return _pullers.setdefault(settings, Puller(settings))


def pull_recording(settings: Settings, transport: Transport, recording_id: uuid.UUID) -> int:
    """Take in the new records of one recording, in one transaction; returns how many.

    Everything is read from intake before that transaction: however slow it is to read, no lock waits for it
    and no session of the database lies idle.

    Raises NotYetError after taking what it could, when a finish lists pieces that are not there yet.
    """
    with transaction("worker", settings) as tx:
        snapshot = tx.scalar(select(attempt.c.snapshot).where(attempt.c.id == recording_id))
        if snapshot is None:  # not ours
            return 0
        last = last_taken(tx, recording_id)
    records = transport.read_records(recording_id, after=last)
    arrived: Arrived = {}
    if any(record.kind is RecordKind.FINISH for record in records):
        journals = transport.journals(recording_id, Limits.of(snapshot).bytes)
        arrived = {name: journal.state() for name, journal in journals.items()}
    with transaction("worker", settings) as tx:
        row = lock_attempt(tx, recording_id)
        if row is None:  # another worker is at it
            return 0
        last = last_taken(tx, recording_id)
        taking = Taking(tx, row, pinned_keys(tx, recording_id), arrived)
        taken, waiting = 0, False
        for record in records:
            if record.seq <= last:  # another worker was faster
                continue
            try:
                taking.take(record)
            except NotYetError:
                waiting = True
                break
            taken += 1
        taking.write_events()
    if waiting:
        raise NotYetError
    return taken


def expire(settings: Settings, transport: Transport, stopping: Callable[[], bool] = lambda: False) -> int:
    """End the attempts whose deadline (and, once begun, upload grace) has passed; returns how many.

    What cannot be pulled ends as well, and what cannot be ended holds up none of the others.
    """
    ended = 0
    looked_at: set[uuid.UUID] = set()
    while due := overdue(settings, looked_at):
        looked_at.update(due)
        for recording_id in due:
            if stopping():
                return ended
            with _alone(recording_id, "pulled"):
                _pull_for_the_last_time(settings, transport, recording_id)
            with _alone(recording_id, "ended"):
                ended += end_overdue(settings, transport, recording_id)
    return ended


def _pull_for_the_last_time(settings: Settings, transport: Transport, recording_id: uuid.UUID) -> None:
    try:
        pull_recording(settings, transport, recording_id)
    except NotYetError:
        logger.warning("recording %s: what its finish lists never arrived whole", recording_id)


@contextlib.contextmanager
def _alone(recording_id: uuid.UUID, done: str) -> Iterator[None]:
    """What fails in here fails for this recording alone: it is logged, and the others have their turn.

    Raises only an outage, which all of them would meet. Everything else is caught by design: were one kind of
    failure left out, whoever has taken intake over could stop every interview with one file that raises it.
    """
    try:
        yield
    except OUTAGES:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary that the docstring explains
        logger.warning("recording %s could not be %s: %s", recording_id, done, type(error).__name__)
