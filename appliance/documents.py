"""Sealed documents: their names and versions, and the one way in which people keep and open them.

Words never stand in the database; rows only say which documents there are. What a recording or a person is
described by, of whatever kind, goes this way:

    with transaction("staff", settings) as tx:
        ...                                                   # the scope
        use = allow(tx, settings, user, Action.X_KEEP, owner, [file_name("x", 1)])   # last, before COMMIT
    use.keep(data, lambda written: [insert(...)])             # or use.read()

The keyholder knows each kind by name (keyholder/document_gate.py).
"""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Insert, func, select
from sqlalchemy.exc import IntegrityError as NotUniqueError
from sqlalchemy.exc import SQLAlchemyError

from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Owner, OwnerKind, User
from appliance.drafts import Written, require_room
from appliance.erasing import require_kept
from appliance.errors import ConflictError, FupanError, StorageFullError
from appliance.keyholder.client import Keyholder
from appliance.tables import document, person_document, track
from appliance.vaults import told, vault_of
from storage.vault import IntegrityError, SealedHeader, VaultError, VaultFull, head_name

logger = logging.getLogger(__name__)

TIMELINE = "timeline"
MANIFEST = "manifest"
NOTE = "note"
HEAD_SUFFIX = head_name("")
ANALYSED = ("transcript", "signals", "peaks", "report")
# As long as sealing ten megabytes and asking for the key may take on a busy machine.
USE_SECONDS = 30
ROOM_BYTES = 16 * 1024**2
OBJECT_TYPES = {OwnerKind.RECORDING: "recording", OwnerKind.PERSON: "candidate"}


class NoRoomError(StorageFullError):
    """The vault's disk is full; nothing was kept."""

    message = "There is no room on the server, so nothing was kept. Tell your system administrator."


def file_name(name: str, version: int) -> str:
    """The name in the vault: a further version is a file of its own, and the earlier ones stay."""
    return name if version == 1 else f"{name}.v{version}"


def kind_of(name: str) -> str:
    """What kind of document one of this name is: a track's head, or what its name says."""
    return "head" if name.endswith(HEAD_SUFFIX) else name


def newest_versions(tx: Connection, recording_id: uuid.UUID) -> dict[str, int]:
    """Document name → newest version."""
    rows = tx.execute(
        select(document.c.name, func.max(document.c.version).label("version"))
        .where(document.c.recording_id == recording_id)
        .group_by(document.c.name)
    )
    return {row.name: row.version for row in rows}


def meant(tx: Connection, owner_id: uuid.UUID) -> dict[tuple[str, str], bytes | None]:
    """Kind and file name → the SHA-256 of the header that its row means, of all files that a recording's, or
    a person's, rows name. None in rows from before there was this column."""
    tracks = select(track.c.file, track.c.header_sha256).where(track.c.recording_id == owner_id)
    found = {("track", row.file): row.header_sha256 for row in tx.execute(tracks)}
    for table, owner in ((document, document.c.recording_id), (person_document, person_document.c.person_id)):
        rows = tx.execute(
            select(table.c.name, table.c.version, table.c.header_sha256).where(owner == owner_id)
        )
        found |= {("document", file_name(row.name, row.version)): row.header_sha256 for row in rows}
    return found


def require_meant(header: SealedHeader, header_sha256: bytes | None) -> None:
    """Raises IntegrityError("replaced") for another copy of a file than its row means: an earlier one that
    somebody put back opens under its key too."""
    if header_sha256 not in (None, hashlib.sha256(header.raw).digest()):
        raise IntegrityError(
            "replaced", f"this is another copy of {header.kind} {header.name} than its row says"
        )


def headers_of(settings: Settings, recording_id: uuid.UUID, files: Sequence[tuple[str, str]]) -> list[bytes]:
    """The headers of a recording's files, by kind and name, each the one that its row means.

    Raises IntegrityError, NotFound.
    """
    with transaction("worker", settings) as tx:
        known = meant(tx, recording_id)
    headers = [vault_of(settings).header_of(recording_id, kind, name) for kind, name in files]
    for header in headers:
        require_meant(header, known.get((header.kind, header.name)))
    return [header.raw for header in headers]


