"""Rows of sealed recordings made anew from their files, as after a restore of an older database.

What is there again: the recording's own row, its tracks (from the newest manifest that opens), and which
documents there are. What is not: who wrote notes and résumés, and interviews whose invitation is unknown;
nothing invents those. A recording whose keys were destroyed is never brought back: the keyholder, which knows
the erase ledger, gives no key for its manifest.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql

from appliance import consents, documents
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, AttemptState, ConsentPurpose, Limits, RecordingState
from appliance.durable import StrangeFileError
from appliance.errors import FupanError
from appliance.keyholder.client import Keyholder
from appliance.manifest import Manifest
from appliance.tables import analysis, attempt, document, recording, track
from appliance.transport import transport_of
from appliance.upkeep import damage
from appliance.vaults import told, vault_of
from storage.vault import IntegrityError, NotFound, SealedFile, VaultError

PURPOSE = "rebuild"
LONGEST = timedelta(minutes=10)
AT_ONCE = 500
NOTE = "note-"
_VERSION = re.compile(r"(.+)\.v([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Lacking:
    """A recording with files that its rows do not tell of. `known`: whether there is an interview of it;
    `to_seal`: whether it is to be sealed, or could not be."""

    recording_id: uuid.UUID
    files: Sequence[SealedFile]
    known: bool
    to_seal: bool = False


def version_of(file: str) -> tuple[str, int]:
    """A document's name and version by its file's name."""
    found = _VERSION.fullmatch(file)
    return (found[1], int(found[2])) if found else (file, 1)


def lacking(settings: Settings) -> Iterator[Lacking]:
    """Every recording whose files are sealed and whose rows are not all there; reads names only. One that is
    to be sealed is among them once its uploads are gone: before, the seal does it."""
    vault = vault_of(settings)
    recordings = ((owner, files) for owner, files in vault.contents() if _is_sealed(files))
    for some in _batches(recordings):
        with transaction("worker", settings) as tx:
            found = list(_lacking(tx, dict(some)))
        yield from (each for each in found if not each.to_seal or _uploads_gone(settings, each))


def _uploads_gone(settings: Settings, each: Lacking) -> bool:
    try:
        uploaded = transport_of(settings).journals(each.recording_id, Limits.bytes)
    except StrangeFileError:
        return False
    return damage.uploads_gone(uploaded, each.files)


def _is_sealed(files: Iterable[SealedFile]) -> bool:
    """The manifest is written last."""
    return any(file.kind == "document" and version_of(file.name)[0] == documents.MANIFEST for file in files)


def _batches(recordings: Iterator[Any]) -> Iterator[list[Any]]:
    while some := [each for _, each in zip(range(AT_ONCE), recordings, strict=False)]:
        yield some


def _lacking(tx: Connection, found: dict[uuid.UUID, list[SealedFile]]) -> Iterator[Lacking]:
    ids = list(found)
    known = set(tx.scalars(select(attempt.c.id).where(attempt.c.id.in_(ids))))
    states: dict[uuid.UUID, str] = {
        row.id: row.state
        for row in tx.execute(select(recording.c.id, recording.c.state).where(recording.c.id.in_(ids)))
    }
    tracks = _names(tx, track.c.recording_id, track.c.name, ids)
    named = _names(tx, document.c.recording_id, document.c.name, ids)
    analysed = set(
        tx.scalars(
            select(analysis.c.recording_id).where(
                analysis.c.recording_id.in_(ids), analysis.c.state == AnalysisState.DONE
            )
        )
    )
    for owner, files in found.items():
        if owner not in known:
            yield Lacking(owner, files, known=False)
            continue
        state = states.get(owner)
        if state == RecordingState.ERASED:
            continue
        wanted = {documents.MANIFEST, documents.TIMELINE} | (
            set(documents.ANALYSED) if owner in analysed else set()
        )
        there = {version_of(file.name)[0] for file in files if file.kind == "document"}
        media = any(file.kind == "track" for file in files)
        gone = (wanted & there) - named.get(owner, set())
        if state != RecordingState.SEALED or gone or (media and not tracks.get(owner)):
            to_seal = state in (RecordingState.SEALING, RecordingState.FAILED)
            yield Lacking(owner, files, known=True, to_seal=to_seal)


def _names(tx: Connection, owner: Any, name: Any, ids: list[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
    found: dict[uuid.UUID, set[str]] = {}
    for row in tx.execute(select(owner.label("owner"), name.label("name")).where(owner.in_(ids))):
        found.setdefault(row.owner, set()).add(row.name)
    return found


def rebuild(settings: Settings, actor: log.Actor, each: Lacking) -> dict[str, int]:
    """Make the rows of one recording anew; what was made. On the log before its manifest is opened, and then.

    Raises VaultLockedError, KeyholderDownError, KeyRefusedError (as for one that was erased), DamagedError
    when no manifest can be read.
    """
    keyholder = Keyholder(settings)
    keyholder.require_unlocked()
    with transaction("worker", settings) as tx:
        until = datetime.now(UTC) + LONGEST
        details = log.key_use(each.recording_id, PURPOSE, "worker", until)
        action = log.Action.VAULT_REBUILD
        event = log.append(tx, action, actor, "recording", each.recording_id, details=details)
    try:
        manifest = _newest_manifest(settings, keyholder, each, event.id)
        headers = _headers(settings, each)
        with transaction("worker", settings) as tx:
            made = _put_rows(tx, each, manifest, headers)
            log.append(tx, action, actor, "recording", each.recording_id, details={"made": made})
        return made
    except FupanError as error:
        with transaction("worker", settings) as tx:
            log.append(tx, action, actor, "recording", each.recording_id, "failed", error.code)
        raise


def _newest_manifest(
    settings: Settings, keyholder: Keyholder, each: Lacking, event_id: uuid.UUID
) -> Manifest:
    """The last version that opens: an earlier one still names a track that is there."""
    vault, trouble = vault_of(settings), IntegrityError("header", "there is no manifest")
    versions = sorted(
        (version_of(file.name)[1], file.name)
        for file in each.files
        if file.kind == "document" and version_of(file.name)[0] == documents.MANIFEST
    )
    for _, name in reversed(versions):
        try:
            header = vault.header_of(each.recording_id, "document", name)
            [key] = keyholder.file_keys(each.recording_id, event_id, PURPOSE, [header.raw])
            return Manifest.parse(vault.read_document(each.recording_id, name, key))
        except IntegrityError as error:
            trouble = error
        except VaultError as error:
            raise told(error) from error
    raise told(trouble) from trouble


def _headers(settings: Settings, each: Lacking) -> dict[str, bytes]:
    """SHA-256 of the headers of its documents, as far as they can be read."""
    found = {}
    for file in each.files:
        if file.kind == "document":
            try:
                header = vault_of(settings).header_of(each.recording_id, file.kind, file.name)
            except (IntegrityError, NotFound):
                continue
            except VaultError as error:
                raise told(error) from error
            found[file.name] = hashlib.sha256(header.raw).digest()
    return found


def _put_rows(tx: Connection, each: Lacking, manifest: Manifest, headers: dict[str, bytes]) -> dict[str, int]:
    """What is there stays: only what is missing is added, but tracks are as the manifest says."""
    recording_id, made = each.recording_id, {}
    sizes = {file.name: file for file in each.files}
    values = {
        "state": RecordingState.SEALED,
        "sealed_at": manifest.sealed_at,
        "day_key_id": manifest.day_key,
        "department_year_key": manifest.department_year_key,
        "duration_ms": manifest.duration_ms,
        "bytes": sum(file.bytes for file in each.files),
        "gaps": manifest.gaps,
        "tier": next(file.tier for file in each.files),
    }
    made["recordings"] = _add(tx, recording, [{"id": recording_id, **values}])
    # What is sealed was finished, whatever an older database knows of it.
    older = (RecordingState.COLLECTING, RecordingState.SEALING, RecordingState.FAILED)
    unsealed = (recording.c.id == recording_id) & recording.c.state.in_(older)
    if tx.execute(update(recording).where(unsealed).values(problem=None, failures=0, **values)).rowcount:
        made["recordings"] = 1
        tx.execute(
            update(attempt)
            .where(attempt.c.id == recording_id, attempt.c.state != AttemptState.FINISHED)
            .values(
                state=AttemptState.FINISHED,
                finished_at=manifest.sealed_at,
                end_proven=manifest.end_proven,
            )
        )
    tx.execute(delete(track).where(track.c.recording_id == recording_id))
    if manifest.tracks:
        tx.execute(insert(track), [entry.row(recording_id) for entry in manifest.tracks])
    made["tracks"] = len(manifest.tracks)
    with_analysis = _may_show_analysis(tx, recording_id)
    rows = []
    for file in sizes.values():
        name, version = version_of(file.name)
        if file.kind != "document" or name.startswith(NOTE):
            continue
        if name in documents.ANALYSED and not with_analysis:
            continue  # whether it was finished, and may be shown, nobody knows
        kind = documents.kind_of(name)
        rows.append(
            {
                "recording_id": recording_id,
                "name": name,
                "version": version,
                "kind": kind,
                "bytes": file.bytes,
                "header_sha256": headers.get(file.name),
            }
        )
    made["documents"] = _add(tx, document, rows)
    return made


def _may_show_analysis(tx: Connection, recording_id: uuid.UUID) -> bool:
    state = tx.scalar(select(analysis.c.state).where(analysis.c.recording_id == recording_id))
    return state == AnalysisState.DONE and consents.granted(tx, recording_id, ConsentPurpose.ANALYSIS)


def _add(tx: Connection, table: Any, rows: list[dict[str, Any]]) -> int:
    """Insert the rows whose keys are not there; returns how many."""
    added = tx.execute(postgresql.insert(table).values(rows).on_conflict_do_nothing())
    return int(added.rowcount)


def rebuild_all(settings: Settings, actor: log.Actor, told_of: Callable[[str], None]) -> int:
    """Rebuild whatever lacks rows; `told_of` hears a line about each. Returns how many could not be."""
    failed = 0
    for each in lacking(settings):
        if not each.known:
            told_of(f"{each.recording_id}: no interview of this number is known; its files stay as they are")
            continue
        try:
            made = rebuild(settings, actor, each)
        except FupanError as error:
            failed += 1
            told_of(f"{each.recording_id}: not rebuilt: {error}")
        else:
            told_of(f"{each.recording_id}: " + ", ".join(f"{count} {what}" for what, count in made.items()))
    return failed
