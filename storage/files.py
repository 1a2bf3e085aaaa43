"""The sealed files of recordings: written to the hot tier, read from it and then from the cold one."""

from __future__ import annotations

import contextlib
import heapq
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from storage.errors import IntegrityError, NotFound, StoreDown
from storage.layout import (
    MARK,
    START_LENGTH,
    Place,
    is_start,
    object_name,
    parse_object_name,
    prefix_of,
    what_of,
)
from storage.objects import DiskObjects, FileSource, Objects, Pending, Sift, Source, Stored
from storage.sealed import SealedReader, SealedWriter, read_header
from storage.segment_format import MAX_HEADER_BYTES, SealedHeader, layout_of

Tier = Literal["hot", "cold"]
_T = TypeVar("_T")


class SealedFile(NamedTuple):
    """One sealed file of a recording; `bytes` counts what is stored, `tier` says where."""

    kind: str
    name: str
    bytes: int
    tier: Tier = "hot"


class Draft:
    """A sealed file being written; nothing has its name until `commit`.

    Give `fd` to the child that writes it, or use `writer` here.
    """

    def __init__(self, pending: Pending, recording_id: uuid.UUID, kind: str, name: str) -> None:
        self.recording_id, self.kind, self.name = recording_id, kind, name
        self._pending = pending

    @property
    def fd(self) -> int:
        """The descriptor to write to; close-on-exec, owned by the draft."""
        return self._pending.fd

    def writer(self, header: SealedHeader | bytes, key: bytes, head_budget: int = 1 << 20) -> SealedWriter:
        """A writer into this draft; close it before `commit`."""
        return SealedWriter(self.fd, header, key, head_budget)

    def commit(self) -> int:
        """Make it last under its own name; until then it does not exist. Returns its size as stored.

        A file that is no whole sealed file of this name is discarded and raises IntegrityError.
        """
        try:
            header = read_header(self.fd)
            _require_place(header, self.recording_id, self.kind, self.name)
            size = os.fstat(self.fd).st_size
            layout_of(header, size)
        except BaseException:
            self.discard()
            raise
        self._pending.commit()
        return size

    def discard(self) -> None:
        """Forget it. Safe to call again, and after `commit`."""
        self._pending.discard()

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Vault:
    """Sealed files on one tier or two, each called as `layout.object_name` says."""

    def __init__(self, hot: Objects | Path | str, cold: Objects | None = None) -> None:
        """`hot` takes what is written; a path is a folder on disk. What was moved away is in `cold`."""
        self.hot: Objects = DiskObjects(hot) if isinstance(hot, Path | str) else hot
        self.cold = cold

    @property
    def tiers(self) -> dict[Tier, Objects]:
        """The stores."""
        return {"hot": self.hot} if self.cold is None else {"hot": self.hot, "cold": self.cold}

    def _in_turn(self) -> Iterator[tuple[Tier, Objects]]:
        """The stores as a read asks them; hot once more, since a file may come back while cold is asked."""
        yield from self.tiers.items()
        if self.cold is not None:
            yield "hot", self.hot

    def path(self, recording_id: uuid.UUID, kind: str, name: str) -> Path | str:
        """Where a write puts this file; a path on disk. Raises IntegrityError("header") for a bad name."""
        return self.hot.place(object_name(recording_id, kind, name))

    def begin(self, recording_id: uuid.UUID, kind: str, name: str) -> Draft:
        """Start a file. What a crashed writer left beside it is removed first."""
        return Draft(self.hot.begin(object_name(recording_id, kind, name)), recording_id, kind, name)

    def tidy(self, recording_id: uuid.UUID) -> None:
        """Remove what crashed writers left of this recording; what a living one writes stays."""
        self.hot.tidy(prefix_of(recording_id))

    def remove(self, owner: uuid.UUID) -> int:
        """Remove every sealed file of a recording or a person on both tiers, and what crashed writers left;
        returns how many. Repeating it is harmless. Raises StoreDown."""
        self.require_cold()
        removed = 0
        for store in self.tiers.values():
            store.tidy(prefix_of(owner))
            for stored in list(store.list(prefix_of(owner))):
                if stored.kind == "object":
                    store.remove(stored.name)
                    removed += 1
        return removed

    def recordings(self) -> Iterator[uuid.UUID]:
        """Every recording with a file here, sorted."""
        return (owner for owner, _ in groupby(place.owner for place, _, _ in self._stored("", one_each)))

    def contents(self) -> Iterator[tuple[uuid.UUID, list[SealedFile]]]:
        """Every recording with its files, in one pass over the tiers; enough to rebuild lost rows."""
        for owner, found in groupby(self._stored(""), key=lambda each: each[0].owner):
            yield owner, _once_each(found)

    def list(self, recording_id: uuid.UUID) -> list[SealedFile]:
        """The sealed files of a recording, sorted by kind and name."""
        return _once_each(self._stored(prefix_of(recording_id)))

    def _stored(self, prefix: str, sift: Sift | None = None) -> Iterator[tuple[Place, Tier, Stored]]:
        """What the tiers hold below a prefix, sorted by recording; a name that both have comes hot first."""
        listed = [_places(tier, store, prefix, sift) for tier, store in self._in_turn()]
        return heapq.merge(*listed, key=lambda each: each[2].name) if len(listed) > 1 else listed[0]

    def header_of(self, recording_id: uuid.UUID, kind: str, name: str) -> SealedHeader:
        """The header, from which the keyholder derives the file key. Raises NotFound, IntegrityError."""
        with contextlib.closing(self._open(recording_id, kind, name, MAX_HEADER_BYTES)[1]) as source:
            header = read_header(source)
        _require_place(header, recording_id, kind, name)
        return header

    def open_sealed(
        self, recording_id: uuid.UUID, kind: str, name: str, key: bytes, expect: SealedHeader | None = None
    ) -> SealedReader:
        """A reader of this file, its length proven. `expect` refuses another copy under the same name."""
        reader = SealedReader(self._open(recording_id, kind, name)[1], key, expect)
        try:
            _require_place(reader.header, recording_id, kind, name)
        except BaseException:
            reader.close()
            raise
        return reader

    def open_fd(self, recording_id: uuid.UUID, kind: str, name: str) -> int:
        """A descriptor of its ciphertext, to hand to a child; the caller closes it. Raises NotFound."""
        wanted = object_name(recording_id, kind, name)
        return self._first(kind, name, lambda store: store.fetch(wanted))[1]

    def tier_of(self, recording_id: uuid.UUID, kind: str, name: str) -> Tier:
        """Where a read finds this file. Raises NotFound."""
        tier, source = self._open(recording_id, kind, name, MAX_HEADER_BYTES)
        source.close()
        return tier

    def read_document(self, recording_id: uuid.UUID, name: str, key: bytes) -> bytes:
        """The whole plaintext of a document."""
        with self.open_sealed(recording_id, "document", name, key) as reader:
            return reader.read_range(0, reader.size)

    def write_document(
        self, recording_id: uuid.UUID, name: str, header: SealedHeader | bytes, key: bytes, data: bytes
    ) -> None:
        """Seal a document so that it lasts. `header` and `key` serve this one write."""
        with self.begin(recording_id, "document", name) as draft:
            with draft.writer(header, key) as writer:
                writer.write(data)
            draft.commit()

    def _open(
        self, recording_id: uuid.UUID, kind: str, name: str, first: int = 1 << 17
    ) -> tuple[Tier, Source]:
        wanted = object_name(recording_id, kind, name)

        def opened() -> tuple[Tier, Source]:
            return self._first(kind, name, lambda store: store.open(wanted, first))

        tier, source = opened()
        if self.cold is not None and not isinstance(source, FileSource):  # which keeps what it has open
            return tier, _Followed(source, lambda: opened()[1])
        return tier, source

    def _first(self, kind: str, name: str, ask: Callable[[Objects], _T]) -> tuple[Tier, _T]:
        for tier, store in self._in_turn():
            with contextlib.suppress(NotFound):
                return tier, ask(store)
        self.require_cold()
        raise NotFound("file", f"{kind} {name}")

    def require_cold(self) -> None:
        """Raises StoreDown("missing") when recordings were moved to a cold tier that is not there now: a disk
        that is not mounted leaves an empty folder, in which a file that is kept well seems to be lost."""
        if self.hot.exists(MARK) and (self.cold is None or not self.cold.exists(MARK)):
            where = self.cold.place("") if self.cold else "a cold tier that the settings do not name now"
            raise StoreDown("missing", f"recordings were moved to {where}, and are not there: mounted?")


