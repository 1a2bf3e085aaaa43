"""Analyse: have the child observe a sealed recording, with the model pack that is active.

Only with consent: it is asked again when the job starts, and while it runs a withdrawal stops it. Without a
model pack the analysis is skipped, and taken up again within a minute of a pack being there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from appliance import child, consents, documents, jobs, outages
from appliance.audit import log
from appliance.child import ChildFailedError, ChildStoppedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, ConsentPurpose, RecordingState, User
from appliance.drafts import Drafts, require_room, to_text
from appliance.errors import ConflictError
from appliance.keyholder.client import Keyholder
from appliance.people import access
from appliance.people.roles import Permission
from appliance.tables import analysis, attempt, document, recording, track
from appliance.vaults import vault_of
from storage.vault import Vault, VaultError

logger = logging.getLogger(__name__)

PURPOSE = "analyse"
LONGEST = timedelta(hours=6)
ROOM_BYTES = 64 * 1024**2  # more than the documents of any recording take
WATCH_SECONDS = 1.0
# What may go better the next time; anything else the child says of the same media again.
PASSING = frozenset({"timeout", "crash", "memory", "output"})


@jobs.task("analyse")
def analyse(work: jobs.Work, recording: str) -> None:
    """Analyse one recording. Run twice, it does nothing once done; cut short, it starts over, and its
    documents replace what was not yet noted."""
    recording_id = uuid.UUID(recording)
    try:
        _analyse(work, recording_id)
    except Exception as error:
        if outage := outages.awaited(error):
            _wait(work, recording_id, outage)
            return
        passing = not isinstance(error, ChildFailedError) or error.kind in PASSING
        if _note_failure(work.settings, recording_id, error, final=work.last or not passing):
            raise


@jobs.task("take_up_skipped", retry=False)
def take_up_skipped(work: jobs.Work) -> None:
    """Once a model pack is there, order what was skipped for want of one. What is ordered is skipped no more,
    so a second run finds nothing."""
    if active_pack(work.settings) is not None:
        with transaction("worker", work.settings) as tx:
            requeue_skipped(tx)


def requeue_skipped(tx: Connection) -> int:
    """Order every analysis that was skipped for want of a model pack; returns how many."""
    skipped = tx.execute(
        update(analysis)
        .where(analysis.c.state == AnalysisState.SKIPPED, analysis.c.reason == "no_model_pack")
        .values(state=AnalysisState.QUEUED, reason=None, queued_at=datetime.now(UTC))
        .returning(analysis.c.recording_id)
    ).scalars()
    count = 0
    for recording_id in skipped:
        jobs.enqueue(tx, "analyse", lock=f"recording:{recording_id}", recording=str(recording_id))
        count += 1
    return count


def order_again(tx: Connection, settings: Settings, user: User, recording_id: uuid.UUID) -> None:
    """Order an analysis that failed, or that another model pack made; of one that waits or runs, nothing.

    Raises NotFoundError, ConflictError when it may not be ordered (see `may_order`).
    """
    access.get_recording_for(tx, user, recording_id, Permission.ANALYSIS_RUN)
    row = tx.execute(
        select(analysis).where(analysis.c.recording_id == recording_id).with_for_update()
    ).one_or_none()
    if row is not None and row.state in (AnalysisState.QUEUED, AnalysisState.RUNNING):
        return
    active = active_pack_version(settings)
    if not may_order(tx, recording_id, active):
        raise ConflictError("This interview cannot be analysed again as things are. Reload the page.")
    values = {"state": AnalysisState.QUEUED, "progress": 0, "stage": None, "reason": None}
    tx.execute(
        update(analysis)
        .where(analysis.c.recording_id == recording_id)
        .values(queued_at=datetime.now(UTC), started_at=None, finished_at=None, **values)
    )
    jobs.enqueue(tx, "analyse", lock=f"recording:{recording_id}", recording=str(recording_id))
    details = {"pack": active}
    log.append(tx, log.Action.ANALYSE_ORDER, log.Actor.of(user), "recording", recording_id, details=details)


def may_order(tx: Connection, recording_id: uuid.UUID, active: str | None) -> bool:
    """Whether an analysis may be ordered again: it failed, or was made with another pack than the `active`
    one; there is a pack; it was offered, and the candidate agrees to it now."""
    row = tx.execute(
        select(analysis.c.state, analysis.c.pack_version, attempt.c.snapshot, recording.c.state.label("kept"))
        .join(attempt, attempt.c.id == analysis.c.recording_id)
        .join(recording, recording.c.id == analysis.c.recording_id)
        .where(analysis.c.recording_id == recording_id)
    ).one_or_none()
    if row is None or active is None or row.kept != RecordingState.SEALED:
        return False
    wanted = row.state == AnalysisState.FAILED or (
        row.state == AnalysisState.DONE and row.pack_version != active
    )
    offered = row.snapshot.get("policy", {}).get("analysis") == "offered"
    return wanted and offered and consents.granted(tx, recording_id, ConsentPurpose.ANALYSIS)


def active_pack(settings: Settings) -> Path | None:
    """The folder of the active model pack, or None."""
    folder = (settings.models_folder / "active").resolve()
    return folder if (folder / "manifest.json").is_file() else None


def active_pack_version(settings: Settings) -> str | None:
    """What the active model pack calls itself, or None."""
    folder = active_pack(settings)
    if folder is None:
        return None
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return str(manifest.get("version", folder.name))


# --- one run -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """What one run works on. `media`: each track's name and its file in the vault; `timeline`: the newest
    version's file; `versions` are the numbers its documents get."""

    recording_id: uuid.UUID
    event_id: uuid.UUID
    pack: Path
    snapshot: dict[str, Any]
    media: dict[str, str]
    timeline: str
    versions: dict[str, int]

    def output(self, name: str) -> tuple[str, str]:
        """(kind, file name) of the version of a document that this run writes."""
        return ("document", documents.file_name(name, self.versions[name]))

    @property
    def outputs(self) -> list[tuple[str, str]]:
        return [self.output(name) for name in documents.ANALYSED]


