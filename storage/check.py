"""Looks over a vault, a journal or the keys and names what is wrong, without changing anything."""

from __future__ import annotations

import contextlib
import heapq
import os
import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from storage import disk
from storage.check_store import (
    Depth,
    FileKey,
    Finding,
    KeyRound,
    Part,
    Proofs,
    SealedRound,
    Seen,
    in_full,
)
from storage.errors import StoreDown, VaultError
from storage.files import Vault
from storage.journal import payload_of, proves, read_index
from storage.layout import MARK, Place
from storage.ledger_format import MAX_LEDGER_BYTES, Chain, parse_ledger
from storage.objects import DiskObjects, FileSource, Objects

__all__ = ["Finding", "Part", "Seen", "check", "check_journal", "check_keys", "check_ledger", "to_read"]


def check(
    where: Vault | Objects | Path | str,
    full: Depth = False,
    file_key: FileKey | None = None,
    *,
    digest: Callable[[Place], bytes | None] | None = None,
    seen: Seen | None = None,
) -> list[Finding]:
    """What is wrong in a vault, or in one store of sealed files; a path is a folder on disk.

    Every name and length is looked at, and the headers of the NEWEST files. What `full` says is read to its
    last byte, and proven where `file_key` gives the file's key, or else `digest` that of its bytes (None
    where they cannot). `seen` counts what was looked at.
    """
    proofs = Proofs(file_key, digest)
    seen = seen if seen is not None else Seen()
    if isinstance(where, Vault):
        return list(_check_tiers(where, full, seen, proofs))
    objects = DiskObjects(where) if isinstance(where, Path | str) else where
    return list(SealedRound(objects, full, seen, proofs).findings())


def to_read(vault: Vault, depth: Depth) -> int:
    """How many bytes a check of this depth reads whole, about; for a progress bar. Raises StoreDown."""
    if not depth:
        return 0
    return sum(file.bytes for owner, files in vault.contents() if in_full(depth, owner) for file in files)


def _check_tiers(vault: Vault, depth: Depth, seen: Seen, proofs: Proofs) -> Iterator[Finding]:
    """Each tier by itself, one that cannot be looked at too; and what is on both: a move that was cut short
    leaves that, and the next one of its recording ends it."""
    for store in vault.tiers.values():
        try:
            yield from SealedRound(store, depth, seen, proofs).findings()
        except StoreDown as error:
            yield Finding(store.place(""), error.kind, error.detail)
    try:
        vault.require_cold()
        if vault.cold is not None:
            names = heapq.merge(*((stored.name for stored in store.list()) for store in vault.tiers.values()))
            twice = (name for name, same in groupby(names) if name != MARK and len(list(same)) > 1)
            yield from [Finding(vault.cold.place(name), "twice", "on both tiers") for name in twice]
    except StoreDown as error:
        yield Finding("the cold tier", error.kind, error.detail)


def check_keys(root: Path | str, full: Depth = True, seen: Seen | None = None) -> list[Finding]:
    """What is wrong below a folder of key records: each must be one, and name itself as its file does. Not
    `full`: each has its name and a possible length, and the NEWEST are read."""
    return list(KeyRound(DiskObjects(root), full, seen if seen is not None else Seen()).findings())


def check_ledger(copies: Sequence[Path], vault_id: uuid.UUID, public: bytes) -> list[Finding]:
    """What is wrong with the copies of the erase ledger, each entry proven by its key's public half.

    A copy that lacks the last entry is what a crash leaves, and the next unlock or erasure makes it good.
    """
    found: dict[Path, Chain] = {}

    def check_copy(path: Path) -> list[Finding]:
        found[path] = parse_ledger(disk.read_plain(path, MAX_LEDGER_BYTES), vault_id, public)
        torn = found[path].torn
        return [Finding(path, "torn_tail", f"{torn} bytes")] if torn else []

    findings = [each for path in copies if os.path.lexists(path) for each in _findings(path, check_copy)]
    longest = max((chain.head.count for chain in found.values()), default=0)
    for path in copies:
        count = found[path].head.count if path in found else 0
        if count < longest and (path in found or not os.path.lexists(path)):
            kind = "behind" if count == longest - 1 else "short"
            findings.append(Finding(path, kind, f"entries {count + 1} to {longest} are in another copy"))
    return findings


def check_journal(path: Path | str, full: bool = False) -> list[Finding]:
    """What is wrong with one journal; `full` proves every payload by its digest.

    Whoever has taken intake over may have put anything in its place: it is neither followed nor waited for.
    """
    return _findings(Path(path), lambda plain: _check_records(plain, full))


def _check_records(path: Path, full: bool) -> list[Finding]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        index = read_index(fd)
        findings = [Finding(path, "record", f"bytes {start} to {end}") for start, end in index.damaged]
        if (torn := os.fstat(fd).st_size - index.end) > 0:
            findings.append(Finding(path, "torn_tail", f"{torn} bytes"))
        for epoch, found in index.epochs.items():
            if found.opening is None:
                findings.append(Finding(path, "record", f"no opening of epoch {epoch.hex()}"))
                continue
            for n, (record, offset) in sorted(found.chunks.items()) if full else []:
                if not proves(fd, index, record, payload_of(fd, record, offset)):
                    findings.append(Finding(path, "record", f"chunk {n} of epoch {epoch.hex()}"))
        return findings
    finally:
        os.close(fd)


def _findings(path: Path, check_file: Callable[[Path], list[Finding]]) -> list[Finding]:
    """What `check_file` finds both times, or why it cannot look: nothing that lies there ends the check."""
    return _once(path, check_file) and _once(path, check_file)


def _once(path: Path, check_file: Callable[[Path], list[Finding]]) -> list[Finding]:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return [Finding(path, "stranger", "not a plain file")]
        _forget(path)
        return check_file(path)
    except VaultError as error:
        return [Finding(path, error.kind, str(error))]
    except OSError as error:
        return [Finding(path, "unreadable", str(error))]


def _forget(path: Path) -> None:
    """Have it read from the disk itself, where that can be had."""
    with contextlib.suppress(OSError), FileSource.at(path) as file:
        file.forget(file.size, 0)