@dataclass(frozen=True)
class Allowed:
    """What one event lets its actor do with documents of one owner, for USE_SECONDS from its commit."""

    settings: Settings
    actor: log.Actor
    action: log.Action
    owner: Owner
    names: Sequence[str]
    event_id: uuid.UUID

    def keep(self, data: bytes, rows: Callable[[Written], Sequence[Insert]]) -> None:
        """Seal `data` as the one document named. `rows(what was written)` note it in the transaction whose
        commit follows the file's rename; where another writer was first, nothing of this one stays.

        Raises ConflictError, ErasedError, NoRoomError, VaultLockedError, KeyholderDownError, KeyRefusedError.
        """
        [name] = self.names
        try:
            header, key = Keyholder(self.settings).new_document_key(self.owner, self.event_id, name)
            with vault_of(self.settings).begin(self.owner.id, "document", name) as draft:
                with draft.writer(header, key) as writer:
                    writer.write(data)
                written = Written(os.fstat(draft.fd).st_size, header)
                with transaction("staff", self.settings) as tx:
                    require_kept(tx, self.owner)
                    for row in rows(written):
                        tx.execute(row)
                    draft.commit()
        except (FupanError, VaultError, SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error

    def read(self) -> list[bytes]:
        """The documents named, whole, in order.

        Raises DamagedError, VaultLockedError, KeyholderDownError, KeyRefusedError.
        """
        vault = vault_of(self.settings)
        try:
            headers = [vault.header_of(self.owner.id, "document", name) for name in self.names]
            with transaction("staff", self.settings) as tx:
                known = meant(tx, self.owner.id)
            for header in headers:
                require_meant(header, known.get(("document", header.name)))
            keys = Keyholder(self.settings).document_keys(
                self.owner, self.event_id, [header.raw for header in headers]
            )
            found = []
            for header, key in zip(headers, keys, strict=True):
                with vault.open_sealed(self.owner.id, "document", header.name, key, expect=header) as reader:
                    found.append(reader.read_range(0, reader.size))
            return found
        except (FupanError, VaultError, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> FupanError:
        """The error for the person. The use is on the log already; that nothing came of it follows there."""
        failure = _told(error)
        logger.warning("%s: %s", self.action, error.__class__.__name__)
        try:
            with transaction("staff", self.settings) as tx:
                _append(tx, self.action, self.actor, self.owner, outcome="failed", reason=failure.code)
        except (FupanError, SQLAlchemyError):
            logger.warning("that %s failed is not on the audit log", self.action)
        return failure


def allow(
    tx: Connection, settings: Settings, user: User, action: log.Action, owner: Owner, names: Sequence[str]
) -> Allowed:
    """Put the use on the log, as the transaction's last statement; it counts once that has committed.

    `action` is KIND:keep, with one name, or KIND:open. The caller has checked the person's scope.
    """
    actor = log.Actor.of(user)
    until = datetime.now(UTC) + timedelta(seconds=USE_SECONDS)
    details = log.document_use(owner, action.partition(":")[0], names, until)
    event = _append(tx, action, actor, owner, details=details)
    return Allowed(settings, actor, action, owner, tuple(names), event.id)


def require_ready(settings: Settings) -> None:
    """Ask before anything is put on the log for a document that could not be kept.

    Raises VaultLockedError, KeyholderDownError, NoRoomError.
    """
    Keyholder(settings).require_unlocked()
    try:
        require_room(settings, ROOM_BYTES)
    except VaultFull as error:
        raise NoRoomError() from error


def _append(
    tx: Connection, action: log.Action, actor: log.Actor, owner: Owner, **more: Any
) -> log.AuditEvent:
    return log.append(tx, action, actor, OBJECT_TYPES[owner.kind], owner.id, **more)


def _told(error: Exception) -> FupanError:
    if isinstance(error, VaultFull | StorageFullError):
        return NoRoomError()
    if isinstance(error, FupanError):
        return error
    if isinstance(error, VaultError):
        return told(error)
    return ConflictError() if isinstance(error, NotUniqueError) else FupanError()