def _analyse(work: jobs.Work, recording_id: uuid.UUID) -> None:
    keyholder = Keyholder(work.settings)
    run = _begin(work.settings, keyholder, recording_id)
    if run is None:
        return
    watch = _Watch(work, recording_id)
    vault = vault_of(work.settings)
    with Drafts(vault, keyholder, recording_id, run.event_id, PURPOSE, run.outputs) as drafts:
        try:
            result = _observe(work, run, vault, keyholder, drafts, watch)
        except ChildStoppedError:
            if watch.cancelled:
                return
            raise
        _keep(work.settings, run, result, drafts)


def _begin(settings: Settings, keyholder: Keyholder, recording_id: uuid.UUID) -> _Run | None:
    """Start a run, unless there is nothing to do, no consent any more or no model pack.

    Raises VaultFull, VaultLockedError.
    """
    pack = active_pack(settings)
    with transaction("worker", settings) as tx:
        row = tx.execute(
            select(analysis.c.state, attempt.c.snapshot)
            .join(attempt, attempt.c.id == analysis.c.recording_id)
            .where(analysis.c.recording_id == recording_id)
            .with_for_update(of=analysis)
        ).one_or_none()
        if row is None or row.state not in (AnalysisState.QUEUED, AnalysisState.RUNNING):
            return None
        now = datetime.now(UTC)
        if not consents.granted(tx, recording_id, ConsentPurpose.ANALYSIS):
            _set(tx, recording_id, state=AnalysisState.CANCELLED, reason="no_consent", finished_at=now)
            return None
        if pack is None:
            _set(tx, recording_id, state=AnalysisState.SKIPPED, reason="no_model_pack")
            return None
        keyholder.require_unlocked()
        require_room(settings, ROOM_BYTES)
        _set(
            tx, recording_id, state=AnalysisState.RUNNING, progress=0, stage=None, reason=None, started_at=now
        )
        media = tx.execute(
            select(track.c.name, track.c.file)
            .where(track.c.recording_id == recording_id)
            .order_by(track.c.name)
        ).all()
        newest = documents.newest_versions(tx, recording_id)
        timeline = documents.file_name(documents.TIMELINE, newest.get(documents.TIMELINE, 1))
        versions = {name: newest.get(name, 0) + 1 for name in documents.ANALYSED}
        event = log.append(
            tx,
            log.Action.ANALYSE_RUN,
            log.Actor.unit("worker"),
            "recording",
            recording_id,
            details=log.key_use(recording_id, PURPOSE, "worker", now + LONGEST),
        )
    files = {each.name: each.file for each in media}
    return _Run(recording_id, event.id, pack, row.snapshot, files, timeline, versions)


class _Watch:
    """Looks now and then whether the run must end: the worker stops, or the candidate withdrew."""

    def __init__(self, work: jobs.Work, recording_id: uuid.UUID) -> None:
        self._work, self._recording_id = work, recording_id
        self._looked_at = time.monotonic()
        self._stage, self._fraction, self._told = "", 0.0, (-1, "")
        self.cancelled = False

    def progress(self, fraction: float, stage: str) -> None:
        """What the child reports; written to the row at the next look."""
        self._fraction, self._stage = fraction, stage

    def __call__(self) -> bool:
        if self._work.stopping():
            return True
        now = time.monotonic()
        if now - self._looked_at >= WATCH_SECONDS:
            self._looked_at = now
            self.cancelled = not self._tell()
        return self.cancelled

    def _tell(self) -> bool:
        """Write the progress; False when the run is no longer wanted."""
        percent = min(99, int(self._fraction * 100))
        with transaction("worker", self._work.settings) as tx:
            told = tx.execute(
                update(analysis)
                .where(
                    analysis.c.recording_id == self._recording_id,
                    analysis.c.state == AnalysisState.RUNNING,
                )
                .values(progress=percent, stage=self._stage or None)
            )
        return told.rowcount == 1


