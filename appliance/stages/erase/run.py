"""The second step of an erasure: the order, the keys, and then everything that lay under them.

What is removed is removed by the word of the erase ledger alone. So a run that was cut short goes on at the
next turn, and what a restore of the database or of media brought back, or an upload that was under way left
at intake, goes again over night.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import select, update

from appliance import jobs, outages
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import OPEN_MARKS, MarkState, RecordingState
from appliance.errors import (
    DatabaseDoubtfulError,
    FupanError,
    KeyholderDownError,
    KeyRefusedError,
    LedgerRefusedError,
    VaultLockedError,
)
from appliance.keyholder.erase_client import Erased, ErasingKeyholder
from appliance.stages.erase.removal import Removal
from appliance.tables import attempt, candidate, erasure, recording
from appliance.transport import Transport, transport_of
from appliance.upkeep import alarms
from appliance.vaults import vault_of
from storage.vault import VaultError

BATCH = 1000
TURN = 50  # so many marks, then the other jobs of the queue have theirs

logger = logging.getLogger(__name__)


@jobs.task("erase_due", retry=False)
def erase_due(work: jobs.Work) -> None:
    """Erase what is due and end what was begun. What is erased is not due, so a second run finds nothing;
    what waits for the vault, or for a database that is to be believed, has its turn a minute later."""
    with _waiting():
        carry_out(work.settings, transport_of(work.settings))


@jobs.task("erase_again", retry=False)
def erase_again(work: jobs.Work) -> None:
    """Remove what is here again of what the ledger names. A second run finds nothing more."""
    with _waiting():
        remove_again(work.settings, transport_of(work.settings))


def carry_out(settings: Settings, transport: Transport) -> int:
    """One round of TURN marks at most; returns how many were carried out to their end.

    Raises VaultLockedError, KeyholderDownError, DatabaseDoubtfulError, LedgerRefusedError, and what removing
    one of them raised once the others are removed.
    """
    keyholder = ErasingKeyholder(settings)
    if not _open_marks(settings):
        keyholder.heed_erasures()  # a hold, a mark that was taken back
        return 0
    keyholder.require_unlocked()
    due = keyholder.due_erasures()
    if due.waiting:
        _tell_that_it_waits(settings, keyholder, due.waiting)
    for mark, order in islice(due.orders.items(), TURN):
        _destroy(settings, keyholder, mark, order)
    begun = (keyholder.erasure(mark) for mark in _begun(settings))
    return _remove_each(settings, transport, keyholder, [entry for entry in begun if entry is not None])


def remove_again(settings: Settings, transport: Transport) -> int:
    """Go through the whole ledger; returns how many of its entries had left something. Raises as above."""
    keyholder = ErasingKeyholder(settings)
    keyholder.require_unlocked()
    entries = list(keyholder.erased())
    left = _left(settings, transport, entries)
    again = [each for each in entries if left.intersection({*each.recordings, each.person, each.mark})]
    for each in again:
        logger.warning("what was erased as entry %s of the ledger is here again, and is removed", each.seq)
    return _remove_each(settings, transport, keyholder, again)


def _remove_each(
    settings: Settings, transport: Transport, keyholder: ErasingKeyholder, entries: list[Erased]
) -> int:
    """Remove what lay under destroyed keys; what fails of one entry keeps no other from going, and has its
    next turn. Returns how many there were; raises, of what failed, a failure before an outage.

    Everything is caught by design: were one kind of failure left out, one file that raises it, left at intake
    by whoever has taken it over, would stop every erasure.
    """
    failed: list[Exception] = []
    for each in entries:
        try:
            Removal(settings, transport, keyholder, each).run()
        except Exception as error:
            if outages.reason(error) is None:
                logger.exception("what was erased as entry %s is not all removed", each.seq)
            else:
                logger.warning("what was erased as entry %s is not all removed yet: %s", each.seq, error)
            failed.append(error)
    if failed:
        raise min(failed, key=lambda error: outages.reason(error) is not None)
    return len(entries)


def _open_marks(settings: Settings) -> bool:
    with transaction("worker", settings) as tx:
        found = select(erasure.c.id).where(erasure.c.state.in_(OPEN_MARKS)).limit(1)
        return tx.scalar(found) is not None


def _begun(settings: Settings) -> list[uuid.UUID]:
    with transaction("worker", settings) as tx:
        begun = select(erasure.c.id).where(erasure.c.state == MarkState.ERASING)
        return list(tx.scalars(begun.order_by(erasure.c.due_at, erasure.c.id)))


def _destroy(settings: Settings, keyholder: ErasingKeyholder, mark: uuid.UUID, order: dict[str, Any]) -> None:
    """Order one mark's keys destroyed, unless it was taken back this moment."""
    vault_id, actor = keyholder.status().vault_id, log.Actor.unit("worker")
    with transaction("worker", settings) as tx:
        begun = tx.execute(
            update(erasure)
            .where(erasure.c.id == mark, erasure.c.state.in_(OPEN_MARKS))
            .values(state=MarkState.ERASING)
        )
        if begun.rowcount != 1:
            return
        details = {**order, "vault": str(vault_id)}
        event = log.append(tx, log.Action.ERASE_RUN, actor, "erasure", mark, details=details)
    try:
        keyholder.erase(mark, event.id)
    except (FupanError, VaultError) as error:
        logger.warning("mark %s was not erased: %s", mark, error)
        code = error.code if isinstance(error, FupanError) else error.kind
        _give_back(settings, mark, code, refused=isinstance(error, KeyRefusedError | DatabaseDoubtfulError))
        if not isinstance(error, KeyRefusedError):
            raise


