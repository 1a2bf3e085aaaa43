"""One round through a store: every name and length, and the bytes of what is to be read.

Nothing is called damaged that was looked at once only: what looks wrong is opened anew and read again from
the medium itself, so that neither a bit that turned over in memory nor a disk that stumbled is an alarm.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import hashlib
import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import IntegrityError, NotFound, StoreDown, VaultError
from storage.keys import MAX_RECORD_BYTES, parse_record
from storage.keystore import SUFFIX as KEY_SUFFIX
from storage.layout import MARK, START_LENGTH, Place, is_start, parse_object_name, what_of
from storage.ledger import LEDGER_NAME
from storage.objects import DiskObjects, Objects, Source, Stored, digest_of
from storage.sealed import SealedReader, read_header
from storage.segment_format import MAX_HEADER_BYTES, SEGMENT_BYTES, SealedHeader, header_bytes, layout_of
from storage.suites import TAG_BYTES

FileKey = Callable[[SealedHeader], bytes | None]
NEWEST = 1000
"""Of how many files, those written last, a quick round reads the header: a power cut harms no others."""


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    kind: that of an IntegrityError or LedgerError, or `leftover`, `torn_tail`, `behind`, `twice`,
    `stranger`, `unreadable`, `digest`, `superseded`, `erased`. `file`: which sealed file it is about, if any.
    """

    path: Path | str
    kind: str
    detail: str = ""
    file: Place | None = None

    @property
    def harmless(self) -> bool:
        """Whether it is what a crash may leave and the next write tidies, a track that was repaired, or left
        of what was erased; anything else needs a person."""
        return self.kind in ("leftover", "torn_tail", "behind", "twice", "superseded", "erased")


