"""The vault key while it is unlocked, in one place: everything under it is wrapped and unwrapped here.

The key never leaves its buffer, and each use of it holds the lock that `forget` takes: nothing is ever
wrapped under a key that is being overwritten. While a new vault key takes the place of an old one (rekey),
what is wrapped is wrapped under the new one, and what is unwrapped may be under either.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator

from appliance.errors import VaultLockedError
from appliance.keyholder.memory import SecretBytes
from storage.vault import IntegrityError, KeyRecord, KeyStore, rewrap, unwrap, wrap


class VaultKey:
    """Held or forgotten. Safe across threads. All but `locked`, `hold`, `forget` and `forget_old` raises
    VaultLockedError while the vault is locked."""

    def __init__(self) -> None:
        self._keys: list[SecretBytes] = []  # the newest first
        self._parent, self._suite = "", 0
        self._guard = threading.RLock()

    @property
    def locked(self) -> bool:
        return not self._keys

    def hold(self, vault_id: uuid.UUID, suite: int, *keys: SecretBytes) -> None:
        """Take the vault key; during a rekey the new one first, then the old one. Those held before go."""
        with self._guard:
            self.forget()
            self._keys, self._parent, self._suite = [*keys], str(vault_id), suite

    def take(self, proven: VaultKey) -> None:
        """Hold what another one holds, which then holds nothing."""
        with self._guard, proven._guard:
            self.forget()
            self._keys, proven._keys = proven._keys, []
            self._parent, self._suite = proven._parent, proven._suite

    def forget(self) -> None:
        """Overwrite it; nothing under it can be used from now on."""
        with self._guard:
            for key in self._keys:
                key.wipe()
            self._keys = []

    def forget_old(self) -> None:
        """After a rekey: overwrite all but the newest."""
        with self._guard:
            for key in self._keys[1:]:
                key.wipe()
            del self._keys[1:]

    def require(self) -> None:
        """Raises VaultLockedError."""
        if self.locked:
            raise VaultLockedError

    @contextlib.contextmanager
    def buffers(self) -> Iterator[list[bytearray]]:
        """The keys themselves, newest first, for the length of a block that nothing can overwrite them in."""
        with self._guard:
            self.require()
            yield [key.buffer for key in self._keys]

    def wrap(self, kind: str, key_id: str, key: bytes, public: bytes | None = None) -> bytes:
        """A record of this key (32 bytes), whose parent is the vault key."""
        with self.buffers() as (newest, *_):
            return wrap(
                newest,
                kind=kind,
                key_id=key_id,
                parent=self._parent,
                key=key,
                public=public,
                suite=self._suite,
            )

    def keep(self, store: KeyStore, kind: str, key_id: str, key: bytes, public: bytes | None = None) -> None:
        """Wrap and store, in one: no record under an old vault key can come behind a rekey's back."""
        with self.buffers():
            store.put(kind, key_id, self.wrap(kind, key_id, key, public))

    def unwrap(self, record: KeyRecord) -> bytes:
        """The key (32 bytes) in a record under the vault key. Raises IntegrityError("key")."""
        with self.buffers() as (newest, *older):
            if older:
                with contextlib.suppress(IntegrityError):
                    return unwrap(newest, record)
                newest = older[0]
            return unwrap(newest, record)

    def renewed(self, record: KeyRecord) -> bytes | None:
        """During a rekey: this record under the new vault key, or None when it is there already."""
        with self.buffers() as (newest, *older):
            with contextlib.suppress(IntegrityError):
                unwrap(newest, record)
                return None
            return rewrap(older[0], record, newest, self._suite) if older else None
