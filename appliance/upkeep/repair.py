"""A damaged track is written anew without its damaged places, in the media child; the original stays.

The order, with what a crash leaves behind at each point:

1. the audit event commits                       a further run writes a further event
2. the child writes drafts under fresh keys      drafts are removed by the next run
3. track, head, timeline, manifest get names     files that no row names; the next run replaces them
4. the rows commit                               done: the track's row names the new file

While the uploads are still at intake the recording is sealed once more from them instead, and loses nothing.

The new files have names of their own (`camera.r1`), so nothing is ever written over the damaged one: should a
better copy of it turn up, it is there to be compared. While the vault is locked the job waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update

from appliance import child, documents, jobs, outages
from appliance.audit import log
from appliance.child import ChildFailedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Limits, RecordingState
from appliance.drafts import Drafts, Written, require_room, to_text
from appliance.errors import DamagedError, FupanError
from appliance.keyholder import vault_file
from appliance.keyholder.client import Keyholder
from appliance.manifest import Manifest, TrackEntry
from appliance.tables import document, recording, track
from appliance.transport import transport_of
from appliance.upkeep import alarms
from appliance.upkeep.damage import DAMAGED, next_file
from appliance.vaults import told, vault_of
from storage.vault import IntegrityError, NotFound, Vault, VaultError, head_name, parse_header

logger = logging.getLogger(__name__)

PURPOSE = "repair"
LONGEST = timedelta(hours=2)
WAIT_SECONDS = 300


@jobs.task("repair")
def repair(work: jobs.Work, recording: str, suspected: bool = False) -> None:
    """Repair what can be repaired of one recording that is marked, or `suspected` since a replay met damage.
    Run twice it finds nothing damaged any more; cut short, it starts over under new keys."""
    recording_id = uuid.UUID(recording)
    try:
        _repair(work, recording_id, suspected=suspected)
    except (FupanError, VaultError, OSError) as error:
        if outages.awaited(error):
            _wait(work, recording_id, suspected=suspected)
            return
        _note(work.settings, recording_id, "failed", _word(error), {})
        logger.warning("recording %s was not repaired: %s", recording_id, error)


def _sealed_again(settings: Settings, recording_id: uuid.UUID) -> bool:
    """While what was uploaded is still at intake, every track of it, nothing need be lost: it is sealed once
    more from there."""
    uploaded = set(transport_of(settings).journals(recording_id, Limits.bytes))
    with transaction("worker", settings) as tx:
        media = set(tx.scalars(select(track.c.name).where(track.c.recording_id == recording_id)))
        if not media or not media <= uploaded:
            return False
        again = tx.execute(
            update(recording)
            .where(recording.c.id == recording_id, recording.c.journals_removed_at.is_(None))
            .values(state=RecordingState.SEALING, problem=None, failures=0)
        )
        if again.rowcount != 1:
            return False
        jobs.enqueue(tx, "seal", lock=f"recording:{recording_id}", recording=str(recording_id))
        actor, action = log.Actor.unit("worker"), log.Action.SEAL_ORDER
        log.append(tx, action, actor, "recording", recording_id, reason=DAMAGED)
    return True


@dataclass(frozen=True)
class _Run:
    """One recording's files, as its rows name them, and the keys of those that can be given one."""

    settings: Settings
    vault: Vault
    keyholder: Keyholder
    recording_id: uuid.UUID
    event_id: uuid.UUID
    manifest: Manifest
    manifest_version: int
    timeline_version: int

    def key(self, header: bytes) -> bytes:
        """The key of the file that has, or had, this header."""
        [key] = self.keyholder.file_keys(self.recording_id, self.event_id, PURPOSE, [header])
        return key

    def prove(self, kind: str, name: str) -> bytes:
        """The key of a file that proves whole, and of a document that is the one its row means.

        Raises IntegrityError, NotFound.
        """
        header = self.vault.header_of(self.recording_id, kind, name)
        if kind == "document":
            documents.headers_of(self.settings, self.recording_id, [(kind, name)])
        key = self.key(header.raw)
        with self.vault.open_sealed(self.recording_id, kind, name, key, expect=header) as reader:
            for _ in reader.iter_range(0, reader.size):
                pass
        return key

    def trouble(self, kind: str, name: str) -> str | None:
        """Why it does not prove whole, in a word, or None."""
        try:
            self.prove(kind, name)
        except (IntegrityError, NotFound) as error:
            return error.kind
        return None

    def replaced(self) -> list[str]:
        """Tracks that prove whole, yet are another copy than the one that was sealed: an earlier one that
        somebody put back. Raises IntegrityError, NotFound."""
        headers = {
            entry.file: self.vault.header_of(self.recording_id, "track", entry.file).raw
            for entry in self.manifest.tracks
        }
        return [entry.file for entry in self.manifest.tracks if headers[entry.file] != entry.header]


