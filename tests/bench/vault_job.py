"""One writer or reader of the vault's benchmark, as a process of its own: `python -m tests.bench.vault_job`.

It prepares, says `ready`, waits for a line, does the timed part and prints its seconds and bytes as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from storage.keys import derive_file_key
from storage.segment_format import SEGMENT_BYTES, new_header
from storage.vault import SealedHeader, SealedReader, Vault
from tests.storage import builders

MIB = 1 << 20
PIECE = random.Random(7).randbytes(MIB)
Timed = Callable[[], int]


def _chunks(size: int, count: int) -> builders.Epoch:
    """So many chunks of their own, as they arrive."""
    return builders.epoch([bytes([i]) + (PIECE * (size // MIB + 1))[: size - 1] for i in range(count)])


def _journal(folder: Path, size: int, count: int) -> Timed:
    """Append as intake does: each chunk made to last before the next."""
    made = _chunks(size, count)
    journal = builders.journal_of(folder / "camera.journal")

    def run() -> int:
        for body in made.bodies[:-1]:
            builders.put(journal, made, body)
        return sum(len(body.ciphertext) for body in made.bodies[:-1])

    return run


def _plain_append(folder: Path, size: int, count: int) -> Timed:
    """The floor: the same bytes, one write and one fdatasync each."""
    bodies = [body.ciphertext for body in _chunks(size, count).bodies[:-1]]
    fd = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT, 0o600)

    def run() -> int:
        for body in bodies:
            os.write(fd, body)
            os.fdatasync(fd)
        return sum(len(body) for body in bodies)

    return run


def _webdav(folder: Path, size: int, count: int, port: int) -> Timed:
    """nginx keeps the same bodies as files; it syncs none of them."""
    body = random.Random(1).randbytes(size + 16)
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def run() -> int:
        for i in range(count):
            connection.request("PUT", f"/{folder.name}-{i}", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (201, 204):
                raise RuntimeError(f"nginx answered {answer.status}")
        return len(body) * count

    return run


def _header(suite: int) -> SealedHeader:
    return new_header(builders.VAULT, builders.RECORDING, "track", "camera", suite)


def _seal(folder: Path, mib: int, suite: int) -> Timed:
    """A sealed track of `mib` MiB under its own name, lasting."""
    vault, header = Vault(folder / "vault"), _header(suite)
    key = derive_file_key(builders.RECORDING_KEY, header)

    def run() -> int:
        with vault.begin(builders.RECORDING, "track", "camera") as draft:
            with draft.writer(header, key) as writer:
                for _ in range(mib):
                    writer.write(PIECE)
            draft.commit()
        return mib * MIB

    return run


def _plain_write(folder: Path, mib: int) -> Timed:
    """The floor: the same plaintext, fsync, rename, fsync of the folder."""

    def run() -> int:
        temporary = folder / ".plain"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600)
        for _ in range(mib):
            os.write(fd, PIECE)
        os.fsync(fd)
        os.close(fd)
        temporary.rename(folder / "plain")
        parent = os.open(folder, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)
        return mib * MIB

    return run


def _age(folder: Path, mib: int) -> Timed:
    """age encrypts the same plaintext from a pipe into a file, which is then synced."""
    identity = folder / "identity"
    subprocess.run(["age-keygen", "-o", str(identity)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(identity)], check=True, capture_output=True, text=True)

    def run() -> int:
        with (folder / "age").open("wb") as out:
            command = ["age", "-r", public.stdout.strip()]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out) as process:
                assert process.stdin is not None
                for _ in range(mib):
                    process.stdin.write(PIECE)
                process.stdin.close()
            os.fsync(out.fileno())
        return mib * MIB

    return run


def _age_read(folder: Path, mib: int) -> Timed:
    _age(folder, mib)()

    def run() -> int:
        command = ["age", "-d", "-i", str(folder / "identity"), str(folder / "age")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            while process.stdout.read(MIB):
                pass
        return mib * MIB

    return run


def _reader(folder: Path, mib: int, suite: int) -> SealedReader:
    _seal(folder, mib, suite)()
    vault = Vault(folder / "vault")
    header = vault.header_of(builders.RECORDING, "track", "camera")
    key = derive_file_key(builders.RECORDING_KEY, header)
    return vault.open_sealed(builders.RECORDING, "track", "camera", key)


def _read(folder: Path, mib: int, suite: int) -> Timed:
    """All of a sealed track that is in the page cache, proven."""
    reader = _reader(folder, mib, suite)
    _consume(reader)
    return lambda: _consume(reader)


def _consume(reader: SealedReader) -> int:
    return sum(len(piece) for piece in reader.iter_range(0, reader.size))


def _plain_read(folder: Path, mib: int) -> Timed:
    _plain_write(folder, mib)()
    fd = os.open(folder / "plain", os.O_RDONLY)

    def run() -> int:
        return sum(len(os.pread(fd, MIB, i * MIB)) for i in range(mib))

    run()
    return run


def _ranges(folder: Path, mib: int, count: int) -> Timed:
    """Random ranges of 1 MiB, each one's seconds in the answer."""
    reader, rng = _reader(folder, mib, 1), random.Random(5)
    seconds: list[float] = []

    def run() -> int:
        for _ in range(count):
            start = rng.randrange((mib - 1) * MIB)
            began = time.perf_counter()
            reader.read_range(start, start + MIB)
            seconds.append(time.perf_counter() - began)
        EXTRA["seconds_each"] = seconds
        return count * MIB

    return run


def _raw_sm4(_folder: Path, mib: int, mode: str) -> Timed:
    """SM4 as OpenSSL has it, in pieces of a segment and with no format around them; mode `ctr` or `gcm`."""
    piece = memoryview(PIECE)
    made = {
        "ctr": lambda i: modes.CTR(i.to_bytes(16, "big")),
        "gcm": lambda i: modes.GCM(i.to_bytes(12, "big")),
    }

    def run() -> int:
        for i in range(mib * (MIB // SEGMENT_BYTES)):
            cipher = Cipher(algorithms.SM4(bytes(16)), made[mode](i)).encryptor()
            at = i * SEGMENT_BYTES % MIB
            cipher.update(piece[at : at + SEGMENT_BYTES])
            cipher.finalize()
        return mib * MIB

    return run


EXTRA: dict[str, Any] = {}
KINDS: dict[str, Callable[..., Timed]] = {
    "journal": _journal,
    "plain_append": _plain_append,
    "webdav": _webdav,
    "seal": _seal,
    "plain_write": _plain_write,
    "age": _age,
    "age_read": _age_read,
    "read": _read,
    "plain_read": _plain_read,
    "ranges": _ranges,
    "raw_sm4": _raw_sm4,
}


def main() -> None:
    """`vault_job KIND FOLDER ARGUMENTS`, the arguments as a JSON object."""
    kind, folder, arguments = sys.argv[1], Path(sys.argv[2]) / uuid.uuid4().hex, json.loads(sys.argv[3])
    folder.mkdir(parents=True)
    run = KINDS[kind](folder, **arguments)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    size = run()
    seconds = time.perf_counter() - began
    print(json.dumps({"bytes": size, "seconds": seconds, **EXTRA}), flush=True)


if __name__ == "__main__":
    main()
