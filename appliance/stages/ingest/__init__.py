"""Ingest: pull what candidates' browsers left at intake, believe what is signed, hand over to seal.

Intake may be hostile: a record counts only as far as its signature by a pinned browser key goes. The first
pull pins the browser key; a further one is pinned only under a newer packet that we sent out ourselves.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from sqlalchemy import func, select

from appliance import jobs
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import AuditUnavailableError, DatabaseDownError, FupanError
from appliance.stages.ingest.deadline import end_overdue, overdue
from appliance.stages.ingest.records import NotYetError, Taking, lock_attempt, pinned_keys
from appliance.tables import intake_record
from appliance.transport import Transport, transport_of
from storage.vault import VaultError

logger = logging.getLogger(__name__)

FULL_PULL_SECONDS = 3600.0  # changes are seen by time stamps; this forgives a clock that was set back
OVERLAP_SECONDS = 10.0


@jobs.task("ingest_pull", retry=False)
def ingest_pull(work: jobs.Work) -> None:
    """Take in new records of every recording. Each record is taken once, by its number."""
    _puller(work.settings).pull(work.stopping)


@jobs.task("expire_attempts", retry=False)
def expire_attempts(work: jobs.Work) -> None:
    """End attempts whose time is over. What is ended is not open any more, so a second run finds nothing."""
    expire(work.settings, transport_of(work.settings))


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
        waiting, self._again = self._again, set()
        for recording_id in {*changed, *waiting}:
            if stopping():
                self._again |= {*changed, *waiting}
                return
            try:
                pull_recording(self._settings, self._transport, recording_id)
            except (DatabaseDownError, AuditUnavailableError):
                self._again |= {*changed, *waiting}
                raise
            except NotYetError:
                self._again.add(recording_id)
            except (FupanError, VaultError, OSError, ValueError) as error:
                logger.warning("recording %s could not be pulled: %s", recording_id, type(error).__name__)
                self._again.add(recording_id)
        self._since = started - OVERLAP_SECONDS
        if full:
            self._full_at = time.monotonic()


_pullers: dict[Settings, Puller] = {}


def _puller(settings: Settings) -> Puller:
    return _pullers.setdefault(settings, Puller(settings))


def pull_recording(settings: Settings, transport: Transport, recording_id: uuid.UUID) -> int:
    """Take in the new records of one recording, in one transaction; returns how many.

    Raises NotYetError after taking what it could, when a finish lists pieces that are not there yet.
    """
    with transaction("worker", settings) as tx:
        row = lock_attempt(tx, recording_id)
        if row is None:  # not ours, or another worker is at it
            return 0
        last = tx.scalar(
            select(func.coalesce(func.max(intake_record.c.seq), 0)).where(
                intake_record.c.attempt_id == recording_id
            )
        )
        taking = Taking(tx, transport, row, pinned_keys(tx, recording_id))
        taken, waiting = 0, False
        for record in transport.read_records(recording_id, after=int(last or 0)):
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


def expire(settings: Settings, transport: Transport) -> int:
    """End the attempts whose deadline (and, once begun, upload grace) has passed; returns how many."""
    ended = 0
    for recording_id in overdue(settings):
        try:
            pull_recording(settings, transport, recording_id)
        except NotYetError:
            logger.warning("recording %s: what its finish lists never arrived whole", recording_id)
        ended += end_overdue(settings, transport, recording_id)
    return ended
