"""Generations of key backups: every key record, the erase ledger and the vault's description, one file a day.

A generation is written whole under a temporary name, read back from the disk record by record, and only then
named; one that is cut, damaged or of another vault is refused as a whole. What is in it is wrapped: it opens
nothing without the vault key. docs/key_formats.md has every byte.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage import disk
from storage.errors import IntegrityError, LedgerError, NotFound
from storage.keys import KINDS, canonical_json, parse_record
from storage.keystore import KeyStore
from storage.ledger_format import KEY_ID, MAX_LEDGER_BYTES, Chain, parse_ledger

SUFFIX = ".keys"
Name = tuple[str, str]
"""Kind and id of a record."""
FORMAT, VERSION = "fupan key backup", 1
DESCRIPTION, LEDGER, RECORD, END = b"D ", b"L ", b"K ", b"E "
_LONGEST_LINE = (1 << 18) + 2
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Generation:
    """The backup of one day (UTC)."""

    path: Path
    day: dt.date


@dataclass(frozen=True)
class Proven:
    """What a generation holds, read from its first byte to its last: names are (kind, id)."""

    vault_id: uuid.UUID
    made: str
    description: bytes
    names: frozenset[Name]


@dataclass(frozen=True)
class Restored:
    """What a restore did. `erased`: records that the ledger names, which stay away; `kept`: those that were
    there and whole."""

    records: int
    kept: int
    erased: int
    ledger: bool


def generations(folder: Path) -> list[Generation]:
    """The generations in a folder, the newest first; what is none is passed over."""
    found = []
    for path in folder.glob(f"[!.]*{SUFFIX}"):
        with contextlib.suppress(ValueError):
            day = dt.date.fromisoformat(path.name.removesuffix(SUFFIX))
            if f"{day}{SUFFIX}" == path.name:
                found.append(Generation(path, day))
    return sorted(found, key=lambda each: each.day, reverse=True)


def write_generation(
    folder: Path,
    day: dt.date,
    vault_id: uuid.UUID,
    store: KeyStore,
    ledger: bytes,
    description: bytes,
    earlier: Sequence[tuple[Path, Collection[Name]]] = (),
) -> tuple[Proven, list[Name]]:
    """Back up every record of a store so that it lasts, in the place of an earlier one of the same day.

    `ledger`: its whole lines; `description`: one line; `earlier`: generations that were proven, the newest
    first, with those of their records that were not erased since: what the store has no more, or damaged, is
    taken over from them. Returns what was read back, and the records that the store should have and has not
    whole. Raises VaultFull, IntegrityError("generation") when it does not read back.
    """
    lost: list[Name] = []
    lines = _lines(vault_id, store, ledger, description, earlier, lost)
    return _put(folder / f"{day}{SUFFIX}", lines), lost


def _put(path: Path, lines: Iterator[bytes]) -> Proven:
    """Write a generation, read it back, and destroy the one of the same name that was there."""
    with disk.Temporary(path) as temporary:
        _write(temporary.fd, lines)
        with disk.room_errors():
            os.fsync(temporary.fd)
        os.posix_fadvise(temporary.fd, 0, 0, os.POSIX_FADV_DONTNEED)  # read it from the disk, not from memory
        proven = _prove(temporary.fd)
        before = path.with_name(f".{path.name}.before{disk.TEMPORARY_SUFFIX}")
        with contextlib.suppress(FileNotFoundError):
            before.hardlink_to(path)
        temporary.commit()
    disk.destroy(before)
    return proven


def _taken_over(
    earlier: Sequence[tuple[Path, Collection[Name]]], there: set[Name], lost: list[Name]
) -> Iterator[bytes]:
    """The lines of records that are not `there`, each from the newest generation that has it."""
    for path, names in earlier:
        wanted = set(names) - there
        if not wanted:
            continue
        lost += sorted(wanted - set(lost))
        there |= wanted
        for tag, line in _read(path):
            if tag == RECORD:
                record = parse_record(line)
                if (record.kind, record.id) in wanted:
                    yield RECORD + line


def prune_generations(folder: Path, today: dt.date, kept_days: int) -> list[Generation]:
    """Destroy the generations of more than `kept_days` days, today's counted, but never the newest one."""
    oldest = today - dt.timedelta(days=kept_days - 1)
    gone = [each for each in generations(folder)[1:] if each.day < oldest]
    for each in gone:
        disk.destroy(each.path)
    return gone


