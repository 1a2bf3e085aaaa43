"""Marks for erasure and legal holds: ids, codes and moments, never a word about a person."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Named,
    Table,
    Text,
    TypedColumns,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from appliance.tables.base import NOW, Moment, metadata


class ErasureColumns(TypedColumns):
    """A mark and what became of it. `whole`: the person with everything, else only `recordings`, which are
    all that was there when it was made. `case_ref` is a reference number. `ledger_seq` and `certificate`
    (the signed envelope) are there once it is erased.
    """

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    person_id: Named[uuid.UUID] = Column(ForeignKey("candidate.id"), nullable=False)
    whole: Named[bool] = Column(Boolean, nullable=False)
    recordings: Named[list[uuid.UUID]] = Column(ARRAY(Uuid), nullable=False)
    basis: Named[str] = Column(Text, nullable=False)
    case_ref: Named[str] = Column(Text, nullable=False, server_default="")
    state: Named[str] = Column(Text, nullable=False, server_default="marked")
    marked_by: Named[uuid.UUID] = Column(ForeignKey("account.id"), nullable=False)
    marked_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    due_at: Named[dt.datetime] = Column(Moment, nullable=False)
    withdrawn_by: Named[uuid.UUID | None] = Column(ForeignKey("account.id"))
    withdrawn_at: Named[dt.datetime | None] = Column(Moment)
    erased_at: Named[dt.datetime | None] = Column(Moment)
    ledger_seq: Named[int | None] = Column(BigInteger)
    certificate: Named[dict[str, Any] | None] = Column(JSONB(none_as_null=True))


erasure = Table(
    "erasure",
    metadata,
    ErasureColumns,
    Index("erasure_person", "person_id"),
    Index("erasure_marked", "due_at", postgresql_where=text("state IN ('marked', 'erasing')")),
)


class LegalHoldColumns(TypedColumns):
    """Keeps a person with everything, or one recording, until it is lifted."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    person_id: Named[uuid.UUID | None] = Column(ForeignKey("candidate.id"))
    recording_id: Named[uuid.UUID | None] = Column(ForeignKey("attempt.id"))
    reason: Named[str] = Column(Text, nullable=False)
    case_ref: Named[str] = Column(Text, nullable=False, server_default="")
    set_by: Named[uuid.UUID] = Column(ForeignKey("account.id"), nullable=False)
    set_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    lifted_by: Named[uuid.UUID | None] = Column(ForeignKey("account.id"))
    lifted_at: Named[dt.datetime | None] = Column(Moment)


legal_hold = Table(
    "legal_hold",
    metadata,
    LegalHoldColumns,
    Index("legal_hold_person", "person_id"),
    Index("legal_hold_recording", "recording_id"),
)
