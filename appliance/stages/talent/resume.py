"""A candidate's résumé: kept sealed under the person key, and given back as it came.

It is never parsed: what kind of file it is shows in its first bytes, and nothing here looks further. Its
name, which is the candidate's own words, is not kept.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from appliance import documents
from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Owner, OwnerKind, User
from appliance.errors import InvalidInputError, NotFoundError
from appliance.keyholder.client import Keyholder
from appliance.people import access
from appliance.people.roles import Permission
from appliance.tables import account, candidate, person_document

NAME = "resume"
MAX_BYTES = 10_000_000
# What a browser is told each format is; the keys are also the endings of the names it saves them under.
MIME_OF = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "txt": "text/plain",
}
_LAYOUT = frozenset(b"\t\n\f\r")


@dataclass(frozen=True)
class Version:
    """One version of a résumé as a list shows it; the newest comes first."""

    number: int
    format: str
    bytes: int
    created_at: dt.datetime
    author: str


@dataclass(frozen=True)
class Resume:
    """A résumé opened. `name` is the candidate's."""

    data: bytes
    format: str
    name: str


def versions(tx: Connection, person_id: uuid.UUID) -> list[Version]:
    """A candidate's résumé in its versions, newest first. The caller has fetched an attempt of theirs."""
    rows = tx.execute(
        select(person_document, account.c.display_name)
        .join(account, account.c.id == person_document.c.author_id)
        .where(person_document.c.person_id == person_id, person_document.c.name == NAME)
        .order_by(person_document.c.version.desc())
    )
    return [Version(row.version, row.format, row.bytes, row.created_at, row.display_name) for row in rows]


def keep(settings: Settings, user: User, attempt_id: uuid.UUID, received: Callable[[], bytes]) -> None:
    """Keep a further version for the candidate of an attempt; earlier ones stay. `received` gives the file;
    it is asked only once the person may attach one and it could be kept.

    Raises NotFoundError, InvalidInputError with `field`, and what documents.require_ready and keep raise.
    """
    with transaction("staff", settings) as tx:
        person = access.get_attempt_for(tx, user, attempt_id, Permission.RESUME_WRITE).candidate_id
    documents.require_ready(settings)
    data = received()
    kind = format_of(data)
    with transaction("staff", settings) as tx:
        number = next((each.number for each in versions(tx, person)), 0) + 1
        owner, name = Owner(OwnerKind.PERSON, person), documents.file_name(NAME, number)
        allowed = documents.allow(tx, settings, user, Action.RESUME_KEEP, owner, [name])
    row = {"person_id": person, "name": NAME, "version": number, "format": kind}
    row["author_id"] = user.account_id
    allowed.keep(data, lambda written: [insert(person_document).values(**written.columns, **row)])


def opened(settings: Settings, user: User, attempt_id: uuid.UUID, number: int) -> Resume:
    """One version, whole; that it was opened is on the log before.

    Raises NotFoundError, VaultLockedError, KeyholderDownError, KeyRefusedError, DamagedError.
    """
    Keyholder(settings).require_unlocked()  # what could not be shown is not opened
    with transaction("staff", settings) as tx:
        person = access.get_attempt_for(tx, user, attempt_id, Permission.RESUME_READ).candidate_id
        wanted = next((each for each in versions(tx, person) if each.number == number), None)
        if wanted is None:
            raise NotFoundError
        called = tx.scalar(select(candidate.c.name).where(candidate.c.id == person)) or ""
        owner, name = Owner(OwnerKind.PERSON, person), documents.file_name(NAME, number)
        allowed = documents.allow(tx, settings, user, Action.RESUME_OPEN, owner, [name])
    [data] = allowed.read()
    return Resume(data, wanted.format, called)


def format_of(data: bytes) -> str:
    """pdf, docx or txt, by content. Raises InvalidInputError for anything else, too much or nothing."""
    if not data:
        raise InvalidInputError("The file is empty. Choose another one.", field="resume")
    if len(data) > MAX_BYTES:
        raise InvalidInputError("The file is over 10 MB. Choose a smaller one.", field="resume")
    if b"%PDF-" in data[:1024]:
        return "pdf"
    # The names in a ZIP archive stand in it as they are.
    if data.startswith(b"PK\x03\x04") and b"[Content_Types].xml" in data and b"word/document" in data:
        return "docx"
    if _is_text(data):
        return "txt"
    raise InvalidInputError(
        "This is neither a PDF, nor a Word document (DOCX), nor a text file. Save it as one of these and "
        "choose that file.",
        field="resume",
    )


def _is_text(data: bytes) -> bool:
    """Text in one of the encodings that people's programs write: then it holds no control characters."""
    for encoding in ("utf-8", "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return not any(ord(each) < 32 and ord(each) not in _LAYOUT for each in set(text))
    return False
