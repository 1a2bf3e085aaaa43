"""Sealed files: the writer is a file, the reader gives back what was written."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import segment_format
from storage.errors import IntegrityError, SegmentEmitted, VaultFull
from storage.keys import derive_file_key
from storage.sealed import SealedReader, SealedWriter
from storage.segment_format import SealedHeader
from storage.suites import SUITES
from tests.storage import builders

HEAD_BUDGET = 200  # rounds up to 256, four segments


def new_file(suite: int = 1) -> tuple[SealedHeader, bytes]:
    """A header for one write, and its key."""
    head = builders.header(suite=suite)
    return head, derive_file_key(builders.RECORDING_KEY, head)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1500), st.binary(max_size=400)), max_size=40),
    st.sampled_from([0, 1, 256]),
    st.sampled_from(sorted(SUITES)),
)
def test_the_writer_is_a_file(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, bytes]], budget: int, suite: int
) -> None:
    """Whatever a muxer writes, the plaintext is what a plain file would hold, or the write was refused."""
    head, key = new_file(suite)
    path, plain = tmp_path_factory.mktemp("sealed") / "f", io.BytesIO()
    with path.open("wb+") as file, SealedWriter(file.fileno(), head, key, budget) as writer:
        for at, piece in writes:
            back = writer.size if at > 1000 else min(at, writer.size)
            at = at if at < 256 <= budget else back + at % 7 * (at > 1200)
            plain.seek(at)
            plain.write(piece)
            assert writer.seek(at) == at
            try:
                assert writer.write(piece) == len(piece)
            except SegmentEmitted:
                assert at < writer.size
                break
            assert (writer.tell(), writer.size) == (plain.tell(), len(plain.getvalue()))
        else:
            writer.close()
            with SealedReader(path, key) as reader:
                assert reader.read() == plain.getvalue()
            return
    with pytest.raises(IntegrityError):
        SealedReader(path, key)


def test_a_write_into_an_emitted_segment_is_refused_and_the_file_given_up(tmp_path: Path) -> None:
    head, key = new_file()
    with (tmp_path / "f").open("wb+") as file:
        writer = SealedWriter(file.fileno(), head, key, HEAD_BUDGET)
        writer.write(bytes(64 * 40))
        writer.seek(256)
        with pytest.raises(SegmentEmitted):
            writer.write(b"x")
        with pytest.raises(ValueError, match="failed"):
            writer.write(b"x")
        writer.close()
    with pytest.raises(IntegrityError, match="header"):
        SealedReader(tmp_path / "f", key)


def test_the_head_is_patched_until_close(tmp_path: Path) -> None:
    head, key = new_file()
    with (tmp_path / "f").open("wb+") as file, SealedWriter(file.fileno(), head, key, HEAD_BUDGET) as writer:
        writer.write(bytes(64 * 100))
        writer.seek(10)
        writer.write(b"index")
        writer.seek(0, os.SEEK_END)
        assert writer.write(b"end") == 3
    with SealedReader(tmp_path / "f", key) as reader:
        assert reader.read() == bytes(10) + b"index" + bytes(64 * 100 - 15) + b"end"


@pytest.mark.parametrize("leave", ["exception", "abandon", "drop"])
def test_an_unfinished_file_is_no_sealed_file(tmp_path: Path, leave: str) -> None:
    head, key = new_file()
    with (tmp_path / "f").open("wb+") as file:
        writer = SealedWriter(file.fileno(), head, key, HEAD_BUDGET)
        writer.write(bytes(64 * 100))
        if leave == "exception":
            with pytest.raises(RuntimeError), writer:
                raise RuntimeError
        elif leave == "abandon":
            writer.abandon()
        del writer
    with pytest.raises(IntegrityError):
        SealedReader(tmp_path / "f", key)


def test_a_failed_write_gives_the_file_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, key = new_file()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with (tmp_path / "f").open("wb+") as file:
        writer = SealedWriter(file.fileno(), head, key, 0)
        with monkeypatch.context() as failing:
            failing.setattr(os, "pwritev", full)
            with pytest.raises(VaultFull):
                writer.write(bytes(64 * 20))
        writer.close()
    with pytest.raises(IntegrityError):
        SealedReader(tmp_path / "f", key)


def test_a_file_of_more_pieces_than_one_call_takes(tmp_path: Path) -> None:
    head = builders.header()
    plain = os.urandom(64 * 3000)
    assert builders.seal(tmp_path / "f", plain, head)
    assert builders.open_whole(tmp_path / "f") == plain


def test_a_descriptor_stays_the_callers(tmp_path: Path) -> None:
    head, key = new_file()
    builders.seal(tmp_path / "f", b"kept", head)
    with (tmp_path / "f").open("rb") as file:
        with SealedReader(file.fileno(), key) as reader:
            assert reader.read(2) + reader.read() + reader.read() == b"kept"
        assert file.read(4) == b"FPS1"


def test_reading_into_a_buffer_and_past_the_end(tmp_path: Path) -> None:
    head, key = new_file()
    builders.seal(tmp_path / "f", b"0123456789", head)
    with SealedReader(tmp_path / "f", key) as reader:
        buffer = bytearray(4)
        assert (reader.readinto(buffer), bytes(buffer)) == (4, b"0123")
        assert reader.seek(100) == 100
        assert reader.read(5) == b""
        assert reader.read_range(8, 100) == b"89"
        assert reader.read_range(-5, 2) == b"01"
        assert reader.read_range(5, 5) == reader.read_range(7, 3) == b""
        with pytest.raises(ValueError, match="negative"):
            reader.seek(-1)


@pytest.mark.parametrize(
    "changes",
    [{"kind": "photo"}, {"name": "../x"}, {"name": ""}, {"name": "A"}, {"name": "x" * 65}, {"salt": b""}]
    + [{"segment_bytes": size} for size in (0, 32, 65, 1 << 17)],
    ids=str,
)
def test_a_header_that_is_not_allowed_is_not_made(changes: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="header"):
        builders.header(**changes)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused_as_a_header(data: bytes, with_magic: bool) -> None:
    with pytest.raises(IntegrityError):
        segment_format.parse_header((b"FPS1\1\1\0\x10" if with_magic else b"") + data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2000))
def test_each_length_has_one_layout(size: int) -> None:
    head = builders.header()
    segments = max(1, -(-size // 64))
    layout = segment_format.layout_of(head, len(head.raw) + size + 16 * segments)
    assert (layout.size, layout.count) == (size, segments)
    assert layout.span(0, segments) == (len(head.raw), size + 16 * segments)


def test_two_segments_of_which_the_last_is_empty_are_refused() -> None:
    head = builders.header()
    with pytest.raises(IntegrityError, match="size"):
        segment_format.layout_of(head, len(head.raw) + 80 + 16)
