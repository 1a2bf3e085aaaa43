"""The Ed25519 keys that sign what the product states; they work while the vault is locked."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import packet
from appliance.errors import KeyRefusedError
from storage.vault import KeyStore, NotFound, unwrap, wrap

PACKET_KEY, CHECKPOINT_KEY = "packets-1", "checkpoints-1"
# Which service key signs which type of statement. Day keys are stated by this process alone.
SIGNED_BY = {"packet": PACKET_KEY, "tombstone": PACKET_KEY, "checkpoint": CHECKPOINT_KEY}
SERVICE_PARENT = "host"


class ServiceKeys:
    """Made at the first start, kept under the service secret."""

    def __init__(self, vault_id: uuid.UUID, suite: int, store: KeyStore, secret: bytes) -> None:
        self._vault_id, self._suite, self._store = vault_id, suite, store
        self._keys = {name: self._load_or_make(name, secret) for name in (PACKET_KEY, CHECKPOINT_KEY)}

    def publics(self) -> dict[str, bytes]:
        """Key id → Ed25519 public key, 32 bytes: what intake trusts."""
        return {name: key.public_key().public_bytes_raw() for name, key in self._keys.items()}

    def state(self, statement: Mapping[str, Any]) -> bytes:
        """An envelope by the key that intake trusts, for what this process states itself."""
        return packet.seal_envelope(statement, PACKET_KEY, self._keys[PACKET_KEY].sign)

    def sign(self, kind: str, statement: Mapping[str, Any]) -> bytes:
        """A signed envelope around one statement of a known type. Raises KeyRefusedError."""
        name = SIGNED_BY.get(kind)
        if name is None or statement.get("type") != kind:
            raise KeyRefusedError(reason=f"statements of type {kind} are not signed here")
        if statement.get("vault") != str(self._vault_id):
            raise KeyRefusedError(reason="the statement is about another vault")
        return packet.seal_envelope(statement, name, self._keys[name].sign)

    def _load_or_make(self, name: str, secret: bytes) -> Ed25519PrivateKey:
        try:
            return Ed25519PrivateKey.from_private_bytes(unwrap(secret, self._store.get("service", name)))
        except NotFound:
            made = Ed25519PrivateKey.generate()
            public = made.public_key().public_bytes_raw()
            record = wrap(
                secret,
                kind="service",
                key_id=name,
                parent=SERVICE_PARENT,
                key=made.private_bytes_raw(),
                public=public,
                suite=self._suite,
            )
            self._store.put("service", name, record)
            return made