def _repair(work: jobs.Work, recording_id: uuid.UUID, *, suspected: bool) -> None:
    keyholder = Keyholder(work.settings)
    keyholder.require_unlocked()
    with transaction("worker", work.settings) as tx:
        sealed = (recording.c.id == recording_id) & (recording.c.state == RecordingState.SEALED)
        if suspected:  # until it is known better, a person is needed
            tx.execute(update(recording).where(sealed, recording.c.problem.is_(None)).values(problem=DAMAGED))
        marked = tx.scalar(select(recording.c.id).where(sealed, recording.c.problem == DAMAGED))
    if marked is None:
        return
    try:
        run = _begin(work.settings, keyholder, recording_id)
    except DamagedError:
        if not _sealed_again(work.settings, recording_id):
            raise
        return
    damaged = [entry for entry in run.manifest.tracks if run.trouble("track", entry.file)]
    found = [
        *(f"track/{entry.file}" for entry in damaged),
        *(f"document/{n}" for n in _damaged_documents(run)),
    ]
    if not found:
        found = [f"track/{file}" for file in run.replaced()]
    if found and suspected:
        _alarm(run, found)
    if found and _sealed_again(work.settings, recording_id):
        return
    lost: dict[str, Any] = {}
    for entry in damaged:
        run, lost[entry.name] = _repair_track(work, run, entry)
    if left := _damaged_documents(run):
        details = {"tracks": lost, "documents": list(left)}
        reason = "replaced" if set(left.values()) == {"replaced"} else "document"
        _note(work.settings, recording_id, "failed", reason, details)
        return
    if replaced := run.replaced():
        _note(work.settings, recording_id, "failed", "replaced", {"tracks": lost, "replaced": replaced})
        return
    _note(work.settings, recording_id, "ok", None, {"tracks": lost}, mended=True)


def _alarm(run: _Run, found: list[str]) -> None:
    """Of what a replay met; what a check finds is one already."""
    places = [f"{run.recording_id} {name}" for name in found]
    about = {"count": len(found), "places": places[: alarms.NAMED]}
    with transaction("worker", run.settings) as tx:
        vault_id = vault_file.describe(run.settings).vault_id
        alarms.note_once(tx, vault_id, "damage", " ".join(places), about)


def _begin(settings: Settings, keyholder: Keyholder, recording_id: uuid.UUID) -> _Run:
    """Put it on the log, and read the manifest: without it nobody knows what the files were.

    Raises DamagedError when no version of it can be read.
    """
    vault = vault_of(settings)
    with transaction("worker", settings) as tx:
        newest = documents.newest_versions(tx, recording_id)
        details = log.key_use(recording_id, PURPOSE, "worker", datetime.now(UTC) + LONGEST)
        actor = log.Actor.unit("worker")
        event = log.append(tx, log.Action.VAULT_REPAIR, actor, "recording", recording_id, details=details)
    version = newest.get(documents.MANIFEST, 1)
    name = documents.file_name(documents.MANIFEST, version)
    try:
        headers = documents.headers_of(settings, recording_id, [("document", name)])
        [key] = keyholder.file_keys(recording_id, event.id, PURPOSE, headers)
        manifest = Manifest.parse(vault.read_document(recording_id, name, key))
    except VaultError as error:
        raise told(error) from error
    timeline = newest.get(documents.TIMELINE, 1)
    return _Run(settings, vault, keyholder, recording_id, event.id, manifest, version, timeline)


def _repair_track(work: jobs.Work, run: _Run, entry: TrackEntry) -> tuple[_Run, dict[str, Any]]:
    """Write one track anew and name it in the rows; the run as it is now, and what was lost."""
    require_room(work.settings, entry.file_size)
    file = next_file(entry.file)
    timeline = documents.file_name(documents.TIMELINE, run.timeline_version)
    with_timeline = run.trouble("document", timeline) is None
    amended = documents.file_name(documents.TIMELINE, run.timeline_version + 1)
    manifest_file = documents.file_name(documents.MANIFEST, run.manifest_version + 1)
    names = [("track", file), ("document", head_name(file)), ("document", manifest_file)]
    names += [("document", amended)] if with_timeline else []
    with Drafts(run.vault, run.keyholder, run.recording_id, run.event_id, PURPOSE, names) as drafts:
        result = _ask_child(work, run, entry, file, drafts, (timeline, amended) if with_timeline else None)
        described = result["track"]
        if described is None:  # whole after all: it was read wrongly a moment ago
            return run, {}
        made = TrackEntry.described(described, file, drafts.header("track", file), entry.recorded_as)
        made = dataclasses.replace(made, name=entry.name, kind=entry.kind)
        gaps = [*run.manifest.gaps, *([*gap, entry.name] for gap in described["gaps"])]
        tracks = tuple(made if each.name == entry.name else each for each in run.manifest.tracks)
        manifest = dataclasses.replace(run.manifest, gaps=gaps, tracks=tracks)
        drafts.commit("track", file)
        written = {(head_name(file), 1): drafts.commit("document", head_name(file))}
        if with_timeline:
            written[documents.TIMELINE, run.timeline_version + 1] = drafts.commit("document", amended)
        written[documents.MANIFEST, run.manifest_version + 1] = drafts.write(
            "document", manifest_file, manifest.encode()
        )
    _put_rows(run, made, manifest, written)
    run = dataclasses.replace(
        run,
        manifest=manifest,
        manifest_version=run.manifest_version + 1,
        timeline_version=run.timeline_version + with_timeline,
    )
    return run, {"gaps": described["gaps"], "bytes": result["damage"]["bytes"], "file": file}


