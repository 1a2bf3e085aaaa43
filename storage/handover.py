"""One secret handed to one process: HPKE to a key pair that lives for one ceremony. No I/O here.

Whoever has the secret encrypts it to the public half, having compared its fingerprint; what lies between only
carries it. The message is enc ‖ ciphertext, HPKE base mode (P-256, HKDF-SHA256, AES-256-GCM), info =
`fupan handover v1` ‖ vault id ‖ ceremony id. docs/key_formats.md §3.
"""

from __future__ import annotations

import hashlib
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec

from storage.errors import ShareError
from storage.keys import public_bytes

POINT_BYTES = 65
MAX_MESSAGE_BYTES = 2048
_HPKE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def info(vault_id: uuid.UUID, ceremony: uuid.UUID) -> bytes:
    """What binds a message to one ceremony of one vault."""
    return b"fupan handover v1" + vault_id.bytes + ceremony.bytes


def fingerprint(public: bytes) -> str:
    """Four groups of four hexadecimal digits, to be compared by eye."""
    digits = hashlib.sha256(public).hexdigest()
    return " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def seal_to(public: bytes, bound: bytes, secret: bytes) -> bytes:
    """Encrypt to a public half (65 bytes). Raises ShareError("not_for_me") for what is no point."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except ValueError as error:
        raise ShareError("not_for_me") from error
    return _HPKE.encrypt(secret, key, bound)


class OneTimePair:
    """A key pair that is never written anywhere and ends with the process."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.public = public_bytes(self._private)

    def open(self, bound: bytes, message: bytes) -> bytes:
        """The secret. Raises ShareError("not_for_me")."""
        try:
            if len(message) > MAX_MESSAGE_BYTES:
                raise ValueError("too long")
            return _HPKE.decrypt(message, self._private, bound)
        except (InvalidTag, ValueError) as error:
            raise ShareError("not_for_me") from error