def thin_generations(
    folder: Path, today: dt.date, kept_days: int, erased: Collection[Name]
) -> list[Generation]:
    """Write those of more than `kept_days` days anew without the records that were erased, and those of days
    to come, which a clock that was ahead has left: neither may keep what was erased for longer than the
    others do. Returns those that were changed, or removed since they cannot be read."""
    oldest = today - dt.timedelta(days=kept_days - 1)
    changed = []
    for each in generations(folder):
        try:
            if oldest <= each.day <= today:
                continue
            if prove_generation(each.path).names.isdisjoint(erased):
                continue
            _put(each.path, _lines_without(each.path, erased))
        except IntegrityError:
            disk.destroy(each.path)
        changed.append(each)
    return changed


def _lines_without(path: Path, erased: Collection[Name]) -> Iterator[bytes]:
    for tag, line in _read(path):
        if tag == RECORD:
            record = parse_record(line)
            if (record.kind, record.id) in erased:
                continue
        if tag != END:
            yield tag + line


def prove_generation(path: Path) -> Proven:
    """Read all of it. Raises NotFound, IntegrityError: `generation` (cut, damaged, not one), `version`, or
    `stranger` (no plain file)."""
    with _opened(path) as fd:
        return _prove(fd)


def restore_generation(path: Path, store: KeyStore, copies: Sequence[Path], vault_id: uuid.UUID) -> Restored:
    """Put back the records of a proven generation that are missing or damaged, and the ledger beside the keys
    (`copies[0]`) where that is shorter; nothing that a copy of the ledger names comes back.

    Raises NotFound, IntegrityError, LedgerError; then nothing was changed.
    """
    proven = prove_generation(path)
    if proven.vault_id != vault_id:
        raise IntegrityError("generation", f"{path.name} is of vault {proven.vault_id}")
    public = _ledger_public(path, store)
    kept, newest = _ledgers(path, copies, vault_id, public) if public else (Chain(), Chain())
    counts = {"records": 0, "kept": 0, "erased": 0}
    for tag, line in _read(path):
        if tag == RECORD:
            record = parse_record(line)
            erased = (record.kind, record.id) in newest.destroyed
            counts["erased" if erased else store.restore(record)] += 1
    longer = bool(public) and _restore_ledger(copies[0], kept, vault_id, public or b"")
    return Restored(**counts, ledger=longer)


def _ledgers(path: Path, copies: Sequence[Path], vault_id: uuid.UUID, public: bytes) -> tuple[Chain, Chain]:
    """The generation's erase ledger, and the longest that there is of it. Raises LedgerError."""
    kept = newest = parse_ledger(_ledger_lines(path), vault_id, public)
    for copy in copies:
        present = _chain_in(copy, vault_id, public)
        short, newest = sorted((present, newest), key=lambda chain: chain.head.count)
        if newest.heads[short.head.count] != short.heads[-1]:
            raise IntegrityError("generation", f"{path.name} and {copy} tell two histories of erasures")
    return kept, newest


def _chain_in(path: Path, vault_id: uuid.UUID, public: bytes) -> Chain:
    """What a copy of the ledger says; nothing, where an unlock will name what is wrong with it."""
    with contextlib.suppress(FileNotFoundError, LedgerError, IntegrityError):
        return parse_ledger(disk.read_plain(path, MAX_LEDGER_BYTES), vault_id, public)
    return Chain()


def _restore_ledger(path: Path, kept: Chain, vault_id: uuid.UUID, public: bytes) -> bool:
    """Whether the generation's ledger was put in the place of one that is missing, damaged or shorter."""
    if not kept.entries:
        return False
    if _chain_in(path, vault_id, public).head.count >= kept.head.count:
        return False
    with disk.Temporary(path) as temporary:
        disk.write_at(temporary.fd, [kept.lines_after(0)], 0)
        temporary.commit()
    return True


def _ledger_public(path: Path, store: KeyStore) -> bytes | None:
    """The ledger key's public half, by the record that is here or else by the generation's."""
    with contextlib.suppress(NotFound, IntegrityError):
        return store.get("service", KEY_ID).public
    for tag, line in _read(path):
        if tag == RECORD and (record := parse_record(line)).id == KEY_ID and record.kind == "service":
            return record.public
    return None


def _ledger_lines(path: Path) -> bytes:
    return b"".join(line + b"\n" for tag, line in _read(path) if tag == LEDGER)


