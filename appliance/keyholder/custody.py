"""The keys themselves: which vault this is, its key while unlocked, and what hangs on it.

What is here decides nothing about who may have a key; gate.py does. Everything but the service keys and the
public halves raises VaultLockedError while the vault is locked.
"""

from __future__ import annotations

import datetime as dt
import uuid

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.keyholder import unlock
from appliance.keyholder.day_keys import DayKeys
from appliance.keyholder.erasures import Erasures
from appliance.keyholder.journal import Journal
from appliance.keyholder.key_backups import KeyBackups
from appliance.keyholder.service_keys import ServiceKeys
from appliance.keyholder.tree import KeyTree
from appliance.keyholder.unlock import UnlockProvider
from appliance.keyholder.vault_key import VaultKey
from storage.vault import KeyStore


class Custody:
    """All keys of one vault. Safe across threads."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.description = unlock.describe(settings)
        self.store = KeyStore(settings.keys_folder)
        if journal.count and not self.store.list("service"):  # new ones would hide that the others are lost
            raise ConfigurationError(
                what=f"{settings.keys_folder} has lost its keys; put them back with fupan vault restore-keys"
            )
        self.vault_key = VaultKey()
        secret = unlock.read_secret(unlock.service_secret(settings))
        self.services = ServiceKeys(self.vault_id, self.store, secret)
        self.erasures = Erasures(settings, self.vault_id, self.store, self.vault_key, self.services, journal)
        self.store.is_destroyed = self.erasures.is_destroyed
        self.backups = KeyBackups(
            settings, self.vault_id, self.store, self.erasures, unlock.own_folder(settings) / "vault.json"
        )
        published = unlock.own_folder(settings) / "day-keys"
        self.days = DayKeys(self.vault_id, self.store, published, self.services, self.vault_key, self.backups)
        self.tree = KeyTree(self.vault_id, self.store, self.vault_key)

    @property
    def vault_id(self) -> uuid.UUID:
        return self.description.vault_id

    @property
    def locked(self) -> bool:
        return self.vault_key.locked

    def unlock(self, provider: UnlockProvider) -> None:
        """Take the vault key from a provider, once the erase ledger is proven and what it names destroyed.

        Raises DamagedError when it is not this vault's key, LedgerRefusedError.
        """
        key = provider.vault_key()
        self.description.require(key)
        self.erasures.settle(key)
        self.vault_key.hold(key)
        self.days.publish(dt.datetime.now(dt.UTC).date())

    def lock(self) -> None:
        """Forget the vault key."""
        self.vault_key.forget()

    def require_unlocked(self) -> None:
        """Raises VaultLockedError."""
        self.vault_key.use()
