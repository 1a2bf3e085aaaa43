"""The keys themselves: unlock and lock, the hierarchy under the vault key, the service keys.

What is here decides nothing about who may have a key; gate.py does. Everything but the service keys and the
public halves raises VaultLockedError while the vault is locked.
"""

from __future__ import annotations

import base64
import datetime as dt
import logging
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import packet
from appliance.config import Settings
from appliance.errors import KeyRefusedError, VaultLockedError
from appliance.keyholder import unlock
from appliance.keyholder.files import write_once
from appliance.keyholder.unlock import SecretBytes, UnlockProvider
from storage.vault import (
    KeyStore,
    NotFound,
    Opening,
    SealedHeader,
    derive_file_key,
    new_day_key,
    new_header,
    new_key,
    open_epoch_key,
    unwrap,
    wrap,
)

PACKET_KEY, CHECKPOINT_KEY = "packets-1", "checkpoints-1"
# Which service key signs which type of statement. Day keys are stated by this process alone.
SIGNED_BY = {"packet": PACKET_KEY, "tombstone": PACKET_KEY, "checkpoint": CHECKPOINT_KEY}
SERVICE_PARENT = "host"

logger = logging.getLogger(__name__)


class Custody:
    """All keys of one vault. Safe across threads."""

    def __init__(self, settings: Settings) -> None:
        self._description = unlock.describe(settings)
        self._store = KeyStore(settings.keys_folder)
        self._published = unlock.own_folder(settings) / "day-keys"
        self._vault_key: SecretBytes | None = None
        self._guard = threading.RLock()
        secret = unlock.read_secret(unlock.service_secret(settings))
        self._service = {name: self._service_key(name, secret) for name in (PACKET_KEY, CHECKPOINT_KEY)}

    @property
    def vault_id(self) -> uuid.UUID:
        return self._description.vault_id

    @property
    def locked(self) -> bool:
        return self._vault_key is None

    def unlock(self, provider: UnlockProvider) -> None:
        """Take the vault key from a provider. Raises DamagedError when it is not this vault's."""
        key = provider.vault_key()
        self._description.require(key)
        with self._guard:
            if self._vault_key is None:
                self._vault_key = SecretBytes(key)
        self.publish_day_key(dt.datetime.now(dt.UTC).date())

    def lock(self) -> None:
        """Forget the vault key."""
        with self._guard:
            if self._vault_key is not None:
                self._vault_key.wipe()
                self._vault_key = None

    def require_unlocked(self) -> None:
        self._unlocked_key()

    # Usable while locked ---------------------------------------------------------------------------

    def service_keys(self) -> dict[str, bytes]:
        """Key id → Ed25519 public key, 32 bytes: what intake trusts."""
        return {name: key.public_key().public_bytes_raw() for name, key in self._service.items()}

    def sign(self, kind: str, statement: Mapping[str, Any]) -> bytes:
        """A signed envelope around one statement of a known type. Raises KeyRefusedError."""
        name = SIGNED_BY.get(kind)
        if name is None or statement.get("type") != kind:
            raise KeyRefusedError(reason=f"statements of type {kind} are not signed here")
        if statement.get("vault") != str(self.vault_id):
            raise KeyRefusedError(reason="the statement is about another vault")
        if kind == "packet" and statement.get("day_key") not in [key.to_json() for key in self.day_keys()]:
            raise KeyRefusedError(reason="the packet names a day key that was not published here")
        return packet.seal_envelope(statement, name, self._service[name].sign)

    def day_keys(self) -> list[packet.DayKey]:
        """The published day keys, oldest first. Each is proven by its signature: a public half swapped on
        disk would let a stranger open what browsers seal."""
        found = []
        for path in sorted(self._published.glob("[!.]*.json")):
            envelope = path.read_bytes()
            try:
                stated = packet.open_envelope(envelope, self.service_keys(), "day_key")
            except packet.PacketError as error:
                logger.error("published day key %s is not genuine: %s", path.name, error.kind)
                continue
            if stated["vault"] == str(self.vault_id) and stated["id"] == path.stem:
                public = base64.b64decode(stated["public"])
                found.append(packet.DayKey(stated["id"], public, envelope.decode()))
        return found

    # Only while unlocked ---------------------------------------------------------------------------

    def publish_day_key(self, day: dt.date) -> str:
        """Make the day key of `day` (UTC) unless it exists, then state its public half. Returns its id."""
        name = day.isoformat()
        path = self._published / f"{name}.json"
        with self._guard:
            if path.exists():
                return name
            try:
                record = self._store.get("day", name)
                unwrap(self._unlocked_key(), record)
            except NotFound:
                private, public = new_day_key()
                self._put("day", name, private, self._unlocked_key(), str(self.vault_id), public=public)
                record = self._store.get("day", name)
            assert record.public is not None
            statement = packet.day_key_statement(self.vault_id, name, record.public, name)
            write_once(path, packet.seal_envelope(statement, PACKET_KEY, self._service[PACKET_KEY].sign))
            return name

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

    def file_key(self, header: SealedHeader) -> bytes:
        """The key (32 bytes) of the sealed file with this header. Raises KeyRefusedError."""
        if header.vault_id != self.vault_id:
            raise KeyRefusedError(reason="the file is of another vault")
        return derive_file_key(self._recording_key(header.owner), header)

    def new_file_key(self, recording: uuid.UUID, kind: str, name: str) -> tuple[SealedHeader, bytes]:
        """A fresh header and its key, for one write of one file."""
        header = new_header(self.vault_id, recording, kind, name)
        return header, self.file_key(header)

    def epoch_key(self, opening: Opening) -> bytes:
        """The key (32 bytes) in an opening. Raises NotFound for an unknown day key, BadOpening."""
        record = self._store.get("day", opening.day_key_id)
        return open_epoch_key(unwrap(self._unlocked_key(), record), opening)

    def _recording_key(self, recording: uuid.UUID) -> bytes:
        vault_key = self._unlocked_key()
        try:
            record = self._store.get("recording", str(recording))
        except NotFound:
            raise KeyRefusedError(reason="the recording has no key") from None
        return unwrap(unwrap(vault_key, self._store.get("department-year", record.parent)), record)

    def _department_year_key(self, name: str) -> bytes:
        vault_key = self._unlocked_key()
        try:
            return unwrap(vault_key, self._store.get("department-year", name))
        except NotFound:
            made = new_key()
            self._put("department-year", name, made, vault_key, str(self.vault_id))
            return made

    def _unlocked_key(self) -> bytes:
        with self._guard:
            if self._vault_key is None:
                raise VaultLockedError()
            return self._vault_key.reveal()

    def _service_key(self, name: str, secret: bytes) -> Ed25519PrivateKey:
        try:
            return Ed25519PrivateKey.from_private_bytes(unwrap(secret, self._store.get("service", name)))
        except NotFound:
            made = Ed25519PrivateKey.generate()
            public = made.public_key().public_bytes_raw()
            self._put("service", name, made.private_bytes_raw(), secret, SERVICE_PARENT, public=public)
            return made

    def _put(
        self, kind: str, name: str, key: bytes, parent_key: bytes, parent: str, public: bytes | None = None
    ) -> None:
        record = wrap(parent_key, kind=kind, key_id=name, parent=parent, key=key, public=public)
        self._store.put(kind, name, record)