def _give_back(settings: Settings, mark: uuid.UUID, code: str, *, refused: bool) -> None:
    """The order is on the log already; say there as well that nothing came of it. What the keyholder refused
    can be taken back again; where it did not answer, the ledger may have it."""
    with transaction("worker", settings) as tx:
        if refused:
            tx.execute(
                update(erasure)
                .where(erasure.c.id == mark, erasure.c.state == MarkState.ERASING)
                .values(state=MarkState.MARKED)
            )
        actor = log.Actor.unit("worker")
        log.append(tx, log.Action.ERASE_RUN, actor, "erasure", mark, "failed", code)


def _left(settings: Settings, transport: Transport, entries: list[Erased]) -> set[uuid.UUID]:
    """Recordings, persons and marks of the ledger that have a file, sealed or at intake, or a row that says
    otherwise."""
    recordings = [each for entry in entries for each in entry.recordings]
    persons = [entry.person for entry in entries if entry.person]
    owners = {*recordings, *persons}
    left = owners.intersection(vault_of(settings).recordings()) | transport.left_of(recordings)
    whole = [entry.person for entry in entries if entry.person and not entry.kept]
    marks = [entry.mark for entry in entries]
    with transaction("worker", settings) as tx:
        for some in _batches(recordings):
            rows = select(attempt.c.id).outerjoin(recording, recording.c.id == attempt.c.id)
            other = recording.c.state.is_distinct_from(RecordingState.ERASED)
            left.update(tx.scalars(rows.where(attempt.c.id.in_(some), other)))
        for some in _batches(whole):
            named = candidate.c.id.in_(some) & candidate.c.erased_at.is_(None)
            left.update(tx.scalars(select(candidate.c.id).where(named)))
        for some in _batches(marks):
            unsaid = erasure.c.id.in_(some) & (erasure.c.state != MarkState.ERASED)
            left.update(tx.scalars(select(erasure.c.id).where(unsaid)))
    return left


def _batches(ids: list[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _tell_that_it_waits(settings: Settings, keyholder: ErasingKeyholder, count: int) -> None:
    vault_id = keyholder.status().vault_id
    with transaction("worker", settings) as tx:
        today = datetime.now(UTC).date()
        alarms.note_once(tx, vault_id, "erasures_wait", f"{today}", {"count": count})


@contextlib.contextmanager
def _waiting() -> Iterator[None]:
    """What another turn meets in better times is no failure."""
    try:
        yield
    except (VaultLockedError, KeyholderDownError, DatabaseDoubtfulError, LedgerRefusedError) as error:
        logger.info("nothing more is erased for now: %s", error)
    except (FupanError, VaultError, OSError) as error:
        if outages.reason(error) is None:
            raise
        logger.info("nothing more is erased for now: %s", error)
