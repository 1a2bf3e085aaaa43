"""A damaged sealed track becomes a whole one without the damaged places."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import MediaError
from analysis.repair import Losses
from analysis.samples import Hole
from storage.stream import parse_head
from tests.analysis.recorder import Recorder, pieces, run_child, webm
from tests.support.damage import Sealed, flip, flip_segments, lost, samples

LENGTH_MS = 12_000


@pytest.fixture
def sealed(recorder: Recorder) -> Sealed:
    recorder.epoch("camera", pieces(webm(12.0, bits=400_000), 6), length_ms=LENGTH_MS)
    return Sealed(recorder)


def test_the_child_repairs_a_track_and_amends_the_timeline(sealed: Sealed) -> None:
    flip_segments(sealed.path, 4)
    answer = run_child(sealed.request(), sealed.recorder.descriptors)
    assert answer["exit"] == 0, answer
    track, damage = answer["result"]["track"], answer["result"]["damage"]
    assert damage == {"segments": [[4, 4]], "bytes": 65536}
    assert track["container"] == "webm"
    assert (track["start_ms"], track["duration_ms"]) == (0, sealed.described["duration_ms"])
    assert [gap[2] for gap in track["gaps"]] == ["damaged"]
    before, after = sealed.recorder.document("timeline"), sealed.recorder.document("timeline.v2")
    [old], [new] = before["tracks"], after["tracks"]
    assert new["gaps"] == sorted(old["gaps"] + track["gaps"])
    assert {**before, "tracks": []} == {**after, "tracks": []}
    assert lost(sealed, answer["result"]).altered == []


def test_a_track_that_is_whole_after_all_is_not_written(sealed: Sealed) -> None:
    result = sealed.repaired()
    assert result == {"track": None, "damage": {"segments": [], "bytes": 0}}
    assert sealed.recorder.outputs["camera.r1"][0].stat().st_size == 0


@pytest.mark.parametrize("way", ["header", "longer"])
def test_what_costs_no_sample_is_mended_without_a_gap(sealed: Sealed, way: str) -> None:
    if way == "header":
        flip(sealed.path, 7)
    else:
        sealed.path.write_bytes(sealed.whole + os.urandom(100))
    result = sealed.repaired()
    assert result["track"]["gaps"] == []
    assert lost(sealed, result).samples == []


def test_a_track_that_was_cut_keeps_what_is_there(sealed: Sealed) -> None:
    sealed.path.write_bytes(sealed.whole[: len(sealed.whole) // 2])
    missing = lost(sealed, result := sealed.repaired())
    [(start, end)] = missing.gaps
    assert end == sealed.described["duration_ms"]
    assert start <= result["track"]["duration_ms"] < LENGTH_MS / 2
    assert missing.altered == []
    assert all(sample.at >= start - 1 for sample in missing.samples)


def test_without_its_head_a_track_is_lost_with_its_first_segment_only(sealed: Sealed) -> None:
    flip_segments(sealed.path, 3)
    assert lost(sealed, sealed.repaired(head=False)).altered == []
    flip_segments(sealed.path, 0)
    with pytest.raises(MediaError) as caught:
        sealed.repaired(head=False)
    assert caught.value.kind in ("unreadable", "no_media")
    assert lost(sealed, sealed.repaired()).altered == []


def test_a_damaged_head_is_as_none(sealed: Sealed) -> None:
    head = sealed.recorder.outputs["camera.head"][0]
    flip_segments(head, 0)
    flip_segments(sealed.path, 3)
    assert lost(sealed, sealed.repaired()).altered == []
    flip(sealed.path, 7)
    with pytest.raises(MediaError) as caught:
        sealed.repaired()
    assert caught.value.kind == "not_opened"


def test_where_nothing_is_left_the_error_says_so(sealed: Sealed) -> None:
    flip_segments(sealed.path, *range(sealed.segments))
    with pytest.raises(MediaError) as caught:
        sealed.repaired(head=False)
    assert caught.value.kind in ("no_media", "unreadable")


def test_the_new_track_has_a_head_of_its_own_and_is_repaired_in_its_turn(sealed: Sealed) -> None:
    flip_segments(sealed.path, 4)
    first = sealed.repaired()
    made = sealed.recorder
    head = parse_head(made.sealed("camera.r1.head"))
    assert (head.size, head.header.name) == (first["track"]["bytes"], "camera.r1")
    assert made.sealed("camera.r1").startswith(head.first)
    assert len(head.first) > 65536


def test_a_second_picture_that_is_not_shown_is_kept_on(recorder: Recorder) -> None:
    """The candidate changed browsers: Matroska with two pictures, of which a player shows the first."""
    recorder.epoch("camera", pieces(webm(6.0, bits=400_000), 3), length_ms=6000)
    other = webm(6.0, codec="libvpx-vp9", bits=400_000)
    recorder.epoch("camera", pieces(other, 3), start_ms=8000.0, length_ms=6000, mime="video/webm;codecs=vp9")
    sealed = Sealed(recorder)
    assert sealed.described["container"] == "matroska"
    flip_segments(sealed.path, 4)
    result = sealed.repaired()
    assert result["track"]["container"] == "matroska"
    missing = lost(sealed, result)
    assert missing.altered == []
    assert {s.stream for s in samples(recorder.sealed("camera.r1"))} == {s.stream for s in sealed.samples}
    assert len(missing.samples) < len(sealed.samples) / 3


class Packet:
    """As much of a packet as the losses look at."""

    def __init__(self, stream: int, pos: int) -> None:
        self.stream_index, self.pos = stream, pos


@given(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 39), st.integers(1, 12)), max_size=5))
def test_the_named_losses_are_the_samples_that_holes_took(
    streams: int, damaged: list[tuple[int, int]]
) -> None:
    """Samples of 100 bytes and 20 ms, the streams in turn; a sample that touches a hole is gone."""
    length, count = 20.0, 40
    gone = {n for start, size in damaged for n in range(start, min(count, start + size))}
    starts = sorted(n for n in gone if n - 1 not in gone)
    holes = []
    for start in starts:
        end = next(n for n in range(start, count + 1) if n not in gone)
        holes.append(Hole(start * 100 + 10, end * 100 - 10, "damaged"))
    losses = Losses(holes)
    wanted: set[int] = set()
    for stream in range(streams):
        own = [n for n in range(count) if n % streams == stream]
        if all(n in gone for n in own):
            continue  # nothing is known of a stream without a sample
        for at, n in enumerate(own):
            if n in gone:
                wanted |= set(range(int(at * length), int((at + 1) * length)))
    for n in range(count):
        if n not in gone:
            losses.see(Packet(n % streams, n * 100), n // streams * length, length)
    total = int(max(len(range(s, count, streams)) for s in range(streams)) * length)
    named = {ms for start, end in losses.spans(total) for ms in range(start, end)}
    assert wanted <= named
    # A stream that is shorter than the track ends before it.
    assert {ms for ms in named - wanted if ms < total - length} == set()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path)
    yield made
    made.close()
