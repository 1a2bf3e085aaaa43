"""The keys themselves: which vault this is, its key while unlocked, and what hangs on it.

What is here decides nothing about who may have a key; gate.py does. Everything but the service keys and the
public halves raises VaultLockedError while the vault is locked.
"""

from __future__ import annotations

import datetime as dt
import threading
import uuid

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.keyholder import memory, unlock, vault_file
from appliance.keyholder.day_keys import DayKeys
from appliance.keyholder.erasures import Erasures
from appliance.keyholder.journal import Journal
from appliance.keyholder.key_backups import KeyBackups
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.rewrap import Rewrapping
from appliance.keyholder.service_keys import ServiceKeys
from appliance.keyholder.tree import KeyTree
from appliance.keyholder.vault_key import VaultKey
from storage.vault import Description, KeyStore, Rotate, Slot, vault_check


class Custody:
    """All keys of one vault. Safe across threads."""

    def __init__(self, settings: Settings, journal: Journal, *, new: bool = False) -> None:
        """`new`: the vault was made just now, so nothing can be missing."""
        self.description = unlock.upgrade(settings)
        self.store = KeyStore(settings.keys_folder)
        if (
            not new and journal.count and not self.store.list("service")
        ):  # new ones would hide that the others are lost
            raise ConfigurationError(
                what=f"{settings.keys_folder} has lost its keys; put them back with fupan vault restore-keys"
            )
        self.vault_key = VaultKey()
        secret = unlock.read_or_make_secret(unlock.service_secret(settings))
        self.services = ServiceKeys(self.vault_id, self.description.suite, self.store, secret)
        self.erasures = Erasures(settings, self.vault_id, self.store, self.vault_key, self.services, journal)
        self.store.is_destroyed = self.erasures.is_destroyed
        self.backups = KeyBackups(
            settings, self.vault_id, self.store, self.erasures, vault_file.path_of(settings)
        )
        published = vault_file.own_folder(settings) / "day-keys"
        self.days = DayKeys(self.vault_id, self.store, published, self.services, self.vault_key, self.backups)
        self.tree = KeyTree(self.vault_id, self.description.suite, self.store, self.vault_key)
        self.rewrapping = Rewrapping(self)
        self._settings, self._guard = settings, threading.Lock()
        self._look_at_pending()

    @property
    def vault_id(self) -> uuid.UUID:
        return self.description.vault_id

    @property
    def locked(self) -> bool:
        return self.vault_key.locked

    @property
    def memory(self) -> str:
        """What is kept out of swap: `process` (all of it), `keys` (their buffers) or `nothing`."""
        return memory.kept_out_of_swap()

    def unlock(self, slot: Slot, slot_key: SecretBytes) -> None:
        """Take the vault key from a slot, once the erase ledger is proven and what it names destroyed.

        The slot key is wiped. Raises UnlockError, DamagedError, LedgerRefusedError.
        """
        opened = VaultKey()
        keys = unlock.open_vault(self.description, slot, slot_key)
        opened.hold(self.vault_id, self.description.suite, *keys)
        try:
            self.erasures.settle(opened)
            self.vault_key.take(opened)
        finally:
            opened.forget()
        self.rewrapping.start()
        self.days.publish(dt.datetime.now(dt.UTC).date())

    def change(self, wanted: Description) -> None:
        """Put another description of this vault into force, sealed, by one rename. Raises VaultLockedError;
        on OSError the one before stays in force."""
        with self._guard, self.vault_key.buffers() as keys:
            # the seal goes with the check value: while a rekey goes on, that is still the old key's
            proven = [key for key in keys if vault_check(self.vault_id, key) == wanted.check]
            sealed = wanted.sealed(proven[0])
            vault_file.change(self._settings, sealed)
            self.description = sealed
            self._look_at_pending()

    def begin_rekey(self, wanted: Description, new: SecretBytes) -> None:
        """Write down that a rekey is begun, then wrap under the new key, which is taken over."""
        with self.vault_key.buffers() as (old, *_):
            self.change(wanted)
            self.vault_key.hold(self.vault_id, wanted.suite, new, SecretBytes(bytearray(old)))

    def _look_at_pending(self) -> None:
        pending = self.description.pending
        self.tree.rotating = pending.record if isinstance(pending, Rotate) else None

    def lock(self) -> None:
        """Forget the vault key."""
        self.vault_key.forget()

    def require_unlocked(self) -> None:
        """Raises VaultLockedError."""
        self.vault_key.require()
