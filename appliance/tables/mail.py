"""Mail, sent or to be sent."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import Column, ForeignKey, Integer, Named, Table, Text, TypedColumns, Uuid

from appliance.tables.base import NOW, Moment, metadata


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