def _observe(
    work: jobs.Work, run: _Run, vault: Vault, keyholder: Keyholder, drafts: Drafts, watch: _Watch
) -> dict[str, Any]:
    """Hand the sealed files with their keys to the child, and take its figures."""
    names = [*run.media, documents.TIMELINE]
    sealed = [*(("track", file) for file in run.media.values()), ("document", run.timeline)]
    headers = documents.headers_of(work.settings, run.recording_id, sealed)
    keys = keyholder.file_keys(run.recording_id, run.event_id, PURPOSE, headers)
    with contextlib.ExitStack() as stack:
        inputs: list[dict[str, Any]] = []
        descriptors: list[int] = []
        for name, (kind, file), key in zip(names, sealed, keys, strict=True):
            descriptor = vault.open_fd(run.recording_id, kind, file)
            stack.callback(os.close, descriptor)
            descriptors.append(descriptor)
            inputs.append({"name": name, "fd": descriptor, "key": to_text(key)})
        request = {
            "mode": "analyse",
            "pack": str(run.pack),
            "language": run.snapshot["language"],
            "tracks": inputs[:-1],
            "timeline": inputs[-1],
            "outputs": {name: drafts.request(*run.output(name)) for name in documents.ANALYSED},
            "consent": {"speech": True, "face": True},
            "questions": run.snapshot["questions"],
        }
        return child.run(
            request,
            [*descriptors, *drafts.descriptors],
            memory_bytes=work.settings.analysis_memory_bytes,
            timeout=LONGEST.total_seconds() / 2,
            progress=watch.progress,
            stopping=watch,
        )


# --- the rows ----------------------------------------------------------------------------------------------


def _keep(settings: Settings, run: _Run, result: dict[str, Any], drafts: Drafts) -> None:
    """Name the documents and note them, unless the candidate withdrew meanwhile: then none gets its name."""
    pack_version = str(result["pack_version"])
    with transaction("worker", settings) as tx:
        if not _set(
            tx,
            run.recording_id,
            state=AnalysisState.DONE,
            progress=100,
            stage=None,
            reason=None,
            pack_version=pack_version,
            finished_at=datetime.now(UTC),
            figures=result["figures"],
        ):
            return
        rows = [
            {
                "recording_id": run.recording_id,
                "name": name,
                "version": run.versions[name],
                "kind": name,
                **drafts.commit(*run.output(name)).columns,
                "pack_version": pack_version,
            }
            for name in documents.ANALYSED
        ]
        tx.execute(insert(document), rows)
        details = {"pack": pack_version}
        actor = log.Actor.unit("worker")
        log.append(tx, log.Action.ANALYSE_DONE, actor, "recording", run.recording_id, details=details)


def _wait(work: jobs.Work, recording_id: uuid.UUID, reason: str) -> None:
    """End this job and order the next, or leave that to whoever sees the vault unlocked: an outage is no
    failure and wears out no retries."""
    with transaction("worker", work.settings) as tx:
        wanted = _set(tx, recording_id, state=AnalysisState.QUEUED, reason=reason, failures=work.failures)
        if wanted and reason not in outages.VAULT:
            jobs.enqueue(
                tx,
                "analyse",
                lock=f"recording:{recording_id}",
                wait_seconds=outages.WAIT_SECONDS[reason],
                recording=str(recording_id),
                **work.tally,
            )


def _note_failure(settings: Settings, recording_id: uuid.UUID, error: Exception, *, final: bool) -> bool:
    """Say what went wrong on the row; True when the job is to be tried again."""
    reason = error.kind if isinstance(error, ChildFailedError | VaultError) else type(error).__name__
    detail = error.detail if isinstance(error, ChildFailedError) else ""
    logger.warning("recording %s was not analysed: %s %s", recording_id, reason, detail)
    with transaction("worker", settings) as tx:
        if not final:
            return _set(tx, recording_id, state=AnalysisState.QUEUED, reason=reason)
        if _set(tx, recording_id, state=AnalysisState.FAILED, reason=reason, finished_at=datetime.now(UTC)):
            actor = log.Actor.unit("worker")
            log.append(tx, log.Action.ANALYSE_FAIL, actor, "recording", recording_id, "failed", reason)
    return False


def _set(tx: Connection, recording_id: uuid.UUID, **values: Any) -> bool:
    """Change the row of a wanted analysis; False when it was cancelled meanwhile."""
    wanted = (AnalysisState.QUEUED, AnalysisState.RUNNING)
    changed = tx.execute(
        update(analysis)
        .where(analysis.c.recording_id == recording_id, analysis.c.state.in_(wanted))
        .values(**values)
    )
    return changed.rowcount == 1
