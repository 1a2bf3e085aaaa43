"""The vault key while it is unlocked, in one place that every other key asks.

`use()` gives a short-lived copy; everything that needs it raises VaultLockedError while the vault is locked.
"""

from __future__ import annotations

import threading

from appliance.errors import VaultLockedError
from appliance.keyholder.unlock import SecretBytes


class VaultKey:
    """Held or forgotten. Safe across threads."""

    def __init__(self) -> None:
        self._held: SecretBytes | None = None
        self._guard = threading.Lock()

    @property
    def locked(self) -> bool:
        return self._held is None

    def hold(self, key: bytes) -> None:
        """Take the key (32 bytes), unless one is held already."""
        with self._guard:
            if self._held is None:
                self._held = SecretBytes(key)

    def use(self) -> bytes:
        """The key, as a short-lived copy. Raises VaultLockedError."""
        with self._guard:
            if self._held is None:
                raise VaultLockedError
            return self._held.reveal()

    def forget(self) -> None:
        """Overwrite it; nothing under it can be used from now on."""
        with self._guard:
            if self._held is not None:
                self._held.wipe()
                self._held = None
