"""Positions with their questions, candidates, and attempts with who may look at them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    FetchedValue,
    ForeignKey,
    Index,
    Integer,
    Named,
    Table,
    Text,
    TypedColumns,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from appliance.tables.base import NOW, Moment, metadata


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
    """Once `erased_at` is set, name and address are a dash."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    name: Named[str] = Column(Text, nullable=False)
    email: Named[str] = Column(Text, nullable=False)
    department_id: Named[uuid.UUID] = Column(ForeignKey("department.id"), nullable=False, index=True)
    created_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    erased_at: Named[dt.datetime | None] = Column(Moment)


candidate = Table("candidate", metadata, CandidateColumns)


class AttemptColumns(TypedColumns):
    """A candidate's try at an interview; its id is the recording's id and stands in the link.

    `snapshot` is what was put to the candidate (questions, policy, model version) when invited;
    `latest_deadline` the latest of all deadlines it was ever given, which the database keeps by itself.
    """

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    position_id: Named[uuid.UUID] = Column(ForeignKey("position.id"), nullable=False)
    candidate_id: Named[uuid.UUID] = Column(ForeignKey("candidate.id"), nullable=False, index=True)
    number: Named[int] = Column(Integer, nullable=False, server_default="1")
    state: Named[str] = Column(Text, nullable=False, server_default="invited")
    generation: Named[int] = Column(Integer, nullable=False, server_default="1")
    deadline: Named[dt.datetime] = Column(Moment, nullable=False)
    latest_deadline: Named[dt.datetime] = Column(Moment, nullable=False, server_default=FetchedValue())
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