# --- bytes -------------------------------------------------------------------------------------------------


def _lines(
    vault_id: uuid.UUID,
    store: KeyStore,
    ledger: bytes,
    description: bytes,
    earlier: Sequence[tuple[Path, Collection[Name]]],
    lost: list[Name],
) -> Iterator[bytes]:
    made = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield canonical_json({"format": FORMAT, "version": VERSION, "vault": str(vault_id), "made": made})
    yield DESCRIPTION + description
    for line in ledger.splitlines():
        yield LEDGER + line
    there: set[Name] = set()
    for kind in sorted(KINDS):
        for key_id in store.list(kind):
            try:
                yield RECORD + store.get(kind, key_id).encode()
            except NotFound:  # destroyed meanwhile
                pass
            except IntegrityError:
                lost.append((kind, key_id))
                continue
            there.add((kind, key_id))
    yield from _taken_over(earlier, there, lost)


def _write(fd: int, lines: Iterator[bytes]) -> None:
    digest, offset, waiting, records = hashlib.sha256(), 0, bytearray(), 0
    for line in lines:
        records += line.startswith(RECORD)
        waiting += line + b"\n"
        if len(waiting) >= _PIECE_BYTES:
            digest.update(waiting)
            offset = disk.write_at(fd, [waiting], offset)
            waiting = bytearray()
    digest.update(waiting)
    disk.write_at(fd, [waiting, END + f"{records} {digest.hexdigest()}\n".encode()], offset)


def _prove(fd: int) -> Proven:
    try:
        lines = _split(fd)
        head = next(lines)
        vault_id, made = _header(head)
        digest = hashlib.sha256(head + b"\n")
        description, names, before = b"", set[tuple[str, str]](), DESCRIPTION
        for line in lines:
            tag, rest = line[:2], line[2:]
            if tag == END:
                if line != END + f"{len(names)} {digest.hexdigest()}".encode():
                    raise ValueError("it does not end as it began")
                if next(lines, None) is not None or not description:
                    raise ValueError("its parts are not in order")
                return Proven(vault_id, made, description, frozenset(names))
            digest.update(line + b"\n")
            if tag not in _FOLLOWS.get(before, ()):
                raise ValueError("its parts are not in order")
            if tag == DESCRIPTION:
                description, before = rest, LEDGER
                continue
            before = tag
            if tag == RECORD:
                record = parse_record(rest)
                if (record.kind, record.id) in names:
                    raise ValueError(f"{record.kind} {record.id} stands twice")
                names.add((record.kind, record.id))
        raise ValueError("its end is missing")
    except IntegrityError as error:
        raise error if error.kind == "version" else IntegrityError("generation", error.detail) from None
    except (ValueError, KeyError, TypeError, RecursionError, StopIteration) as error:
        raise IntegrityError("generation", str(error) or "it is empty") from None


# Which part may follow which; the description comes once, and first.
_FOLLOWS = {DESCRIPTION: (DESCRIPTION,), LEDGER: (LEDGER, RECORD), RECORD: (RECORD,)}


def _header(line: bytes) -> tuple[uuid.UUID, str]:
    fields = json.loads(line)
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError("not a key backup")
    if type(fields.get("version")) is not int or fields["version"] != VERSION:
        raise IntegrityError("version", "this key backup was made by a newer Fupan")
    vault_id, made = uuid.UUID(fields["vault"]), dt.datetime.fromisoformat(fields["made"])
    if canonical_json(fields) != line or len(fields) != 4 or made.tzinfo is None:
        raise ValueError("not canonical")
    return vault_id, str(fields["made"])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        fd = disk.open_plain(path)
    except FileNotFoundError:
        raise NotFound("generation", path.name) from None
    try:
        yield fd
    finally:
        os.close(fd)


def _read(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Tag and content of each line of a file that was proven before."""
    with _opened(path) as fd:
        for line in _split(fd):
            yield line[:2], line[2:]


def _split(fd: int) -> Iterator[bytes]:
    """The lines of a file, without their ends. Raises ValueError for one too long, or without an end."""
    offset, rest = 0, b""
    while piece := os.pread(fd, _PIECE_BYTES, offset):
        offset += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        if any(len(line) > _LONGEST_LINE for line in (*lines, rest)):
            raise ValueError("a line is too long")
        yield from lines
    if rest:
        raise ValueError("its last line is cut")
