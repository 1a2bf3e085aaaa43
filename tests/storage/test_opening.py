"""Openings and chunks: what is built is read back, and nothing else is."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import opening as formats
from storage.errors import BadOpening, IntegrityError
from storage.keys import new_day_key
from tests.storage import builders

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=32)
times = st.floats(0, 1e15)


@settings(max_examples=30, deadline=None)
@given(names, names, st.text("abc/;=,", min_size=1, max_size=128), times, times, st.binary(max_size=50))
def test_an_opening_reads_back(
    track: str, day: str, mime: str, monotonic: float, wall: float, rest: bytes
) -> None:
    clock = formats.Clock(uuid.uuid4().bytes, monotonic, wall)
    made, key = builders.opening(
        track, mime=mime, clock=clock, day_key_id=day, recipients={day: builders.DAY_PUBLIC}
    )
    read = formats.parse_opening(made.raw + rest)
    assert read == made
    assert (read.track, read.day_key_id, read.mime, read.clock, read.end) == (
        track,
        day,
        mime,
        clock,
        len(made.raw),
    )
    formats.verify_opening(read)
    assert formats.open_epoch_key(builders.DAY_PRIVATE, read.raw + rest) == key


def test_an_opening_cut_anywhere_is_refused() -> None:
    made, _ = builders.opening()
    for length in range(len(made.raw)):
        with pytest.raises(BadOpening):
            formats.parse_opening(made.raw[:length])


def test_every_changed_bit_is_seen() -> None:
    made, _ = builders.opening()
    for bit in range(len(made.raw) * 8):
        changed = bytearray(made.raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadOpening):
            formats.verify_opening(formats.parse_opening(bytes(changed)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=1200), st.booleans())
def test_any_bytes_are_refused_with_a_kind(data: bytes, with_magic: bool) -> None:
    with pytest.raises(BadOpening) as raised:
        formats.parse_opening((b"FPO1\0\1\1" if with_magic else b"") + data)
    assert raised.value.kind in {"magic", "length", "field", "suite", "recipient"}


def test_a_clock_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadOpening, match="clock"):
        builders.opening(clock=formats.Clock(bytes(16), float("nan"), 0.0))


def test_a_signature_by_another_browser_is_refused() -> None:
    made, _ = builders.opening()
    forged = made.signed + formats.sign_by_browser(formats.new_browser_key(), made.signed)
    with pytest.raises(BadOpening, match="signature"):
        formats.verify_opening(formats.parse_opening(forged))


def test_a_browser_key_off_the_curve_is_refused() -> None:
    made, _ = builders.opening()
    changed = made.raw.replace(made.browser_key, b"\4" + b"\1" * 64)
    with pytest.raises(BadOpening, match="signature"):
        formats.verify_opening(formats.parse_opening(changed))


def test_each_recipient_opens_the_epoch_key_and_no_other() -> None:
    other_private, other_public = new_day_key()
    made, key = builders.opening(recipients={"2026-11-22": builders.DAY_PUBLIC, "escrow": other_public})
    assert formats.open_epoch_key(builders.DAY_PRIVATE, made) == key
    assert formats.open_epoch_key(other_private, made, recipient="escrow") == key
    with pytest.raises(BadOpening, match="unwrap"):
        formats.open_epoch_key(other_private, made)
    with pytest.raises(BadOpening, match="recipient"):
        formats.open_epoch_key(other_private, made, recipient="nobody")


def test_a_key_that_the_opening_did_not_commit_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as lying:
        lying.setattr(formats, "commitment_to", lambda _key: bytes(32))
        made, _ = builders.opening()
    formats.verify_opening(made)
    with pytest.raises(BadOpening, match="commitment"):
        formats.open_epoch_key(builders.DAY_PRIVATE, made)


@pytest.mark.parametrize("count", [0, 9])
def test_no_recipient_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(BadOpening):
        builders.opening(recipients={str(i): builders.DAY_PUBLIC for i in range(count)})


def test_a_chunk_opens_only_in_its_place() -> None:
    made, key = builders.opening()
    other, _ = builders.opening(epoch=made.epoch, epoch_key=key)
    ciphertext = formats.encrypt_chunk(key, made, 3, formats.DATA, b"said")
    opener = formats.ChunkOpener(key, made.sha256)
    assert opener.decrypt(3, formats.DATA, ciphertext) == b"said"
    for n, flag, under in ((2, 0, made), (3, 1, made), (3, 0, other)):
        with pytest.raises(IntegrityError, match="record"):
            formats.ChunkOpener(key, under.sha256).decrypt(n, flag, ciphertext)
    for short in range(17):
        with pytest.raises(IntegrityError, match="record"):
            opener.decrypt(3, formats.DATA, ciphertext[:short])


def test_an_epoch_writer_takes_each_number_once() -> None:
    writer = formats.EpochWriter(*builders.opening())
    assert [writer.chunk(b"x")[0] for _ in range(3)] == [0, 1, 2]
    assert writer.finish(1.0, 2.0)[0] == 3
    with pytest.raises(ValueError, match="ended"):
        writer.chunk(b"x")
    with pytest.raises(ValueError, match="ended"):
        writer.finish(1.0, 2.0)
