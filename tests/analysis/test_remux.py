"""Tracks from sealed epochs, made by the real child process."""

from __future__ import annotations

import io
import os

import av
import numpy as np
import pytest

from .recorder import WALL, pieces, run_child, webm


def remux(recorder):
    answer = run_child(recorder.remux_request(), recorder.descriptors)
    assert answer["exit"] == 0, answer
    tracks = {track["name"]: track for track in answer["result"]["tracks"]}
    return tracks, answer


def times_of(data, kind):
    with av.open(io.BytesIO(data)) as source:
        return [float(p.pts * p.time_base) for p in source.demux(**{kind: 0}) if p.pts is not None and p.size]


def test_one_epoch_becomes_a_seekable_webm_with_its_index_in_front(recorder):
    recorder.epoch("camera", pieces(webm(4), 5), length_ms=4000)
    tracks, _ = remux(recorder)
    camera = tracks["camera"]
    data = recorder.sealed("camera")
    assert (camera["container"], camera["mime"], camera["codecs"]) == ("webm", "video/webm", ["vp8", "opus"])
    assert camera["bytes"] == len(data)
    assert camera["duration_ms"] == pytest.approx(4000, abs=60)
    assert (camera["width"], camera["height"], camera["gaps"]) == (160, 120, [])
    assert data.index(bytes.fromhex("1c53bb6b")) < data.index(bytes.fromhex("1f43b675"))  # cues, cluster
    with av.open(io.BytesIO(data)) as source:
        assert source.duration / av.time_base == pytest.approx(4.0, abs=0.06)
        source.seek(2_100_000)
        assert next(source.decode(video=0)).time == pytest.approx(2.0, abs=0.01)


def test_an_h264_recording_becomes_mp4_with_its_index_in_front(recorder, real_media):
    clip = (real_media / "face_and_voice_9s.mp4").read_bytes()
    recorder.epoch("camera", pieces(clip, 6), mime="video/mp4;codecs=avc1,mp4a", length_ms=9200)
    tracks, _ = remux(recorder)
    data = recorder.sealed("camera")
    assert (tracks["camera"]["container"], tracks["camera"]["codecs"]) == ("mp4", ["h264", "aac"])
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(io.BytesIO(clip)) as before, av.open(io.BytesIO(data)) as after:
        assert after.duration / av.time_base == pytest.approx(before.duration / av.time_base, abs=0.1)
        assert sum(1 for _ in after.decode(video=0)) == sum(1 for _ in before.decode(video=0))


def test_av1_in_fragmented_mp4_becomes_webm(recorder):
    data = webm(4, codec="libsvtav1", container="mp4", size=(160, 128))
    recorder.epoch("camera", pieces(data, 4), mime="video/mp4;codecs=av01,opus", length_ms=4000)
    tracks, _ = remux(recorder)
    assert tracks["camera"]["container"] == "webm"
    assert tracks["camera"]["duration_ms"] == pytest.approx(4000, abs=60)
    with av.open(io.BytesIO(recorder.sealed("camera"))) as source:
        assert sum(1 for _ in source.decode(video=0)) == 40


def test_epochs_of_one_page_load_keep_their_distance_by_the_monotonic_clock(recorder):
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=1000, length_ms=2000)
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=8000, wall_ms=WALL + 999_000, length_ms=2000)
    tracks, _ = remux(recorder)
    camera = tracks["camera"]
    assert camera["duration_ms"] == pytest.approx(9000, abs=60)
    assert [(e["start_ms"], e.get("problem")) for e in camera["epochs"]] == [(0, None), (7000, None)]
    ((start, end, reason),) = camera["gaps"]
    assert (start, end, reason) == (pytest.approx(2000, abs=60), 7000, "not_recorded")