class _Followed:
    """A source that goes on from the other tier when its file is moved there meanwhile."""

    def __init__(self, source: Source, again: Callable[[], Source]) -> None:
        self._source, self._again, self.size = source, again, source.size

    def read_at(self, length: int, offset: int, /) -> bytes:
        try:
            return self._source.read_at(length, offset)
        except NotFound:
            self._source = self._again()
            return self._source.read_at(length, offset)

    def forget(self, length: int, offset: int, /) -> None:
        self._source.forget(length, offset)

    def close(self) -> None:
        self._source.close()


def one_each(folder: str, entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    """Of a disk's files, one for each recording; folders all."""
    met: set[str] = set()
    length = START_LENGTH - len(folder)
    for entry in entries:
        start = entry.name[:length]
        if start in met:
            continue
        if not entry.is_dir(follow_symlinks=False):
            named = what_of(entry.name[length:]) is not None and is_start(folder + start)
            if not named or not entry.is_file(follow_symlinks=False):
                continue
            met.add(start)
        yield entry


def _places(
    tier: Tier, store: Objects, prefix: str, sift: Sift | None
) -> Iterator[tuple[Place, Tier, Stored]]:
    for stored in store.list(prefix, sift) if isinstance(store, DiskObjects) else store.list(prefix):
        place = parse_object_name(stored.name) if stored.kind == "object" else None
        if place is not None:
            yield place, tier, stored


def _once_each(found: Iterable[tuple[Place, Tier, Stored]]) -> list[SealedFile]:
    """The files of one recording, each from the tier that a read takes it from."""
    files: dict[Place, SealedFile] = {}
    for place, tier, stored in found:
        if place not in files:
            files[place] = SealedFile(place.kind, place.name, stored.bytes, tier)
    return [files[place] for place in sorted(files)]


def _require_place(header: SealedHeader, recording_id: uuid.UUID, kind: str, name: str) -> None:
    if (header.owner, header.kind, header.name) != (recording_id, kind, name):
        raise IntegrityError("wrong_place", f"the file says it is {header.kind} {header.name}")
