"""Whatever a browser's clocks say: the recording seals, and is no longer than what was recorded."""

from __future__ import annotations

import functools
import io
import itertools
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis import remux
from analysis.container import Codec
from analysis.remux import Epoch, layout_of, plan_track
from analysis.samples import LONGEST_EPOCH_MS, EpochFacts, StreamFacts
from analysis.seal_tracks import seal_tracks
from analysis.timeline import LONGEST_PAUSE_MS, EpochClock, can_be_placed, place
from storage.vault import Clock

from .recorder import WALL, Recorder, pieces, webm

PAGES = (b"1" * 16, b"2" * 16)
HOUR = 3_600_000.0
SHIFTS = [-1e12, 1e15, 1e13, 35 * 24 * HOUR, 27 * HOUR, -27 * HOUR]
MOMENTS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1e6),
    st.sampled_from([1000.0 + shift for shift in SHIFTS] + [1e308, -1e308, 8.64e15, -8.64e15]),
)
clip = functools.cache(webm)


def sealed(made: Recorder) -> dict[str, Any]:
    """The camera of a recording, sealed in this process."""
    return seal_tracks(made.remux_request(), lambda *_: None)["tracks"][0]


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_clock_that_leaps_within_a_page_load_costs_a_pause_and_no_more(
    recorder: Recorder, shift: float
) -> None:
    recorder.epoch("camera", pieces(clip(1), 2), length_ms=1000)
    recorder.epoch("camera", pieces(clip(1), 2), start_ms=1000 + shift, wall_ms=WALL + 4000, length_ms=1000)
    camera = sealed(recorder)
    assert camera["duration_ms"] == pytest.approx(2000 + LONGEST_PAUSE_MS, abs=60)
    assert camera["bytes"] < 4 * len(clip(1)) + remux.OPUS_SILENCE_MS * LONGEST_PAUSE_MS
    ((start, end, reason),) = camera["gaps"]
    assert (end - start, reason) == (pytest.approx(LONGEST_PAUSE_MS, abs=60), "not_recorded")
    pages = recorder.document("timeline")["pages"]
    assert [page["cut_ms"] for page in pages] == [
        0,
        pytest.approx(abs(shift) - 1000 - LONGEST_PAUSE_MS, abs=60),
    ]


@pytest.mark.parametrize("shift", [1e17, -1e17, 1e308, -1e308])
def test_an_epoch_without_a_place_in_time_is_a_named_gap_and_the_rest_plays(
    recorder: Recorder, shift: float
) -> None:
    recorder.epoch("camera", pieces(clip(1), 2), length_ms=1000)
    lost = recorder.epoch("camera", pieces(clip(1), 2), start_ms=shift, wall_ms=WALL)
    recorder.epoch("events", [b"[]"], start_ms=5, wall_ms=shift)
    camera = sealed(recorder)
    assert camera["duration_ms"] == pytest.approx(1000, abs=60)
    assert [epoch["epoch"] for epoch in camera["epochs"] if epoch.get("problem") == "clock"] == [lost]
    assert camera["gaps"] == [[0, 0, "clock"]]


def test_a_moment_in_a_cut_pause_stays_in_what_is_left_of_it() -> None:
    page = PAGES[0]
    timeline = place(EpochClock(page, start, WALL, 2000.0) for start in (1000.0, 1000.0 + HOUR))
    assert [span.start_ms for span in timeline.pages] == [0, 12_000]
    moments = [0, 1500, 4000, HOUR / 2, 1000 + HOUR - 500, 1500 + HOUR, 9 * HOUR]
    assert [timeline.at(page, t, 0) for t in moments] == [-1000, 500, 3000, 12_000, 12_000, 12_500, 24_000]
    before = timeline.at(PAGES[1], 0, WALL - 3000)
    assert (before, timeline.at(PAGES[1], 0, WALL + 9 * HOUR)) == (-3000, 24_000)


