"""The keys that recordings and people hang on: department-and-year, recording, person and file keys."""

from __future__ import annotations

import threading
import uuid

from appliance.domain import OwnerKind
from appliance.errors import KeyRefusedError
from appliance.keyholder.vault_key import VaultKey
from storage.vault import (
    KeyStore,
    NotFound,
    SealedHeader,
    derive_file_key,
    new_header,
    new_key,
    unwrap,
    wrap,
)


class KeyTree:
    """Every call needs the unlocked vault and raises VaultLockedError without. Safe across threads."""

    def __init__(self, vault_id: uuid.UUID, store: KeyStore, vault_key: VaultKey) -> None:
        self._vault_id, self._store, self._vault_key = vault_id, store, vault_key
        self._guard = threading.RLock()

    def create_recording_key(self, recording: uuid.UUID, department: uuid.UUID, year: int) -> str:
        """Make a recording's key under its department-and-year key, once. Returns the parent's id.

        Raises KeyRefusedError when the recording's key already hangs on another parent.
        """
        parent = f"{department}.{year:04d}"
        with self._guard:
            try:
                kept = self._store.get("recording", str(recording)).parent
            except NotFound:
                parent_key = self._department_year_key(parent)
                self._put("recording", str(recording), new_key(), parent_key, parent)
                return parent
        if kept != parent:
            raise KeyRefusedError(reason="the recording's key belongs to another department or year")
        return kept

    def create_person_key(self, person: uuid.UUID) -> None:
        """Make a person's key under the vault key, unless it is there."""
        with self._guard:
            vault_key = self._vault_key.use()
            try:
                self._store.get("person", str(person))
            except NotFound:
                self._put("person", str(person), new_key(), vault_key, str(self._vault_id))

    def file_key(self, header: SealedHeader, owner: OwnerKind = OwnerKind.RECORDING) -> bytes:
        """The key (32 bytes) of the sealed file with this header. Raises KeyRefusedError."""
        if header.vault_id != self._vault_id:
            raise KeyRefusedError(reason="the file is of another vault")
        own = self._person_key if owner is OwnerKind.PERSON else self._recording_key
        return derive_file_key(own(header.owner), header)

    def new_file_key(
        self, owner_id: uuid.UUID, kind: str, name: str, owner: OwnerKind = OwnerKind.RECORDING
    ) -> tuple[SealedHeader, bytes]:
        """A fresh header and its key, for one write of one file."""
        header = new_header(self._vault_id, owner_id, kind, name)
        return header, self.file_key(header, owner)

    def _recording_key(self, recording: uuid.UUID) -> bytes:
        vault_key = self._vault_key.use()
        try:
            record = self._store.get("recording", str(recording))
        except NotFound:
            raise KeyRefusedError(reason="the recording has no key") from None
        return unwrap(unwrap(vault_key, self._store.get("department-year", record.parent)), record)

    def _person_key(self, person: uuid.UUID) -> bytes:
        vault_key = self._vault_key.use()
        try:
            record = self._store.get("person", str(person))
        except NotFound:
            raise KeyRefusedError(reason="the person has no key") from None
        return unwrap(vault_key, record)

    def _department_year_key(self, name: str) -> bytes:
        vault_key = self._vault_key.use()
        try:
            return unwrap(vault_key, self._store.get("department-year", name))
        except NotFound:
            made = new_key()
            self._put("department-year", name, made, vault_key, str(self._vault_id))
            return made

    def _put(self, kind: str, name: str, key: bytes, parent_key: bytes, parent: str) -> None:
        self._store.put(kind, name, wrap(parent_key, kind=kind, key_id=name, parent=parent, key=key))
