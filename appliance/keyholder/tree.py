"""The keys that recordings and people hang on: department-and-year, recording, person and file keys."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator

from appliance.domain import OwnerKind
from appliance.errors import KeyRefusedError
from appliance.keyholder.vault_key import VaultKey
from storage.vault import (
    IntegrityError,
    KeyRecord,
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

    def __init__(self, vault_id: uuid.UUID, suite: int, store: KeyStore, vault_key: VaultKey) -> None:
        self._vault_id, self._suite, self._store, self._vault_key = vault_id, suite, store, vault_key
        self._guard = threading.RLock()
        self.rotating: KeyRecord | None = None

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """No key is made or looked up in this block: to begin or end a change of a department and year's key.

        `rotating` is the record that takes the place of its present one; until then either may hold a key.
        """
        with self._guard:
            yield

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
                name = str(recording)
                record = wrap(
                    parent_key,
                    kind="recording",
                    key_id=name,
                    parent=parent,
                    key=new_key(),
                    suite=self._suite,
                )
                self._store.put("recording", name, record)
                return parent
        if kept != parent:
            raise KeyRefusedError(reason="the recording's key belongs to another department or year")
        return kept

    def create_person_key(self, person: uuid.UUID) -> None:
        """Make a person's key under the vault key, unless it is there."""
        with self._guard:
            self._vault_key.require()
            try:
                self._store.get("person", str(person))
            except NotFound:
                self._vault_key.keep(self._store, "person", str(person), new_key())

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
        header = new_header(self._vault_id, owner_id, kind, name, suite=self._suite)
        return header, self.file_key(header, owner)

    def _recording_key(self, recording: uuid.UUID) -> bytes:
        self._vault_key.require()
        with self._guard:
            try:
                record = self._store.get("recording", str(recording))
            except NotFound:
                raise KeyRefusedError(reason="the recording has no key") from None
            parent = self._vault_key.unwrap(self._store.get("department-year", record.parent))
            if self.rotating is not None and self.rotating.id == record.parent:
                with contextlib.suppress(IntegrityError):
                    return unwrap(self._vault_key.unwrap(self.rotating), record)
            return unwrap(parent, record)

    def _person_key(self, person: uuid.UUID) -> bytes:
        self._vault_key.require()
        try:
            record = self._store.get("person", str(person))
        except NotFound:
            raise KeyRefusedError(reason="the person has no key") from None
        return self._vault_key.unwrap(record)

    def _department_year_key(self, name: str) -> bytes:
        """The key that a new recording's is wrapped under; made if there is none."""
        if self.rotating is not None and self.rotating.id == name:
            return self._vault_key.unwrap(self.rotating)
        try:
            return self._vault_key.unwrap(self._store.get("department-year", name))
        except NotFound:
            made = new_key()
            self._vault_key.keep(self._store, "department-year", name, made)
            return made
