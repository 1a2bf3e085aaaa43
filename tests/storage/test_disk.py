"""Durable writing: short writes, temporary files, and files made once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from storage import disk
from storage.errors import IntegrityError
from tests.storage.builders import put_strange


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


@pytest.fixture(params=["target", "nothing", "/dev/zero", "pipe", "socket", "folder"])
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Something that is no plain file, under the name of one."""
    path, target = tmp_path / "strange", tmp_path / "target"
    if request.param == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
        return path
    if request.param == "target":
        target.write_bytes(b"genuine")
    put_strange(path, request.param)
    return path


def test_only_a_plain_file_is_read(tmp_path: Path, strange: Path) -> None:
    with pytest.raises(IntegrityError, match=f"stranger: {strange} is no plain file"):
        disk.read_plain(strange, 1000)
    with pytest.raises(IntegrityError, match="replaced"):
        disk.create_or_prove_equal(strange, b"genuine")
    with pytest.raises(FileNotFoundError):
        disk.read_plain(tmp_path / "none", 1000)


def test_a_file_is_read_to_its_limit_and_no_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"four")
    assert disk.read_plain(path, 4) == b"four"
    with pytest.raises(IntegrityError, match=r"stranger: .*longer than 3 bytes"):
        disk.read_plain(path, 3)
    with pytest.raises(IntegrityError, match="replaced"):
        disk.create_or_prove_equal(path, b"fou")


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


def test_a_destroyed_file_is_overwritten_before_its_name_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    secret = bytes(range(256)) * 9000  # more than is written at once
    path.write_bytes(secret)
    other = tmp_path / "g"
    other.hardlink_to(path)  # what a crashed writer left under its temporary name
    order: list[str] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (order.append("file" if path.exists() else "folder"), real(fd))
    )
    assert disk.destroy(path)
    assert order == ["file", "folder"]
    assert not path.exists()
    assert len(other.read_bytes()) == len(secret)
    assert secret[:64] not in other.read_bytes()
    assert not disk.destroy(path)
    assert not disk.destroy(tmp_path / "nowhere" / "f")


def test_what_is_no_plain_file_loses_its_name_only(tmp_path: Path, strange: Path) -> None:
    if strange.is_dir():
        with pytest.raises(IsADirectoryError):
            disk.destroy(strange)
        return
    assert disk.destroy(strange)
    assert not os.path.lexists(strange)
    target = tmp_path / "target"
    assert not target.exists() or target.read_bytes() == b"genuine"


def test_a_pipe_that_somebody_reads_is_not_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    reader = os.open(tmp_path / "f", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert disk.destroy(tmp_path / "f")
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_what_is_no_plain_file_under_a_temporary_name_is_in_nobodys_way(
    tmp_path: Path, strange: Path
) -> None:
    left = strange.rename(tmp_path / f".f{disk.TEMPORARY_SUFFIX}")
    disk.write_once(tmp_path / "f", b"ours")
    assert disk.leftovers(tmp_path, remove=True) == []
    assert os.path.lexists(left)
