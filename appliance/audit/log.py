"""The audit log: append-only, chained by hash, written inside the transaction it is about.

    with transaction("staff") as tx:
        ...                                              # the change
        log.append(tx, Action.X, Actor.of(user), "position", position_id)    # last, before COMMIT

The SQL function adds the moment, the database role, the previous hash and the number, so an exported
list of bodies is all that a verifier needs: hash = SHA-256(body), and each body states the hash before
it. docs/audit_log.md describes the bytes. When an event cannot be written, AuditUnavailableError rolls
the whole transaction back: no record, no access.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import itertools
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exc, select, text

from appliance.config import Settings
from appliance.database import DatabaseRole, transaction
from appliance.domain import Owner, User
from appliance.errors import AuditUnavailableError
from appliance.tables import audit_event, audit_head

START = bytes(32)
LIMIT_SECONDS = 2
PAGE = 5000


class Action(enum.StrEnum):
    """What happened, as `stage:verb`; the stage is the module's and the page's word."""

    POSITION_CREATE = "position:create"
    POSITION_CHANGE = "position:change"
    POSITION_CLOSE = "position:close"
    INVITE_CREATE = "invite:create"
    INVITE_SEND = "invite:send"
    INVITE_REPLACE = "invite:replace"
    INGEST_PIN = "ingest:pin-browser"
    INGEST_CONSENT = "ingest:consent"
    INGEST_WITHDRAW = "ingest:withdraw-consent"
    INGEST_FINISH = "ingest:finish"
    INGEST_CLEAR = "ingest:clear"
    SEAL_ORDER = "seal:order"
    SEAL_RUN = "seal:run"
    SEAL_DONE = "seal:done"
    SEAL_FAIL = "seal:fail"
    SEAL_CHECK = "seal:check"
    ANALYSE_ORDER = "analyse:order"
    ANALYSE_RUN = "analyse:run"
    ANALYSE_DONE = "analyse:done"
    ANALYSE_FAIL = "analyse:fail"
    ANALYSE_CANCEL = "analyse:cancel"
    REPLAY_OPEN = "replay:open"
    REPLAY_CLOSE = "replay:close"
    NOTE_KEEP = "note:keep"
    NOTE_OPEN = "note:open"
    RESUME_KEEP = "resume:keep"
    RESUME_OPEN = "resume:open"
    VAULT_LOCK = "vault:lock"
    VAULT_UNLOCK = "vault:unlock"
    VAULT_ALARM = "vault:alarm"
    KEYS_DESTROY = "keys:destroy-day"
    VAULT_SHARE = "vault:share"
    VAULT_INIT = "vault:init"
    VAULT_RESHARE = "vault:reshare"
    VAULT_ACTIVATE = "vault:activate-shares"
    VAULT_REKEY = "vault:rekey"
    VAULT_ROTATE = "vault:rotate"
    VAULT_ACCEPT = "vault:accept-database"
    VAULT_ADD_SLOT = "vault:add-slot"
    VAULT_REMOVE_SLOT = "vault:remove-slot"
    VAULT_ORDER_MOVE = "vault:order-move"
    VAULT_MOVE = "vault:move"
    ERASE_MARK = "erase:mark"
    ERASE_WITHDRAW = "erase:withdraw"
    ERASE_HOLD = "erase:hold"
    ERASE_LIFT = "erase:lift-hold"
    ERASE_CONFIRM = "erase:confirm-many"
    ERASE_RUN = "erase:run"
    ERASE_DONE = "erase:done"
    VAULT_CHECK = "vault:check"
    VAULT_DAMAGE = "vault:damage"
    VAULT_REPAIR = "vault:repair"
    VAULT_REBUILD = "vault:rebuild"
    SESSION_LINK = "session:issue-link"
    SESSION_SIGN_IN = "session:sign-in"
    SESSION_SIGN_OUT = "session:sign-out"
    SESSION_KILL = "session:kill"
    ACCOUNT_CREATE = "account:create"
    ACCOUNT_CHANGE = "account:change"
    ASSIGNMENT_CHANGE = "assignment:change"
    AUDIT_READ = "audit:read"
    AUDIT_VERIFY = "audit:verify"
    ACCESS_DENIED = "access:denied"


@dataclass(frozen=True)
class Actor:
    """Who did it. `kind` is account, candidate, unit (a process of the product) or nobody."""

    kind: str
    id: str
    name: str = ""
    role: str = ""
    address: str = ""
    session: str = ""

    @classmethod
    def of(cls, user: User) -> Actor:
        """A signed-in person."""
        return cls(
            "account", str(user.account_id), user.username, user.role.value, user.address, user.session_id
        )

    @classmethod
    def unit(cls, name: str) -> Actor:
        """The product itself: worker, scheduler, cli."""
        return cls("unit", name)

    @classmethod
    def candidate(cls, attempt_id: uuid.UUID, address: str = "") -> Actor:
        return cls("candidate", str(attempt_id), address=address)

    @classmethod
    def nobody(cls, address: str, name: str = "") -> Actor:
        """Not signed in; `name` is what they claimed to be."""
        return cls("nobody", "", name=name, address=address)


@dataclass(frozen=True)
class AuditEvent:
    """A written event; it counts once its transaction has committed."""

    seq: int
    id: uuid.UUID
    hash: bytes


@dataclass(frozen=True)
class Verification:
    """What a walk over the chain found. `bad_seq` is the first entry that does not fit, or None."""

    count: int
    head: bytes
    bad_seq: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        return self.bad_seq is None


def append(
    tx: Connection,
    action: Action,
    actor: Actor,
    object_type: str,
    object_id: uuid.UUID | str,
    outcome: str = "ok",
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Write one event into the caller's transaction, as its last statement: it holds the chain's head until
    COMMIT, and what follows it has two seconds a statement as well.

    Raises AuditUnavailableError when it cannot be written within two seconds.
    """
    event_id = uuid.uuid4()
    event: dict[str, Any] = {
        "id": str(event_id),
        "action": action.value,
        "actor": {name: value for name, value in vars(actor).items() if value or name in ("kind", "id")},
        "object": {"type": object_type, "id": str(object_id)},
        "outcome": outcome,
    }
    if reason:
        event["reason"] = reason
    if details:
        event["details"] = dict(details)
    try:
        # A bound on the whole call: behind other waiters, one lock alone may be waited for twice.
        tx.execute(text(f"SET LOCAL statement_timeout = '{LIMIT_SECONDS}s'"))
        row = tx.execute(
            text("SELECT seq, hash FROM audit_append(:event)"), {"event": canonical(event)}
        ).one()
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise AuditUnavailableError() from error
    return AuditEvent(row.seq, event_id, bytes(row.hash))


