"""Recordings, what is sealed and analysed of them, and every opening of a replay."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Named,
    SmallInteger,
    Table,
    Text,
    TypedColumns,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from appliance.tables.base import NOW, Moment, metadata

Octets = bytes  # a column of tables here is called bytes


class RecordingColumns(TypedColumns):
    """A cache of what the vault holds; `fupan vault check --repair` rebuilds it.

    `gaps` is a list of [start_ms, end_ms, reason, track]; `problem` names why sealing failed, or what it
    waits for. While that is the vault, `failures` is how often the work had failed before. Journals stay
    at intake until `journals_removed_at`. `tier` is where its files were moved to last.
    """

    id: Named[uuid.UUID] = Column(ForeignKey("attempt.id"), primary_key=True)
    state: Named[str] = Column(Text, nullable=False, server_default="collecting")
    day_key_id: Named[str | None] = Column(Text)
    department_year_key: Named[str | None] = Column(Text)
    sealed_at: Named[dt.datetime | None] = Column(Moment)
    duration_ms: Named[int | None] = Column(BigInteger)
    bytes: Named[int | None] = Column(BigInteger)
    problem: Named[str | None] = Column(Text)
    gaps: Named[list[Any]] = Column(JSONB, nullable=False, server_default="[]")
    failures: Named[int] = Column(SmallInteger, nullable=False, server_default="0")
    journals_removed_at: Named[dt.datetime | None] = Column(Moment)
    tier: Named[str] = Column(Text, nullable=False, server_default="hot")


recording = Table(
    "recording",
    metadata,
    RecordingColumns,
    Index("recording_unsealed", "state", postgresql_where=text("state <> 'sealed'")),
    Index("recording_sealed_at", "sealed_at"),
    Index(
        "recording_journals",
        "sealed_at",
        postgresql_where=text("state = 'sealed' AND journals_removed_at IS NULL"),
    ),
)


class TrackColumns(TypedColumns):
    """A sealed track. `file`: its name in the vault; `start_ms`: its start on the recording's clock;
    `sha256`: of the sealed file's bytes, for a check without keys; `header_sha256`: of its header, which each
    writing has its own of; None for what was sealed before there was this column."""

    recording_id: Named[uuid.UUID] = Column(ForeignKey("recording.id"), primary_key=True)
    name: Named[str] = Column(Text, primary_key=True)
    kind: Named[str] = Column(Text, nullable=False)
    file: Named[str] = Column(Text, nullable=False)
    mime: Named[str] = Column(Text, nullable=False)
    container: Named[str] = Column(Text, nullable=False)
    duration_ms: Named[int] = Column(BigInteger, nullable=False)
    bytes: Named[int] = Column(BigInteger, nullable=False)
    width: Named[int | None] = Column(Integer)
    height: Named[int | None] = Column(Integer)
    start_ms: Named[int] = Column(BigInteger, nullable=False, server_default="0")
    sha256: Named[Octets | None] = Column(LargeBinary)
    header_sha256: Named[Octets | None] = Column(LargeBinary)


track = Table("track", metadata, TrackColumns)


class DocumentColumns(TypedColumns):
    """A sealed document (transcript, signals, peaks, report, timeline): its name, never its words.
    `header_sha256` as in TrackColumns."""

    recording_id: Named[uuid.UUID] = Column(ForeignKey("recording.id"), primary_key=True)
    name: Named[str] = Column(Text, primary_key=True)
    version: Named[int] = Column(Integer, primary_key=True, server_default="1", autoincrement=False)
    kind: Named[str] = Column(Text, nullable=False)
    bytes: Named[int] = Column(BigInteger, nullable=False)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    pack_version: Named[str | None] = Column(Text)
    header_sha256: Named[Octets | None] = Column(LargeBinary)


document = Table("document", metadata, DocumentColumns)


class AnalysisColumns(TypedColumns):
    """Where the analysis of one recording stands. `figures` holds numbers only, never words; `failures`
    counts as in RecordingColumns."""

    recording_id: Named[uuid.UUID] = Column(ForeignKey("recording.id"), primary_key=True)
    state: Named[str] = Column(Text, nullable=False, server_default="queued")
    progress: Named[int] = Column(Integer, nullable=False, server_default="0")
    stage: Named[str | None] = Column(Text)
    pack_version: Named[str | None] = Column(Text)
    reason: Named[str | None] = Column(Text)
    queued_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    started_at: Named[dt.datetime | None] = Column(Moment)
    finished_at: Named[dt.datetime | None] = Column(Moment)
    figures: Named[dict[str, Any]] = Column(JSONB, nullable=False, server_default="{}")
    failures: Named[int] = Column(SmallInteger, nullable=False, server_default="0")


analysis = Table(
    "analysis",
    metadata,
    AnalysisColumns,
    Index("analysis_unfinished", "state", postgresql_where=text("state IN ('queued', 'running', 'failed')")),
)


class ReplayViewColumns(TypedColumns):
    """One opening of a replay. Keys are given for it until `lease_until`, and never after `closed_at`.

    `watched` is a sorted list of [start_ms, end_ms].
    """

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    recording_id: Named[uuid.UUID] = Column(ForeignKey("recording.id"), nullable=False, index=True)
    account_id: Named[uuid.UUID] = Column(ForeignKey("account.id"), nullable=False)
    event_seq: Named[int] = Column(BigInteger, ForeignKey("audit_event.seq"), nullable=False, unique=True)
    opened_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    lease_until: Named[dt.datetime] = Column(Moment, nullable=False)
    closed_at: Named[dt.datetime | None] = Column(Moment)
    watched: Named[list[Any]] = Column(JSONB, nullable=False, server_default="[]")


replay_view = Table("replay_view", metadata, ReplayViewColumns)
