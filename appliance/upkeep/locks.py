"""Locks that only the keyholder's journal has, by a timer, for tampering, or while the database was down:
the audit log is told of each, once."""

from __future__ import annotations

from appliance import jobs
from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.database import transaction
from appliance.errors import KeyholderDownError
from appliance.keyholder.vault_client import VaultKeyholder
from appliance.vault_errors import NoVaultError


@jobs.task("record_locks", retry=False)
def record_locks(work: jobs.Work) -> None:
    """Write them, with when it was and why. Killed between the two, the next run writes that one again: an
    entry too many, never one too few."""
    keyholder = VaultKeyholder(work.settings)
    try:
        waiting = keyholder.unrecorded_locks()
        vault_id = keyholder.status().vault_id if waiting else None
    except (KeyholderDownError, NoVaultError):
        return  # the next turn is a minute away
    for each in waiting:
        with transaction("worker", work.settings) as tx:
            event = log.append(
                tx,
                Action.VAULT_LOCK,
                Actor.unit("keyholder"),
                "vault",
                vault_id or "",
                reason=each["reason"] or None,
                details={"at": each["at"], "entry": each["lock"]},
            )
        keyholder.lock_recorded(each["lock"], event.id)
