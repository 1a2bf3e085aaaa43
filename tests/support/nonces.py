"""Writes down the (key, nonce) pairs that storage encrypts under, and finds those that were met twice.

Each process adds 24 bytes for each encryption to a file of its own: 16 of a hash of key and nonce, 8 that
name the test. So no memory grows with the run, and a process that is killed has told everything.
`tests.support.nonces_plugin` counts so over a whole run.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.suites import Aead

ENVIRONMENT = "FUPAN_TEST_NONCES"
_kept_open = contextlib.ExitStack()  # what counts until this process ends


class Recorder:
    """Writes down what this process encrypts under."""

    def __init__(self, folder: Path) -> None:
        own = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._pairs = os.open(own.with_suffix(".pairs"), flags, 0o600)
        self._tests = os.open(own.with_suffix(".tests"), flags, 0o600)
        self.test_id = functools.lru_cache(maxsize=8)(self._name_test)

    def note(self, key: bytes, nonce: bytes) -> None:
        """One encryption."""
        pair = hashlib.blake2b(len(key).to_bytes(1, "big") + key + nonce, digest_size=16).digest()
        os.write(self._pairs, pair + self.test_id(os.environ.get("PYTEST_CURRENT_TEST", "no test")))

    def _name_test(self, current: str) -> bytes:
        digest = hashlib.blake2b(current.encode(), digest_size=8).digest()
        os.write(self._tests, f"{digest.hex()} {current}\n".encode(errors="replace"))
        return digest

    def close(self) -> None:
        """Give the files back."""
        os.close(self._pairs)
        os.close(self._tests)


@dataclass(frozen=True)
class Count:
    """What all processes wrote down: pairs, processes, and the tests in which a pair was met again."""

    pairs: int
    processes: int
    repeated: list[str]


def count(folder: Path) -> Count:
    """Compare what was written down in this folder."""
    import numpy as np  # not before: what is traced call by call imports this module as well

    files = [path for path in folder.glob("*.pairs") if path.stat().st_size]
    noted = np.concatenate([np.empty(0, np.uint64), *(np.fromfile(path, np.uint64) for path in files)])
    noted = noted.reshape(-1, 3)
    noted = noted[np.lexsort(noted.T[::-1])]
    same = (noted[1:, :2] == noted[:-1, :2]).all(axis=1)
    hit = {test.tobytes() for test in (*noted[1:, 2][same], *noted[:-1, 2][same])}
    lines = [line for path in folder.glob("*.tests") for line in path.read_text().splitlines()]
    names = {bytes.fromhex(line[:16]): line[17:] for line in lines}
    return Count(len(noted), len(files), sorted(names.get(test, "an unnamed test") for test in hit))


@contextlib.contextmanager
def counting(folder: Path) -> Iterator[None]:
    """Write down, in this folder, what this process encrypts under until the block ends."""
    recorder, before = Recorder(folder), Aead.encrypt

    def encrypt(self: Aead, nonce: bytes, *rest: object) -> bytes:
        recorder.note(self.key, nonce)
        return before(self, nonce, *rest)

    Aead.encrypt = encrypt
    try:
        yield
    finally:
        Aead.encrypt = before
        recorder.close()


def count_in_this_process() -> None:
    """In a process that a test starts: take part in the run's count, if there is one."""
    if folder := os.environ.get(ENVIRONMENT):
        _kept_open.enter_context(counting(Path(folder)))
