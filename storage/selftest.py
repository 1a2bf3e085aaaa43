"""Known answers, asked of every primitive and every format before a process serves. No input or output here.

A library that computes wrongly, a build without a cipher or a broken processor is found here rather than in a
file that nobody can open. The answers of the primitives are published ones, as far as there are any; those of
the formats were made once by this version.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import journal_format, keys, opening, segment_format
from storage.errors import IntegrityError, SelfTestFailed, VaultError
from storage.suites import Aead, suite_of

KNOWN_ANSWERS = 19
_KEY = bytes(range(32))
_PLAIN = b"known answer " * 6
_REFUSALS = (InvalidTag, InvalidSignature, VaultError)


def run() -> int:
    """Ask for every answer, KNOWN_ANSWERS of them. Raises SelfTestFailed, which names the first wrong one."""
    asked = 0
    for name, holds in _ANSWERS:
        try:
            right = holds()
        except Exception as error:  # whatever a broken library raises
            raise SelfTestFailed(name, type(error).__name__) from error
        if not right:
            raise SelfTestFailed(name, "another answer")
        asked += 1
    if asked != KNOWN_ANSWERS:
        raise SelfTestFailed("count", f"{asked} answers instead of {KNOWN_ANSWERS}")
    return asked


def _refuses(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except _REFUSALS:
        return True
    return False


def _altered(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


# Primitives -----------------------------------------------------------------------------------------------

# Suite → key, nonce, associated data, plaintext, ciphertext and tag: test case 16 of the submission of GCM to
# NIST, and RFC 8998, A.1.
_AEAD = {
    1: (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    ),
    2: (
        "0123456789abcdeffedcba9876543210",
        "00001234567800000000abcd",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
        "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d83de3541e4c2b58177e065a9bf7b62ec",
    ),
}
_ABC = {
    1: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    2: "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",  # GB/T 32905, A.1
}
_DERIVED = {
    1: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",  # RFC 5869, A.1
    2: "c69fe91b7aaee2dd5718d72dcaee0cce",
}
# RFC 8032, 7.1, test 2.
_ED25519_PRIVATE = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
_ED25519_SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
# RFC 6979, A.2.5, SHA-256 of "sample".
_P256_PUBLIC = (
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
_P256_SIGNATURE = (
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)


def _digests(suite: int) -> bool:
    return suite_of(suite).digest(b"abc").hex() == _ABC[suite]


def _derives(suite: int) -> bool:
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    return suite_of(suite).derive(b"\x0b" * 22, salt, info).hex() == _DERIVED[suite]


def _encrypts(suite: int) -> bool:
    # Not through the function that counts nonces: this key and nonce are met again at each start.
    key, nonce, bound, plain, sealed = map(bytes.fromhex, _AEAD[suite])
    return suite_of(suite).keyed(key).encrypt(nonce, plain, bound) == sealed


def _decrypts(suite: int) -> bool:
    key, nonce, bound, plain, sealed = map(bytes.fromhex, _AEAD[suite])
    aead = Aead(suite_of(suite), key)
    return (
        aead.decrypt(nonce, sealed, bound) == plain
        and _refuses(lambda: aead.decrypt(nonce, _altered(sealed), bound))
        and _refuses(lambda: aead.decrypt(nonce, sealed, _altered(bound)))
    )


def _signs_by_ed25519() -> bool:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(_ED25519_PRIVATE))
    return key.sign(b"\x72").hex() == _ED25519_SIGNATURE


def _verifies_by_ed25519() -> bool:
    public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(_ED25519_PRIVATE)).public_key()
    signature = bytes.fromhex(_ED25519_SIGNATURE)
    public.verify(signature, b"\x72")
    return _refuses(lambda: public.verify(signature, b"\x73"))


def _verifies_by_ecdsa() -> bool:
    public, signature = bytes.fromhex(_P256_PUBLIC), bytes.fromhex(_P256_SIGNATURE)
    failure = IntegrityError("record")
    opening.verify_by_browser(public, signature, b"sample", failure)
    return _refuses(lambda: opening.verify_by_browser(public, signature, b"simple", failure))


# Formats --------------------------------------------------------------------------------------------------

_SEALED = {
    1: "4650533101010010000000000000000000000000000000010010000000000000000000000000000000020005747261636b00"
    "0663616d6572610020000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0004000000409d7d50"
    "411907eb95a4c4f9a6639b97a53ba6a8e5eb43ec30221260dde95748c45b6d9932ec1bc97b8622fb4aafe7299e9546e01f41"
    "b703d95b9893f0d31d688536fce95fe61faa27c7b65af74cb0a4bb6d1ef12deb03ec1f616fc27f35367e3c094f1618573d55"
    "669e9260ba1c0c",
    2: "4650533101020010000000000000000000000000000000010010000000000000000000000000000000020005747261636b00"
    "0663616d6572610020000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00040000004049236c"
    "ee8bf89b6d0b8c43bce3639d5ced684dd8d8951b9bd0f5e7f970cb42084e214add8ec396e32c1d9aea25f3108f1919812cda"
    "47b64da98d42e6f9dbb7830fb036b9f37512eff53d3dc4150c50d27bee890fefa429903be89aeccd09ca70586b6595c39e35"
    "8fc5eb5ca948af",
}
_RECORD = {
    1: b'{"created":"2026-01-01T00:00:00.000Z","id":"known","kind":"recording","nonce":"KjpOxr8+qZ7tSz1g",'
    b'"parent":"answer","version":1,'
    b'"wrapped":"rMS+NiVJfJItwiK7H/qb9r/8z8OvAQjFVzk6aTficNiuwbpx0Fp5QAGA5SBhKYN+"}',
    2: b'{"created":"2026-01-01T00:00:00.000Z","id":"known","kind":"recording","nonce":"udGqZ/oTaI1Gqvze",'
    b'"parent":"answer","suite":2,"version":2,'
    b'"wrapped":"sdl0b/lriHabgw90nBSxvGNQCdeRz991Kgf2iSPcmgpW4R+Ib2ydUaKN6NsTduG6"}',
}
_OPENING = (
    "46504f31000101001000000000000000000000000000000001001000000000000000000000000000000002000663616d6572"
    "6100100000000000000000000000000000000000056b6e6f776e004104f82b70b52842b88da3586b9c391bea61322eeb4e31"
    "3458d07e5c599f50f910b7c0a0f7ae8ec9d584452613d07e2dc9bbab7f3e7d40db7be2068a087a27215fbd000a766964656f"
    "2f7765626d0020000000000000000000000000000000003ff000000000000040000000000000000020b2251022028e8bf6b0"
    "a9333ed3efdee1759b9b354d5d67ff382a842ac05e5cbe0100056b6e6f776e0041041a0aca964665b8dffedc105168880d8f"
    "2eb873ec41663bcd5c417aa24f777f96eb07e2c3946745d4efda93ce95f0f17129ae05b8bb718629946f3345a2671e3d0030"
    "b27f907edc2ed9dc0367d67803ebba88e2f342921835da2f85d1999079c52127319269cf570887db3504366a3fa0d9bc5982"
    "b6d47136f8c708dce796314665096593629a90a4740b65ab4d176ac009af575faa4aa1b1b064c8412c0762df0eae7b78c732"
    "694696f4bf41985bc66a925e"
)
_CHUNK = "66f0503dac775ffd0d17ff5e0c8993170123983ac744a8167ecc197b"
# Type 2, number 7, a payload of 12 bytes, epoch and digest of zeros.
_JOURNAL_RECORD = "46504a3102000000000000070000000c" + "00" * 48 + "39f69a55"


def _checks_by_crc() -> bool:
    raw = bytes.fromhex(_JOURNAL_RECORD)
    expected = journal_format.Record(journal_format.CHUNK, 0, 7, 12, bytes(16), bytes(32))
    known, changed = journal_format.parse_record(raw), journal_format.parse_record(_altered(raw))
    return known == expected and expected.encode() == raw and changed is None


def _unwraps_by_hpke() -> bool:
    made = opening.parse_opening(bytes.fromhex(_OPENING))
    other = _altered(_KEY)
    return opening.open_epoch_key(_KEY, made) == _KEY and _refuses(
        lambda: opening.open_epoch_key(other, made)
    )


def _verifies_an_opening() -> bool:
    raw = bytes.fromhex(_OPENING)
    opening.verify_opening(opening.parse_opening(raw))
    return _refuses(lambda: opening.verify_opening(opening.parse_opening(_altered(raw))))


def _opens_a_chunk() -> bool:
    made, chunk = opening.parse_opening(bytes.fromhex(_OPENING)), bytes.fromhex(_CHUNK)
    opener = opening.ChunkOpener(_KEY, made.sha256)
    plain = opener.decrypt(7, opening.DATA, chunk)
    return plain == b"known answer" and _refuses(lambda: opener.decrypt(6, opening.DATA, chunk))


def _opens_a_sealed_file(suite: int) -> bool:
    data = bytes.fromhex(_SEALED[suite])
    header = segment_format.parse_header(data)
    layout = segment_format.layout_of(header, len(data))
    cipher = segment_format.SegmentCipher(keys.derive_file_key(_KEY, header), header)
    whole = b""
    for index in range(layout.count):
        start, length = layout.span(index, index + 1)
        whole += cipher.decrypt(index, index == layout.count - 1, data[start : start + length])
    start, length = layout.span(0, 1)
    return (
        (header.suite, header.owner, header.name) == (suite, uuid.UUID(int=2), "camera")
        and whole == _PLAIN
        and _refuses(lambda: cipher.decrypt(1, False, data[start : start + length]))
    )


def _unwraps_a_key(suite: int) -> bool:
    record, other = _RECORD[suite], _altered(_KEY)
    return keys.unwrap(_KEY, record) == _KEY[::-1] and _refuses(lambda: keys.unwrap(other, record))


_ANSWERS: tuple[tuple[str, Callable[[], bool]], ...] = (
    ("CRC-32", _checks_by_crc),
    ("SHA-256", lambda: _digests(1)),
    ("SM3", lambda: _digests(2)),
    ("HKDF-SHA256", lambda: _derives(1)),
    ("HKDF-SM3", lambda: _derives(2)),
    ("AES-256-GCM encryption", lambda: _encrypts(1)),
    ("AES-256-GCM decryption", lambda: _decrypts(1)),
    ("SM4-GCM encryption", lambda: _encrypts(2)),
    ("SM4-GCM decryption", lambda: _decrypts(2)),
    ("Ed25519 signing", _signs_by_ed25519),
    ("Ed25519 verification", _verifies_by_ed25519),
    ("ECDSA P-256", _verifies_by_ecdsa),
    ("HPKE", _unwraps_by_hpke),
    ("an opening", _verifies_an_opening),
    ("a chunk", _opens_a_chunk),
    ("a sealed file of suite 1", lambda: _opens_a_sealed_file(1)),
    ("a sealed file of suite 2", lambda: _opens_a_sealed_file(2)),
    ("a key record of suite 1", lambda: _unwraps_a_key(1)),
    ("a key record of suite 2", lambda: _unwraps_a_key(2)),
)
