"""What a check of each depth reads, and that it looks twice before it calls anything damaged."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import check_store
from storage.check import check, check_keys, to_read
from storage.check_store import Part, Seen
from storage.keys import derive_file_key, new_key, wrap
from storage.layout import Place
from storage.objects import DiskObjects, FileSource
from storage.segment_format import layout_of, new_header
from storage.vault import IntegrityError, KeyStore, SealedHeader, Vault
from tests.storage.builders import RECORDING_KEY, VAULT
from tests.support.damage import flip

OWNERS = [uuid.UUID(int=number << 96 | 4 << 76 | 8 << 60) for number in range(1, 60)]


def key_of(header: SealedHeader) -> bytes:
    return derive_file_key(RECORDING_KEY, header)


def seal(vault: Vault, owner: uuid.UUID, size: int, name: str = "camera") -> Path:
    header = new_header(VAULT, owner, "track", name)
    with vault.begin(owner, "track", name) as draft:
        with draft.writer(header, key_of(header)) as writer:
            writer.write(bytes(size))
        draft.commit()
    return Path(vault.path(owner, "track", name))


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick check that reads the header of one file only, as if a hundred thousand were there."""
    monkeypatch.setattr(check_store, "NEWEST", 1)


def record_of(owner: uuid.UUID) -> bytes:
    return wrap(RECORDING_KEY, kind="recording", key_id=str(owner), parent="x", key=new_key())


def kinds(vault: Vault, depth: check_store.Depth = False) -> list[str]:
    return sorted(finding.kind for finding in check(vault, depth, key_of))


def test_a_length_is_possible_exactly_when_a_sealed_file_can_have_it() -> None:
    """For every length around each end of a segment, against the layout that readers use."""
    header = new_header(VAULT, OWNERS[0], "document", "transcript.v12")
    looked = check_store.SealedRound(DiskObjects("/nowhere"), False, Seen(), check_store.Proofs())
    name = f"{str(OWNERS[0])[:3]}/{OWNERS[0]}.document.transcript.v12.fps"
    start = len(header.raw)
    for size in [*range(start + 60), *(start + n * 65552 + d for n in (1, 2, 77) for d in range(-40, 40))]:
        try:
            layout_of(header, size)
            possible = True
        except IntegrityError:
            possible = False
        assert looked.is_usual(name, size) is possible, size


@pytest.mark.usefixtures("quick")
def test_quick_finds_what_a_cut_left_and_every_strange_name(vault: Vault) -> None:
    paths = [seal(vault, owner, 70_000) for owner in OWNERS[:6]]
    assert kinds(vault) == []
    seen = Seen()
    assert check(vault, seen=seen) == []
    assert (seen.files, seen.bytes) == (6, 0)
    os.truncate(paths[0], 0)
    os.truncate(paths[1], 97 + 65552 + 10)
    os.truncate(paths[2], 97 + 65552 + 40)  # a length that a file may have
    paths[3].rename(paths[3].with_name("camera.fps"))
    assert kinds(vault) == ["header", "size", "stranger"]
    assert kinds(vault, True) == ["header", "last_segment", "size", "stranger"]


def test_quick_reads_the_newest_headers(vault: Vault, quick: None) -> None:
    del quick
    older, newest = (seal(vault, owner, 100) for owner in OWNERS[:2])
    for at, path in enumerate((older, newest)):
        flip(path, 3)
        os.utime(path, (at + 1, at + 1))
    assert [finding.path for finding in check(vault)] == [newest]


def test_the_parts_together_read_every_file_once(vault: Vault, tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys")
    for owner in OWNERS:
        flip(seal(vault, owner, 100), -1 + 170)
        keys.put("recording", str(owner), record_of(owner))
    found = []
    for number in range(1, 8):
        part, seen = Part(number, 7), Seen()
        assert {owner for owner in OWNERS if owner in part} == {
            finding.file.owner for finding in check(vault, part, key_of, seen=seen) if finding.file
        }
        found += [finding.file for finding in check(vault, part, key_of)]
        assert (to_read(vault, part) > 0) == any(owner in part for owner in OWNERS)
        assert check_keys(keys.root, part) == []
    assert sorted(found) == [Place(owner, "track", "camera") for owner in OWNERS]


@pytest.mark.parametrize("way", ["tags", "digest", "neither"])
def test_a_full_check_says_by_what_it_was_proven(vault: Vault, way: str) -> None:
    path = seal(vault, OWNERS[0], 100_000)
    digest = hashlib.sha256(path.read_bytes()).digest()

    def kinds_and_seen() -> tuple[list[str], Seen]:
        seen = Seen()
        found = check(
            vault,
            True,
            key_of if way == "tags" else None,
            digest=lambda _place: digest if way == "digest" else None,
            seen=seen,
        )
        return [finding.kind for finding in found], seen

    found, seen = kinds_and_seen()
    assert found == []
    assert (seen.by_tags, seen.by_digest, seen.only_read) == tuple(
        int(way == each) for each in ("tags", "digest", "neither")
    )
    flip(path, 70_000)
    wanted = {"tags": ["last_segment"], "digest": ["digest"], "neither": []}
    assert kinds_and_seen()[0] == wanted[way]


@pytest.mark.parametrize("depth", [False, True])
def test_a_disk_that_stumbles_once_is_no_damage(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, depth: bool
) -> None:
    """A bit that turned over on the way, then a read that failed: both are gone the second time."""
    seal(vault, OWNERS[0], 200_000)
    real = FileSource.read_at
    for trouble in ("flip", "error"):
        left = iter([trouble])

        def stumbles(self: FileSource, length: int, offset: int, left: Iterator[str] = left) -> bytes:
            data = real(self, length, offset)
            match next(left, None):
                case "flip":
                    return bytes([data[0] ^ 1]) + data[1:]
                case "error":
                    raise OSError(errno.EIO, "I/O error")
            return data

        monkeypatch.setattr(FileSource, "read_at", stumbles)
        assert check(vault, depth, key_of) == []
        assert next(left, "used up") == "used up"


def test_a_disk_that_fails_each_time_is_named(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(vault, OWNERS[0], 200_000)

    def fails(_self: FileSource, _length: int, _offset: int) -> bytes:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(FileSource, "read_at", fails)
    assert kinds(vault) == kinds(vault, True) == ["unreadable"]


def test_a_file_that_goes_while_it_is_looked_at_is_no_damage(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = seal(vault, OWNERS[0], 100)
    real = DiskObjects.open

    def gone(self: DiskObjects, name: str, first: int = 0) -> FileSource:
        path.unlink()
        return real(self, name, first)

    monkeypatch.setattr(DiskObjects, "open", gone)
    assert check(vault) == []


def test_key_records_are_looked_at_as_well(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    for owner in OWNERS[:3]:
        keys.put("recording", str(owner), record_of(owner))
    seen = Seen()
    assert check_keys(tmp_path, False, seen) == []
    assert seen.files == 3
    os.truncate(keys.path("recording", str(OWNERS[0])), 0)
    flip(keys.path("recording", str(OWNERS[1])), 9)
    (tmp_path / "recording" / "readme").write_text("x")
    for depth in (False, True):
        assert sorted(each.kind for each in check_keys(tmp_path, depth)) == ["key", "key", "stranger"]
