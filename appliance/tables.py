"""Every table, for SQLAlchemy Core.

Code runs Core statements (`select`, `insert`, `update`) on the Connection that
`database.transaction(role)` yields; there are no ORM sessions and no mapped objects. Column names and
types are checked by mypy through TypedColumns. The SQL that makes the tables is in `migrations/`;
tests/appliance/test_database.py keeps both equal.

Conventions: uuid keys made by the caller, UTC timestamptz, durations in milliseconds (`_ms`), sizes in
bytes. An attempt and its recording share one id. Transcripts, signals, quotes and peaks are never here:
they are sealed documents in the vault, and `document` only names them.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    Table,
    Text,
    TypedColumns,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

Moment = DateTime(timezone=True)
NOW = text("now()")


# People --------------------------------------------------------------------------------------------


class DepartmentColumns(TypedColumns):
    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    name: Named[str] = Column(Text, nullable=False, unique=True)


department = Table("department", metadata, DepartmentColumns)


class AccountColumns(TypedColumns):
    """A local account; `username` is lower-case. `failed_sign_ins` and `locked_until` slow guessing."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    username: Named[str] = Column(Text, nullable=False, unique=True)
    display_name: Named[str] = Column(Text, nullable=False)
    role: Named[str] = Column(Text, nullable=False)
    department_id: Named[uuid.UUID | None] = Column(ForeignKey("department.id"))
    password_hash: Named[str | None] = Column(Text)
    locale: Named[str] = Column(Text, nullable=False, server_default="zh")
    failed_sign_ins: Named[int] = Column(Integer, nullable=False, server_default="0")
    locked_until: Named[dt.datetime | None] = Column(Moment)
    disabled_at: Named[dt.datetime | None] = Column(Moment)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)


account = Table("account", metadata, AccountColumns)


class SessionColumns(TypedColumns):
    """A signed-in browser. Only the SHA-256 of its token is kept; `id` names it in pages and the log."""

    token_sha256: Named[bytes] = Column(LargeBinary, primary_key=True)
    id: Named[uuid.UUID] = Column(Uuid, nullable=False, unique=True)
    account_id: Named[uuid.UUID] = Column(ForeignKey("account.id"), nullable=False)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    last_seen_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    address: Named[str] = Column(Text, nullable=False)
    expires_at: Named[dt.datetime] = Column(Moment, nullable=False)


session = Table("session", metadata, SessionColumns)


class SignInLinkColumns(TypedColumns):
    """A link that signs one account in once."""

    token_sha256: Named[bytes] = Column(LargeBinary, primary_key=True)
    account_id: Named[uuid.UUID] = Column(ForeignKey("account.id"), nullable=False)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    expires_at: Named[dt.datetime] = Column(Moment, nullable=False)
    used_at: Named[dt.datetime | None] = Column(Moment)


sign_in_link = Table("sign_in_link", metadata, SignInLinkColumns)


# Positions, candidates, attempts -------------------------------------------------------------------


class PositionColumns(TypedColumns):
    """A job to fill. `policy` is what the packet states; `competency_model` is a versioned list."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    department_id: Named[uuid.UUID] = Column(ForeignKey("department.id"), nullable=False, index=True)
    title: Named[str] = Column(Text, nullable=False)
    language: Named[str] = Column(Text, nullable=False)
    policy: Named[dict[str, Any]] = Column(JSONB, nullable=False)
    competency_model: Named[list[Any]] = Column(JSONB, nullable=False)
    model_version: Named[int] = Column(Integer, nullable=False, server_default="1")
    created_by: Named[uuid.UUID | None] = Column(ForeignKey("account.id"))
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    closed_at: Named[dt.datetime | None] = Column(Moment)


position = Table("position", metadata, PositionColumns)


class QuestionColumns(TypedColumns):
    """A prompt, put to everyone in the same words and order (`ordinal` from 1); times in seconds."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    position_id: Named[uuid.UUID] = Column(ForeignKey("position.id", ondelete="CASCADE"), nullable=False)
    ordinal: Named[int] = Column(Integer, nullable=False)
    text: Named[str] = Column(Text, nullable=False)
    prep_seconds: Named[int] = Column(Integer, nullable=False)
    answer_seconds: Named[int] = Column(Integer, nullable=False)
    hint: Named[str] = Column(Text, nullable=False, server_default="")
    competency: Named[str] = Column(Text, nullable=False, server_default="")


question = Table("question", metadata, QuestionColumns, UniqueConstraint("position_id", "ordinal"))