def test_silence_is_written_up_to_a_bound_and_the_hole_behind_it_is_named(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remux, "MOST_SILENCE_MS", 1000.0)
    for start in (0.0, 4000.0, 8000.0):
        recorder.epoch("camera", pieces(clip(1), 2), start_ms=start, length_ms=1000)
    camera = sealed(recorder)
    with av.open(io.BytesIO(recorder.sealed("camera"))) as source:
        times = [float(p.pts * p.time_base) for p in source.demux(audio=0) if p.pts is not None and p.size]
    steps = np.diff(times)
    assert sorted(steps)[-2:] == [pytest.approx(2.0, abs=0.1), pytest.approx(3.0, abs=0.1)]
    assert [gap[2] for gap in camera["gaps"]] == ["not_recorded"] * 2
    assert camera["duration_ms"] == pytest.approx(9000, abs=60)


@given(
    epochs=st.lists(
        st.tuples(st.sampled_from(PAGES), MOMENTS, MOMENTS, st.floats(20, LONGEST_EPOCH_MS)), max_size=8
    ),
    moment=st.tuples(MOMENTS, MOMENTS),
)
@settings(max_examples=300, deadline=None)
def test_no_clock_makes_a_recording_longer_than_its_epochs_and_short_pauses(
    epochs: list[tuple[bytes, float, float, float]], moment: tuple[float, float]
) -> None:
    placed = [each for each in epochs if can_be_placed(each[1], each[2])]
    timeline = place(EpochClock(*each) for each in placed)
    made = []
    for page, start, wall, length in placed:
        reader = SimpleNamespace(opening=SimpleNamespace(clock=Clock(page, start, wall)))
        stream = StreamFacts(
            Codec("audio", "opus", b""), first_ms=0, last_ms=length - 20, last_length_ms=20, packets=5
        )
        made.append(Epoch("", reader, EpochFacts([stream])))
    plan = plan_track("camera", made, timeline)
    bound = sum(length for *_, length in placed) + len(placed) * LONGEST_PAUSE_MS
    slack = 8.0 * (1 + len(placed))  # clocks of this size are good to 2 ms
    assert 0 <= plan.start_ms <= plan.end_ms <= bound + slack
    if placed:
        assert layout_of(plan).head_budget < 32 << 20
        for page in (*PAGES, b"3" * 16):
            assert timeline.at(page, *moment) <= bound + LONGEST_PAUSE_MS + slack
    order = [(span.start_ms, span.end_ms) for span in timeline.pages]
    assert all(before[1] <= after[0] + slack for before, after in itertools.pairwise(order))


@given(clocks=st.lists(st.tuples(st.sampled_from(PAGES), MOMENTS, MOMENTS, MOMENTS), min_size=2, max_size=4))
@example(clocks=[(PAGES[0], 1000.0, WALL, 2000.0), (PAGES[0], 1000.0 + 27 * HOUR, WALL, 1e308)])
@settings(max_examples=15, deadline=None)
def test_a_recording_seals_whatever_its_clocks_say(
    clocks: list[tuple[bytes, float, float, float]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Recorder(Path(folder))
        try:
            for page, start, wall, end in [(PAGES[0], 1000.0, WALL, 2000.0), *clocks]:
                length = end - start if np.isfinite(end - start) else None
                made.epoch(
                    "camera", pieces(clip(1), 2), page=page, start_ms=start, wall_ms=wall, length_ms=length
                )
            event = {"t": clocks[0][1], "wall": clocks[0][2], "kind": "mark"}
            made.events([event], start_ms=clocks[0][1], wall_ms=clocks[0][2])
            camera = sealed(made)
            longest = (1 + len(clocks)) * (1100 + LONGEST_PAUSE_MS)
            assert 900 <= camera["duration_ms"] <= longest
            assert camera["bytes"] < (1 + len(clocks)) * len(clip(1)) + longest + (1 << 20)
            json.dumps(made.document("timeline"), allow_nan=False)
        finally:
            made.close()
