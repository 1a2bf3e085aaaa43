"""Durable writing: short writes, temporary files, and files made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage import disk
from storage.errors import IntegrityError


def test_pieces_are_written_whole_though_the_kernel_takes_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stingy(fd: int, pieces: list[memoryview], offset: int) -> int:
        return os.pwrite(fd, b"".join(pieces)[:3], offset)

    monkeypatch.setattr(os, "pwritev", stingy)
    with (tmp_path / "f").open("wb") as file:
        assert disk.write_at(file.fileno(), [b"ab", b"", b"cdefg", b"h"], 2) == 10
    assert (tmp_path / "f").read_bytes() == b"\0\0abcdefgh"


def test_a_file_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "f"
    disk.create_or_prove_equal(path, b"one")
    disk.create_or_prove_equal(path, b"one")
    with pytest.raises(IntegrityError, match="replaced"):
        disk.create_or_prove_equal(path, b"two")
    assert [entry.name for entry in path.parent.iterdir()] == ["f"]
    assert path.read_bytes() == b"one"


def test_a_commit_replaces_and_a_failed_one_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with monkeypatch.context() as failing, disk.Temporary(path) as temporary:
        failing.setattr(os, "fsync", lambda _fd: (_ for _ in ()).throw(OSError(5, "lost")))
        disk.write_at(temporary.fd, [b"new"], 0)
        with pytest.raises(OSError, match="lost"):
            temporary.commit()
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("f", b"old")]
    with disk.Temporary(path) as temporary:
        disk.write_at(temporary.fd, [b"new"], 0)
        temporary.commit()
        temporary.discard()
    assert path.read_bytes() == b"new"


def test_a_file_tidied_before_its_lock_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, path = disk.fcntl.flock, tmp_path / "f"
    tidied: list[Path] = []

    def late(fd: int, operation: int) -> None:
        if operation == disk.fcntl.LOCK_EX and not tidied:
            tidied.extend(disk.leftovers(tmp_path, remove=True))
        real(fd, operation)

    monkeypatch.setattr(disk.fcntl, "flock", late)
    with disk.Temporary(path) as temporary:
        assert len(tidied) == 1
        temporary.commit()
    assert path.exists()
