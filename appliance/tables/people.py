"""Departments, staff accounts and how they are signed in."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, Named, Table, Text, TypedColumns, Uuid

from appliance.tables.base import NOW, Moment, metadata


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
