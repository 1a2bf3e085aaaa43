"""The audit log: its columns are derived from each event's body."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Index,
    LargeBinary,
    Named,
    Table,
    Text,
    TypedColumns,
    Uuid,
    text,
)

from appliance.tables.base import Moment, metadata


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
    Index("audit_event_erase", "seq", postgresql_where=text("action LIKE 'erase:%'")),
)


class AuditHeadColumns(TypedColumns):
    """One row: where the chain ends."""

    single: Named[bool] = Column(Boolean, primary_key=True, server_default="true")
    seq: Named[int] = Column(BigInteger, nullable=False)
    hash: Named[bytes] = Column(LargeBinary, nullable=False)


audit_head = Table("audit_head", metadata, AuditHeadColumns)
