"""Looks over a vault, a journal or the keys and names what is wrong, without changing anything."""

from __future__ import annotations

import contextlib
import heapq
import os
import stat
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from storage import disk
from storage.errors import StoreDown, VaultError
from storage.files import Vault
from storage.journal import payload_of, proves, read_index
from storage.keystore import SUFFIX as KEY_SUFFIX
from storage.keystore import KeyStore
from storage.layout import MARK, parse_object_name
from storage.ledger import LEDGER_NAME
from storage.ledger_format import Chain, parse_ledger
from storage.objects import DiskObjects, Objects, Source, Stored, digest_of
from storage.sealed import SealedReader, read_header
from storage.segment_format import MAX_HEADER_BYTES, SealedHeader, layout_of

FileKey = Callable[[SealedHeader], bytes | None]


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    kind: that of an IntegrityError or LedgerError, or `leftover`, `torn_tail`, `behind`, `twice`,
    `stranger`, `unreadable`.
    """

    path: Path | str
    kind: str
    detail: str = ""

    @property
    def harmless(self) -> bool:
        """Whether it is what a crash may leave and the next write tidies; anything else needs a person."""
        return self.kind in ("leftover", "torn_tail", "behind", "twice")


def check(
    where: Vault | Objects | Path | str, full: bool = False, file_key: FileKey | None = None
) -> list[Finding]:
    """What is wrong in a vault, or in one store of sealed files; a path is a folder on disk.

    Quick: each sealed file has a header that fits its place, and a possible length. `full` reads every byte;
    segments are proven where `file_key` gives the file's key (None where it cannot).
    """
    if isinstance(where, Vault):
        return _check_tiers(where, full, file_key)
    objects = DiskObjects(where) if isinstance(where, Path | str) else where
    return [each for stored in objects.list() for each in _check_stored(objects, stored, full, file_key)]


def _check_tiers(vault: Vault, full: bool, file_key: FileKey | None) -> list[Finding]:
    """Each tier by itself, one that cannot be looked at too; and what is on both: a move that was cut short
    leaves that, and the next one of its recording ends it."""
    findings = []
    for store in vault.tiers.values():
        try:
            findings += check(store, full, file_key)
        except StoreDown as error:
            findings.append(Finding(store.place(""), error.kind, error.detail))
    try:
        vault.require_cold()
        if vault.cold is not None:
            names = heapq.merge(*((stored.name for stored in store.list()) for store in vault.tiers.values()))
            twice = (name for name, same in groupby(names) if name != MARK and len(list(same)) > 1)
            findings += [Finding(vault.cold.place(name), "twice", "on both tiers") for name in twice]
    except StoreDown as error:
        findings.append(Finding("the cold tier", error.kind, error.detail))
    return findings


def check_keys(root: Path | str) -> list[Finding]:
    """What is wrong below a folder of key records: each must be one, and name itself as its file does."""
    store = KeyStore(root)

    def check_record(path: Path) -> list[Finding]:
        if path == Path(root) / LEDGER_NAME:
            return []  # check_ledger
        if path.suffix != KEY_SUFFIX:
            return [Finding(path, "stranger", "not a key record")]
        store.get(path.parent.name, path.name.removesuffix(KEY_SUFFIX))
        return []

    return _walk(Path(root), check_record)


def check_ledger(copies: Sequence[Path], vault_id: uuid.UUID, public: bytes) -> list[Finding]:
    """What is wrong with the copies of the erase ledger, each entry proven by its key's public half.

    A copy that lacks the last entry is what a crash leaves, and the next unlock or erasure makes it good.
    """
    found: dict[Path, Chain] = {}

    def check_copy(path: Path) -> list[Finding]:
        found[path] = parse_ledger(path.read_bytes(), vault_id, public)
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


def _walk(root: Path, check_file: Callable[[Path], list[Finding]]) -> list[Finding]:
    findings: list[Finding] = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        findings += [Finding(path, "leftover") for path in disk.leftovers(Path(folder))]
        for name in sorted(names):
            path = Path(folder, name)
            if disk.is_temporary(path):
                continue
            findings += _findings(path, check_file)
    return findings


def _findings(path: Path, check_file: Callable[[Path], list[Finding]]) -> list[Finding]:
    """What `check_file` finds, or why it cannot look: nothing that lies there ends the whole check."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return [Finding(path, "stranger", "not a plain file")]
        return check_file(path)
    except VaultError as error:
        return [Finding(path, error.kind, str(error))]
    except OSError as error:
        return [Finding(path, "unreadable", str(error))]


def _check_stored(objects: Objects, stored: Stored, full: bool, file_key: FileKey | None) -> list[Finding]:
    """What is wrong with one entry, or why it cannot be looked at: nothing that lies there ends the check."""
    place = objects.place(stored.name)
    if stored.name in (LEDGER_NAME, MARK):
        return []  # check_ledger
    if stored.kind == "leftover":
        return [Finding(place, "leftover")]
    named = parse_object_name(stored.name) if stored.kind == "object" else None
    if named is None:
        why = "not a sealed file" if stored.kind == "object" else "not a plain file"
        return [Finding(place, "stranger", why)]
    try:
        with contextlib.closing(objects.open(stored.name, MAX_HEADER_BYTES)) as source:
            header = read_header(source)
            if (header.owner, header.kind, header.name) != named:
                detail = f"it says {header.owner} {header.kind} {header.name}"
                return [Finding(place, "wrong_place", detail)]
            layout_of(header, source.size)
        if full:
            key = file_key(header) if file_key is not None else None
            _read_all(objects.open(stored.name), key)
    except (VaultError, OSError) as error:
        return [Finding(place, error.kind if isinstance(error, VaultError) else "unreadable", str(error))]
    return []


def _read_all(source: Source, key: bytes | None) -> None:
    """Meet every unreadable block now rather than when a person waits; with the key, every altered one."""
    if key is not None:
        with SealedReader(source, key) as reader:
            for _ in reader.iter_range(0, reader.size):
                pass
        return
    with contextlib.closing(source):
        digest_of(source)