def test_page_loads_follow_by_wall_clock_and_a_long_absence_is_shortened(recorder):
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=1000, length_ms=2000)
    recorder.epoch(
        "camera", pieces(webm(2), 3), page=b"2" * 16, start_ms=50, wall_ms=WALL + 8000, length_ms=2000
    )
    recorder.epoch(
        "camera", pieces(webm(2), 3), page=b"3" * 16, start_ms=70, wall_ms=WALL + 86_400_000, length_ms=2000
    )
    recorder.epoch(  # a clock set back: never before what is there already
        "camera", pieces(webm(2), 3), page=b"4" * 16, start_ms=90, wall_ms=WALL + 86_401_000, length_ms=2000
    )
    tracks, _ = remux(recorder)
    starts = [epoch["start_ms"] for epoch in tracks["camera"]["epochs"]]
    assert starts[:2] == [0, 7000]
    assert starts[2] == pytest.approx(9000 + 10_000, abs=60)
    assert starts[3] == pytest.approx(starts[2] + 2000, abs=60)
    pages = recorder.document("timeline")["pages"]
    assert pages[2]["cut_ms"] == pytest.approx(86_400_000 - 8000 - 2000 - 10_000, abs=100)


def test_sound_is_continuous_across_a_pause_and_the_pause_is_silent(recorder):
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=0, length_ms=2000)
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=5000, length_ms=2000)
    remux(recorder)
    data = recorder.sealed("camera")
    steps = np.diff(times_of(data, "audio"))
    assert steps.max() < 0.1
    with av.open(io.BytesIO(data)) as source:
        loud = [
            (frame.time, float(np.abs(frame.to_ndarray().astype(np.float32)).mean()))
            for frame in source.decode(audio=0)
        ]
    assert max(level for time, level in loud if 2.2 < time < 4.8) < 1e-3
    assert min(level for time, level in loud if 0.2 < time < 1.8 or 5.2 < time < 6.8) > 0.01


def test_camera_and_screen_share_the_clock_and_each_says_when_it_begins(recorder):
    recorder.epoch("camera", pieces(webm(6), 5), start_ms=10_000, length_ms=6000)
    recorder.epoch("screen", pieces(webm(2, fps=5, sound=False), 2), start_ms=12_500, length_ms=2000)
    recorder.events(
        [
            {"t": 9000, "wall": WALL + 9000, "kind": "question_shown", "question": 1},
            {"t": 10_000, "wall": WALL + 10_000, "kind": "answer_started", "question": 1},
            {"t": 15_500, "wall": WALL + 15_500, "kind": "answer_ended", "question": 1},
            {"t": 15_600, "wall": WALL + 15_600, "kind": "typed", "question": 1, "text": "你好"},
            {"t": "no", "wall": 0, "kind": "mark"},
        ],
        start_ms=8000,
    )
    tracks, answer = remux(recorder)
    assert (tracks["camera"]["start_ms"], tracks["screen"]["start_ms"]) == (0, 2500)
    assert tracks["screen"]["duration_ms"] == pytest.approx(2000, abs=250)
    assert times_of(recorder.sealed("screen"), "video")[0] == 0
    timeline = recorder.document("timeline")
    assert [(event["at_ms"], event["kind"]) for event in timeline["events"]] == [
        (-1000, "question_shown"),
        (0, "answer_started"),
        (5500, "answer_ended"),
        (5600, "typed"),
    ]
    assert timeline["events_refused"] == 1
    assert timeline["answers"] == [{"question": 1, "shown_ms": 0, "start_ms": 0, "end_ms": 5500}]
    assert "你好" not in str(answer)


def test_a_missing_chunk_is_a_named_gap_and_the_rest_survives(recorder):
    recorder.epoch("camera", pieces(webm(12, key_every=10), 12), length_ms=12_000, leave_out=(5,))
    tracks, _ = remux(recorder)
    camera = tracks["camera"]
    assert camera["duration_ms"] == pytest.approx(12_000, abs=60)
    gaps = [gap for gap in camera["gaps"] if gap[2] == "missing"]
    assert len(gaps) == 1
    assert 500 < gaps[0][1] - gaps[0][0] < 6000
    kept = times_of(recorder.sealed("camera"), "video")
    assert len(kept) > 60
    assert kept[-1] == pytest.approx(11.9, abs=0.05)


