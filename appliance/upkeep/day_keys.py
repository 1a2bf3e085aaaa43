"""The day keys that browsers seal to: brought to intake ahead, destroyed once nothing needs them."""

from __future__ import annotations

import contextlib
import logging

from sqlalchemy import select

from appliance import jobs
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import DatabaseDoubtfulError, FupanError, KeyholderDownError, VaultLockedError
from appliance.keyholder.client import Keyholder
from appliance.packet import PacketError
from appliance.tables import attempt
from appliance.transport import Transport, transport_of
from appliance.upkeep import alarms

logger = logging.getLogger(__name__)


@jobs.task("publish_day_keys", retry=False)
def publish_day_keys(work: jobs.Work) -> None:
    """Bring the list to intake. The same list again changes nothing there."""
    with contextlib.suppress(KeyholderDownError):  # the list that is there goes on
        publish(work.settings, transport_of(work.settings))


@jobs.task("destroy_day_keys", retry=False)
def destroy_day_keys(work: jobs.Work) -> None:
    """Order the destruction of what is idle. What is destroyed is not idle, so a second run finds nothing;
    what waits for the vault has its turn the next day."""
    try:
        destroy(work.settings, transport_of(work.settings))
    except (VaultLockedError, KeyholderDownError, DatabaseDoubtfulError) as error:
        logger.warning("no day key was destroyed: %s", error)


def publish(settings: Settings, transport: Transport) -> None:
    """Have the keyholder make what is missing of the next 30 days, and put its signed list before intake.

    While the vault is locked the list that is there goes on; past its last day the last key stays in use.
    """
    publics = Keyholder(settings).publics()
    if publics.day_list is None:  # a vault that was never unlocked
        return
    try:
        transport.put_day_keys(publics.day_list)
    except PacketError as error:
        if error.kind != "unknown_key":
            raise
        # Before the first packet of a site intake does not know whose signature to trust.
        transport.install_service_keys(publics.service_keys)
        transport.put_day_keys(publics.day_list)


def destroy(settings: Settings, transport: Transport) -> list[str]:
    """Destroy the day keys that nothing needs any more, by an event that names them; returns their ids.

    The keyholder decides. Raises VaultLockedError, KeyholderDownError, DatabaseDoubtfulError.
    """
    keyholder = Keyholder(settings)
    keyholder.require_unlocked()
    _require_known(settings, transport, keyholder)
    idle = keyholder.idle_day_keys()
    if not idle:
        return []
    vault_id, actor = keyholder.status().vault_id, log.Actor.unit("worker")
    with transaction("worker", settings) as tx:
        details = {"days": idle}
        event = log.append(tx, log.Action.KEYS_DESTROY, actor, "vault", vault_id, details=details)
    try:
        return keyholder.destroy_day_keys(event.id)
    except FupanError as error:
        with transaction("worker", settings) as tx:
            log.append(tx, log.Action.KEYS_DESTROY, actor, "vault", vault_id, "failed", error.code)
        raise


def _require_known(settings: Settings, transport: Transport, keyholder: Keyholder) -> None:
    """Intake must hold no interview of ours that the database does not know: after a restore of everything
    inside to the day before, nobody else can tell. Raises DatabaseDoubtfulError, an alarm as well."""
    at_intake = set(transport.list_recordings())
    with transaction("worker", settings) as tx:
        at_intake -= set(tx.scalars(select(attempt.c.id)))
    unknown = sorted(str(each) for each in at_intake if transport.invited(each))
    if unknown:
        about = {"count": len(unknown), "recordings": unknown[: alarms.NAMED]}
        with transaction("worker", settings) as tx:
            vault_id = keyholder.status().vault_id
            alarms.note_once(tx, vault_id, "intake_knows_more", " ".join(unknown), about)
        raise DatabaseDoubtfulError(what=f"{len(unknown)} interviews that intake holds are missing")
