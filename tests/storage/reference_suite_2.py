"""A second, independent reading of docs/vault_format.md for suite 2: SM4-GCM, SM3 and HKDF-SM3 written out.

From libraries come only the raw block of SM4 and the hash SM3. It shares no code with `storage`. Where the
two disagree, one of them is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

R = 0xE1 << 120  # the polynomial of GHASH, in GCM's order of bits


def sm3(data: bytes) -> bytes:
    if "sm3" in hashlib.algorithms_available:
        return hashlib.new("sm3", data).digest()
    hasher = hashes.Hash(hashes.SM3())
    hasher.update(data)
    return hasher.finalize()


def hmac(key: bytes, data: bytes) -> bytes:
    key = (sm3(key) if len(key) > 64 else key).ljust(64, b"\0")
    inner = sm3(bytes(byte ^ 0x36 for byte in key) + data)
    return sm3(bytes(byte ^ 0x5C for byte in key) + inner)


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """The first 16 bytes, which are a part of the first block."""
    return hmac(hmac(salt, key), info + b"\1")[:16]


def times(x: int, y: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (R if y & 1 else 0)
    return product


def ghash(h: int, bound: bytes, sealed: bytes) -> int:
    digest, lengths = 0, struct.pack(">QQ", len(bound) * 8, len(sealed) * 8)
    for part in (bound, sealed, lengths):
        for at in range(0, len(part), 16):
            digest = times(digest ^ int.from_bytes(part[at : at + 16].ljust(16, b"\0"), "big"), h)
    return digest


def gcm(key: bytes, nonce: bytes, bound: bytes, sealed: bytes) -> bytes:
    block = Cipher(algorithms.SM4(key), modes.ECB()).encryptor().update
    sealed, tag = sealed[:-16], sealed[-16:]
    h = int.from_bytes(block(bytes(16)), "big")
    mask = int.from_bytes(block(nonce + struct.pack(">I", 1)), "big")
    if len(tag) != 16 or (ghash(h, bound, sealed) ^ mask).to_bytes(16, "big") != tag:
        raise ValueError("tag")
    stream = b"".join(block(nonce + struct.pack(">I", 2 + i)) for i in range((len(sealed) + 15) // 16))
    return bytes(a ^ b for a, b in zip(sealed, stream, strict=False))


def open_sealed(data: bytes, recording_key: bytes) -> bytes:
    """The plaintext of a whole sealed file; ValueError for anything that is not one."""
    if data[:6] != b"FPS1\1\2":
        raise ValueError("magic")
    fields, at = [], 6
    for _ in range(6):
        (length,) = struct.unpack_from(">H", data, at)
        fields.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    _vault, owner, kind, name, salt, size = fields
    info = b"fupan file key v1\1\2" + b"".join(struct.pack(">H", len(f)) + f for f in (owner, kind, name))
    key, bound = hkdf(recording_key, salt, info), sm3(data[:at])
    body, step, plain = data[at:], struct.unpack(">I", size)[0] + 16, b""
    pieces = [body[i : i + step] for i in range(0, len(body), step)]
    if not pieces or (len(pieces) > 1 and len(pieces[-1]) <= 16):
        raise ValueError("length")
    for index, piece in enumerate(pieces):
        nonce = bytes(3) + struct.pack(">Q", index) + bytes([index == len(pieces) - 1])
        plain += gcm(key, nonce, bound, piece)
    return plain


def unwrap_key(record: bytes, parent_key: bytes) -> bytes:
    """The key in a key record of version 2."""
    clear = json.loads(record)
    nonce, wrapped = (base64.b64decode(clear.pop(name)) for name in ("nonce", "wrapped"))
    bound = json.dumps(clear, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if (clear["version"], clear["suite"]) != (2, 2):
        raise ValueError("version")
    return gcm(hkdf(parent_key, b"", b"fupan wrapping key v2\2"), nonce, bound, wrapped)
