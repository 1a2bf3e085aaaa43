"""What came from the candidate's browser."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
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
from sqlalchemy.dialects.postgresql import JSONB

from appliance.tables.base import NOW, Moment, metadata


class BrowserKeyColumns(TypedColumns):
    """The browser key pinned for one generation of an attempt: 65 bytes, uncompressed P-256 point.

    `day_key_id` is what intake bound it with, as intake says.
    """

    attempt_id: Named[uuid.UUID] = Column(ForeignKey("attempt.id"), primary_key=True)
    generation: Named[int] = Column(Integer, primary_key=True)
    public_key: Named[bytes] = Column(LargeBinary, nullable=False)
    pinned_at: Named[dt.datetime] = Column(Moment, nullable=False, server_default=NOW)
    address: Named[str] = Column(Text, nullable=False, server_default="")
    day_key_id: Named[str | None] = Column(Text)


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