class CandidateColumns(TypedColumns):
    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    name: Named[str] = Column(Text, nullable=False)
    email: Named[str] = Column(Text, nullable=False)
    department_id: Named[uuid.UUID] = Column(ForeignKey("department.id"), nullable=False, index=True)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)


candidate = Table("candidate", metadata, CandidateColumns)


class AttemptColumns(TypedColumns):
    """A candidate's try at an interview; its id is the recording's id and stands in the link.

    `snapshot` is what was put to the candidate (questions, policy, model version) when invited.
    """

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    position_id: Named[uuid.UUID] = Column(ForeignKey("position.id"), nullable=False)
    candidate_id: Named[uuid.UUID] = Column(ForeignKey("candidate.id"), nullable=False, index=True)
    number: Named[int] = Column(Integer, nullable=False, server_default="1")
    state: Named[str] = Column(Text, nullable=False, server_default="invited")
    generation: Named[int] = Column(Integer, nullable=False, server_default="1")
    deadline: Named[dt.datetime] = Column(Moment, nullable=False)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    invited_at: Named[dt.datetime | None] = Column(Moment)
    finished_at: Named[dt.datetime | None] = Column(Moment)
    end_proven: Named[bool] = Column(Boolean, nullable=False, server_default="false")
    snapshot: Named[dict[str, Any]] = Column(JSONB, nullable=False, server_default="{}")


attempt = Table(
    "attempt",
    metadata,
    AttemptColumns,
    UniqueConstraint("position_id", "candidate_id", "number"),
    Index("attempt_newest", "created_at", "id"),
    Index("attempt_running", "deadline", postgresql_where=text("state IN ('checked_in', 'recording')")),
    Index("attempt_expired", "deadline", postgresql_where=text("state = 'expired'")),
)


class AssignmentColumns(TypedColumns):
    """An interviewer sees exactly the attempts that were assigned to them."""

    attempt_id: Named[uuid.UUID] = Column(ForeignKey("attempt.id"), primary_key=True)
    account_id: Named[uuid.UUID] = Column(ForeignKey("account.id"), primary_key=True)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)


assignment = Table("assignment", metadata, AssignmentColumns)


# What came from the candidate's browser ------------------------------------------------------------


class BrowserKeyColumns(TypedColumns):
    """The browser key pinned for one generation of an attempt: 65 bytes, uncompressed P-256 point."""

    attempt_id: Named[uuid.UUID] = Column(ForeignKey("attempt.id"), primary_key=True)
    generation: Named[int] = Column(Integer, primary_key=True)
    public_key: Named[bytes] = Column(LargeBinary, nullable=False)
    pinned_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    address: Named[str] = Column(Text, nullable=False, server_default="")


browser_key = Table("browser_key", metadata, BrowserKeyColumns)


class ConsentColumns(TypedColumns):
    """One tick for one purpose; of each purpose the row with the highest `seq` counts (see consents.py).

    `seq` is the number of intake's record that brought it; `receipt` is the signed statement.
    """

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    attempt_id: Named[uuid.UUID] = Column(ForeignKey("attempt.id"), nullable=False, index=True)
    purpose: Named[str] = Column(Text, nullable=False)
    granted: Named[bool] = Column(Boolean, nullable=False)
    text_sha256: Named[str] = Column(Text, nullable=False)
    language: Named[str] = Column(Text, nullable=False)
    at: Named[dt.datetime] = Column(Moment, nullable=False)
    receipt: Named[dict[str, Any]] = Column(JSONB, nullable=False)
    seq: Named[int] = Column(BigInteger, nullable=False)


consent = Table("consent", metadata, ConsentColumns)


class IntakeRecordColumns(TypedColumns):
    """One line of the intake folder's records.log, as pulled."""

    attempt_id: Named[uuid.UUID] = Column(ForeignKey("attempt.id"), primary_key=True)
    seq: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    kind: Named[str] = Column(Text, nullable=False)
    at: Named[dt.datetime] = Column(Moment, nullable=False)
    body: Named[dict[str, Any]] = Column(JSONB, nullable=False)


intake_record = Table("intake_record", metadata, IntakeRecordColumns)


# Recordings ----------------------------------------------------------------------------------------


