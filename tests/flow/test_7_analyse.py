"""Analyse: the real models on what was recorded, and only with leave."""

from __future__ import annotations

import os
import signal

import pytest

from appliance.audit.log import Action
from appliance.documents import ANALYSED
from appliance.domain import AnalysisState
from appliance.tables import analysis, document
from tests.flow import measure, processes, quick
from tests.flow.desk import Desk
from tests.flow.fixtures import ENGLISH, MANDARIN, MEDIA, Hired, Told
from tests.flow.relay import Relay
from tests.flow.rows import actions, jobs, rows
from tests.support import fake_camera, story
from tests.support.children import children_of
from tests.support.media import pieces, recorded
from tests.support.product import Product
from tests.support.waiting import until


@pytest.fixture
def models(live: Product) -> None:
    if not (live.settings.models_folder / "active" / "manifest.json").is_file():
        pytest.skip("no model pack (make test builds it; FUPAN_MODELS names its folder)")


@pytest.fixture
def real_speech() -> None:
    if not (MEDIA / "speech").is_dir():
        pytest.skip(f"no real media at {MEDIA} (FUPAN_TEST_MEDIA names the folder)")


def said(recruiter: Desk, told: Told) -> list[dict]:
    assert told.report.analysis == AnalysisState.DONE, told.report.reason
    segments = recruiter.document(recruiter.open_view(told.recording), "transcript")["segments"]
    return list(segments)


def test_english_is_heard(
    models: None, real_speech: None, anna: Told, recruiter: Desk, record_property: pytest.RecordProperty
) -> None:
    segments = said(recruiter, anna)
    heard = " ".join(segment["text"] for segment in segments)
    errors = measure.error_rate(measure.words(ENGLISH), measure.words(heard))
    print(f"English word error rate {errors:.1%} (at most 10 %): {heard}")
    record_property("figure", f"English word error rate {errors:.1%}")
    assert errors <= 0.10
    assert {segment["question"] for segment in segments} == {1}


def test_mandarin_is_heard(
    models: None, real_speech: None, ming: Told, recruiter: Desk, record_property: pytest.RecordProperty
) -> None:
    heard = "".join(segment["text"] for segment in said(recruiter, ming))
    errors = measure.error_rate(measure.characters(MANDARIN), measure.characters(heard))
    print(f"Mandarin character error rate {errors:.1%} (goal 25 %): {heard}")
    record_property("figure", f"Mandarin character error rate {errors:.1%}")
    assert errors <= 0.45


def test_one_face_is_there_nearly_all_the_time(models: None, real_speech: None, anna: Told) -> None:
    print(f"face in {anna.report.figures['face_share']:.1%} of samples, {anna.report.figures['fps']:.1f} fps")
    assert anna.report.figures["face_share"] >= 0.95


def test_signals_have_spans_and_the_packs_version(
    models: None, live: Product, anna: Told, recruiter: Desk
) -> None:
    view = recruiter.open_view(anna.recording)
    found = recruiter.document(view, "signals")
    kinds = {signal["kind"] for signal in found["signals"]}
    assert kinds >= {"speech_activity", "face_present", "fps", "sharpness"}
    for each in found["signals"]:
        assert -1000 <= each["start_ms"] <= each["end_ms"] <= anna.report.duration_ms + 1000
    made = [row for row in rows(live, document, recording_id=anna.recording) if row.kind in ANALYSED]
    assert {row.name for row in made} == {"transcript", "signals", "peaks", "report"}
    assert {row.pack_version for row in made} == {found["pack"]}


def test_declining_still_records_and_leaves_no_job_and_no_signal(
    live: Product, hired: Hired, relay: Relay, recruiter: Desk
) -> None:
    candidate = quick.begun(quick.invited(recruiter, relay, hired.english, "decline"), analysis=False)
    epoch = quick.record(candidate, recorded())
    assert candidate.finish(epoch)[0] == 200
    report = story.wait_for_report(live.settings, candidate.recording)
    assert (report.state, report.analysis, report.reason) == ("sealed", "skipped", "declined")
    assert jobs(live, "analyse", candidate.recording) == []
    assert not any(row.kind in ANALYSED for row in rows(live, document, recording_id=candidate.recording))
    assert Action.ANALYSE_RUN not in actions(live, "recording", candidate.recording)
    view = recruiter.open_view(candidate.recording)
    assert "Analysis declined by the candidate" in recruiter.get(view).text
    for name in ("transcript", "signals", "peaks", "report"):
        assert recruiter.get(f"{view}/documents/{name}.json").status == 404
    assert len(recruiter.track(view)) > 10_000


def test_withdrawing_cancels_what_is_queued(
    models: None, live: Product, hired: Hired, relay: Relay, recruiter: Desk, anna: Told, ming: Told
) -> None:
    assert anna.report.analysis == ming.report.analysis == AnalysisState.DONE
    slow = quick.begun(quick.invited(recruiter, relay, hired.english, "slow"))
    clip = quick.record(slow, pieces(fake_camera.DEMO_CLIP.read_bytes(), 13))
    assert slow.finish(clip)[0] == 200
    worker = processes.pid(live, "worker")
    until(lambda: story.result(live.settings, slow.recording).analysis == AnalysisState.RUNNING)
    until(lambda: bool(children_of(worker, b"analysis")))
    [child] = children_of(worker, b"analysis")
    os.kill(child, signal.SIGSTOP)  # the one analysis that runs takes its time
    try:
        quits = quick.begun(quick.invited(recruiter, relay, hired.english, "withdraw"))
        assert quits.finish(quick.record(quits, recorded()))[0] == 200
        until(lambda: jobs(live, "analyse", quits.recording) == ["todo"])
        assert quits.withdraw()[0] == 200
        until(lambda: jobs(live, "analyse", quits.recording) == ["cancelled"])
    finally:
        os.kill(child, signal.SIGCONT)
    assert story.wait_for_report(live.settings, slow.recording).analysis == AnalysisState.DONE
    [row] = rows(live, analysis, recording_id=quits.recording)
    assert (row.state, row.reason) == (AnalysisState.CANCELLED, "consent_withdrawn")
    assert not any(row.kind in ANALYSED for row in rows(live, document, recording_id=quits.recording))
    assert Action.ANALYSE_RUN not in actions(live, "recording", quits.recording)
