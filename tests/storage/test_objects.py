"""What a store of objects promises, held against each of them."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from storage import disk
from storage.errors import IntegrityError, NotFound, StoreDown, VaultError, VaultFull
from storage.objects import DiskObjects, Objects, digest_of

A, B = "22f/a.track.camera.fps", "22f/b.track.camera.fps"


@contextmanager
def file_of(data: bytes) -> Iterator[int]:
    """A descriptor of a file with these bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def put(objects: Objects, name: str, data: bytes) -> None:
    with file_of(data) as fd:
        objects.put(name, fd)


def read(objects: Objects, name: str) -> bytes:
    with closing(objects.open(name)) as source:
        return source.read_at(source.size + 1, 0)


def names(objects: Objects, prefix: str = "") -> list[str]:
    return [stored.name for stored in objects.list(prefix)]


def test_what_is_put_is_read_in_any_range(objects: Objects) -> None:
    data = random.Random(1).randbytes(300_000)
    for content in (b"", b"x", data):
        put(objects, A, content)  # over what had the name
        assert read(objects, A) == content
    for first in (0, 1, 300_000, 1 << 20):
        with closing(objects.open(A, first)) as source:
            assert source.size == len(data)
            for offset in (0, 1, 299_999, 300_000, 300_001):
                for length in (1, 70_000, 300_000):
                    assert source.read_at(length, offset) == data[offset : offset + length]
    fd = objects.fetch(A)
    with os.fdopen(fd, "rb") as file:
        assert file.read() == data


def test_ranges_by_eight_readers_at_once(objects: Objects) -> None:
    data = random.Random(2).randbytes(500_000)
    put(objects, A, data)
    with closing(objects.open(A)) as source, ThreadPoolExecutor(8) as readers:

        def read_some(seed: int) -> bool:
            rng = random.Random(seed)
            spans = [(rng.randrange(len(data)), rng.randrange(1, 80_000)) for _ in range(20)]
            return all(source.read_at(length, at) == data[at : at + length] for at, length in spans)

        assert all(readers.map(read_some, range(8)))
        assert digest_of(source) == digest_of(objects.open(A))


def test_a_new_one_is_never_put_over_another(objects: Objects) -> None:
    with file_of(b"one") as one, file_of(b"two") as two:
        assert objects.put_new(A, one)
        assert not objects.put_new(A, two)
        assert not objects.put_new(A, one)
    assert read(objects, A) == b"one"
    assert names(objects) == [A]


def test_of_many_who_put_a_new_one_at_once_one_succeeds(objects: Objects) -> None:
    def attempt(number: int) -> bool:
        with file_of(b"%d" % number * 1000) as fd:
            return objects.put_new(A, fd)

    with ThreadPoolExecutor(6) as writers:
        outcomes = list(writers.map(attempt, range(6)))
    assert outcomes.count(True) == 1
    assert read(objects, A) == b"%d" % outcomes.index(True) * 1000


def test_a_draft_is_nothing_until_its_commit(objects: Objects) -> None:
    draft = objects.begin(A)
    os.write(draft.fd, b"media")
    assert not objects.exists(A)
    assert names(objects) == []
    draft.commit()
    draft.discard()
    assert read(objects, A) == b"media"
    dropped = objects.begin(A)
    os.write(dropped.fd, b"other")
    dropped.discard()
    dropped.discard()
    assert read(objects, A) == b"media"


def test_a_file_sent_is_sent_whole_wherever_it_stands(objects: Objects) -> None:
    with file_of(b"media") as fd:
        os.lseek(fd, 3, os.SEEK_SET)
        objects.put(A, fd)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 3
    assert read(objects, A) == b"media"


def test_what_is_removed_or_was_never_there(objects: Objects) -> None:
    put(objects, A, b"x")
    assert objects.exists(A)
    objects.remove(A)
    objects.remove(A)
    objects.remove("333/never.fps")
    assert not objects.exists(A)
    assert names(objects) == []
    for read_it in (objects.open, objects.fetch):
        with pytest.raises(NotFound):
            read_it(A)
        with pytest.raises(NotFound):
            read_it("333/never.fps")


