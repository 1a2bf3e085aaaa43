"""Notes: what a reviewer writes about a recording, sealed under its key.

Whoever may see the recording reads all notes about it; each person changes their own, and every change is a
further version. The database knows who wrote when; text and author are in the sealed document.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, Insert, Text, cast, func, insert, literal, select

from appliance import documents
from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Owner, OwnerKind, RecordingState, User
from appliance.drafts import Written
from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.keyholder.client import Keyholder
from appliance.people import access
from appliance.people.roles import Permission
from appliance.tables import account, document, note

MAX_TEXT = 10_000
MAX_NOTES = 200  # about one recording
KIND = documents.NOTE


class NotSealedYetError(ConflictError):
    """A note lies under the recording's key, which is made when it is sealed."""

    code = "note_not_sealed"
    message = "Notes can be written once the recording is sealed."


class NoteChangedError(ConflictError):
    """The note has a newer version than the one that was being changed."""

    code = "note_changed"
    message = "This note was changed in another window meanwhile. Open the notes again to see how it is now."


@dataclass(frozen=True)
class Head:
    """What the database knows of a note. `changed_at`: None while it is as first written."""

    id: uuid.UUID
    author_id: uuid.UUID
    author: str
    created_at: dt.datetime
    version: int
    changed_at: dt.datetime | None


@dataclass(frozen=True)
class Note:
    """A note opened."""

    head: Head
    text: str


def heads(tx: Connection, recording_id: uuid.UUID) -> list[Head]:
    """Who wrote notes about a recording, and when; oldest first. The caller has fetched the recording."""
    newest = (
        select(
            document.c.name,
            func.max(document.c.version).label("version"),
            func.max(document.c.created_at).label("at"),
        )
        .where(document.c.recording_id == recording_id, document.c.kind == KIND)
        .group_by(document.c.name)
        .subquery()
    )
    rows = tx.execute(
        select(note, account.c.display_name, newest.c.version, newest.c.at)
        .join(account, account.c.id == note.c.author_id)
        .join(newest, newest.c.name == literal(f"{KIND}-") + cast(note.c.id, Text))
        .where(note.c.recording_id == recording_id)
        .order_by(note.c.created_at, note.c.id)
    )
    return [
        Head(
            row.id,
            row.author_id,
            row.display_name,
            row.created_at,
            row.version,
            row.at if row.version > 1 else None,
        )
        for row in rows
    ]


def opened(settings: Settings, user: User, recording_id: uuid.UUID) -> list[Note]:
    """Every note about a recording, with its words; that they were read is on the log before. Where there is
    none, nothing is opened and nothing logged.

    Raises NotFoundError, VaultLockedError, KeyholderDownError, KeyRefusedError, DamagedError.
    """
    with transaction("staff", settings) as tx:
        access.get_recording_for(tx, user, recording_id, Permission.NOTE_READ)
        found = heads(tx, recording_id)
        if not found:
            return []
        Keyholder(settings).require_unlocked()
        names = [_file_name(each.id, each.version) for each in found]
        owner = Owner(OwnerKind.RECORDING, recording_id)
        allowed = documents.allow(tx, settings, user, Action.NOTE_OPEN, owner, names)
    return [Note(head, json.loads(data)["text"]) for head, data in zip(found, allowed.read(), strict=True)]


def write(settings: Settings, user: User, recording_id: uuid.UUID, text: str) -> uuid.UUID:
    """Keep a new note; returns its id.

    Raises NotFoundError, InvalidInputError with `field`, NotSealedYetError, and what documents.require_ready
    and keep raise.
    """
    tidy = checked(text)
    documents.require_ready(settings)
    made = uuid.uuid4()
    with transaction("staff", settings) as tx:
        known = access.get_recording_for(tx, user, recording_id, Permission.NOTE_WRITE)
        if known.state != RecordingState.SEALED:
            raise NotSealedYetError
        if len(heads(tx, recording_id)) >= MAX_NOTES:
            raise ConflictError("There are %(limit)s notes already. Change one of yours.", limit=MAX_NOTES)
        allowed = _allow(tx, settings, user, recording_id, made, 1)
    first = insert(note).values(id=made, recording_id=recording_id, author_id=user.account_id)
    allowed.keep(_encode(user, tidy), lambda written: [first, _row(recording_id, made, 1, written)])
    return made


def change(
    settings: Settings, user: User, recording_id: uuid.UUID, note_id: uuid.UUID, text: str, version: int
) -> None:
    """Keep a further version of one's own note; `version` is the one that was being changed.

    Raises NotFoundError (also for another person's), NoteChangedError, and as `write` does.
    """
    tidy = checked(text)
    documents.require_ready(settings)
    with transaction("staff", settings) as tx:
        access.get_recording_for(tx, user, recording_id, Permission.NOTE_WRITE)
        own = (each for each in heads(tx, recording_id) if each.author_id == user.account_id)
        known = next((each for each in own if each.id == note_id), None)
        if known is None:
            raise NotFoundError
        if known.version != version:
            raise NoteChangedError
        allowed = _allow(tx, settings, user, recording_id, note_id, version + 1)
    allowed.keep(_encode(user, tidy), lambda written: [_row(recording_id, note_id, version + 1, written)])


def checked(text: str) -> str:
    """The text with plain line ends and nothing around it. Raises InvalidInputError."""
    tidy = text.replace("\r\n", "\n").strip()
    if not tidy:
        raise InvalidInputError("Write the note before you keep it.", field="text")
    if len(tidy) > MAX_TEXT:
        raise InvalidInputError(
            "The note has %(count)s characters; at most %(limit)s are kept.",
            count=len(tidy),
            limit=MAX_TEXT,
            field="text",
        )
    return tidy


def _allow(
    tx: Connection, settings: Settings, user: User, recording_id: uuid.UUID, note_id: uuid.UUID, version: int
) -> documents.Allowed:
    owner = Owner(OwnerKind.RECORDING, recording_id)
    return documents.allow(tx, settings, user, Action.NOTE_KEEP, owner, [_file_name(note_id, version)])


def _file_name(note_id: uuid.UUID, version: int) -> str:
    return documents.file_name(f"{KIND}-{note_id}", version)


def _row(recording_id: uuid.UUID, note_id: uuid.UUID, version: int, written: Written) -> Insert:
    name = f"{KIND}-{note_id}"
    return insert(document).values(
        recording_id=recording_id, name=name, version=version, kind=KIND, **written.columns
    )


def _encode(user: User, text: str) -> bytes:
    """With its author and moment, so that lost rows can be told from the file alone."""
    at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"version": 1, "author": str(user.account_id), "at": at, "text": text}
    return json.dumps(told, ensure_ascii=False).encode()
