"""The keys themselves: which vault this is, its key while unlocked, and what hangs on it.

What is here decides nothing about who may have a key; gate.py does. Everything but the service keys and the
public halves raises VaultLockedError while the vault is locked.
"""

from __future__ import annotations

import datetime as dt
import uuid

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.keyholder import unlock, vault_file
from appliance.keyholder.day_keys import DayKeys
from appliance.keyholder.erasures import Erasures
from appliance.keyholder.journal import Journal
from appliance.keyholder.key_backups import KeyBackups
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.service_keys import ServiceKeys
from appliance.keyholder.tree import KeyTree
from appliance.keyholder.vault_key import VaultKey
from storage.vault import KeyStore, Slot


class Custody:
    """All keys of one vault. Safe across threads."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.description = unlock.upgrade(settings)
        self.store = KeyStore(settings.keys_folder)
        if journal.count and not self.store.list("service"):  # new ones would hide that the others are lost
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

    @property
    def vault_id(self) -> uuid.UUID:
        return self.description.vault_id

    @property
    def locked(self) -> bool:
        return self.vault_key.locked

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
        self.days.publish(dt.datetime.now(dt.UTC).date())

    def lock(self) -> None:
        """Forget the vault key."""
        self.vault_key.forget()

    def require_unlocked(self) -> None:
        """Raises VaultLockedError."""
        self.vault_key.require()
