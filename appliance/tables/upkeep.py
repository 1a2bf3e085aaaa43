"""What the site notes about itself."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    Named,
    SmallInteger,
    Table,
    Text,
    TypedColumns,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from appliance.tables.base import Moment, metadata


class VaultAlarmColumns(TypedColumns):
    """What people must hear of about the vault and its keys, each on the audit log too; `about` says more."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    at: Named[dt.datetime] = Column(Moment, nullable=False)
    kind: Named[str] = Column(Text, nullable=False)
    about: Named[dict[str, Any]] = Column(JSONB, nullable=False)


vault_alarm = Table("vault_alarm", metadata, VaultAlarmColumns, Index("vault_alarm_at", "at"))


class DiskSampleColumns(TypedColumns):
    """Bytes of all journals at intake, and bytes that its disk has left, at a moment."""

    at: Named[dt.datetime] = Column(Moment, primary_key=True)
    intake_bytes: Named[int] = Column(BigInteger, nullable=False)
    free_bytes: Named[int] = Column(BigInteger, nullable=False)


disk_sample = Table("disk_sample", metadata, DiskSampleColumns)


class CheckedPartColumns(TypedColumns):
    """When one of the parts in which the vault is read, a night each, was read whole last, and what of it: so
    many files, proven under their keys or by their digests, and findings that need a person."""

    part: Named[int] = Column(SmallInteger, primary_key=True, autoincrement=False)
    ended_at: Named[dt.datetime] = Column(Moment, nullable=False)
    files: Named[int] = Column(Integer, nullable=False)
    by_tags: Named[int] = Column(Integer, nullable=False)
    by_digest: Named[int] = Column(Integer, nullable=False)
    damaged: Named[int] = Column(Integer, nullable=False)


checked_part = Table("checked_part", metadata, CheckedPartColumns)
