"""Promise: a crash never harms stored data.

Every system call that writes, in appending and sealing one recording, is made to fail with EIO, with ENOSPC,
and by SIGKILL; and the power is cut after each of them, with what was not fsynced lost, torn or whole.
Afterwards `check` is clean, every acknowledged chunk is there, and the same work goes through without a
manual step.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from storage.check import check, check_journal, check_keys
from storage.keys import derive_file_key, wrap
from storage.vault import Journal, KeyStore, Vault, unwrap
from tests.storage import builders, crash_workload, power_cut

pytestmark = pytest.mark.promise
STRACE = shutil.which("strace")
CALLS = (
    "openat,mkdir,mkdirat,write,pwrite64,pwritev,pwritev2,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat"
)
FAULTS = ("error=EIO", "error=ENOSPC", "signal=SIGKILL")
PARENT = bytes(range(32))


def _material(chunks: int) -> dict[str, Any]:
    made = builders.epoch([bytes([i]) * 500 for i in range(chunks)])
    head = {"vault_id": builders.VAULT, "owner": builders.RECORDING, "kind": "track", "name": "camera"}
    record = wrap(
        PARENT, kind="recording", key_id=str(builders.RECORDING), parent="hr", key=builders.RECORDING_KEY
    )
    return {
        "recording": builders.RECORDING,
        "epoch": made.opening.epoch,
        "epoch_key": made.key,
        "opening": made.opening.raw,
        "bodies": [(b.n, b.flag, b.opening, b.ciphertext, b.digest) for b in made.bodies],
        "plain": b"".join(made.plaintexts),
        "header": head | {"segment_bytes": 64},
        "recording_key": builders.RECORDING_KEY,
        "record": record,
    }


def _traced(given: Path, folder: Path, log: Path, *options: str) -> tuple[list[str], list[str]]:
    """Run the workload; what it acknowledged, and the traced calls."""
    command = [
        str(STRACE),
        "-f",
        "-y",
        "-qq",
        "-e",
        "signal=none",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(log),
        *options,
    ]
    command += [sys.executable, "-B", "-m", "tests.storage.crash_workload", str(given), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.split("\n")[:-1], log.read_text(encoding="utf-8", errors="replace").splitlines()


def _writes(lines: list[str], folder: Path) -> Iterator[tuple[str, int]]:
    """Each traced call that writes below `folder`: its name and its ordinal among the calls of this name."""
    counts: dict[str, int] = {}
    for line in lines:
        found = re.match(r"\d+ +(\w+)\((.*)", line)
        if found is None:
            continue
        name, rest = found.groups()
        counts[name] = counts.get(name, 0) + 1
        if str(folder) in rest and (name != "openat" or "O_CREAT" in rest):
            yield name, counts[name]


def _require_nothing_lost(given: dict[str, Any], folder: Path, acknowledged: list[str], what: str) -> None:
    """The promise, for the folder as a crash left it."""
    path, vault = folder / "intake" / "camera.journal", Vault(folder / "vault")

    def file_key(header: Any) -> bytes:
        return derive_file_key(given["recording_key"], header)

    def findings() -> list[Any]:
        journal = check_journal(path, full=True) if path.exists() else []
        return journal + check_keys(folder / "keys") + check(vault.root, full=True, file_key=file_key)

    assert [finding for finding in findings() if not finding.harmless] == [], what
    journal = Journal(path)
    for n, _flag, _opening, ciphertext, _digest in given["bodies"]:
        if f"kept {n}" in acknowledged:
            assert journal.read(given["epoch"], n) == ciphertext, what
    if "key" in acknowledged:
        record = KeyStore(folder / "keys").get("recording", str(given["recording"]))
        assert unwrap(PARENT, record) == given["recording_key"], what
    if "sealed" in acknowledged:
        _require_sealed(given, vault)
    again: list[str] = []
    crash_workload.run(given, folder, again.append)
    assert again == [*(f"kept {body[0]}" for body in given["bodies"]), "key", "sealed"], what
    for n, _flag, _opening, ciphertext, _digest in given["bodies"]:
        assert Journal(path).read(given["epoch"], n) == ciphertext, what
    _require_sealed(given, vault)
    assert findings() == [], what


def _require_sealed(given: dict[str, Any], vault: Vault) -> None:
    key = derive_file_key(given["recording_key"], vault.header_of(given["recording"], "track", "camera"))
    with vault.open_sealed(given["recording"], "track", "camera", key) as reader:
        assert reader.read() == given["plain"]


@pytest.mark.skipif(STRACE is None, reason="strace is not installed (apt-get install strace)")
@pytest.mark.parametrize("chunks", [1, pytest.param(5, marks=pytest.mark.long)])
def test_every_write_may_fail(
    tmp_path: Path, chunks: int, record_property: Callable[[str, object], None]
) -> None:
    given = _material(chunks)
    source = tmp_path / "input"
    source.write_bytes(pickle.dumps(given))
    acknowledged, lines = _traced(source, tmp_path / "plain" / "data", tmp_path / "plain.log")
    assert acknowledged[-1] == "sealed"
    writes = list(_writes(lines, tmp_path / "plain" / "data"))
    assert {name for name, _ in writes} >= {
        "openat",
        "mkdir",
        "pwritev2",
        "fsync",
        "fdatasync",
        "rename",
        "link",
    }

    def crash(case: tuple[int, str, int, str]) -> tuple[Path, list[str], str]:
        number, name, ordinal, fault = case
        folder = tmp_path / f"{number:05}" / "data"
        log = tmp_path / f"{number:05}.log"
        done, traced = _traced(source, folder, log, "-e", f"inject={name}:{fault}:when={ordinal}")
        if fault.startswith("signal"):
            hit = traced[-1]
            assert hit.endswith("= ?"), "the process outlived its SIGKILL"
        else:
            (hit,) = [line for line in traced if "(INJECTED)" in line]
        assert str(folder) in hit, (case, hit)
        return folder, done, f"{name} {ordinal} {fault}"

    cases = [(i, *write, fault) for i, (write, fault) in enumerate((w, f) for w in writes for f in FAULTS)]
    with ThreadPoolExecutor(os.cpu_count()) as runs:
        for folder, done, what in runs.map(crash, cases):
            _require_nothing_lost(given, folder, done, what)
    record_property("figure", f"{len(cases)} faults at {len(writes)} writes: 0 acknowledged chunks lost")


@pytest.mark.parametrize("chunks", [2, pytest.param(8, marks=pytest.mark.long)])
def test_the_power_may_be_cut(
    tmp_path: Path, chunks: int, record_property: Callable[[str, object], None]
) -> None:
    given, root = _material(chunks), tmp_path / "plain"
    root.mkdir()
    with power_cut.recording(root) as log:
        crash_workload.run(given, root / "data", log.acknowledge)
    states = 0
    for moment in range(len(log.operations) + 1):
        acknowledged = log.acknowledged(moment)
        for names_last in (False, True):
            for loss in power_cut.LOSSES:
                after = tmp_path / f"{moment}-{names_last}-{loss}"
                log.rebuild(after, moment, loss, names_last=names_last)
                _require_nothing_lost(given, after / "data", acknowledged, after.name)
                shutil.rmtree(after)
                states += 1
    record_property("figure", f"{states} states after a power cut: 0 acknowledged chunks lost")