def _ask_child(
    work: jobs.Work,
    run: _Run,
    entry: TrackEntry,
    file: str,
    drafts: Drafts,
    timeline: tuple[str, str] | None,
) -> dict[str, Any]:
    """Hand the damaged track, its head and the timeline to the child, and take what it says it wrote."""
    with contextlib.ExitStack() as stack:
        descriptors: list[int] = []

        def given(kind: str, name: str, key: bytes) -> dict[str, Any]:
            descriptor = run.vault.open_fd(run.recording_id, kind, name)
            stack.callback(os.close, descriptor)
            descriptors.append(descriptor)
            return {"fd": descriptor, "key": to_text(key)}

        head = None
        with contextlib.suppress(IntegrityError, NotFound):
            name = head_name(entry.file)
            head = given("document", name, run.prove("document", name))
        request = {
            "mode": "repair",
            "track": {
                "name": entry.name,
                "start_ms": entry.start_ms,
                "duration_ms": entry.duration_ms,
                "salvage_head": head,
                "head": drafts.request("document", head_name(file)),
                **given("track", entry.file, run.key(parse_header(entry.header).raw)),
                **drafts.request("track", file),
            },
            "timeline": timeline
            and {
                **given("document", timeline[0], run.prove("document", timeline[0])),
                **drafts.request("document", timeline[1]),
            },
        }
        return child.run(
            request,
            [*descriptors, *drafts.descriptors],
            memory_bytes=work.settings.analysis_memory_bytes,
            timeout=LONGEST.total_seconds() / 2,
            stopping=work.stopping,
        )


def _put_rows(
    run: _Run, made: TrackEntry, manifest: Manifest, written: dict[tuple[str, int], Written]
) -> None:
    rows = [
        {
            "recording_id": run.recording_id,
            "name": name,
            "version": version,
            "kind": documents.kind_of(name),
            **each.columns,
        }
        for (name, version), each in written.items()
    ]
    with transaction("worker", run.settings) as tx:
        named = (track.c.recording_id == run.recording_id) & (track.c.name == made.name)
        tx.execute(update(track).where(named).values(**made.row(run.recording_id)))
        tx.execute(insert(document), rows)
        stored = sum(each.size for each in written.values()) + made.file_size
        tx.execute(
            update(recording)
            .where(recording.c.id == run.recording_id)
            .values(gaps=manifest.gaps, bytes=func.coalesce(recording.c.bytes, 0) + stored)
        )


def _damaged_documents(run: _Run) -> dict[str, str]:
    """The files of the documents that the rows name, that no repaired track has left behind, and that do not
    prove whole; each with why, in a word."""
    with transaction("worker", run.settings) as tx:
        current = set(tx.scalars(select(track.c.file).where(track.c.recording_id == run.recording_id)))
        rows = tx.execute(
            select(document.c.name, document.c.version).where(document.c.recording_id == run.recording_id)
        ).all()
    named = [
        documents.file_name(row.name, row.version)
        for row in rows
        if documents.kind_of(row.name) != "head" or row.name.removesuffix(documents.HEAD_SUFFIX) in current
    ]
    return {name: kind for name in named if (kind := run.trouble("document", name))}


def _note(
    settings: Settings,
    recording_id: uuid.UUID,
    outcome: str,
    reason: str | None,
    details: dict[str, Any],
    *,
    mended: bool = False,
) -> None:
    """Write how it ended, and with `mended` that nothing is damaged any more."""
    with transaction("worker", settings) as tx:
        if mended:
            damaged = (recording.c.id == recording_id) & (recording.c.problem == DAMAGED)
            tx.execute(update(recording).where(damaged).values(problem=None))
        actor = log.Actor.unit("worker")
        log.append(
            tx, log.Action.VAULT_REPAIR, actor, "recording", recording_id, outcome, reason, details or None
        )


def _word(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, DamagedError) else error
    if isinstance(cause, ChildFailedError | VaultError):
        return cause.kind
    return error.code if isinstance(error, FupanError) else type(error).__name__


def _wait(work: jobs.Work, recording_id: uuid.UUID, *, suspected: bool) -> None:
    """Order the next try: an outage is no failure."""
    with transaction("worker", work.settings) as tx:
        jobs.enqueue(
            tx,
            "repair",
            lock=f"recording:{recording_id}",
            wait_seconds=WAIT_SECONDS,
            recording=str(recording_id),
            suspected=suspected,
        )
