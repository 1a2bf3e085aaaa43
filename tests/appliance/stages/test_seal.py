from __future__ import annotations

import io
import json
import os
import resource
import shutil
import uuid
from collections.abc import Callable
from typing import Any

import av
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from appliance import child, drafts, jobs
from appliance.audit.log import Action
from appliance.child import ChildFailedError
from appliance.database import transaction
from appliance.domain import AnalysisState, Limits, RecordingState, Role
from appliance.errors import ConflictError, NotFoundError
from appliance.jobs import Work
from appliance.keyholder.client import Keyholder
from appliance.packet import canonical
from appliance.stages import replay, seal
from appliance.stages.seal.media import journal_states, read_epochs
from appliance.tables import analysis, document, recording, track
from appliance.transport import transport_of
from storage.vault import EVENTS_MIME, Vault, new_browser_key, wire_digest
from tests.support import factory
from tests.support.candidate import Candidate, Epoch
from tests.support.media import recorded
from tests.support.site import Site


def plain(site: Site, made: uuid.UUID, name: str = "camera") -> bytes:
    view = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, view, name) as file:
        return file.read(0, file.size)


def timeline(site: Site, made: uuid.UUID) -> dict[str, Any]:
    view = replay.open_view(site.settings, site.recruiter, made)
    return dict(json.loads(replay.document(site.settings, view, "timeline")))


@pytest.fixture
def browser(site: Site) -> Candidate:
    """A candidate who agreed to everything, at a position that records the screen too."""
    [made] = site.invite("ming", position_id=site.position(screen="optional"))
    site.run_jobs()
    return site.begun(made)


def finish_and_seal(site: Site, browser: Candidate, *epochs: Epoch) -> uuid.UUID:
    assert browser.finish(*epochs)[0] == 200
    site.pull()
    site.run_jobs()
    return browser.recording


def test_a_finished_recording_is_sealed_and_plays(site: Site) -> None:
    made = site.sealed(list(recorded()))

    row = site.row(recording, made)
    assert (row.state, row.problem, row.gaps) == (RecordingState.SEALED, None, [])
    [camera] = site.rows(track, recording_id=made)
    assert (camera.name, camera.container, camera.width) == ("camera", "webm", 160)
    assert abs(camera.duration_ms - 4000) < 200
    assert row.bytes == sum(file.bytes for file in Vault(site.settings.vault_folder).list(made))
    assert row.department_year_key.startswith(str(site.department))

    with av.open(io.BytesIO(plain(site, made))) as container:
        assert container.duration == pytest.approx(4_000_000, abs=200_000)
        assert {stream.type for stream in container.streams} == {"video", "audio"}
    assert site.actions("recording", made)[:2] == [Action.SEAL_RUN, Action.SEAL_DONE]


def test_screen_and_events_become_a_track_and_a_timeline(site: Site, browser: Candidate) -> None:
    camera = site.record(browser, list(recorded()))
    screen = site.record(browser, list(recorded(2.0)), track="screen")
    events = browser.epoch("events", mime=EVENTS_MIME)
    clock = events.writer.opening.clock
    told = [
        {"t": clock.monotonic_ms + at, "wall": clock.wall_ms + at, "kind": kind, "question": 1}
        for at, kind in ((0, "question_shown"), (500, "answer_started"), (3000, "answer_ended"))
    ]
    for piece in (events.chunk(canonical(told)), events.end()):
        assert browser.put(events, piece)[0] == 201
    made = finish_and_seal(site, browser, camera, screen, events)
    assert {row.name for row in site.rows(track, recording_id=made)} == {"camera", "screen"}
    [answer] = timeline(site, made)["answers"]
    assert answer["end_ms"] - answer["start_ms"] == 2500
    kept = sorted(row.name for row in site.rows(document, recording_id=made))
    assert kept == ["camera.head", "manifest", "screen.head", "timeline"]


def test_from_sealing_on_intake_takes_nothing_more(site: Site) -> None:
    made = site.sealed(list(recorded()))
    late = site.last_browser.epoch()
    assert site.last_browser.put(late, late.chunk(b"late"))[0] == 410
    assert transport_of(site.settings).journals(made, Limits.bytes)["camera"].state().get(late.id) is None


