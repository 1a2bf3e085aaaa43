from __future__ import annotations

import base64
import datetime
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from appliance import child, documents, drafts, intake_folder, jobs
from appliance.audit.log import Action
from appliance.child import ChildFailedError, ChildStoppedError
from appliance.database import transaction
from appliance.domain import AnalysisState
from appliance.errors import ConflictError
from appliance.jobs import Work
from appliance.reading import one_attempt
from appliance.stages import analyse, replay, seal
from appliance.tables import analysis, consent, document
from storage.vault import SealedWriter, Vault
from tests.support.media import pieces, recorded
from tests.support.site import Site

REAL_CHILD = child.run
CLIP = Path(__file__).parents[3] / "webui" / "static" / "demo" / "interview.webm"
SEALED = ("camera.head", "manifest", "timeline")


@pytest.fixture
def pack(site: Site) -> Path:
    """A pack that is there; the child that would read it is replaced."""
    folder = site.settings.models_folder / "1.0"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    (site.settings.models_folder / "active").symlink_to(folder)
    return folder


@pytest.fixture
def queued(site: Site) -> uuid.UUID:
    return site.sealed_but_not_analysed(list(recorded()))


class SlowClock(datetime.datetime):
    """Intake's clock, an hour slow."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return datetime.datetime.now(tz) - datetime.timedelta(hours=1)


def observing(before: Callable[[dict[str, Any], Any], None] = lambda _request, _more: None) -> Any:
    """A child that writes every output as the real one does, with nothing in it."""

    def run(request: dict[str, Any], _fds: object, **more: Any) -> dict[str, Any]:
        before(request, more)
        for output in request["outputs"].values():
            header, key = (base64.b64decode(output[name]) for name in ("header", "out_key"))
            with SealedWriter(output["out_fd"], header, key, 0) as writer:
                writer.write(b"{}")
        return {"figures": {"speech_ms": 1}, "pack_version": "1.0"}

    return run


def state(site: Site, made: uuid.UUID) -> tuple[str, str | None]:
    row = site.row(analysis, made)
    return row.state, row.reason


def test_four_documents_are_sealed_and_noted(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(child, "run", observing(lambda request, _: seen.append(request)))
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.DONE, None)
    names = {row.name for row in site.rows(document, recording_id=queued)}
    assert names == {*SEALED, *documents.ANALYSED}
    [request] = seen
    assert [track["name"] for track in request["tracks"]] == ["camera"]
    assert request["language"] == "zh"
    assert len(request["questions"]) == 2
    assert site.row(analysis, queued).pack_version == "1.0"
    assert site.actions("recording", queued)[-2:] == [Action.ANALYSE_RUN, Action.ANALYSE_DONE]


def test_without_a_pack_it_is_skipped_and_taken_up_when_one_is_active(
    site: Site, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(child, "run", observing())
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.SKIPPED, "no_model_pack")
    analyse.take_up_skipped(site.work)
    assert state(site, queued) == (AnalysisState.SKIPPED, "no_model_pack")
    request.getfixturevalue("pack")
    for _ in range(2):
        analyse.take_up_skipped(site.work)
        assert len(site.waiting_jobs("analyse")) == 1
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.DONE, None)


def test_who_withdraws_while_it_runs_leaves_no_document(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyse, "WATCH_SECONDS", 0.0)

    def withdraw(_request: object, more: dict[str, Any]) -> None:
        more["progress"](0.4, "transcribe")
        assert not more["stopping"]()
        assert (site.row(analysis, queued).progress, site.row(analysis, queued).stage) == (40, "transcribe")
        site.last_browser.withdraw()
        site.pull()
        if more["stopping"]():
            raise ChildStoppedError

    monkeypatch.setattr(child, "run", observing(withdraw))
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.CANCELLED, "consent_withdrawn")
    assert [file.name for file in Vault(site.settings.vault_folder).list(queued)] == [*SEALED, "camera"]


def test_who_withdraws_at_the_last_moment_leaves_no_document_either(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def withdraw(_request: object, _more: object) -> None:
        site.last_browser.withdraw()
        site.pull()

    monkeypatch.setattr(child, "run", observing(withdraw))
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.CANCELLED, "consent_withdrawn")
    assert [file.name for file in Vault(site.settings.vault_folder).list(queued)] == [*SEALED, "camera"]
    assert {row.name for row in site.rows(document, recording_id=queued)} == {*SEALED}


def test_without_consent_nothing_runs_even_if_a_job_is_there(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.last_browser.withdraw()
    site.pull()
    monkeypatch.setattr(child, "run", lambda *_, **__: pytest.fail("the child ran"))
    analyse.analyse(site.work, str(queued))
    assert state(site, queued)[0] == AnalysisState.CANCELLED


def test_who_withdrew_is_not_analysed_though_the_clock_was_set_back_meanwhile(
    site: Site, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.finished(list(recorded()))
    with monkeypatch.context() as earlier:
        earlier.setattr(intake_folder, "datetime", SlowClock)
        assert site.last_browser.withdraw()[0] == 200
    site.pull()
    given, withdrawn = sorted(
        site.rows(consent, attempt_id=made, purpose="analysis"), key=lambda row: row.seq
    )
    assert (given.granted, withdrawn.granted, withdrawn.at < given.at) == (True, False, True)
    monkeypatch.setattr(child, "run", lambda request, *_, **__: pytest.fail("the child ran"))
    with transaction("worker", site.settings) as tx:  # as if a job had been left over
        tx.execute(insert(analysis).values(recording_id=made, state="queued"))
    analyse.analyse(site.work, str(made))
    assert state(site, made) == (AnalysisState.CANCELLED, "no_consent")
    with transaction("staff", site.settings) as tx:
        shown = {row.purpose: row.granted for row in one_attempt.page(tx, made).consents}
    assert shown == {"record": True, "analysis": False}
    with pytest.MonkeyPatch.context() as real:
        real.setattr(child, "run", REAL_CHILD)
        seal.seal(site.work, str(made))
    assert state(site, made) == (AnalysisState.SKIPPED, "declined")
    assert site.waiting_jobs("analyse") == []


def test_media_that_cannot_be_read_fails_at_once_and_a_crash_is_tried_again(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(kind: str) -> Callable[..., dict[str, Any]]:
        def run(*_: object, **__: object) -> dict[str, Any]:
            raise ChildFailedError(kind)

        return run

    monkeypatch.setattr(child, "run", fail("crash"))
    with pytest.raises(ChildFailedError):
        analyse.analyse(site.work, str(queued))
    assert state(site, queued) == (AnalysisState.QUEUED, "crash")
    monkeypatch.setattr(child, "run", fail("no_sound"))
    analyse.analyse(site.work, str(queued))
    assert state(site, queued) == (AnalysisState.FAILED, "no_sound")
    assert site.actions("recording", queued)[-1] == Action.ANALYSE_FAIL


def order(site: Site, made: uuid.UUID) -> None:
    with transaction("staff", site.settings) as tx:
        analyse.order_again(tx, site.settings, site.recruiter, made)


def test_a_failed_analysis_is_ordered_again_once_however_often_it_is_asked_for(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> dict[str, Any]:
        raise ChildFailedError("no_sound")

    monkeypatch.setattr(child, "run", fail)
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.FAILED, "no_sound")
    for _ in range(2):
        order(site, queued)
        assert state(site, queued) == (AnalysisState.QUEUED, None)
        assert site.waiting_jobs("analyse") == [{"recording": str(queued)}]
    monkeypatch.setattr(child, "run", observing())
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.DONE, None)
    assert site.actions("recording", queued).count(Action.ANALYSE_ORDER) == 1


def test_another_pack_may_analyse_again_and_the_earlier_report_stays_beside(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "run", observing())
    site.run_jobs()
    with pytest.raises(ConflictError):  # the pack is the same
        order(site, queued)
    (pack / "manifest.json").write_text('{"version": "2.0"}')
    order(site, queued)
    site.run_jobs()
    versions = {row.version for row in site.rows(document, recording_id=queued, name="report")}
    assert (state(site, queued), versions) == ((AnalysisState.DONE, None), {1, 2})


@pytest.mark.parametrize("agreed", [True, False])
def test_who_withdrew_or_never_agreed_is_never_analysed_again(
    site: Site, pack: Path, monkeypatch: pytest.MonkeyPatch, agreed: bool
) -> None:
    made = site.sealed_but_not_analysed(list(recorded()), analysis=agreed)
    monkeypatch.setattr(child, "run", observing())
    site.run_jobs()
    if agreed:
        assert site.last_browser.withdraw()[0] == 200
        site.pull()
    (pack / "manifest.json").write_text('{"version": "2.0"}')
    for before in ("failed", "done", "skipped", "cancelled"):
        with transaction("worker", site.settings) as tx:
            tx.execute(update(analysis).where(analysis.c.recording_id == made).values(state=before))
        with pytest.raises(ConflictError):
            order(site, made)
    assert site.waiting_jobs("analyse") == []


def test_a_full_disk_is_waited_for_and_never_counted(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> dict[str, Any]:
        raise ChildFailedError("full")

    def due() -> None:
        with transaction("worker", site.settings) as tx:
            tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now()"))

    usage = shutil._ntuple_diskusage(10**9, 10**9, 0)
    for place, name, broken in ((child, "run", full), (drafts.shutil, "disk_usage", lambda _: usage)):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, broken)
            for _ in range(len(jobs.BACKOFF_SECONDS) + 2):
                site.run_jobs()
                assert state(site, queued) == (AnalysisState.QUEUED, "full")
                assert site.waiting_jobs("analyse") == [{"recording": str(queued)}]
                due()
    monkeypatch.setattr(child, "run", observing())
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.DONE, None)
    assert Action.ANALYSE_FAIL not in site.actions("recording", queued)


def test_a_worker_that_stops_gives_the_job_back(
    site: Site, pack: Path, queued: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, stopping: Callable[[], bool], **__: object) -> dict[str, Any]:
        assert stopping()
        raise ChildStoppedError

    monkeypatch.setattr(child, "run", stop)
    with pytest.raises(ChildStoppedError):
        analyse.analyse(Work(site.settings, lambda: True), str(queued))
    assert state(site, queued)[0] == AnalysisState.RUNNING
    monkeypatch.setattr(child, "run", observing())
    site.run_jobs()
    assert state(site, queued) == (AnalysisState.DONE, None)


def test_the_real_child_with_the_real_pack_hears_what_the_clip_says(site: Site) -> None:
    folder = Path(os.environ.get("FUPAN_TEST_MODELS", Path.home() / ".cache/fupan/models/active"))
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no model pack at {folder} (set FUPAN_TEST_MODELS)")
    (site.settings.models_folder / "active").symlink_to(folder)
    made = site.finished(pieces(CLIP.read_bytes(), 13), language="en")
    site.run_jobs()
    assert state(site, made) == (AnalysisState.DONE, None)
    view = replay.open_view(site.settings, site.recruiter, made)
    transcript = json.loads(replay.document(site.settings, view, "transcript"))
    words = " ".join(segment["text"] for segment in transcript["segments"]).lower()
    assert "ask the customer earlier" in words
    assert "three days of work" in words
    signals = json.loads(replay.document(site.settings, view, "signals"))
    assert {signal["kind"] for signal in signals["signals"]} >= {"speech_activity", "speech_rate"}