def denied(
    action: Action,
    actor: Actor,
    object_type: str,
    object_id: uuid.UUID | str,
    reason: str,
    *,
    role: DatabaseRole = "staff",
    settings: Settings | None = None,
) -> AuditEvent:
    """Record a refusal in a transaction of its own, since the refused one changes nothing."""
    with transaction(role, settings) as tx:
        return append(tx, action, actor, object_type, object_id, "denied", reason)


def key_use(recording: uuid.UUID, purpose: str, unit: str, expires: dt.datetime) -> dict[str, str]:
    """The details the keyholder demands before it gives a key: for what, to whom, until when (UTC)."""
    return {"recording": str(recording), "purpose": purpose, "unit": unit, "expires": _moment(expires)}


def document_use(owner: Owner, purpose: str, names: Sequence[str], expires: dt.datetime) -> dict[str, Any]:
    """The same for documents that people keep and open: these files of one owner, by staff."""
    stated = {"purpose": purpose, "documents": list(names), "unit": "staff", "expires": _moment(expires)}
    return {owner.kind.value: str(owner.id), **stated}


def _moment(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def canonical(value: Mapping[str, Any]) -> str:
    """Canonical JSON text: sorted names, no spaces, characters as they are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def verify(tx: Connection) -> Verification:
    """Walk the whole table and compare it with the head row. Needs the auditor's database role."""
    tx.execute(text("SET LOCAL statement_timeout = 0"))
    # The head first: events appended while the walk runs lie behind it and are left for the next walk.
    head = tx.execute(select(audit_head.c.seq, audit_head.c.hash)).one()
    rows = tx.execute(
        select(audit_event.c.seq, audit_event.c.body, audit_event.c.hash)
        .where(audit_event.c.seq <= head.seq)
        .order_by(audit_event.c.seq),
        execution_options={"yield_per": PAGE},
    )
    found = verify_chain((row.seq, row.body, bytes(row.hash)) for row in rows)
    if found.ok and (found.count, found.head) != (head.seq, bytes(head.hash)):
        return Verification(found.count, found.head, found.count + 1, "the end is missing")
    return found


def verify_chain(rows: Iterable[tuple[int, str, bytes]]) -> Verification:
    """Check (seq, body, hash) rows from the start of the log; stops at the first that does not fit."""
    previous, count = START, 0
    for expected, (seq, body, digest) in zip(itertools.count(1), rows, strict=False):
        problem = _problem(expected, previous, seq, body, digest)
        if problem:
            return Verification(count, previous, expected, problem)
        previous, count = digest, expected
    return Verification(count, previous)


def _problem(expected: int, previous: bytes, seq: int, body: str, digest: bytes) -> str:
    if seq != expected:
        return f"entry {expected} is missing"
    if hashlib.sha256(body.encode()).digest() != digest:
        return "the entry was changed"
    # The function appends these two last, so they are the body's end whatever the event says.
    if not body.endswith(f',"prev":"{previous.hex()}","seq":{seq}}}'):
        return "the entry does not follow the one before it"
    return ""
