"""Shares of a slot key: m of n people together open the vault, fewer learn nothing. No I/O here.

A share is 60 bytes: version ‖ vault id (16) ‖ set (uint32) ‖ m ‖ n ‖ index ‖ two 16-byte points of Shamir's
scheme over the halves of the slot key ‖ checksum (the first 4 bytes of SHA-256 of all before it). People see
it as text: `FUPAN-` and 24 groups of four in Crockford's base 32, which has no letters that look alike.
docs/key_formats.md has the bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import unicodedata
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from storage.errors import ShareError
from storage.segment_format import KEY_BYTES

VERSION = 1
MIN_NEEDED, MAX_COUNT = 2, 16
POINT_BYTES = 16

_LAYOUT = struct.Struct(">B16sIBBB32s")
_CHECKSUM_BYTES = 4
_SHARE_BYTES = _LAYOUT.size + _CHECKSUM_BYTES
_PREFIX = "FUPAN"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = _SHARE_BYTES * 8 // 5
_GROUP = 4
_MAX_TYPED = 1000
# What people type for what they read, and what a terminal, a mail or an input method puts between.
_READ_AS = str.maketrans("OIL", "011", " -_.,;:|\t\r\n\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u200b\ufeff")
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}


@dataclass(frozen=True)
class ShareSet:
    """What a vault keeps of the shares it issued: the set's number, how many are needed, SHA-256 of each by
    index from 1."""

    number: int
    needed: int
    issued: tuple[bytes, ...]

    @property
    def count(self) -> int:
        return len(self.issued)


@dataclass(frozen=True)
class Share:
    """One person's share. `index` counts from 1 to `count`; `points` are 32 secret bytes."""

    vault_id: uuid.UUID
    set: int
    needed: int
    count: int
    index: int
    points: bytes = field(repr=False)

    def encode(self) -> bytes:
        """60 bytes."""
        body = _LAYOUT.pack(
            VERSION, self.vault_id.bytes, self.set, self.needed, self.count, self.index, self.points
        )
        return body + _checksum(body)

    @property
    def digest(self) -> bytes:
        """SHA-256: what the vault keeps, so that a share it never issued is named."""
        return hashlib.sha256(self.encode()).digest()

    def text(self) -> str:
        """For paper: `FUPAN-XXXX-XXXX-…`, 24 groups."""
        number = int.from_bytes(self.encode(), "big")
        characters = [_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_CHARACTERS))]
        groups = ("".join(characters[at : at + _GROUP]) for at in range(0, _CHARACTERS, _GROUP))
        return "-".join((_PREFIX, *groups))


def require_policy(needed: int, count: int) -> None:
    """Raises ShareError("policy") unless 2 ≤ needed ≤ count ≤ 16."""
    if not MIN_NEEDED <= needed <= count <= MAX_COUNT:
        raise ShareError("policy", f"{needed} of {count}")


def split(vault_id: uuid.UUID, number: int, needed: int, count: int, slot_key: bytes) -> list[Share]:
    """Fresh shares of a 32-byte slot key, by index. Raises ShareError("policy")."""
    from Crypto.Protocol.SecretSharing import Shamir

    require_policy(needed, count)
    if len(slot_key) != KEY_BYTES:
        raise ValueError("a slot key has 32 bytes")
    first = Shamir.split(needed, count, bytes(slot_key[:POINT_BYTES]))
    second = Shamir.split(needed, count, bytes(slot_key[POINT_BYTES:]))
    return [
        Share(vault_id, number, needed, count, index, point + other)
        for (index, point), (_, other) in zip(first, second, strict=True)
    ]


def combine(shares: Sequence[Share]) -> bytes:
    """The 32 bytes that these shares give; whether they are the slot key, only its check value tells."""
    from Crypto.Protocol.SecretSharing import Shamir

    halves = (slice(0, POINT_BYTES), slice(POINT_BYTES, None))
    return b"".join(
        Shamir.combine([(share.index, share.points[half]) for share in shares]) for half in halves
    )


def parse(text: str) -> Share:
    """Read a share as people type it. Case, spaces and hyphens do not matter; O counts as 0, I and L as 1.

    Raises ShareError: "mistyped", or "version" for one that a newer Fupan made.
    """
    if len(text) > _MAX_TYPED:
        raise ShareError("mistyped")
    typed = unicodedata.normalize("NFKC", text).upper().translate(_READ_AS).removeprefix(_PREFIX)
    if len(typed) != _CHARACTERS or not all(character in _VALUE for character in typed):
        raise ShareError("mistyped")
    number = 0
    for character in typed:
        number = number << 5 | _VALUE[character]
    return decode(number.to_bytes(_SHARE_BYTES, "big"))


def decode(data: bytes) -> Share:
    """Read the 60 bytes of a share. Raises ShareError as `parse` does."""
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(data) != _SHARE_BYTES or not hmac.compare_digest(checksum, _checksum(body)):
        raise ShareError("mistyped")
    version, vault_id, number, needed, count, index, points = _LAYOUT.unpack(body)
    if version != VERSION:
        raise ShareError("version")
    if not (MIN_NEEDED <= needed <= count <= MAX_COUNT and 1 <= index <= count):
        raise ShareError("mistyped")
    return Share(uuid.UUID(bytes=vault_id), number, needed, count, index, points)


class Collector:
    """Shares as they are given, one after another, until there are enough.

    `needed` may be more than the set demands: all of them, to read a new set back. `pending` is the number of
    a set that is not in force yet.
    """

    def __init__(
        self,
        vault_id: uuid.UUID,
        wanted: ShareSet,
        proves: Callable[[bytes], bool],
        *,
        needed: int | None = None,
        pending: int | None = None,
    ) -> None:
        self._vault_id, self._set, self._proves = vault_id, wanted, proves
        self._needed, self._pending = needed or wanted.needed, pending
        self._given: dict[int, Share] = {}

    @property
    def given(self) -> list[int]:
        """The indices given so far, in order."""
        return sorted(self._given)

    @property
    def complete(self) -> bool:
        return len(self._given) >= self._needed

    def give(self, text: str) -> Share:
        """Take one share. Raises ShareError by kind: mistyped, version, other_vault, old_set, pending_set,
        not_issued, given_already, or wrong_key when the last of them does not lead to the slot key; then
        all must be given again."""
        share = parse(text)
        self._require_issued(share)
        if share.index in self._given:
            raise ShareError("given_already", str(share.index))
        self._given[share.index] = share
        if self.complete and not self._proves(self._combined()):
            self.forget()
            raise ShareError("wrong_key")
        return share

    def slot_key(self) -> bytes:
        """The proven slot key, 32 bytes. Raises ShareError("too_few")."""
        if not self.complete:
            raise ShareError("too_few", f"{len(self._given)} of {self._needed}")
        return self._combined()

    def forget(self) -> None:
        """Let go of what was given."""
        self._given.clear()

    def _combined(self) -> bytes:
        return combine([self._given[index] for index in self.given[: self._set.needed]])

    def _require_issued(self, share: Share) -> None:
        if share.vault_id != self._vault_id:
            raise ShareError("other_vault")
        if share.set < self._set.number:
            raise ShareError("old_set")
        if share.set == self._pending and share.set != self._set.number:
            raise ShareError("pending_set")
        issued = self._set.issued[share.index - 1] if share.index <= self._set.count else b""
        if share.set != self._set.number or not hmac.compare_digest(share.digest, issued):
            raise ShareError("not_issued")


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECKSUM_BYTES]
