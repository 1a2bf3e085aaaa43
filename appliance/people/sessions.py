"""Signing in, staying signed in, being signed out.

Tokens are random and only their SHA-256 is stored. A session ends after an idle time, at an absolute limit,
when its person signs out, and at once when its account is disabled or changes role. Sign-ins, failures and
ends are on the audit log.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import uuid
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, func, insert, select, update

from appliance import config
from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import User
from appliance.errors import UnauthenticatedError
from appliance.people.directory import Directory, LocalDirectory, Person, person_of
from appliance.tables import account, session, sign_in_link

LINK_LIFETIME = dt.timedelta(minutes=15)
# How stale last_seen_at may be, so that not each request is a write.
TOUCH_EVERY = dt.timedelta(seconds=30)


class SignInRefusedError(UnauthenticatedError):
    """One answer for an unknown name, a wrong password, a locked and a disabled account."""

    code = "sign_in_refused"
    message = (
        "This name and password do not sign you in. After five wrong tries an account rests for 15 minutes."
    )


class LinkRefusedError(UnauthenticatedError):
    """One answer for an unknown, a used and an expired link."""

    code = "link_refused"
    message = "This sign-in link was used or has expired. Ask for a new one."


@dataclass(frozen=True)
class SignedIn:
    """A fresh session: its token, for the cookie, and its person; whether they could have used a password."""

    token: str
    user: User
    has_password: bool = True


def issue_link(
    tx: Connection, account_id: uuid.UUID, actor: Actor, lifetime: dt.timedelta = LINK_LIFETIME
) -> str:
    """A token that signs this account in once, until `lifetime` has passed."""
    token = _new_token()
    tx.execute(
        insert(sign_in_link).values(
            token_sha256=_digest(token), account_id=account_id, expires_at=func.now() + lifetime
        )
    )
    log.append(tx, Action.SESSION_LINK, actor, "account", account_id)
    return token


def sign_in_by_link(token: str, address: str, settings: Settings | None = None) -> SignedIn:
    """Use a link, once. Call it for a POST: what opens links by itself only ever GETs.

    Raises LinkRefusedError.
    """
    settings = settings or config.load()
    with transaction("staff", settings) as tx:
        account_id = tx.scalar(
            update(sign_in_link)
            .where(
                sign_in_link.c.token_sha256 == _digest(token),
                sign_in_link.c.used_at.is_(None),
                sign_in_link.c.expires_at > func.now(),
            )
            .values(used_at=func.now())
            .returning(sign_in_link.c.account_id)
        )
        row = tx.execute(select(account).where(account.c.id == account_id)).one_or_none()
        person = person_of(row)
        if row is not None and person is not None:
            begun = begin(tx, settings, person, address, "link")
            return replace(begun, has_password=row.password_hash is not None)
        log.append(
            tx, Action.SESSION_SIGN_IN, Actor.nobody(address), "account", account_id or "", "failed", "link"
        )
    raise LinkRefusedError()


def sign_in_by_password(
    username: str,
    password: str,
    address: str,
    settings: Settings | None = None,
    directory: Directory | None = None,
) -> SignedIn:
    """Sign in by name and password. Raises SignInRefusedError."""
    settings = settings or config.load()
    directory = directory or LocalDirectory(settings)
    username = username.strip()
    person = directory.authenticate(username, password)
    with transaction("staff", settings) as tx:
        if person is not None:
            return begin(tx, settings, person, address, "password")
        # What was typed is logged only if it names an account: it may be a password in the wrong field.
        known = tx.scalar(select(account.c.id).where(account.c.username == username.lower()))
        actor = Actor.nobody(address, username.lower() if known else "")
        log.append(tx, Action.SESSION_SIGN_IN, actor, "account", known or "", "failed", "password")
    raise SignInRefusedError()


def load(token: str, address: str, settings: Settings | None = None) -> User | None:
    """The person whose live session this is, or None."""
    settings = settings or config.load()
    digest = _digest(token)
    with transaction("staff", settings) as tx:
        row = tx.execute(
            select(session.c.id.label("session_id"), session.c.last_seen_at, func.now().label("now"), account)
            .join(account, account.c.id == session.c.account_id)
            .where(
                session.c.token_sha256 == digest,
                session.c.expires_at > func.now(),
                session.c.last_seen_at > func.now() - dt.timedelta(seconds=settings.timing.session_idle),
            )
        ).one_or_none()
        person = person_of(row)
        if row is None or person is None:
            return None
        if row.now - row.last_seen_at > TOUCH_EVERY:
            tx.execute(
                update(session).where(session.c.token_sha256 == digest).values(last_seen_at=func.now())
            )
        return user_of(person, row.session_id, address)


def sign_out(token: str, address: str, settings: Settings | None = None) -> None:
    """End this session; nothing happens when it has ended already."""
    user = load(token, address, settings)
    if user is None:
        return
    with transaction("staff", settings) as tx:
        tx.execute(delete(session).where(session.c.token_sha256 == _digest(token)))
        log.append(tx, Action.SESSION_SIGN_OUT, Actor.of(user), "session", user.session_id)


def kill_all(tx: Connection, account_id: uuid.UUID, actor: Actor, reason: str) -> int:
    """End every session and unused link of an account; returns how many sessions. Open streams end when
    they next ask who is watching."""
    ended = len(
        tx.execute(delete(session).where(session.c.account_id == account_id).returning(session.c.id)).all()
    )
    tx.execute(
        update(sign_in_link)
        .where(sign_in_link.c.account_id == account_id, sign_in_link.c.used_at.is_(None))
        .values(used_at=func.now())
    )
    log.append(
        tx, Action.SESSION_KILL, actor, "account", account_id, reason=reason, details={"sessions": ended}
    )
    return ended


def require_live(tx: Connection, user: User) -> None:
    """Raises UnauthenticatedError when this session has ended since its request began."""
    if tx.scalar(select(session.c.id).where(session.c.id == uuid.UUID(user.session_id))) is None:
        raise UnauthenticatedError()


def begin(tx: Connection, settings: Settings, person: Person, address: str, way: str) -> SignedIn:
    """A fresh session of someone who has just proven who they are, by `way`."""
    token, session_id = _new_token(), uuid.uuid4()
    tx.execute(
        delete(session).where(session.c.account_id == person.account_id, session.c.expires_at <= func.now())
    )
    tx.execute(
        insert(session).values(
            token_sha256=_digest(token),
            id=session_id,
            account_id=person.account_id,
            address=address,
            expires_at=func.now() + dt.timedelta(seconds=settings.timing.session_absolute),
        )
    )
    user = user_of(person, session_id, address)
    log.append(tx, Action.SESSION_SIGN_IN, Actor.of(user), "account", person.account_id, details={"way": way})
    return SignedIn(token, user)


def user_of(person: Person, session_id: uuid.UUID | str, address: str) -> User:
    """Who acts, from where; `session_id` is empty for whoever acts without one."""
    return User(
        person.account_id,
        person.username,
        person.display_name,
        person.role,
        person.department_id,
        str(session_id),
        address,
        person.locale,
    )


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
