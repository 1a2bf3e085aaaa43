"""The self-test: each primitive and each format, broken in turn, is named."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes

from storage import keys, opening, selftest
from storage.errors import SelfTestFailed
from storage.suites import SUITES, Suite

Break = Callable[[pytest.MonkeyPatch], None]


def suite_with(number: int, **changes: object) -> Break:
    return lambda patch: patch.setitem(SUITES, number, dataclasses.replace(SUITES[number], **changes))


def cipher_with(number: int, **methods: Callable[..., bytes]) -> Break:
    """The suite's cipher, with methods that get the real one first."""
    real = SUITES[number].keyed

    def keyed(key: bytes) -> Any:
        whole = real(key)
        found = {name: getattr(whole, name) for name in ("encrypt", "decrypt")}
        found |= {name: lambda *given, m=method: m(whole, *given) for name, method in methods.items()}
        return SimpleNamespace(**found)

    return suite_with(number, keyed=keyed)


def without_tag(cipher: Any, *given: Any) -> bytes:
    """What a decryptor does that forgets to compare the tag, as far as can be seen from outside."""
    try:
        return cipher.decrypt(*given)
    except InvalidTag:
        return b"unproven"


def derivation_of(number: int) -> Break:
    real = Suite.derive

    def derive(suite: Suite, *given: bytes) -> bytes:
        found = real(suite, *given)
        return found[::-1] if suite.number == number else found

    return lambda patch: patch.setattr(Suite, "derive", derive)


def ed25519(**methods: Callable[..., object]) -> Break:
    """Keys whose methods are these instead."""
    real = selftest.Ed25519PrivateKey

    class Broken:
        def __init__(self, key: Any) -> None:
            self.sign = methods.get("sign", key.sign)
            verify = methods.get("verify", key.public_key().verify)
            self.public_key = lambda: SimpleNamespace(verify=verify)

        @classmethod
        def from_private_bytes(cls, secret: bytes) -> Any:
            return cls(real.from_private_bytes(secret))

    return lambda patch: patch.setattr(selftest, "Ed25519PrivateKey", Broken)


def file_key_of(number: int) -> Break:
    real = keys.derive_file_key

    def derive(owner_key: bytes, header: Any) -> bytes:
        found = real(owner_key, header)
        return found[::-1] if header.suite == number else found

    return lambda patch: patch.setattr(keys, "derive_file_key", derive)


def wrapping_of(number: int) -> Break:
    real = keys._wrapping

    def wrapping(parent_key: bytes, suite: int) -> Any:
        return real(parent_key[::-1] if suite == number else parent_key, suite)

    return lambda patch: patch.setattr(keys, "_wrapping", wrapping)


def accepts_all(*_: object) -> None:
    """A verification that never refuses."""


BROKEN: dict[str, Break] = {
    "CRC-32": lambda patch: patch.setattr(zlib, "crc32", lambda _: 0),
    "SHA-256": suite_with(1, hash=hashes.SM3),
    "SM3": suite_with(2, hash=hashes.SHA256),
    "HKDF-SHA256": derivation_of(1),
    "HKDF-SM3": derivation_of(2),
    "AES-256-GCM encryption": cipher_with(1, encrypt=lambda *_: b""),
    "AES-256-GCM decryption": cipher_with(1, decrypt=without_tag),
    "SM4-GCM encryption": cipher_with(2, encrypt=lambda *_: b""),
    "SM4-GCM decryption": cipher_with(2, decrypt=without_tag),
    "Ed25519 signing": ed25519(sign=lambda _: bytes(64)),
    "Ed25519 verification": ed25519(verify=accepts_all),
    "ECDSA P-256": lambda patch: patch.setattr(opening, "verify_by_browser", accepts_all),
    "HPKE": lambda patch: patch.setattr(
        opening, "_HPKE", SimpleNamespace(decrypt=lambda *_, **__: bytes(range(32)))
    ),
    "an opening": lambda patch: patch.setattr(opening, "verify_opening", accepts_all),
    "a chunk": lambda patch: patch.setattr(opening, "chunk_nonce", lambda *_: bytes(12)),
    "a sealed file of suite 1": file_key_of(1),
    "a sealed file of suite 2": file_key_of(2),
    "a key record of suite 1": wrapping_of(1),
    "a key record of suite 2": wrapping_of(2),
}


def test_every_answer_is_right_and_none_is_left_out() -> None:
    assert selftest.run() == selftest.KNOWN_ANSWERS == len(BROKEN) == 19
    page = Path(selftest.__file__).parents[1] / "docs" / "vault_format.md"
    assert "19 known answers" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN[name](monkeypatch)
    with pytest.raises(SelfTestFailed) as raised:
        selftest.run()
    assert raised.value.kind == name


def test_a_primitive_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: bytes) -> Any:
        raise RuntimeError("this build has no SM4")

    suite_with(2, keyed=missing)(monkeypatch)
    with pytest.raises(SelfTestFailed, match="SM4-GCM encryption: RuntimeError"):
        selftest.run()


def test_an_answer_that_was_taken_out_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "_ANSWERS", selftest._ANSWERS[1:])
    with pytest.raises(SelfTestFailed, match="count: 18 answers instead of 19"):
        selftest.run()
