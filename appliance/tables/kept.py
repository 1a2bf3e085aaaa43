"""What people keep: notes about recordings, documents about a person. Who and when, never the words."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    Named,
    Table,
    Text,
    TypedColumns,
    Uuid,
)

from appliance.tables.base import NOW, Moment, metadata
from appliance.tables.recordings import Octets


class NoteColumns(TypedColumns):
    """A reviewer's note about a recording; each version is a row of `document`, named note-<id>."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    recording_id: Named[uuid.UUID] = Column(ForeignKey("recording.id"), nullable=False, index=True)
    author_id: Named[uuid.UUID] = Column(ForeignKey("account.id"), nullable=False)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)


note = Table("note", metadata, NoteColumns)


class PersonDocumentColumns(TypedColumns):
    """A version of a sealed document about a candidate (`name`: resume). `format`: what its bytes are;
    `header_sha256`: as in TrackColumns."""

    person_id: Named[uuid.UUID] = Column(ForeignKey("candidate.id"), primary_key=True)
    name: Named[str] = Column(Text, primary_key=True)
    version: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    format: Named[str] = Column(Text, nullable=False)
    bytes: Named[int] = Column(BigInteger, nullable=False)
    author_id: Named[uuid.UUID] = Column(ForeignKey("account.id"), nullable=False)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    header_sha256: Named[Octets | None] = Column(LargeBinary)


person_document = Table("person_document", metadata, PersonDocumentColumns)
