"""The suites: the cipher and the hash of sealed files and key records, and the one place that encrypts.

Suite 1 is AES-256-GCM with SHA-256. Suite 2 is SM4-GCM with SM3, for sites that must use commercial
cryptography of the People's Republic of China (GB/T 32907, GB/T 32905). A vault is made with one; a reader
takes either, by the number that each file and each record states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.errors import IntegrityError

Data = bytes | bytearray | memoryview
Key = bytes | bytearray
NONCE_BYTES = 12
TAG_BYTES = 16


class _Keyed(Protocol):
    """A cipher with its key, as `cryptography` shapes the ones that it has whole."""

    def encrypt(self, nonce: bytes, data: Data, associated_data: bytes, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: Data, associated_data: bytes, /) -> bytes: ...


class _Sm4Gcm:
    """SM4-GCM (RFC 8998) in the shape of AESGCM, which `cryptography` has in two parts only."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: Data, associated_data: bytes, /) -> bytes:
        encryptor = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data)
        return b"".join((encryptor.update(data), encryptor.finalize(), encryptor.tag))

    def decrypt(self, nonce: bytes, data: Data, associated_data: bytes, /) -> bytes:
        view = memoryview(data)
        if len(view) < TAG_BYTES:
            raise InvalidTag
        tag = bytes(view[-TAG_BYTES:])
        decryptor = Cipher(self._algorithm, modes.GCM(nonce, tag)).decryptor()
        decryptor.authenticate_additional_data(associated_data)
        unproven = decryptor.update(view[:-TAG_BYTES])
        decryptor.finalize()  # compares the tag; only what is behind this line is proven
        return unproven


@dataclass(frozen=True)
class Suite:
    """A cipher and a hash under a number. `key_bytes` is what its cipher takes; keys in the tree have 32."""

    number: int
    name: str
    key_bytes: int
    keyed: Callable[..., _Keyed]
    hash: Callable[[], hashes.HashAlgorithm]

    def digest(self, data: Data) -> bytes:
        """The suite's hash: 32 bytes."""
        hasher = hashes.Hash(self.hash())
        hasher.update(data)
        return hasher.finalize()

    def derive(self, key: Key, salt: bytes, info: bytes) -> bytes:
        """HKDF with the suite's hash: a key for the suite's cipher."""
        return HKDF(self.hash(), self.key_bytes, salt, info).derive(key)

    def derive_into(self, made: bytearray, key: Key, salt: bytes, info: bytes) -> None:
        """The same into a buffer of `key_bytes`, which its owner can overwrite."""
        HKDF(self.hash(), self.key_bytes, salt, info).derive_into(key, made)


SUITE_1 = Suite(1, "AES-256-GCM, SHA-256", 32, AESGCM, hashes.SHA256)
SUITE_2 = Suite(2, "SM4-GCM, SM3", 16, _Sm4Gcm, hashes.SM3)
SUITES = {suite.number: suite for suite in (SUITE_1, SUITE_2)}


def suite_of(number: int) -> Suite:
    """The suite of this number. Raises IntegrityError("version") for one that is not known here."""
    try:
        return SUITES[number]
    except KeyError:
        raise from_newer(f"suite {number}") from None


def from_newer(what: str) -> IntegrityError:
    """What a version or suite that is not known here is: no damage that anybody should repair."""
    return IntegrityError("version", f"{what} is not known here: made by a newer Fupan, or damaged")


class Aead:
    """One key of one suite. All that storage encrypts with a key of its own goes through `encrypt`."""

    def __init__(self, suite: Suite, key: Key) -> None:
        if len(key) != suite.key_bytes:
            raise ValueError(f"{suite.name} takes a key of {suite.key_bytes} bytes")
        self.suite, self.key = suite, key
        self._keyed = suite.keyed(key)

    def encrypt(self, nonce: bytes, plaintext: Data, bound: bytes) -> bytes:
        """Ciphertext and tag. Never call it twice with one nonce."""
        return self._keyed.encrypt(nonce, plaintext, bound)

    def decrypt(self, nonce: bytes, ciphertext: Data, bound: bytes) -> bytes:
        """The plaintext, or InvalidTag and nothing of it."""
        return self._keyed.decrypt(nonce, ciphertext, bound)
