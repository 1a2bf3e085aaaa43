"""Whether the files that rows name are there, each as long as its row says: no file tells that it is gone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sqlalchemy import select

from appliance import documents
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import RecordingState
from appliance.tables import document, recording, track
from appliance.vaults import vault_of
from storage.vault import Depth, Finding, Place, StoreDown, Vault, in_full


def unlike_rows(settings: Settings, depth: Depth) -> Iterator[Finding]:
    """What is `lost`, or of another `length` than its row says, of the sealed recordings that are read whole.

    Nothing while a tier is away, or cannot say that it is there. Raises DatabaseDownError.
    """
    vault = vault_of(settings)
    try:
        vault.require_cold()
        for recording_id in _sealed(settings):
            if in_full(depth, recording_id) and _look(settings, vault, recording_id):
                yield from _look(settings, vault, recording_id)  # what moved, or went, meanwhile is fine
    except StoreDown:
        return  # the round through the tiers names it


def _sealed(settings: Settings) -> list[uuid.UUID]:
    with transaction("worker", settings) as tx:
        sealed = recording.c.state == RecordingState.SEALED
        return list(tx.scalars(select(recording.c.id).where(sealed).order_by(recording.c.id)))


def _look(settings: Settings, vault: Vault, recording_id: uuid.UUID) -> list[Finding]:
    named: dict[tuple[str, str], int] = {}
    with transaction("worker", settings) as tx:
        state = tx.scalar(select(recording.c.state).where(recording.c.id == recording_id))
        if state != RecordingState.SEALED:
            return []
        of_tracks = select(track.c.file, track.c.bytes).where(track.c.recording_id == recording_id)
        named |= {("track", row.file): row.bytes for row in tx.execute(of_tracks)}
        of_documents = select(document.c.name, document.c.version, document.c.bytes)
        for row in tx.execute(of_documents.where(document.c.recording_id == recording_id)):
            named["document", documents.file_name(row.name, row.version)] = row.bytes
    stored = {(file.kind, file.name): file.bytes for file in vault.list(recording_id)}
    found = []
    for (kind, name), size in sorted(named.items()):
        place, file = vault.path(recording_id, kind, name), Place(recording_id, kind, name)
        if (kind, name) not in stored:
            found.append(Finding(place, "lost", "its row names it", file))
        elif stored[kind, name] != size:
            detail = f"{stored[kind, name]} bytes, {size} by its row"
            found.append(Finding(place, "length", detail, file))
    return found