def test_chunks_missing_at_the_end_are_named_from_the_end_record(recorder):
    recorder.epoch("camera", pieces(webm(8), 8), length_ms=8000, leave_out=(6, 7))
    tracks, _ = remux(recorder)
    start, end, reason = tracks["camera"]["gaps"][-1]
    assert (reason, end) == ("missing", 8000)
    assert 2000 < start < 7000


def test_an_epoch_that_does_not_open_or_parse_is_named_and_the_others_play(recorder):
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=0, length_ms=2000)
    closed = recorder.epoch("camera", pieces(webm(2), 3), start_ms=3000, with_key=False)
    noise = recorder.epoch("camera", [os.urandom(50_000)], start_ms=6000)
    empty = recorder.epoch("camera", [], start_ms=7000, length_ms=0)
    headless = recorder.epoch("camera", pieces(webm(2), 3), start_ms=8000, leave_out=(0,))
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=11_000, length_ms=2000)
    tracks, _ = remux(recorder)
    problems = {e["epoch"]: e["problem"] for e in tracks["camera"]["epochs"] if "problem" in e}
    assert problems == {closed: "not_opened", noise: "unreadable", empty: "empty", headless: "unreadable"}
    assert {gap[2] for gap in tracks["camera"]["gaps"]} >= {"not_opened", "unreadable", "empty"}
    assert tracks["camera"]["duration_ms"] == pytest.approx(13_000, abs=60)


def test_a_codec_that_browsers_do_not_record_is_refused_by_name(recorder):
    data = webm(1, codec="mpeg4", container="mp4", sound=False)
    recorder.epoch("camera", [data], mime="video/mp4;codecs=mp4v")
    tracks, _ = remux(recorder)
    camera = tracks["camera"]
    assert [epoch["problem"] for epoch in camera["epochs"]] == ["unknown_codec"]
    assert (camera["bytes"], camera["container"]) == (0, "")


def test_a_format_that_browsers_do_not_record_is_not_even_probed(recorder):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as output:
        stream = output.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
    recorder.epoch("camera", [buffer.getvalue()])
    tracks, _ = remux(recorder)
    assert [epoch["problem"] for epoch in tracks["camera"]["epochs"]] == ["unreadable"]


def test_a_change_of_codec_loses_nothing_and_is_named(recorder):
    recorder.epoch("camera", pieces(webm(3), 3), start_ms=0, length_ms=3000)
    recorder.epoch("camera", pieces(webm(2, codec="libvpx-vp9"), 2), start_ms=5000, length_ms=2000)
    tracks, _ = remux(recorder)
    camera = tracks["camera"]
    assert camera["container"] == "matroska"
    assert camera["codecs"][0] == "vp8"
    assert [gap[2] for gap in camera["gaps"]] == ["not_recorded", "codec_changed"]
    with av.open(io.BytesIO(recorder.sealed("camera"))) as source:
        assert len(source.streams.video) == 2
        assert sum(1 for p in source.demux(video=1) if p.size) == 20


@pytest.mark.parametrize("seed", range(6))
def test_hostile_media_is_salvaged_or_named_and_never_crashes_the_child(recorder, seed):
    random = np.random.default_rng(seed)
    data = bytearray(webm(3, container="mp4" if seed % 2 else "webm", codec="libvpx-vp9"))
    for _ in range(40):
        data[random.integers(0, len(data))] = random.integers(0, 256)
    recorder.epoch("camera", pieces(bytes(data), 4), start_ms=0)
    recorder.epoch("camera", pieces(bytes(data[: len(data) // 2]), 4), start_ms=5000)
    recorder.epoch("camera", pieces(webm(1), 2), start_ms=9000, length_ms=1000)
    tracks, _ = remux(recorder)
    assert tracks["camera"]["epochs"][2].get("problem") is None
    assert 900 < tracks["camera"]["duration_ms"] < 12 * 3600 * 1000


def test_the_child_speaks_in_lines_and_refuses_what_it_does_not_know(recorder):
    answer = run_child({"mode": "dance"}, [])
    assert (answer["exit"], answer["error"]["kind"]) == (1, "request")
    recorder.epoch("camera", pieces(webm(1), 2))
    _, answer = remux(recorder)
    assert set(answer["stages"]) == {"scan", "write"}
