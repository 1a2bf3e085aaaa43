"""Seal: turn what a candidate's browser left at intake into the recording's sealed tracks, for ever.

The order, with what a crash leaves behind at each point:

1. the audit event commits                     a further run writes a further event
2. the recording key exists                    made once; found again by the next run
3. the tombstone lies at intake                what intake acknowledged before it is in the journals
4. the child writes drafts under fresh keys    drafts are removed by the next run, their keys never used again
5. drafts get their names, the manifest last   the next run replaces them by files of its own
6. the rows commit, state sealed               done; from here on nothing of this runs again

While the vault is locked or the disk is full the job waits and says so; that is no failure.
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from appliance import documents, jobs, outages, packet
from appliance.audit import log
from appliance.child import ChildFailedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Limits, RecordingState, User
from appliance.drafts import Drafts, require_room
from appliance.errors import ConflictError, FupanError
from appliance.keyholder.client import Keyholder
from appliance.people import access
from appliance.people.roles import Permission
from appliance.stages.seal.media import (
    PURPOSE,
    commit,
    journal_bytes,
    journal_states,
    outputs,
    read_epochs,
    remux,
)
from appliance.stages.seal.rows import manifest_of, note_sealed
from appliance.tables import attempt, position, recording
from appliance.transport import Transport, transport_of
from appliance.upkeep import damage
from appliance.vaults import vault_of
from storage.vault import VaultError

logger = logging.getLogger(__name__)

LONGEST = timedelta(hours=2)


class ChangedError(FupanError):
    """A chunk reached the journal while it was read; the whole seal is done again."""

    code = "changed"


class UploadsGoneError(FupanError):
    """A database that is older than the vault has a sealed recording sealed again: of what is left at intake
    nothing is written over it."""

    code = "uploads_gone"
    message = (
        "This recording was sealed before, and its uploads are gone. What was sealed stays as it is: "
        "“fupan vault check --repair” brings it back."
    )


@jobs.task("seal")
def seal(work: jobs.Work, recording: str) -> None:
    """Seal one recording. Run twice it does nothing the second time; see above for a run cut short."""
    recording_id = uuid.UUID(recording)
    try:
        _seal(work, recording_id)
    except Exception as error:
        if outage := outages.awaited(error):
            _wait(work, recording_id, outage)
            return
        _note_failure(work.settings, recording_id, error, final=work.last)
        raise


def order_again(tx: Connection, user: User, recording_id: uuid.UUID) -> None:
    """Order the seal of a recording that could not be sealed; of one whose seal runs or waits, nothing.

    Raises NotFoundError, ConflictError when there is nothing to seal again.
    """
    row = access.get_recording_for(tx, user, recording_id, Permission.RECORDING_SEAL)
    again = tx.scalar(select(func.recording_seal_again(recording_id)))
    if not again:
        if row.state in (RecordingState.FAILED, RecordingState.SEALING):  # someone was a moment faster
            return
        raise ConflictError
    jobs.enqueue(tx, "seal", lock=f"recording:{recording_id}", recording=str(recording_id))
    log.append(
        tx, log.Action.SEAL_ORDER, log.Actor.of(user), "recording", recording_id, reason=row.problem or None
    )


def _seal(work: jobs.Work, recording_id: uuid.UUID) -> None:
    settings = work.settings
    row = _to_be_sealed(settings, recording_id)
    if row is None:
        return
    keyholder, transport, limits = Keyholder(settings), transport_of(settings), Limits.of(row.snapshot)
    keyholder.require_unlocked()
    journals = transport.journals(recording_id, limits.bytes)
    vault = vault_of(settings)
    if damage.uploads_gone(journals, vault.list(recording_id)):
        raise UploadsGoneError
    require_room(settings, journal_bytes(journals))
    event_id = _begin(settings, recording_id)
    # The year of the invitation: a repeat after New Year must name the same department-and-year key.
    parent = keyholder.create_recording_key(
        recording_id, row.department_id, row.created_at.astimezone(UTC).year, event_id
    )
    _put_tombstone(keyholder, transport, recording_id)
    journals = transport.journals(recording_id, limits.bytes)
    states = journal_states(journals)
    epochs = read_epochs(keyholder, journals, recording_id, event_id, states, limits.epochs)
    with Drafts(vault, keyholder, recording_id, event_id, PURPOSE, outputs(epochs)) as drafts:
        result = remux(work, journals, epochs, drafts, LONGEST / 2)
        if journal_states(transport.journals(recording_id, limits.bytes)) != states:
            raise ChangedError
        written = commit(drafts, result)
        sealed = manifest_of(row, parent, epochs, result, drafts)
        written[documents.MANIFEST] = drafts.write("document", documents.MANIFEST, sealed.encode())
    note_sealed(settings, row, epochs, sealed, written)


def _to_be_sealed(settings: Settings, recording_id: uuid.UUID) -> Row[Any] | None:
    """The recording; None when there is nothing to seal any more."""
    with transaction("worker", settings) as tx:
        row = tx.execute(
            select(
                recording.c.id,
                recording.c.state,
                attempt.c.created_at,
                attempt.c.snapshot,
                attempt.c.end_proven,
                position.c.department_id,
            )
            .join(attempt, attempt.c.id == recording.c.id)
            .join(position, position.c.id == attempt.c.position_id)
            .where(recording.c.id == recording_id)
        ).one()
    return row if row.state == RecordingState.SEALING else None


def _begin(settings: Settings, recording_id: uuid.UUID) -> uuid.UUID:
    """Write that the seal begins; the event lets keys be used for it."""
    with transaction("worker", settings) as tx:
        jobs.forget_failed(tx, "seal", recording=str(recording_id))
        tx.execute(update(recording).where(recording.c.id == recording_id).values(problem=None))
        details = log.key_use(recording_id, PURPOSE, "worker", datetime.now(UTC) + LONGEST)
        event = log.append(
            tx, log.Action.SEAL_RUN, log.Actor.unit("worker"), "recording", recording_id, details=details
        )
    return event.id


def _put_tombstone(keyholder: Keyholder, transport: Transport, recording_id: uuid.UUID) -> None:
    """From here on intake takes nothing more, so nothing it acknowledges can miss the sealed tracks."""
    statement = packet.tombstone_statement(keyholder.publics().vault_id, recording_id, "sealed")
    transport.put_tombstone(keyholder.sign("tombstone", statement))


def _wait(work: jobs.Work, recording_id: uuid.UUID, reason: str) -> None:
    """End this job and order the next, or leave that to whoever sees the vault unlocked: an outage is no
    failure and wears out no retries."""
    with transaction("worker", work.settings) as tx:
        waiting = recording.c.id == recording_id
        tx.execute(update(recording).where(waiting).values(problem=reason, failures=work.failures))
        if reason in outages.VAULT:
            return
        jobs.enqueue(
            tx,
            "seal",
            lock=f"recording:{recording_id}",
            wait_seconds=outages.WAIT_SECONDS[reason],
            recording=str(recording_id),
            **work.tally,
        )


def _note_failure(settings: Settings, recording_id: uuid.UUID, error: Exception, *, final: bool) -> None:
    reason = error.kind if isinstance(error, ChildFailedError | VaultError) else type(error).__name__
    if isinstance(error, ChildFailedError):
        logger.warning("recording %s: the media child failed: %s %s", recording_id, reason, error.detail)
    values: dict[str, Any] = {"problem": reason}
    if final:
        values["state"] = RecordingState.FAILED
    with transaction("worker", settings) as tx:
        tx.execute(update(recording).where(recording.c.id == recording_id).values(**values))
        if final:
            actor = log.Actor.unit("worker")
            log.append(tx, log.Action.SEAL_FAIL, actor, "recording", recording_id, "failed", reason)