def test_listings_are_sorted_and_end_at_their_prefix(objects: Objects) -> None:
    made = ["1/b/c", "1/bc.fps", "1/bd-c", "22f/a.1", "22f/a.2", "22f/ab", "30", "notes.txt"]
    for name in reversed(made):
        put(objects, name, name.encode())
    assert names(objects) == sorted(made)
    assert names(objects, "22f/") == ["22f/a.1", "22f/a.2", "22f/ab"]
    assert names(objects, "22f/a.") == ["22f/a.1", "22f/a.2"]
    assert names(objects, "2") == ["22f/a.1", "22f/a.2", "22f/ab"]
    assert names(objects, "nowhere/") == names(objects, "22f/x") == []
    assert [stored.bytes for stored in objects.list("1/")] == [len(name) for name in sorted(made)[:3]]
    assert {stored.kind for stored in objects.list()} == {"object"}


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "A", "a b", "ä", "a\n"])
def test_a_name_that_no_object_has_is_refused(objects: Objects, name: str) -> None:
    with file_of(b"x") as fd:
        for act in (
            lambda: objects.open(name),
            lambda: objects.fetch(name),
            lambda: objects.begin(name),
            lambda: objects.put(name, fd),
            lambda: objects.put_new(name, fd),
            lambda: objects.remove(name),
            lambda: objects.exists(name),
        ):
            with pytest.raises(IntegrityError, match="header"):
                act()


# --- on a disk ---------------------------------------------------------------------------------------------


@pytest.fixture
def on_disk(tmp_path: Path) -> DiskObjects:
    return DiskObjects(tmp_path / "objects")


def test_only_their_owner_may_read_them(on_disk: DiskObjects) -> None:
    put(on_disk, A, b"x")
    assert on_disk.path(A).stat().st_mode & 0o777 == 0o600
    assert on_disk.path(A).parent.stat().st_mode & 0o777 == 0o700


def test_a_copy_that_arrived_otherwise_never_gets_the_name(
    on_disk: DiskObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(on_disk, A, b"old")
    real = disk.write_at
    monkeypatch.setattr(disk, "write_at", lambda fd, pieces, at: real(fd, [bytes(len(pieces[0]))], at))
    with file_of(b"new") as fd, pytest.raises(IntegrityError, match="replaced"):
        on_disk.put(A, fd)
    with file_of(b"new") as fd, pytest.raises(IntegrityError, match="replaced"):
        on_disk.put_new(B, fd)
    assert read(on_disk, A) == b"old"
    assert names(on_disk) == [A]


def test_leftovers_are_listed_and_tidied_and_a_living_writers_file_is_not(on_disk: DiskObjects) -> None:
    put(on_disk, A, b"x")
    live = on_disk.begin(B)
    crashed = [on_disk.root / f"22f/.{name}.track.camera.fps.deadbeef.tmp" for name in "ab"]
    for path in crashed:
        path.write_bytes(b"half")
    assert [(s.name, s.kind) for s in on_disk.list("22f/a")] == [
        ("22f/.a.track.camera.fps.deadbeef.tmp", "leftover"),
        (A, "object"),
    ]
    on_disk.tidy("22f/a")
    assert [path.exists() for path in crashed] == [False, True]
    on_disk.tidy()
    assert names(on_disk) == [A]
    live.commit()
    assert names(on_disk) == [A, B]


def outcome(act: Callable[[], object]) -> str:
    """Which error of storage's own it ends in, if any."""
    try:
        act()
    except VaultError as error:
        return f"{type(error).__name__} {error.kind}"
    return ""


@pytest.mark.parametrize(
    ("number", "expected", "kind"),
    [(errno.EROFS, StoreDown, "read_only"), (errno.ENOSPC, VaultFull, "disk")],
)
def test_a_disk_that_takes_nothing_is_named(
    on_disk: DiskObjects, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception], kind: str
) -> None:
    """Each call that writes, as the kernel refuses it."""
    put(on_disk, A, b"old")
    for call in ("mkdir", "open", "pwritev", "fsync", "fdatasync", "replace", "link", "unlink"):
        real = getattr(os, call)

        def refuse(*given: object, **more: object) -> object:
            writes = call != "open" or given[1] & os.O_CREAT  # noqa: B023 - used within its turn
            if writes:
                raise OSError(number, os.strerror(number), str(given[0]))
            return real(*given, **more)  # noqa: B023 - the same

        with monkeypatch.context() as failing, file_of(b"new") as fd:
            failing.setattr(os, call, refuse)
            outcomes = {
                outcome(lambda: on_disk.put(A, fd)),
                outcome(lambda: on_disk.put_new("33f/c", fd)),
                outcome(lambda: on_disk.remove(A)) if call == "unlink" else "",
            }
        assert outcomes - {""} == {f"{expected.__name__} {kind}"}, call
        assert read(on_disk, A) in (b"old", b"new"), call
        on_disk.remove("33f/c")
        put(on_disk, A, b"old")
    on_disk.tidy()
    assert names(on_disk) == [A]
