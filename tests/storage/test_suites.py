"""The suites: their published answers, what they refuse, and what cannot be had of them."""

from __future__ import annotations

import hmac
import os

import pytest
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import IntegrityError
from storage.suites import SUITE_1, SUITE_2, SUITES, Aead, Suite, suite_of
from tests.storage import reference_suite_2

SM2_PUBLIC_KEY = (  # by `openssl genpkey -algorithm SM2`
    "3059301306072a8648ce3d020106082a811ccf5501822d03420004a2205a91c77981e69dcb175860128940579b62fa856c7e511ef"
    "66f494a30f22a661f1f936877063bdfec1e1ae68f75a445e7b5699c123c72f377211ad1b331ca"
)
EVERY = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: f"suite {suite.number}")


def test_sm4_gcm_as_rfc_8998_has_it() -> None:
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    nonce, bound = (
        bytes.fromhex("00001234567800000000abcd"),
        bytes.fromhex("feedfacedeadbeef" * 2 + "abaddad2"),
    )
    plain = b"".join(bytes([byte]) * 8 for byte in (0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA))
    sealed = bytes.fromhex(
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec"
    )
    assert SUITE_2.keyed(key).encrypt(nonce, plain, bound) == sealed
    assert Aead(SUITE_2, key).decrypt(nonce, sealed, bound) == plain
    assert reference_suite_2.gcm(key, nonce, bound, sealed) == plain


def test_sm3_as_gb_t_32905_has_it() -> None:
    digest = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert SUITE_2.digest(b"abc").hex() == reference_suite_2.sm3(b"abc").hex() == digest


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=100))
def test_keys_are_derived_as_rfc_5869_has_it(key: bytes, salt: bytes, info: bytes) -> None:
    assert SUITE_2.derive(key, salt, info) == reference_suite_2.hkdf(key, salt, info)
    assert SUITE_2.derive(key, salt, info) == HKDF(hashes.SM3(), 32, salt, info).derive(key)[:16]
    early = hmac.digest(salt or bytes(32), key, "sha256")
    assert SUITE_1.derive(key, salt, info) == hmac.digest(early, info + b"\1", "sha256")


@EVERY
@settings(max_examples=50, deadline=None)
@given(plain=st.binary(max_size=300), bound=st.binary(max_size=50), bit=st.integers(0))
def test_what_is_altered_gives_nothing(suite: Suite, plain: bytes, bound: bytes, bit: int) -> None:
    aead, nonce = Aead(suite, os.urandom(suite.key_bytes)), os.urandom(12)
    sealed = bytearray(aead.encrypt(nonce, plain, bound))
    assert len(sealed) == len(plain) + 16
    for given_as in (bytes, bytearray, memoryview):
        assert aead.decrypt(nonce, given_as(sealed), bound) == plain
    with pytest.raises(InvalidTag):
        aead.decrypt(nonce, sealed, bound + b"\0")
    bit %= len(sealed) * 8
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidTag):
        aead.decrypt(nonce, sealed, bound)


@EVERY
def test_less_than_a_tag_and_a_key_of_another_length_are_refused(suite: Suite) -> None:
    for length in range(16):
        with pytest.raises(InvalidTag):
            Aead(suite, bytes(suite.key_bytes)).decrypt(bytes(12), bytes(length), b"")
    for length in (0, 15, 24, 48 - suite.key_bytes):
        with pytest.raises(ValueError, match="key"):
            Aead(suite, bytes(length))


@pytest.mark.parametrize("number", [0, 3, 255])
def test_another_suite_is_of_a_newer_fupan(number: int) -> None:
    with pytest.raises(IntegrityError, match="made by a newer Fupan") as raised:
        suite_of(number)
    assert raised.value.kind == "version"


def test_sm2_cannot_be_had() -> None:
    """docs/vault_format.md says so. Once this fails, SM2 can replace ECDSA where no browser takes part."""
    assert not [name for name in dir(ec) if "SM2" in name.upper()]
    with pytest.raises(UnsupportedAlgorithm, match=r"1\.2\.156\.10197\.1\.301"):
        load_der_public_key(bytes.fromhex(SM2_PUBLIC_KEY))
