"""The whole `analyse` mode, in the real child, from sealed tracks to sealed documents."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.signals import read_signals, read_transcript

from .clips import read_wav, silence, sound_file
from .recorder import WALL, Recorder, pieces, run_child, webm

DOCUMENTS = ("transcript", "signals", "peaks", "report")


def sealed_input(recorder: Recorder, name: str) -> dict:
    path, key = recorder.outputs[name]
    fd = os.open(path, os.O_RDONLY)
    recorder.descriptors.append(fd)
    return {"name": name, "fd": fd, "key": base64.b64encode(key).decode()}


def request_for(recorder, pack, *, speech=True, face=True, language="auto"):
    tracks = [name for name in recorder.entries if name != "events"]
    return {
        "mode": "analyse",
        "pack": str(pack),
        "language": language,
        "tracks": [sealed_input(recorder, name) for name in tracks],
        "timeline": sealed_input(recorder, "timeline"),
        "outputs": {name: recorder.output("document", name) for name in DOCUMENTS},
        "consent": {"speech": speech, "face": face},
        "questions": [],
    }


def analyse(recorder, pack, **choices):
    sealed = run_child(recorder.remux_request(), recorder.descriptors)
    assert sealed["exit"] == 0, sealed
    answer = run_child(request_for(recorder, pack.folder, **choices), recorder.descriptors, timeout=300)
    assert answer["exit"] == 0, answer
    return answer, {name: recorder.document(name) for name in DOCUMENTS}


@pytest.fixture
def interview(recorder, real_media):
    """Two answers in two languages, a page load between them."""
    speech = real_media / "speech"
    english = read_wav(speech / "en_librispeech_1995-1837-0001.wav")
    clips = [np.concatenate([silence(1), english, silence(2), english, silence(1)])]
    clips.append(np.concatenate([silence(1), english, silence(1)]))
    for n, clip in enumerate(clips):
        page, start = bytes([n + 1]) * 16, 1000.0 + n
        length = 1000 * len(clip) / 16_000
        wall = WALL + n * 60_000
        recorder.epoch(
            "camera",
            pieces(sound_file(clip).getvalue(), 5),
            page=page,
            start_ms=start,
            wall_ms=wall,
            length_ms=length,
        )
        recorder.events(
            [
                {"t": start, "wall": wall, "kind": "answer_started", "question": n + 1},
                {"t": start + length, "wall": wall + length, "kind": "answer_ended", "question": n + 1},
            ],
            page=page,
            start_ms=start,
            wall_ms=wall,
        )
    return recorder


def test_an_interview_is_heard_placed_and_reported(interview, pack):
    answer, documents = analyse(interview, pack, language="en")
    segments = read_transcript(documents["transcript"])
    assert {segment.question for segment in segments} == {1, 2}
    first, second = ([s for s in segments if s.question == n] for n in (1, 2))
    for said in (first, second):
        assert "first great sorrow of his life" in " ".join(s.text for s in said)
    signals = read_signals(documents["signals"])
    by_kind = {kind: [s for s in signals if s.kind == kind] for kind in {s.kind for s in signals}}
    assert set(by_kind) >= {"speech_activity", "pause", "speech_rate", "level"}
    assert len(by_kind["speech_rate"]) == 2
    start_of_second = interview.document("timeline")["answers"][1]["start_ms"]
    assert second[0].start_ms == pytest.approx(start_of_second + 1000, abs=600)
    pauses = [p for p in by_kind["pause"] if p.end_ms < start_of_second]
    assert any(p.value == pytest.approx(2000, abs=700) for p in pauses)
    assert not [p for p in by_kind["pause"] if p.start_ms < start_of_second < p.end_ms]
    assert "missing" not in {s["text"] for s in documents["report"]["statements"]}
    assert documents["signals"]["coverage"]["missing"] == []
    assert answer["result"]["pack_version"] == pack.version == documents["report"]["pack"]
    assert all(isinstance(value, int | float) for value in answer["result"]["figures"].values())
    assert {"listen", "transcribe", "look", "write"} <= set(answer["stages"])


def test_nothing_that_was_said_leaves_the_child_in_the_clear(interview, pack):
    answer, _ = analyse(interview, pack, language="en")
    assert "sorrow" not in json.dumps(answer)
    for path in interview.folder.iterdir():
        assert b"sorrow" not in path.read_bytes()


@pytest.mark.long
def test_the_same_recording_gives_the_same_bytes(interview, pack):
    analyse(interview, pack, language="en")
    first = {name: interview.sealed(name) for name in DOCUMENTS}
    analyse(interview, pack, language="en")
    assert {name: interview.sealed(name) for name in DOCUMENTS} == first


def test_a_real_face_is_seen_and_its_picture_measured(recorder, pack, real_media):
    clip = (real_media / "face_and_voice_9s.mp4").read_bytes()
    recorder.epoch("camera", pieces(clip, 6), mime="video/mp4", length_ms=10_000)
    answer, documents = analyse(recorder, pack, speech=False)
    figures = answer["result"]["figures"]
    assert figures["face_share"] >= 0.95
    assert figures["fps"] == pytest.approx(29.97, abs=0.1)
    assert (figures["width"], figures["height"]) == (640, 360)
    assert documents["transcript"]["segments"] == []


def test_consent_decides_what_is_looked_for(recorder, pack):
    recorder.epoch("camera", pieces(webm(3), 3), length_ms=3000)
    _, documents = analyse(recorder, pack, speech=False, face=False)
    kinds = {signal.kind for signal in read_signals(documents["signals"])}
    assert kinds <= {"fps", "sharpness", "clipping"}
    assert documents["transcript"]["segments"] == []
    assert documents["peaks"]["peaks"]
    assert documents["signals"]["coverage"]["modules"] == {"speech": False, "face": False}


def test_a_pack_that_is_missing_or_altered_is_said_by_kind(recorder, pack, tmp_path):
    recorder.epoch("camera", pieces(webm(1), 2), length_ms=1000)
    assert run_child(recorder.remux_request(), recorder.descriptors)["exit"] == 0
    request = request_for(recorder, tmp_path / "nothing")
    assert run_child(request, recorder.descriptors)["error"]["kind"] == "no_model_pack"
    altered = tmp_path / "altered"
    shutil.copytree(pack.folder.resolve(), altered)
    (altered / "silero_vad.onnx").write_bytes(b"another model")
    request = request_for(recorder, altered)
    assert run_child(request, recorder.descriptors)["error"]["kind"] == "model_pack_damaged"


def test_a_track_under_another_key_does_not_open(recorder, pack):
    recorder.epoch("camera", pieces(webm(1), 2), length_ms=1000)
    assert run_child(recorder.remux_request(), recorder.descriptors)["exit"] == 0
    request = request_for(recorder, pack.folder)
    request["tracks"][0]["key"] = base64.b64encode(bytes(32)).decode()
    answer = run_child(request, recorder.descriptors)
    assert (answer["exit"], answer["error"]["kind"]) == (1, "not_opened")


def test_an_incomplete_request_is_refused(pack):
    for request in ({"mode": "analyse"}, {"mode": "analyse", "pack": str(pack.folder), "outputs": {}}):
        assert run_child(request, [])["error"]["kind"] == "request"


def test_too_little_memory_is_an_answer_and_not_a_crash(recorder, pack):
    recorder.epoch("camera", pieces(webm(2), 3), length_ms=2000)
    assert run_child(recorder.remux_request(), recorder.descriptors)["exit"] == 0
    request = request_for(recorder, pack.folder)
    done = subprocess.run(
        [sys.executable, "-m", "analysis", str(os.getpid()), request["pack"]],
        input=json.dumps(request).encode() + b"\n",
        capture_output=True,
        pass_fds=recorder.descriptors,
        timeout=120,
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (450 << 20, 450 << 20)),
    )
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
