"""Recordings that nobody opens any more go to the cold tier, and come back where that is set.

A move is: copy, read back every byte, commit the row with its audit event, and only then remove. A crash
leaves files on one tier or on both; the job that is repeated, or the next round, ends it.
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, select, text, update

from appliance import jobs, outages
from appliance.audit import log
from appliance.child import ChildStoppedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, RecordingState, Tier
from appliance.errors import ConfigurationError, ConflictError, NotFoundError
from appliance.keyholder.client import Keyholder
from appliance.tables import analysis, recording, replay_view
from appliance.vaults import vault_of
from storage.vault import Copied, VaultError, claim_cold, copy_files, drop_files

logger = logging.getLogger(__name__)

POLICY, ORDERED, OPENED = "policy", "ordered", "opened"
BATCH = 500
WAITING = text(
    "SELECT args ->> 'recording' FROM procrastinate_jobs"
    " WHERE task_name = 'move' AND status IN ('todo', 'doing')"
)
END_ROUND = text(
    "DELETE FROM procrastinate_jobs"
    " WHERE task_name = 'move' AND status = 'todo' AND args ->> 'reason' = 'policy'"
)


@jobs.task("tier_by_policy", retry=False)
def tier_by_policy(work: jobs.Work) -> None:
    """Order the move of every recording that nobody opened for `cold_after_days`. What is ordered and not
    moved yet is not ordered again."""
    days = work.settings.vault.cold_after_days
    if not days or not work.settings.vault.cold:
        return
    with transaction("worker", work.settings) as tx:
        waiting = set(tx.scalars(WAITING))
        due = [each for each in tx.scalars(_due(days)) if str(each) not in waiting]
    for start in range(0, len(due), BATCH):
        with transaction("worker", work.settings) as tx:
            for recording_id in due[start : start + BATCH]:
                enqueue(tx, recording_id, Tier.COLD, POLICY)
    if due:
        logger.info("%s recordings are to go to the cold tier", len(due))


def _due(days: int) -> Any:
    before = datetime.now(UTC) - timedelta(days=days)
    opened = exists().where(replay_view.c.recording_id == recording.c.id, replay_view.c.opened_at > before)
    at_work = exists().where(
        analysis.c.recording_id == recording.c.id,
        analysis.c.state.in_((AnalysisState.QUEUED, AnalysisState.RUNNING)),
    )
    return (
        select(recording.c.id)
        .where(
            recording.c.state == RecordingState.SEALED,
            recording.c.tier == Tier.HOT,
            recording.c.sealed_at <= before,
            ~opened,
            ~at_work,
        )
        .order_by(recording.c.sealed_at, recording.c.id)
    )


def enqueue(tx: Connection, recording_id: uuid.UUID, to: Tier, reason: str) -> None:
    """Have a recording moved, in the caller's transaction."""
    lock = f"recording:{recording_id}"
    jobs.enqueue(tx, "move", lock=lock, recording=str(recording_id), to=str(to), reason=reason)


def order(settings: Settings, actor: log.Actor, recording_id: uuid.UUID, to: Tier) -> None:
    """Have a recording moved because someone at the server says so; on the log before it is done.

    Raises ConfigurationError without a cold tier, NotFoundError, ConflictError for one that is not sealed.
    """
    if not settings.vault.cold:
        raise ConfigurationError(what="there is no cold tier; set vault.cold first")
    with transaction("staff", settings) as tx:
        state = tx.scalar(select(recording.c.state).where(recording.c.id == recording_id))
        if state is None:
            raise NotFoundError
        if state != RecordingState.SEALED:
            raise ConflictError("This recording is not sealed, so there is nothing to move.")
        enqueue(tx, recording_id, to, ORDERED)
        log.append(tx, log.Action.VAULT_ORDER_MOVE, actor, "recording", recording_id, details={"to": str(to)})


@jobs.task("move")
def move(work: jobs.Work, recording: str, to: str, reason: str) -> None:
    """Move one recording. Run twice it finds nothing more to copy; cut short, it proves and ends what the
    first run began. Where the policy meets a store that is away, its round is over until the next night."""
    recording_id, tier = uuid.UUID(recording), Tier(to)
    try:
        _move(work, recording_id, tier, reason)
    except ChildStoppedError:
        raise
    except Exception as error:
        outage = outages.reason(error)
        away = outage is not None and outage not in outages.DATABASE
        if (
            away and reason == POLICY and _tier_of(work.settings, recording_id) != tier
        ):  # nothing to end later
            logger.warning("no more recordings go to the cold tier for now: %s", error)
            with transaction("worker", work.settings) as tx:
                tx.execute(END_ROUND)
            return
        if outage is None and work.last:
            _note_failure(work.settings, recording_id, tier, error)
        raise


def _move(work: jobs.Work, recording_id: uuid.UUID, to: Tier, reason: str) -> None:
    if not work.settings.vault.cold:
        return  # the setting went after the move was ordered
    begun = _tier_of(work.settings, recording_id) == to
    if reason == POLICY and not begun and not _is_due(work.settings, recording_id):
        return  # somebody opened it meanwhile
    vault = vault_of(work.settings)
    claim_cold(vault, Keyholder(work.settings).publics().vault_id)
    copied = []
    for file in copy_files(vault, recording_id, to.value):
        copied.append(file)
        if work.stopping():
            raise ChildStoppedError
    if copied and _note(work.settings, recording_id, to, reason, copied):
        drop_files(vault, recording_id, _other(to).value, copied)


def _tier_of(settings: Settings, recording_id: uuid.UUID) -> str | None:
    with transaction("worker", settings) as tx:
        return tx.scalar(select(recording.c.tier).where(recording.c.id == recording_id))


def _is_due(settings: Settings, recording_id: uuid.UUID) -> bool:
    with transaction("worker", settings) as tx:
        wanted = _due(settings.vault.cold_after_days).where(recording.c.id == recording_id)
        return tx.scalar(wanted) is not None


def _note(settings: Settings, recording_id: uuid.UUID, to: Tier, reason: str, copied: list[Copied]) -> bool:
    """Write where the recording is now; False when it is not kept any more."""
    with transaction("worker", settings) as tx:
        kept = tx.execute(
            update(recording)
            .where(recording.c.id == recording_id, recording.c.state == RecordingState.SEALED)
            .values(tier=to)
        )
        if kept.rowcount != 1:
            return False
        files = [
            {"name": f"{file.kind}/{file.name}", "bytes": file.bytes, "sha256": file.sha256}
            for file in copied
        ]
        details = {"to": str(to), "bytes": sum(file.bytes for file in copied), "files": files}
        actor = log.Actor.unit("worker")
        log.append(
            tx, log.Action.VAULT_MOVE, actor, "recording", recording_id, reason=reason, details=details
        )
    return True


def _other(tier: Tier) -> Tier:
    return Tier.HOT if tier is Tier.COLD else Tier.COLD


def _note_failure(settings: Settings, recording_id: uuid.UUID, to: Tier, error: Exception) -> None:
    kind = error.kind if isinstance(error, VaultError) else type(error).__name__
    logger.warning("recording %s was not moved: %s", recording_id, error)
    with transaction("worker", settings) as tx:
        actor, details = log.Actor.unit("worker"), {"to": str(to)}
        log.append(
            tx, log.Action.VAULT_MOVE, actor, "recording", recording_id, "failed", kind, details=details
        )
