"""The journals of a sealed recording go from intake, once its sealed files were read back from the disk.

They are what a seal that turned out bad could be repeated from, so they stay for `journal_days` after it, and
where a sealed file does not prove whole until it was sealed anew from them: it is an alarm, and the recording
is marked and repaired, as of what a check finds. The day key that opens them is destroyed no earlier.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update

from appliance import child, documents, jobs, outages
from appliance.audit import log
from appliance.child import ChildFailedError, ChildStoppedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import RecordingState
from appliance.drafts import to_text
from appliance.errors import FupanError
from appliance.keyholder.client import Keyholder
from appliance.tables import recording, track
from appliance.transport import Transport, transport_of
from appliance.upkeep import damage
from appliance.upkeep.damage import DAMAGED
from appliance.vaults import vault_of
from storage.vault import Finding, IntegrityError, NotFound, Place, Vault, VaultError

logger = logging.getLogger(__name__)

PURPOSE = "check"
LONGEST = timedelta(hours=1)
NOT_WHOLE = "not_whole"  # the child's word; whatever else it says proves nothing about the files


class _NotWholeError(Exception):
    """A sealed file does not prove whole."""

    def __init__(self, vault: Vault, place: Place, kind: str) -> None:
        super().__init__(kind)
        self.found = Finding(vault.path(place.owner, place.kind, place.name), kind, file=place)


@jobs.task("clear_journals", retry=False)
def clear_journals(work: jobs.Work) -> None:
    """Read back and clear what is due. Run twice, it finds what the first run left; cut short after the
    removal and before its note, it reads back once more and removes nothing."""
    clear(work)


def clear(work: jobs.Work) -> int:
    """Clear every recording whose journals are due, the oldest first; returns how many. One that cannot be
    cleared holds up none of the others; an outage ends the round."""
    cleared = 0
    for recording_id in _due(work.settings):
        if work.stopping():
            break
        try:
            cleared += _clear_one(work, recording_id)
        except ChildStoppedError:
            break
        except (FupanError, VaultError, OSError) as error:
            if outages.reason(error) is not None:
                logger.info("journals are left for a later round: %s", type(error).__name__)
                break
            logger.warning("the journals of %s were not cleared: %s", recording_id, error)
    return cleared


def _due(settings: Settings) -> list[uuid.UUID]:
    before = datetime.now(UTC) - timedelta(days=settings.journal_days)
    with transaction("worker", settings) as tx:
        return list(
            tx.scalars(
                select(recording.c.id)
                .where(
                    recording.c.state == RecordingState.SEALED,
                    recording.c.journals_removed_at.is_(None),
                    recording.c.sealed_at <= before,
                    or_(recording.c.problem.is_(None), recording.c.problem != DAMAGED),
                )
                .order_by(recording.c.sealed_at, recording.c.id)
            )
        )


def _clear_one(work: jobs.Work, recording_id: uuid.UUID) -> bool:
    keyholder, transport = Keyholder(work.settings), transport_of(work.settings)
    keyholder.require_unlocked()
    if not keyholder.is_backed_up("recording", str(recording_id)):
        return False  # with this disk its key would be lost, and then its journals were all there is
    event_id = _begin(work.settings, recording_id)
    try:
        _read_back(work, keyholder, recording_id, event_id)
    except _NotWholeError as error:
        _note_damage(work.settings, recording_id, error.found)
        return False
    return _remove(work.settings, transport, recording_id)


def _begin(settings: Settings, recording_id: uuid.UUID) -> uuid.UUID:
    with transaction("worker", settings) as tx:
        details = log.key_use(recording_id, PURPOSE, "worker", datetime.now(UTC) + LONGEST)
        actor = log.Actor.unit("worker")
        return log.append(tx, log.Action.SEAL_CHECK, actor, "recording", recording_id, details=details).id


def _read_back(work: jobs.Work, keyholder: Keyholder, recording_id: uuid.UUID, event_id: uuid.UUID) -> None:
    """Have the child prove every segment of what the journals became, from the disk and not from memory.

    Raises _NotWholeError, ChildFailedError.
    """
    vault = vault_of(work.settings)
    with transaction("worker", work.settings) as tx:
        files = tx.scalars(select(track.c.file).where(track.c.recording_id == recording_id)).all()
        newest = documents.newest_versions(tx, recording_id)
    timeline = documents.file_name(documents.TIMELINE, newest.get(documents.TIMELINE, 1))
    sealed = [*(("track", file) for file in sorted(files)), ("document", timeline)]
    headers: list[bytes] = []
    for place in (Place(recording_id, kind, name) for kind, name in sealed):
        try:
            headers += documents.headers_of(work.settings, recording_id, [(place.kind, place.name)])
        except (IntegrityError, NotFound) as error:
            raise _NotWholeError(vault, place, error.kind) from error
    keys = keyholder.file_keys(recording_id, event_id, PURPOSE, headers)
    with contextlib.ExitStack() as stack:
        read: list[dict[str, Any]] = []
        for (kind, name), key in zip(sealed, keys, strict=True):
            descriptor = vault.open_fd(recording_id, kind, name)
            stack.callback(os.close, descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            read.append({"name": f"{kind}/{name}", "fd": descriptor, "key": to_text(key)})
        try:
            child.run(
                {"mode": "verify", "files": read},
                [each["fd"] for each in read],
                memory_bytes=work.settings.analysis_memory_bytes,
                timeout=LONGEST.total_seconds(),
                stopping=work.stopping,
            )
        except ChildFailedError as error:
            word, _, which = error.detail.partition(" ")
            known = {f"{kind}/{name}": Place(recording_id, kind, name) for kind, name in sealed}
            if error.kind != NOT_WHOLE or which not in known:
                raise
            raise _NotWholeError(vault, known[which], word) from error


def _remove(settings: Settings, transport: Transport, recording_id: uuid.UUID) -> bool:
    if not transport.remove_journals(recording_id):
        logger.error("recording %s is sealed, but intake has not closed it: its journals stay", recording_id)
        return False
    with transaction("worker", settings) as tx:
        tx.execute(
            update(recording).where(recording.c.id == recording_id).values(journals_removed_at=func.now())
        )
        log.append(tx, log.Action.INGEST_CLEAR, log.Actor.unit("worker"), "recording", recording_id)
    return True


def _note_damage(settings: Settings, recording_id: uuid.UUID, found: Finding) -> None:
    """The alarm comes first: one that is marked is not read back again."""
    logger.error("%s does not prove whole (%s); the journals of it stay", found.path, found.kind)
    actor = log.Actor.unit("worker")
    with transaction("worker", settings) as tx:
        log.append(tx, log.Action.SEAL_CHECK, actor, "recording", recording_id, "failed", found.kind)
        damage.alarm(tx, settings, [found])
    damage.mark(settings, [found], actor)
