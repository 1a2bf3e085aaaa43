"""A second, independent reading of docs/vault_format.md, by pycryptodome alone.

It opens sealed files, epochs and key records, and shares no code with `storage`. Where the two disagree,
one of them is wrong.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol import HPKE
from Crypto.Protocol.KDF import HKDF
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS


def fields(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from(">H", data, at)
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return found, at


def gcm(key: bytes, nonce: bytes, bound: bytes, sealed: bytes) -> bytes:
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
    cipher.update(bound)
    return cipher.decrypt_and_verify(sealed[:-16], sealed[-16:])


def open_sealed(data: bytes, recording_key: bytes) -> bytes:
    """The plaintext of a whole sealed file; ValueError for anything that is not one."""
    if data[:6] != b"FPS1\1\1":
        raise ValueError("magic")
    (_vault, owner, kind, name, salt, size), at = fields(data, 6, 6)
    info = b"fupan file key v1\1\1" + b"".join(struct.pack(">H", len(f)) + f for f in (owner, kind, name))
    key = HKDF(recording_key, 32, salt, SHA256, context=info)
    bound, step = hashlib.sha256(data[:at]).digest(), struct.unpack(">I", size)[0] + 16
    body, plain = data[at:], b""
    pieces = [body[i : i + step] for i in range(0, len(body), step)]
    if not pieces or (len(pieces) > 1 and len(pieces[-1]) <= 16):
        raise ValueError("length")
    for index, piece in enumerate(pieces):
        nonce = bytes(3) + struct.pack(">Q", index) + bytes([index == len(pieces) - 1])
        plain += gcm(key, nonce, bound, piece)
    return plain


def open_epoch(opening: bytes, day_private: bytes, bodies: list[tuple[int, int, bytes]]) -> list[bytes]:
    """The plaintext of each chunk (n, flag, ciphertext); checks signature and commitment."""
    first, at = fields(opening, 4, 10)
    info, browser_key, commitment = opening[:at], first[6], first[9]
    recipients, at = opening[at], at + 1
    key = None
    for _ in range(recipients):
        (name, enc, wrapped), at = fields(opening, at, 3)
        if name == first[5]:
            private = ECC.construct(curve="P-256", d=int.from_bytes(day_private, "big"))
            key = HPKE.new(receiver_key=private, aead_id=HPKE.AEAD.AES256_GCM, enc=enc, info=info).unseal(
                wrapped
            )
    point = ECC.import_key(browser_key, curve_name="P-256")
    DSS.new(point, "fips-186-3").verify(SHA256.new(opening[:at]), opening[at : at + 64])
    if key is None or hashlib.sha256(b"fupan epoch key v1" + key).digest() != commitment:
        raise ValueError("commitment")
    bound = hashlib.sha256(opening).digest()
    return [
        gcm(key, bytes(7) + struct.pack(">IB", n, flag), bound + struct.pack(">IB", n, flag), ciphertext)
        for n, flag, ciphertext in bodies
    ]


def read_journal(data: bytes) -> Iterator[tuple[int, int, int, bytes, bytes]]:
    """Type, flag, n, epoch, payload of each record."""
    at = 0
    while at < len(data):
        magic, kind, flag, _, n, length, epoch, _, _ = struct.unpack_from(">4sBBHII16s32sI", data, at)
        if magic != b"FPJ1":
            raise ValueError("magic")
        yield kind, flag, n, epoch, data[at + 68 : at + 68 + length]
        at += 68 + length


def unwrap_key(record: bytes, parent_key: bytes) -> bytes:
    """The key in a key record."""
    import base64

    clear = json.loads(record)
    nonce, wrapped = (base64.b64decode(clear.pop(name)) for name in ("nonce", "wrapped"))
    bound = json.dumps(clear, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return gcm(parent_key, nonce, bound, wrapped)
