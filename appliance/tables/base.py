"""What all tables share."""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData, text

metadata = MetaData()

Moment = DateTime(timezone=True)
NOW = text("now()")
