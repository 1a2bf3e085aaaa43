"""What the site notes about itself."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import Column, Index, Named, Table, Text, TypedColumns, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from appliance.tables.base import Moment, metadata


class VaultAlarmColumns(TypedColumns):
    """What people must hear of about the vault and its keys, each on the audit log too; `about` says more."""

    id: Named[uuid.UUID] = Column(Uuid, primary_key=True)
    at: Named[dt.datetime] = Column(Moment, nullable=False)
    kind: Named[str] = Column(Text, nullable=False)
    about: Named[dict[str, Any]] = Column(JSONB, nullable=False)


vault_alarm = Table("vault_alarm", metadata, VaultAlarmColumns, Index("vault_alarm_at", "at"))
