"""What storage does for one recording, from its first chunk to its sealed track, saying what it acknowledged.

Run as `python -m tests.storage.crash_workload INPUT FOLDER` under a tracer that makes one system call fail.
Each step that failed is tried once more, as a browser or a job would. Lines on standard output: `kept N`,
`key`, `sealed`.
"""

from __future__ import annotations

import os
import pickle
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from storage.keys import derive_file_key
from storage.segment_format import SealedHeader
from storage.stream import EpochReader
from storage.vault import Journal, KeyStore, Vault, VaultError


def steps(given: dict[str, Any], folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each step with the line that acknowledges it."""
    epoch, recording = given["epoch"], given["recording"]
    path = folder / "intake" / "camera.journal"
    journal = Journal(path)
    for n, flag, opening, ciphertext, digest in given["bodies"]:
        yield f"kept {n}", lambda a=(epoch, n, flag, opening, ciphertext, digest): journal.append(*a)
    yield "key", lambda: KeyStore(folder / "keys").put("recording", str(recording), given["record"])
    yield "sealed", lambda: seal(given, path, Vault(folder / "vault"), recording)


def seal(given: dict[str, Any], journal: Path, vault: Vault, recording: uuid.UUID) -> None:
    """Seal the epoch as a track. Each try has a header, and so a key, of its own."""
    fields = given["header"] | {"salt": os.urandom(32)}
    header = SealedHeader(**fields)
    key = derive_file_key(given["recording_key"], header)
    with (
        EpochReader(journal, given["epoch"], given["epoch_key"], given["opening"]) as reader,
        vault.begin(recording, "track", "camera") as draft,
    ):
        with draft.writer(header, key, head_budget=128) as writer:
            while piece := reader.read(700):
                writer.write(piece)
        draft.commit()


def run(given: dict[str, Any], folder: Path, acknowledge: Callable[[str], object]) -> None:
    """Do every step; one that fails is tried once more."""
    for line, step in steps(given, folder):
        try:
            step()
        except (OSError, VaultError):
            step()
        acknowledge(line)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("rb") as file:
        material = pickle.load(file)
    run(material, Path(sys.argv[2]), lambda line: os.write(1, f"{line}\n".encode()))
