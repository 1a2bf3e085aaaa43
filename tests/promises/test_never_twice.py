"""Promise: no key ever meets a nonce twice, also after a crash, a repeated seal and every patch of a head."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage import keys, opening, segment_format
from storage.errors import SegmentEmitted
from storage.vault import Vault
from tests.storage import builders

pytestmark = pytest.mark.promise


class _Counting:
    """AESGCM that remembers each (key, nonce) it encrypted under."""

    seen: ClassVar[Counter[tuple[bytes, bytes]]] = Counter()

    def __init__(self, key: bytes) -> None:
        self._key, self._real = key, AESGCM(key)
        self.decrypt = self._real.decrypt

    def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        self.seen[(self._key, nonce)] += 1
        return self._real.encrypt(nonce, data, bound)


def _seal(vault: Vault, kind: str, name: str, data: bytes, *, crash: bool = False) -> None:
    header = segment_format.new_header(builders.VAULT, builders.RECORDING, kind, name)
    with vault.begin(builders.RECORDING, kind, name) as draft:
        writer = draft.writer(
            header, keys.derive_file_key(builders.RECORDING_KEY, header), head_budget=100_000
        )
        for at in range(0, len(data), 50_000):
            writer.write(data[at : at + 50_000])
        for patched in (0, 70_000, 5):
            writer.seek(patched)
            writer.write(b"index")
        writer.seek(200_000)
        if len(data) > 2_000_000:
            with pytest.raises(SegmentEmitted):
                writer.write(b"too late")
        if not crash and len(data) <= 2_000_000:
            writer.close()
            draft.commit()


def test_no_key_meets_a_nonce_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setattr(_Counting, "seen", Counter())
    for module in (segment_format, opening, keys):
        monkeypatch.setattr(module, "AESGCM", _Counting)
    vault = Vault(tmp_path / "vault")
    for _ in range(3):  # a repeated seal writes the same names again
        _seal(vault, "track", "camera", bytes(1_900_000), crash=True)
        _seal(vault, "track", "camera", bytes(3_000_000))
        _seal(vault, "track", "camera", bytes(1_900_000))
        _seal(vault, "document", "transcript.v1", b"[]" * 10)
    for plaintext in (b"a", b"b"):
        made = builders.epoch([plaintext] * 50)
        journal = builders.journal_of(tmp_path / made.opening.epoch.hex(), made)
        assert all(builders.put(journal, made, body) == "same" for body in made.bodies)
    parent = keys.new_key()
    for _ in range(50):
        keys.wrap(parent, kind="recording", key_id=str(uuid.uuid4()), parent="p", key=keys.new_key())
    assert len(_Counting.seen) > 300
    assert max(_Counting.seen.values()) == 1
    record_property("figure", f"{len(_Counting.seen)} (key, nonce) pairs, each used once")


def test_encryption_has_one_place_for_each_format() -> None:
    """What the count above watches is all there is."""
    root = Path(segment_format.__file__).parent
    calls = {
        path.name: len(re.findall(r"\.encrypt\(", path.read_text(encoding="utf-8")))
        for path in root.glob("*.py")
    }
    assert {name: count for name, count in calls.items() if count} == {
        "keys.py": 1,  # wrap: a random nonce under a key that wraps few
        "opening.py": 2,  # HPKE to each recipient; encrypt_chunk
        "sealed.py": 1,  # the caller of SegmentCipher.encrypt
        "segment_format.py": 1,  # SegmentCipher.encrypt
    }
