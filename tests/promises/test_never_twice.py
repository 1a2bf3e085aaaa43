"""Promise: no key ever meets a nonce twice, also after a crash, a repeated seal and every patch of a head.

`pytest --count-nonces` holds all other tests to it as well.
"""

from __future__ import annotations

import ast
import os
import random
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

import storage
from storage import keys, suites
from storage.errors import SegmentEmitted
from storage.segment_format import new_header
from storage.suites import SUITES
from storage.vault import Vault
from tests.storage import builders
from tests.support import nonces

pytestmark = pytest.mark.promise
EVERY_SUITE = pytest.mark.parametrize("suite", SUITES)
PRODUCT = ("storage", "analysis", "appliance", "webui", "installer")
CIPHERS = ("cryptography.hazmat.primitives.ciphers", "cryptography.fernet", "Crypto.Cipher")


def _seal(vault: Vault, suite: int, kind: str, name: str, data: bytes, *, crash: bool = False) -> None:
    header = new_header(builders.VAULT, builders.RECORDING, kind, name, suite)
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


@EVERY_SUITE
def test_no_key_meets_a_nonce_twice(
    tmp_path: Path, suite: int, record_property: Callable[[str, object], None]
) -> None:
    vault, folder = Vault(tmp_path / "vault"), tmp_path / "nonces"
    folder.mkdir()
    with nonces.counting(folder):
        for _ in range(3):  # a repeated seal writes the same names again
            _seal(vault, suite, "track", "camera", bytes(1_900_000), crash=True)
            _seal(vault, suite, "track", "camera", bytes(3_000_000))
            _seal(vault, suite, "track", "camera", bytes(1_900_000))
            _seal(vault, suite, "document", "transcript.v1", b"[]" * 10)
        for plaintext in (b"a", b"b"):
            made = builders.epoch([plaintext] * 50)
            journal = builders.journal_of(tmp_path / made.opening.epoch.hex(), made)
            assert all(builders.put(journal, made, body) == "same" for body in made.bodies)
        parent = keys.new_key()
        for _ in range(50):
            key_id = str(uuid.uuid4())
            keys.wrap(parent, kind="recording", key_id=key_id, parent="p", key=keys.new_key(), suite=suite)
    found = nonces.count(folder)
    assert found.pairs > 300
    assert found.repeated == []
    record_property("figure", f"suite {suite}: {found.pairs} (key, nonce) pairs, each used once")


@EVERY_SUITE
def test_a_seal_that_is_killed_and_begun_again_meets_no_nonce_twice(
    tmp_path: Path, suite: int, record_property: Callable[[str, object], None]
) -> None:
    """Each seal dies at a random segment, as by a power cut, and the next one begins with the same file."""
    vault, folder, rng = Vault(tmp_path / "vault"), tmp_path / "nonces", random.Random(suite)
    folder.mkdir()
    lasts = [rng.randrange(1, 28) for _ in range(10)]
    for last in lasts:
        child = os.fork()
        if child == 0:  # only SIGKILL leaves this block: nothing of the test run may be run twice
            try:
                with nonces.counting(folder):
                    _die_after(last)
                    _seal(vault, suite, "track", "camera", bytes(1_900_000))
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with nonces.counting(folder):
        _seal(vault, suite, "track", "camera", bytes(1_900_000))
    found = nonces.count(folder)
    assert found == nonces.Count(sum(lasts) + 29, len(lasts) + 1, [])
    record_property("figure", f"suite {suite}: {found.pairs} pairs over {len(lasts)} killed seals, each once")


def _die_after(last: int) -> None:
    counted, done = suites.Aead.encrypt, 0

    def encrypt(*arguments: object) -> bytes:
        nonlocal done
        done += 1
        if done > last:
            os.kill(os.getpid(), signal.SIGKILL)
        return counted(*arguments)

    suites.Aead.encrypt = encrypt


def test_the_count_sees_a_pair_that_is_met_again(tmp_path: Path) -> None:
    key, other = keys.new_key(), keys.new_key()
    first, second = nonces.Recorder(tmp_path), nonces.Recorder(tmp_path)
    for noted in ((key, bytes(12)), (key, b"\1" * 12), (other, bytes(12))):
        first.note(*noted)
    assert nonces.count(tmp_path) == nonces.Count(3, 1, [])
    second.note(key, b"\1" * 12)
    found = nonces.count(tmp_path)
    assert (found.pairs, found.processes) == (4, 2)
    (name,) = found.repeated
    assert "test_the_count_sees_a_pair_that_is_met_again" in name


def test_one_module_reaches_a_cipher() -> None:
    """What the count watches is all there is. HPKE takes a fresh key inside itself, for each wrapping."""
    root = Path(storage.__file__).parents[1]
    reaching: dict[str, list[str]] = {}
    for path in (path for package in PRODUCT for path in (root / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in names if name.startswith(CIPHERS) or name.endswith(".hpke")]
            if found:
                reaching.setdefault(str(path.relative_to(root)), []).extend(found)
    by_hpke = {"storage/opening.py", "storage/handover.py"}
    assert set(reaching) == {"storage/suites.py", *by_hpke}
    assert all(reaching[name] == ["cryptography.hazmat.primitives.hpke"] for name in by_hpke)