def test_an_epoch_that_does_not_open_is_a_named_gap(site: Site, browser: Candidate) -> None:
    good = site.record(browser, list(recorded()))
    key = browser.day_key["id"]
    wrong = new_browser_key().public_key()
    point = wrong.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    bad = browser.epoch(recipients={key: point})
    pieces = [*(bad.chunk(chunk) for chunk in recorded(2.0)), bad.end()]
    for piece in pieces:
        assert browser.put(bad, piece)[0] == 201
    made = finish_and_seal(site, browser, good, bad)
    row = site.row(recording, made)
    assert row.state == RecordingState.SEALED
    assert [(gap[2], gap[3]) for gap in row.gaps] == [("not_opened", "camera")]
    assert site.last_details("recording", made)["unopened"] == {"unwrap": 1}
    with av.open(io.BytesIO(plain(site, made))) as container:
        assert container.duration == pytest.approx(4_000_000, abs=200_000)


def test_a_forged_epoch_in_the_journal_is_a_gap_and_not_part_of_the_recording(
    site: Site, browser: Candidate
) -> None:
    """What a seized intake adds by itself: signed by a key that was never pinned."""
    good = site.record(browser, list(recorded()))
    honest, browser.key = browser.key, new_browser_key()
    forged = browser.epoch()
    journal = transport_of(site.settings).journals(browser.recording, Limits.bytes)["camera"]
    for chunk in recorded(2.0):
        number, flag, body = forged.chunk(chunk)
        opening = forged.writer.opening
        digest = wire_digest(body)
        journal.append(opening.epoch, number, flag, opening.raw, body[opening.end :], digest)
    browser.key = honest
    made = finish_and_seal(site, browser, good)
    assert [(gap[2], gap[3]) for gap in site.row(recording, made).gaps] == [("not_opened", "camera")]
    assert site.last_details("recording", made)["unopened"] == {"browser_key": 1}
    [camera] = site.rows(track, recording_id=made)
    assert abs(camera.duration_ms - 4000) < 200


def test_what_is_no_media_seals_with_a_problem_and_is_not_analysed(site: Site, browser: Candidate) -> None:
    junk = site.record(browser, [os.urandom(5000), os.urandom(5000)])
    made = finish_and_seal(site, browser, junk)
    row = site.row(recording, made)
    assert (row.state, row.problem) == (RecordingState.SEALED, "no_media")
    assert site.rows(track, recording_id=made) == []
    assert row.gaps
    assert site.row(analysis, made).reason == "no_media"


def test_declining_analysis_still_seals_and_leaves_no_job(site: Site) -> None:
    made = site.sealed(list(recorded()), analysis=False)
    assert site.row(recording, made).state == RecordingState.SEALED
    row = site.row(analysis, made)
    assert (row.state, row.reason) == (AnalysisState.SKIPPED, "declined")
    assert site.waiting_jobs("analyse") == []


def test_a_second_run_changes_nothing(site: Site) -> None:
    made = site.sealed(list(recorded()))
    vault = Vault(site.settings.vault_folder)
    before = {file: vault.header_of(made, file.kind, file.name) for file in vault.list(made)}
    seal.seal(site.work, str(made))
    assert {file: vault.header_of(made, file.kind, file.name) for file in vault.list(made)} == before
    assert site.actions("recording", made).count(Action.SEAL_RUN) == 1


class CrashError(BaseException):
    """The worker dies here: nothing of ours runs any more."""


