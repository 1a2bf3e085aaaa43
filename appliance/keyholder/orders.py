"""What people order of the vault, from the console or the pages: on the audit log before it is done.

What cannot be recorded is not done; only a lock always is. Every function raises AuditUnavailableError,
DatabaseDownError and KeyholderDownError beside what it names.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import FupanError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.vault_client import CeremonyView, VaultKeyholder
from appliance.vault_errors import UnlockError

Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


def lock(settings: Settings, actor: Actor, reason: str = "") -> bool:
    """Lock the vault, whatever else is down. False when the audit log could not take it: then the
    keyholder's own journal alone has it. Raises KeyholderDownError; then it is not locked by this."""
    keyholder = Keyholder(settings)
    vault_id = keyholder.status().vault_id
    event_id = None
    try:
        event_id = _ordered(settings, Action.VAULT_LOCK, actor, vault_id, reason=reason)
    except (FupanError, SQLAlchemyError) as error:
        logger.warning("the lock is not on the audit log: %s", error)
    try:
        keyholder.lock(event_id, reason)
    except FupanError as error:
        _failed(settings, Action.VAULT_LOCK, actor, vault_id, error)
        raise
    return event_id is not None


def unlock(settings: Settings, actor: Actor, kind: str = "") -> None:
    """Unlock with what is at hand (a key file, a credential, what people gave), or with a slot of this kind.

    Raises UnlockError, KeyRefusedError, ConfigurationError, DamagedError.
    """
    keyholder = VaultKeyholder(settings)
    carry_out(settings, Action.VAULT_UNLOCK, actor, lambda event: keyholder.unlock(event, kind))


def give(
    settings: Settings, actor: Actor, vault_id: uuid.UUID, ceremony: CeremonyView, sealed: bytes, via: str
) -> tuple[CeremonyView, int]:
    """Hand on a share, or a PIN, that somebody encrypted: how far the ceremony is, and the share's index.

    Shares are on the audit log with their index and set, those that were refused as well. Raises UnlockError.
    """
    keyholder = VaultKeyholder(settings)
    about = {"ceremony": str(ceremony.id), "purpose": ceremony.purpose}
    try:
        after, index, number = keyholder.give(ceremony.id, sealed, via)
    except UnlockError as error:
        with transaction("staff", settings) as tx:
            problem = str(error.params["problem"])
            log.append(tx, Action.VAULT_SHARE, actor, "vault", vault_id, "denied", problem, about)
        raise
    with transaction("staff", settings) as tx:
        log.append(
            tx, Action.VAULT_SHARE, actor, "vault", vault_id, details={**about, "index": index, "set": number}
        )
    return after, index


def carry_out(
    settings: Settings,
    action: Action,
    actor: Actor,
    ask: Callable[[uuid.UUID], Answer],
    vault_id: uuid.UUID | None = None,
    **details: Any,
) -> Answer:
    """Write an order, then ask for it with its event's id. `vault_id`: of a vault yet to be made.

    Raises what the keyholder refuses it with; that is on the log then too.
    """
    about = vault_id or Keyholder(settings).status().vault_id
    event_id = _ordered(settings, action, actor, about, **details)
    try:
        return ask(event_id)
    except FupanError as error:
        _failed(settings, action, actor, about, error)
        raise


def _ordered(
    settings: Settings, action: Action, actor: Actor, vault_id: uuid.UUID, reason: str = "", **details: Any
) -> uuid.UUID:
    with transaction("staff", settings) as tx:
        return log.append(tx, action, actor, "vault", vault_id, "ok", reason or None, details or None).id


def _failed(settings: Settings, action: Action, actor: Actor, vault_id: uuid.UUID, error: FupanError) -> None:
    """The order is on the log already; say there as well that nothing came of it, if that is possible."""
    try:
        with transaction("staff", settings) as tx:
            log.append(tx, action, actor, "vault", vault_id, "failed", error.code)
    except (FupanError, SQLAlchemyError):
        logger.warning("that %s failed is not on the audit log", action)
