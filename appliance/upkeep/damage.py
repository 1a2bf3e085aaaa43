"""A recording with a damaged file is marked, once, with an event; a damaged track is to be repaired."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from sqlalchemy import Connection, or_, select, update

from appliance import jobs
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.documents import HEAD_SUFFIX
from appliance.domain import RecordingState
from appliance.errors import DatabaseDownError
from appliance.keyholder import vault_file
from appliance.tables import recording, track
from appliance.upkeep import alarms
from storage.vault import Finding, SealedFile

DAMAGED = "damaged"
REPAIRED = re.compile(r"(.+)\.r([0-9]+)")


def stem_of(file: str) -> str:
    """What a track was called first: camera, of camera.r1 and camera.r2."""
    found = REPAIRED.fullmatch(file)
    return found[1] if found else file


def next_file(file: str) -> str:
    """What the repaired track is called in the vault: camera, camera.r1, camera.r2 …"""
    found = REPAIRED.fullmatch(file)
    return f"{found[1]}.r{int(found[2]) + 1}" if found else f"{file}.r1"


def uploads_gone(uploaded: Collection[str], files: Iterable[SealedFile]) -> bool:
    """Whether a track among the sealed files of a recording has no upload by its name any more, from which it
    could be sealed once more."""
    return not {stem_of(file.name) for file in files if file.kind == "track"} <= set(uploaded)


def without_repaired(settings: Settings, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those about a track that was repaired, or its head, as `superseded`: harmless, since its
    row names the new file. As they are while the database does not answer."""
    owners = {finding.file.owner for finding in findings if finding.file is not None}
    current: dict[uuid.UUID, set[str]] = {}
    with contextlib.suppress(DatabaseDownError), transaction("worker", settings) as tx:
        for owner in owners:
            current[owner] = set(tx.scalars(select(track.c.file).where(track.c.recording_id == owner)))
    return [_as_it_counts(finding, current) for finding in findings]


def _as_it_counts(finding: Finding, current: Mapping[uuid.UUID, set[str]]) -> Finding:
    about = finding.file
    if about is None or finding.harmless:
        return finding
    file = about.name if about.kind == "track" else about.name.removesuffix(HEAD_SUFFIX)
    if about.kind != "track" and not about.name.endswith(HEAD_SUFFIX):
        return finding
    present = current.get(about.owner, set())
    if file in present or not any(stem_of(each) == stem_of(file) for each in present):
        return finding
    return replace(finding, kind="superseded", detail=f"{finding.kind}; a repaired one is in its place")


def mark(settings: Settings, findings: Iterable[Finding], actor: log.Actor) -> list[uuid.UUID]:
    """Mark the recordings that damaged files belong to, and order their repair; returns those that were not
    marked before. What a crash left is no damage; a file that is nobody's sealed recording marks none."""
    about = sorted(
        (finding.file.owner, finding.kind, f"{finding.file.kind}/{finding.file.name}")
        for finding in findings
        if finding.file is not None and not finding.harmless
    )
    marked = []
    for owner, group in groupby(about, key=lambda each: each[0]):
        found = list(group)
        with transaction("worker", settings) as tx:
            changed = tx.execute(
                update(recording)
                .where(
                    recording.c.id == owner,
                    recording.c.state == RecordingState.SEALED,
                    or_(recording.c.problem.is_(None), recording.c.problem != DAMAGED),
                )
                .values(problem=DAMAGED)
            )
            if changed.rowcount != 1:
                continue
            marked.append(owner)
            jobs.enqueue(tx, "repair", lock=f"recording:{owner}", recording=str(owner))
            log.append(
                tx,
                log.Action.VAULT_DAMAGE,
                actor,
                "recording",
                owner,
                "failed",
                found[0][1],
                details={"files": {name: kind for _, kind, name in found}},
            )
    return marked


def alarm(tx: Connection, settings: Settings, found: Sequence[Finding]) -> None:
    """Once for the same findings, however many nights meet them."""
    places = sorted(str(finding.path) for finding in found)
    about = {
        "count": len(found),
        "kinds": sorted({finding.kind for finding in found}),
        "places": places[: alarms.NAMED],
    }
    known_by = " ".join(sorted(f"{finding.kind} {finding.path}" for finding in found))
    alarms.note_once(tx, vault_file.describe(settings).vault_id, "damage", known_by, about)