def _die(*_: object, **__: object) -> None:
    raise CrashError


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (seal, "_put_tombstone"),
        (seal, "read_epochs"),
        (child, "run"),
        (seal, "commit"),
        (drafts.Drafts, "commit"),
        (seal, "note_sealed"),
    ],
)
def test_a_crash_at_any_step_is_made_good_by_the_next_run(
    site: Site, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    made = site.finished(list(recorded()))
    with monkeypatch.context() as patched:
        patched.setattr(place, name, _die)
        with pytest.raises(CrashError):
            seal.seal(site.work, str(made))
    assert site.row(recording, made).state == RecordingState.SEALING
    site.run_jobs()
    assert site.row(recording, made).state == RecordingState.SEALED
    assert list(site.settings.vault_folder.rglob("*.tmp")) == []
    assert len(plain(site, made)) > 1000


def test_what_a_killed_run_still_holds_while_the_next_begins_is_gone_when_that_ends(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.finished(list(recorded()))
    killed, remux = Vault(site.settings.vault_folder).begin(made, "track", "camera"), seal.remux

    def end_late(*given: Any) -> dict[str, Any]:
        os.close(killed.fd)  # as its child does that was slow to die; the file under its temporary name stays
        return remux(*given)

    monkeypatch.setattr(seal, "remux", end_late)
    seal.seal(site.work, str(made))
    assert len(plain(site, made)) > 1000
    assert list(site.settings.vault_folder.rglob("*.tmp")) == []


def test_a_failing_child_is_tried_again_and_at_last_left_for_a_person(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.finished(list(recorded()))

    def fail(*_: object, **__: object) -> dict[str, Any]:
        raise ChildFailedError("crash", "SIGSEGV")

    monkeypatch.setattr(child, "run", fail)
    with pytest.raises(ChildFailedError):
        seal.seal(site.work, str(made))
    row = site.row(recording, made)
    assert (row.state, row.problem) == (RecordingState.SEALING, "crash")
    with pytest.raises(ChildFailedError):
        seal.seal(Work(site.settings, lambda: False, last=True), str(made))
    assert site.row(recording, made).state == RecordingState.FAILED
    assert site.actions("recording", made)[-1] == Action.SEAL_FAIL


def now(site: Site) -> None:
    """Every waiting job is due."""
    with transaction("worker", site.settings) as tx:
        tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now()"))


def waits_for_room(site: Site, made: uuid.UUID) -> None:
    row = site.row(recording, made)
    assert (row.state, row.problem) == (RecordingState.SEALING, "full")
    assert site.waiting_jobs("seal") == [{"recording": str(made)}]
    assert Action.SEAL_FAIL not in site.actions("recording", made)


def test_a_disk_without_room_is_waited_for_and_nothing_is_begun(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.finished(list(recorded()))
    with monkeypatch.context() as full:
        full.setattr(drafts.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
        for _ in range(len(jobs.BACKOFF_SECONDS) + 3):
            site.run_jobs()
            waits_for_room(site, made)
            now(site)
        assert site.actions("recording", made) == []
    site.run_jobs()
    assert (site.row(recording, made).state, site.row(recording, made).problem) == ("sealed", None)


def test_a_disk_that_fills_up_while_the_child_writes_is_waited_for_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real child on real media; where its file may not grow, the kernel refuses as on a full disk."""
    made = site.finished(list(recorded()))
    limit = child._limit

    def narrow(pid: int, memory_bytes: int) -> None:
        limit(pid, memory_bytes)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, 4096))

    with monkeypatch.context() as full:
        full.setattr(child, "_limit", narrow)
        for _ in range(len(jobs.BACKOFF_SECONDS) + 2):
            site.run_jobs()
            waits_for_room(site, made)
            now(site)
        assert list(site.settings.vault_folder.rglob("*.tmp")) == []
    site.run_jobs()
    assert len(plain(site, made)) > 1000


def test_a_failed_seal_that_is_done_again_leaves_no_failed_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.finished(list(recorded()))
    with monkeypatch.context() as broken:
        broken.setattr(child, "run", lambda *_, **__: {})  # not what a child answers
        for _ in range(len(jobs.BACKOFF_SECONDS) + 1):
            site.run_jobs()
            now(site)
    row = site.row(recording, made)
    assert (row.state, row.problem) == (RecordingState.FAILED, "KeyError")
    with transaction("worker", site.settings) as tx:
        assert tx.scalars(text("SELECT status FROM procrastinate_jobs")).all() == ["failed"]
    for _ in range(2):  # pressing twice makes one job
        with transaction("staff", site.settings) as tx:
            seal.order_again(tx, site.recruiter, made)
        assert site.row(recording, made).state == RecordingState.SEALING
        assert site.waiting_jobs("seal") == [{"recording": str(made)}]
    site.run_jobs()
    assert (site.row(recording, made).state, site.row(recording, made).problem) == ("sealed", None)
    assert site.actions("recording", made).count(Action.SEAL_ORDER) == 1
    with transaction("worker", site.settings) as tx:
        assert tx.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'")) == 0


def test_only_a_failed_seal_within_ones_scope_can_be_ordered(site: Site) -> None:
    sealed = factory.make_attempt(site.settings, site.department)
    failed = factory.make_attempt(site.settings, site.department, state="failed")
    elsewhere = factory.make_user(site.settings, Role.RECRUITER, factory.make_department(site.settings))
    head = factory.make_user(site.settings, Role.DEPARTMENT_HEAD, site.department)
    for user, made, refusal in (
        (site.recruiter, sealed, ConflictError),
        (elsewhere, failed, NotFoundError),
        (head, failed, NotFoundError),
    ):
        with pytest.raises(refusal), transaction("staff", site.settings) as tx:
            seal.order_again(tx, user, made)
    assert site.waiting_jobs("seal") == []
    assert site.row(recording, failed).state == RecordingState.FAILED


def test_a_chunk_that_slips_in_while_sealing_makes_it_start_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.finished(list(recorded()))
    real: Callable[..., dict[str, Any]] = child.run
    journal = transport_of(site.settings).journals(made, Limits.bytes)["camera"]

    def slip(*arguments: Any, **more: Any) -> dict[str, Any]:
        late = site.last_browser.epoch()
        number, flag, body = late.chunk(b"late")
        opening = late.writer.opening
        digest = wire_digest(body)
        journal.append(opening.epoch, number, flag, opening.raw, body[opening.end :], digest)
        monkeypatch.setattr(child, "run", real)
        return real(*arguments, **more)

    monkeypatch.setattr(child, "run", slip)
    with pytest.raises(seal.ChangedError):
        seal.seal(site.work, str(made))
    seal.seal(site.work, str(made))
    assert site.row(recording, made).state == RecordingState.SEALED
    assert len(site.row(recording, made).gaps) == 1


def test_openings_beyond_the_packets_limit_get_no_key(site: Site, browser: Candidate) -> None:
    site.record(browser, list(recorded(2.0)))
    site.record(browser, list(recorded(2.0)))
    journals = transport_of(site.settings).journals(browser.recording, Limits.bytes)
    site.pull()
    factory.set_state(site.settings, browser.recording, "sealing")
    event = factory.worker_event(site.settings, browser.recording, "seal")
    states = journal_states(journals)
    Keyholder(site.settings).create_recording_key(browser.recording, site.department, 2026, event.id)
    found = read_epochs(Keyholder(site.settings), journals, browser.recording, event.id, states, 1)
    assert [bool(epoch.key) for epoch in found] == [True, False]
    assert found[1].problem == "limit"


@pytest.mark.parametrize(
    ("container", "state"), [("webm", "sealed"), ("html", "failed"), (["webm"], "failed")]
)
def test_the_child_does_not_choose_what_a_browser_takes_its_file_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, container: Any, state: str
) -> None:
    made = site.finished(list(recorded()))
    real = child.run

    def boast(*arguments: Any, **more: Any) -> dict[str, Any]:
        result = real(*arguments, **more)
        for described in result["tracks"]:
            described |= {"mime": "text/html", "container": container}
        return result

    monkeypatch.setattr(child, "run", boast)
    work = Work(site.settings, lambda: False, last=True)
    if state == "sealed":
        seal.seal(work, str(made))
        assert site.row(track, made).mime == "video/webm"
    else:
        with pytest.raises(ChildFailedError):
            seal.seal(work, str(made))
        assert site.row(recording, made).problem == "protocol"
    assert site.row(recording, made).state == state
