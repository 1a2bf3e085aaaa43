"""Locking and unlocking the vault by a person's order: on the audit log before it is done."""

from __future__ import annotations

import logging
import uuid

from sqlalchemy.exc import SQLAlchemyError

from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import FupanError
from appliance.keyholder.client import Keyholder

logger = logging.getLogger(__name__)


def lock(settings: Settings, actor: Actor) -> bool:
    """Lock the vault, whatever else is down. False when the audit log could not take it: then the
    keyholder's own journal alone has it. Raises KeyholderDownError; then it is not locked by this."""
    keyholder = Keyholder(settings)
    vault_id = keyholder.status().vault_id
    event_id = None
    try:
        event_id = _ordered(settings, Action.VAULT_LOCK, actor, vault_id)
    except (FupanError, SQLAlchemyError) as error:
        logger.warning("the lock is not on the audit log: %s", error)
    try:
        keyholder.lock(event_id)
    except FupanError as error:
        _failed(settings, Action.VAULT_LOCK, actor, vault_id, error)
        raise
    return event_id is not None


def unlock(settings: Settings, actor: Actor) -> None:
    """Unlock the vault of an embedded site. Raises AuditUnavailableError and DatabaseDownError: what cannot
    be recorded is not done; KeyholderDownError, KeyRefusedError, ConfigurationError, DamagedError."""
    keyholder = Keyholder(settings)
    vault_id = keyholder.status().vault_id
    event_id = _ordered(settings, Action.VAULT_UNLOCK, actor, vault_id)
    try:
        keyholder.unlock(event_id)
    except FupanError as error:
        _failed(settings, Action.VAULT_UNLOCK, actor, vault_id, error)
        raise


def _ordered(settings: Settings, action: Action, actor: Actor, vault_id: uuid.UUID) -> uuid.UUID:
    with transaction("staff", settings) as tx:
        return log.append(tx, action, actor, "vault", vault_id).id


def _failed(settings: Settings, action: Action, actor: Actor, vault_id: uuid.UUID, error: FupanError) -> None:
    """The order is on the log already; say there as well that nothing came of it, if that is possible."""
    try:
        with transaction("staff", settings) as tx:
            log.append(tx, action, actor, "vault", vault_id, "failed", error.code)
    except (FupanError, SQLAlchemyError):
        logger.warning("that %s failed is not on the audit log", action)