@dataclass(frozen=True)
class Part:
    """The `number`-th (from 1) of `count` parts, by whose a file is: together they are all, each once."""

    number: int
    count: int

    def __contains__(self, owner: object) -> bool:
        digest = hashlib.sha256(str(owner).encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


Depth = bool | Part
"""What is read to its last byte: nothing, everything, or a part."""


def in_full(depth: Depth, owner: object) -> bool:
    """Whether what belongs to this recording, person or key is to be read to its last byte."""
    return owner in depth if isinstance(depth, Part) else depth


@dataclass
class Seen:
    """What a check has looked at so far: files by name and length; of those, how many it read whole, and by
    what they proved: `by_tags` under their keys, `by_digest` as the same bytes, `only_read` by neither."""

    files: int = 0
    bytes: int = 0
    by_tags: int = 0
    by_digest: int = 0
    only_read: int = 0
    told: Callable[[int], None] = field(default=lambda _bytes: None, repr=False)
    """Called with every count of bytes that was read."""

    @property
    def whole(self) -> int:
        """How many files were read to their last byte."""
        return self.by_tags + self.by_digest + self.only_read

    def read(self, count: int) -> None:
        """Count bytes that were read whole."""
        self.bytes += count
        self.told(count)


@dataclass(frozen=True)
class Proofs:
    """What can prove a file whole; each gives None where it cannot. `key`: the file key by its header.
    `digest`: the SHA-256 of its bytes as stored."""

    key: FileKey | None = None
    digest: Callable[[Place], bytes | None] | None = None


class Round(abc.ABC):
    """One round through one store; `findings` may be asked for once."""

    def __init__(self, objects: Objects, depth: Depth, seen: Seen) -> None:
        self._objects, self._depth, self._seen = objects, depth, seen
        self._newest: list[tuple[float, str]] = []
        self._floor = 0.0  # from when on a file may be one of the newest

    @abc.abstractmethod
    def owner(self, name: str) -> object | None:
        """Whose an object of this name is; None for a name that does not belong here."""

    @abc.abstractmethod
    def is_usual(self, name: str, size: int) -> bool:
        """Whether an object may be called so and be so long. False only has it looked at."""

    @abc.abstractmethod
    def look(self, name: str, *, full: bool) -> list[Finding]:
        """What is wrong with one object, read from the medium. Raises VaultError, OSError."""

    def findings(self) -> Iterator[Finding]:
        """What is wrong, as it is found. Raises StoreDown."""
        objects = self._objects
        if isinstance(objects, DiskObjects) and not self._depth:
            listed = objects.list("", self.sift)
        else:
            listed = objects.list()
        for stored in listed:
            try:
                size, changed = stored.stat()
            except FileNotFoundError:
                continue  # it went since it was listed
            yield from self._look_at(stored, size, changed)
        for _, name in sorted(self._newest, key=lambda each: each[1]):
            yield from self._twice(name, full=False)

    def _look_at(self, stored: Stored, size: int, changed: float) -> Iterator[Finding]:
        """One that is not usual, or that may be to be read whole."""
        owner = self.owner(stored.name) if stored.kind == "object" else None
        if owner is None:
            yield from self._strange(stored)
            return
        self._seen.files += 1
        full = in_full(self._depth, owner)
        if full or not self.is_usual(stored.name, size):
            yield from self._twice(stored.name, full=full)
        else:
            self.note_new(changed, stored.name)

    def sift(self, folder: str, entries: Iterable[os.DirEntry[str]]) -> Iterable[os.DirEntry[str]]:
        """A disk's files without those that need no further look; a quick way, where there are many."""
        del folder
        return entries

    def note_new(self, changed: float, name: str) -> None:
        """Keep the names of the newest."""
        if len(self._newest) < NEWEST:
            heapq.heappush(self._newest, (changed, name))
        elif changed > self._newest[0][0]:
            heapq.heapreplace(self._newest, (changed, name))

    def _strange(self, stored: Stored) -> Iterator[Finding]:
        if stored.name in (LEDGER_NAME, MARK):
            return  # check_ledger
        place = self._objects.place(stored.name)
        if stored.kind == "leftover":
            yield Finding(place, "leftover")
        elif stored.kind == "object":
            yield Finding(place, "stranger", "nothing here is called so")
        else:
            yield Finding(place, "stranger", "not a plain file")

    def _twice(self, name: str, *, full: bool) -> list[Finding]:
        """What is wrong with one object both times."""
        return self._once(name, full=full) and self._once(name, full=full)

    def _once(self, name: str, *, full: bool) -> list[Finding]:
        try:
            return self.look(name, full=full)
        except NotFound:
            return []  # erased or moved since it was listed
        except StoreDown:
            raise
        except VaultError as error:
            return [self._finding(name, error.kind, str(error))]
        except OSError as error:
            return [self._finding(name, "unreadable", str(error))]

    def _finding(self, name: str, kind: str, detail: str) -> Finding:
        return Finding(self._objects.place(name), kind, detail, parse_object_name(name))


@functools.lru_cache(maxsize=1024)
def header_length(rest: str) -> int | None:
    """How long the header of a file is, by what its name ends with; None for what is no sealed file."""
    what = what_of(rest)
    return header_bytes(*what) if what else None


def is_possible(rest: int) -> bool:
    """Whether so many bytes can follow a header, with the segments that Fupan writes."""
    last = rest % (SEGMENT_BYTES + TAG_BYTES)
    return rest >= TAG_BYTES and (last > TAG_BYTES or last == 0 or rest == TAG_BYTES)


class SealedRound(Round):
    """Sealed files: each where it says it belongs, of a possible length, and whole where it is read."""

    def __init__(self, objects: Objects, depth: Depth, seen: Seen, proofs: Proofs) -> None:
        super().__init__(objects, depth, seen)
        self._proofs = proofs

    def owner(self, name: str) -> object | None:
        """The recording or person."""
        place = parse_object_name(name)
        return place and place.owner

    def is_usual(self, name: str, size: int) -> bool:
        """By the arithmetic of the format, for the segments that Fupan writes."""
        start = header_length(name[START_LENGTH:])
        known = start is not None and is_start(name[:START_LENGTH])
        return known and start is not None and is_possible(size - start)

    def sift(self, folder: str, entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        """Those whose name or length is not usual. What is done here is done for each file of a vault."""
        owners: set[str] = set()
        headers: dict[str, int | None] = {}
        length, usual = START_LENGTH - len(folder), 0
        for entry in entries:
            name = entry.name
            owner, rest = name[:length], name[length:]
            if rest not in headers:
                headers[rest] = header_length(rest)
            if owner not in owners and is_start(folder + owner):
                owners.add(owner)
            header = headers[rest]
            if header is None or owner not in owners or not entry.is_file(follow_symlinks=False):
                yield entry
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not is_possible(about.st_size - header):
                yield entry
                continue
            usual += 1
            if about.st_mtime > self._floor:
                self.note_new(about.st_mtime, folder + name)
                self._floor = self._newest[0][0] if len(self._newest) >= NEWEST else 0.0
        self._seen.files += usual

    def look(self, name: str, *, full: bool) -> list[Finding]:
        """Read the header, or every byte."""
        place = parse_object_name(name)
        first = 0 if full else MAX_HEADER_BYTES
        with contextlib.closing(self._objects.open(name, first)) as source:
            source.forget(source.size if full else MAX_HEADER_BYTES, 0)
            header = read_header(source)
            if place != (header.owner, header.kind, header.name):
                detail = f"it says {header.owner} {header.kind} {header.name}"
                return [self._finding(name, "wrong_place", detail)]
            layout_of(header, source.size)
            return self._read_all(source, header, place, name) if full else []

    def _read_all(self, source: Source, header: SealedHeader, place: Place, name: str) -> list[Finding]:
        """Meet every unreadable block now rather than when a person waits, and every altered one that the
        file's key or its digest can tell."""
        key = self._proofs.key(header) if self._proofs.key else None
        if key is not None:
            reader = SealedReader(source, key)
            for piece in reader.iter_range(0, reader.size):
                self._seen.read(len(piece))
        known = self._proofs.digest(place) if self._proofs.digest else None
        if key is None or known is not None:  # an older copy of the file proves itself under its own key
            found = digest_of(source if key is not None else _Counted(source, self._seen))
            if known is not None and found != known:
                return [self._finding(name, "digest", "not the bytes that were sealed")]
        if key is not None:
            self._seen.by_tags += 1
        elif known is not None:
            self._seen.by_digest += 1
        else:
            self._seen.only_read += 1
        return []


class KeyRound(Round):
    """Key records: each is one, and names itself as its file does."""

    def owner(self, name: str) -> object | None:
        """The key's id."""
        folder, _, last = name.rpartition("/")
        return last.removesuffix(KEY_SUFFIX) if folder and last.endswith(KEY_SUFFIX) else None

    def is_usual(self, name: str, size: int) -> bool:
        """No record is longer than MAX_RECORD_BYTES."""
        return self.owner(name) is not None and 0 < size <= MAX_RECORD_BYTES

    def look(self, name: str, *, full: bool) -> list[Finding]:
        """Read the whole record, short as it is."""
        del full
        with contextlib.closing(self._objects.open(name)) as source:
            source.forget(source.size, 0)
            record = parse_record(source.read_at(MAX_RECORD_BYTES + 1, 0))
        if name != f"{record.kind}/{record.id}{KEY_SUFFIX}":
            raise IntegrityError("key", f"it names itself {record.kind} {record.id}")
        return []


class _Counted:
    """A source whose readings are counted."""

    def __init__(self, source: Source, seen: Seen) -> None:
        self._source, self._seen, self.size = source, seen, source.size

    def read_at(self, length: int, offset: int, /) -> bytes:
        data = self._source.read_at(length, offset)
        self._seen.read(len(data))
        return data

    def forget(self, length: int, offset: int, /) -> None:
        self._source.forget(length, offset)

    def close(self) -> None:
        self._source.close()
