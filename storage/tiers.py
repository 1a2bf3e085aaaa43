"""Moving a recording's files between the tiers: copied and read back first, removed only then.

A crash leaves a file on one tier or on both, never on none; the same move once more ends it. Where a tier
already has a file, it must be the same one: nothing is ever written over.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from storage import disk
from storage.errors import IntegrityError, NotFound, StoreDown
from storage.files import Tier, Vault
from storage.layout import MARK, object_name, parse_object_name, prefix_of
from storage.objects import FileSource, Objects, digest_of
from storage.sealed import read_header
from storage.segment_format import layout_of


class Copied(NamedTuple):
    """A file that is on both tiers now: its kind and name, its bytes as stored, and their SHA-256 in hex."""

    kind: str
    name: str
    bytes: int
    sha256: str


def copy_files(vault: Vault, owner: uuid.UUID, to: Tier) -> Iterator[Copied]:
    """Have every file that a recording has on the other tier on this one too, one after another, each proven
    by reading back every byte there. Repeating it copies nothing again, but proves all of it again.

    Raises IntegrityError for a file that is damaged here, or another one there; StoreDown, VaultFull.
    """
    source, target = _between(vault, to)
    for stored in source.list(prefix_of(owner)):
        place = parse_object_name(stored.name) if stored.kind == "object" else None
        if place is not None:
            size, digest = _copy(source, target, stored.name)
            yield Copied(place.kind, place.name, size, digest.hex())


def _copy(source: Objects, target: Objects, name: str) -> tuple[int, bytes]:
    with FileSource(source.fetch(name)) as file:
        header = read_header(file)
        if object_name(header.owner, header.kind, header.name) != name:
            raise IntegrityError("wrong_place", f"the file says it is {header.kind} {header.name}")
        layout_of(header, file.size)
        digest = digest_of(file)
        if not target.exists(name):
            target.put(name, file.fd)
        with contextlib.closing(target.open(name)) as copied:
            if digest_of(copied) != digest:
                raise IntegrityError("replaced", f"{target.place(name)} is another file")
        return file.size, digest


def drop_files(vault: Vault, owner: uuid.UUID, tier: Tier, copied: Sequence[Copied]) -> None:
    """Remove from this tier what was copied to the other; what was written since stays.

    Raises NotFound, with nothing more removed, for one that the other tier has not.
    """
    other, source = _between(vault, tier)
    if copied:  # an earlier run may have been killed between its rename and its fsync of the folder
        other.settle(prefix_of(owner))
    for file in copied:
        name = object_name(owner, file.kind, file.name)
        if not other.exists(name):
            raise NotFound("file", f"{other.place(name)} is not there")
        source.remove(name)


def claim_cold(vault: Vault, vault_id: uuid.UUID) -> None:
    """Before anything is moved: make sure that the cold tier is the place of this vault's files, and mark it
    as that when it is used for the first time.

    Raises StoreDown("missing") for a place that is not, or no more, the one.
    """
    cold, text = _cold(vault), json.dumps({"vault": str(vault_id)}).encode()
    for store in (cold, vault.hot):
        store.tidy(MARK)
    if not cold.exists(MARK):
        vault.require_cold()
        _put_new(cold, vault.hot.drafts, text)
    cold.settle(MARK)  # before the hot tier says that it is there
    with contextlib.closing(cold.open(MARK)) as source:
        if source.read_at(len(text) + 1, 0) != text:
            raise StoreDown("missing", f"{cold.place('')} holds the recordings of another vault")
    if not vault.hot.exists(MARK):
        _put_new(vault.hot, vault.hot.drafts, text)


def _put_new(objects: Objects, drafts: Path, data: bytes) -> None:
    fd = disk.scratch(drafts)
    try:
        disk.write_at(fd, [data], 0)
        objects.put_new(MARK, fd)
    finally:
        os.close(fd)


def _between(vault: Vault, to: Tier) -> tuple[Objects, Objects]:
    """The tier that files leave, and the one they go to."""
    return (vault.hot, _cold(vault)) if to == "cold" else (_cold(vault), vault.hot)


def _cold(vault: Vault) -> Objects:
    if vault.cold is None:
        raise StoreDown("missing", "no cold tier is set")
    return vault.cold