class RecordingColumns(TypedColumns):
    """A cache of what the vault holds; `fupan vault check` rebuilds it.

    `gaps` is a list of [start_ms, end_ms, reason, track]; `problem` names why sealing failed.
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


recording = Table(
    "recording",
    metadata,
    RecordingColumns,
    Index("recording_unsealed", "state", postgresql_where=text("state <> 'sealed'")),
    Index("recording_sealed_at", "sealed_at"),
)


class TrackColumns(TypedColumns):
    """A sealed track; `start_ms` is its first sample on the recording's clock."""

    recording_id: Named[uuid.UUID] = Column(ForeignKey("recording.id"), primary_key=True)
    name: Named[str] = Column(Text, primary_key=True)
    kind: Named[str] = Column(Text, nullable=False)
    mime: Named[str] = Column(Text, nullable=False)
    container: Named[str] = Column(Text, nullable=False)
    duration_ms: Named[int] = Column(BigInteger, nullable=False)
    bytes: Named[int] = Column(BigInteger, nullable=False)
    width: Named[int | None] = Column(Integer)
    height: Named[int | None] = Column(Integer)
    start_ms: Named[int] = Column(BigInteger, nullable=False, server_default="0")


track = Table("track", metadata, TrackColumns)


class DocumentColumns(TypedColumns):
    """A sealed document (transcript, signals, peaks, report, timeline): its name, never its words."""

    recording_id: Named[uuid.UUID] = Column(ForeignKey("recording.id"), primary_key=True)
    name: Named[str] = Column(Text, primary_key=True)
    version: Named[int] = Column(Integer, primary_key=True, server_default="1", autoincrement=False)
    kind: Named[str] = Column(Text, nullable=False)
    bytes: Named[int] = Column(BigInteger, nullable=False)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    pack_version: Named[str | None] = Column(Text)


document = Table("document", metadata, DocumentColumns)


class AnalysisColumns(TypedColumns):
    """Where the analysis of one recording stands. `figures` holds numbers only, never words."""

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


# Audit log and mail --------------------------------------------------------------------------------


def _from_body(kind: str, path: str) -> Computed:
    """A column that PostgreSQL derives from the event's body, so the two can never differ."""
    text_of = f"(body::jsonb #>> '{{{path}}}')"
    return Computed(text_of if kind == "text" else f"{text_of}::{kind}", persisted=True)


class AuditEventColumns(TypedColumns):
    """Append-only; written by the SQL function audit_append and by nothing else (docs/audit_log.md)."""

    seq: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    body: Named[str] = Column(Text, nullable=False)
    hash: Named[bytes] = Column(LargeBinary, nullable=False)
    id: Named[uuid.UUID] = Column(Uuid, _from_body("uuid", "event,id"), nullable=False, unique=True)
    at: Named[dt.datetime] = Column(
        Moment, Computed("audit_moment((body::jsonb #>> '{at}'))", persisted=True), nullable=False
    )
    by: Named[str] = Column(Text, _from_body("text", "by"), nullable=False)
    action: Named[str] = Column(Text, _from_body("text", "event,action"), nullable=False)
    outcome: Named[str] = Column(Text, _from_body("text", "event,outcome"), nullable=False)
    actor: Named[str] = Column(Text, _from_body("text", "event,actor,id"), nullable=False)
    object_type: Named[str] = Column(Text, _from_body("text", "event,object,type"), nullable=False)
    object_id: Named[str] = Column(Text, _from_body("text", "event,object,id"), nullable=False)


audit_event = Table(
    "audit_event",
    metadata,
    AuditEventColumns,
    Index("audit_event_object", "object_type", "object_id", "seq"),
    Index("audit_event_actor", "actor", "seq"),
    Index("audit_event_at", "at"),
)


class AuditHeadColumns(TypedColumns):
    """One row: where the chain ends."""

    single: Named[bool] = Column(Boolean, primary_key=True, server_default="true")
    seq: Named[int] = Column(BigInteger, nullable=False)
    hash: Named[bytes] = Column(LargeBinary, nullable=False)


audit_head = Table("audit_head", metadata, AuditHeadColumns)


class OutgoingMailColumns(TypedColumns):
    """A mail to be sent or sent. Its body is never kept: it carries the secret of a link."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    attempt_id: Named[uuid.UUID | None] = Column(ForeignKey("attempt.id"), index=True)
    kind: Named[str] = Column(Text, nullable=False)
    recipient: Named[str] = Column(Text, nullable=False)
    subject: Named[str] = Column(Text, nullable=False)
    state: Named[str] = Column(Text, nullable=False, server_default="queued")
    tries: Named[int] = Column(Integer, nullable=False, server_default="0")
    reason: Named[str | None] = Column(Text)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    sent_at: Named[dt.datetime | None] = Column(Moment)


outgoing_mail = Table("outgoing_mail", metadata, OutgoingMailColumns)
