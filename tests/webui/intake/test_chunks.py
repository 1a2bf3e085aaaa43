"""Numbered chunks: what is stored, what is refused and with which words."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.domain import Limits, ScreenPolicy
from appliance.intake_folder import IntakeFolder
from appliance.packet import Policy
from appliance.stages import record
from storage.vault import Journal, open_epoch_key, verify_opening
from tests.support.candidate import Candidate, content_digest
from tests.support.intake_site import IntakeSite

Begun = Callable[..., Candidate]


def code(answer: tuple[int, dict[str, object]]) -> tuple[int, object]:
    return answer[0], answer[1].get("code")


def test_a_chunk_is_stored_once_and_a_retry_is_the_same(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    piece = epoch.chunk(b"plaintext")
    assert candidate.put(epoch, piece)[0] == 201
    assert candidate.put(epoch, piece)[0] == 200
    journal = site.folder.journal(candidate.recording, "camera", 1 << 30)
    assert journal.read(bytes.fromhex(epoch.id), 0) == piece[2][epoch.writer.opening.end :]
    assert open_epoch_key(site.day_scalar, epoch.writer.opening)


def test_any_order_is_taken_and_state_says_what_is_missing(begun: Begun) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    pieces = [epoch.chunk(bytes([n])) for n in range(6)]
    for n in (5, 0, 2, 1):
        assert candidate.put(epoch, pieces[n])[0] == 201
    tracks = candidate.api("GET", "/state")[1]["tracks"]
    assert tracks == {"camera": {epoch.id: {"have": [[0, 2], [5, 5]], "end": False}}}


def test_another_content_for_a_number_is_a_fault_and_both_are_kept(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    candidate.put(epoch, epoch.chunk(b"first"))
    second = epoch.writer.opening.raw + b"another ciphertext of this number"
    assert code(candidate.put(epoch, (0, 0, second))) == (409, "different_chunk")
    kept = site.folder.root / "recordings" / str(candidate.recording) / "tracks"
    assert (kept / f"camera.{epoch.id}.0.0.conflict").read_bytes() == second
    assert site.folder.records(candidate.recording)[-1].body["event"] == "chunk_conflict"
    candidate.put(epoch, (0, 0, second))
    events = [record.body.get("event") for record in site.folder.records(candidate.recording)]
    assert events.count("chunk_conflict") == 1


def test_a_second_opening_in_one_epoch_is_a_fault(begun: Begun) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    candidate.put(epoch, epoch.chunk(b"first"))
    twin = candidate.epoch(epoch=epoch.writer.opening.epoch)
    assert code(candidate.put(twin, twin.chunk(b"zero"))) == (409, "different_chunk")


@pytest.mark.parametrize(
    "digest", ["", "sha-256=:AAAA:", "sha-256=:!!:", "md5=:AAAA:", content_digest(b"other")]
)
def test_a_wrong_digest_is_refused_and_nothing_is_kept(begun: Begun, digest: str) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    piece = epoch.chunk(b"data")
    assert code(candidate.put(epoch, piece, digest=digest)) == (422, "bad_digest")
    assert candidate.put(epoch, piece)[0] == 201


def test_a_digest_may_stand_among_others(begun: Begun) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    piece = epoch.chunk(b"data")
    assert candidate.put(epoch, piece, digest=f"md5=:AA==:, {content_digest(piece[2])}")[0] == 201


def test_empty_and_oversized_chunks_are_refused(begun: Begun, site: IntakeSite) -> None:
    candidate = begun(limits=replace(Limits(), chunk_bytes=1000))
    epoch = candidate.epoch()
    opening = epoch.writer.opening.raw
    assert code(candidate.put(epoch, (0, 0, b""))) == (422, "empty_chunk")
    assert code(candidate.put(epoch, (0, 0, opening))) == (422, "empty_chunk")
    assert code(candidate.put(epoch, (0, 0, opening + bytes(16)))) == (422, "empty_chunk")
    assert code(candidate.put(epoch, (0, 0, opening + bytes(5000)))) == (413, "chunk_too_large")
    huge = (0, 0, bytes(9 * 1024 * 1024))
    assert candidate.put(epoch, huge)[0] == 413
    assert site.folder.tracks(candidate.recording) == []


def test_what_is_not_sealed_for_this_place_is_refused(begun: Begun) -> None:
    candidate, other = begun(), begun()
    mine = candidate.epoch()
    assert code(candidate.put(mine, (0, 0, b"FPO1" + bytes(900)))) == (422, "bad_opening")
    assert code(candidate.put(mine, (0, 0, b"not an opening"))) == (422, "bad_opening")
    foreign = [
        candidate.epoch(recording_id=other.recording),
        candidate.epoch(vault_id=uuid.uuid4()),
        candidate.epoch(browser_key=other.key),
        candidate.epoch(day_key_id="2020-01-01"),
        candidate.epoch(recipients={"someone-else": other.public_key}),
        candidate.epoch(recipients=dict.fromkeys(["a", "b", "c", "d", "2026-11-21"], other.public_key)),
    ]
    for epoch in foreign:
        assert code(candidate.put(epoch, epoch.chunk(b"x"))) == (422, "bad_opening")
    stray = candidate.epoch("events")
    stray.track = "camera"
    assert code(candidate.put(stray, stray.chunk(b"x"))) == (422, "bad_opening")


def test_a_forged_signature_in_an_opening_is_refused(begun: Begun) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    number, flag, body = epoch.chunk(b"x")
    raw = epoch.writer.opening.raw
    forged = raw[:-1] + bytes([raw[-1] ^ 1]) + body[len(raw) :]
    assert code(candidate.put(epoch, (number, flag, forged))) == (422, "bad_opening")


def test_an_opening_is_proven_once_and_never_for_another(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    proven = []
    monkeypatch.setattr(record, "verify_opening", lambda opening: proven.append(verify_opening(opening)))
    assert [candidate.put(epoch, epoch.chunk(b"x"))[0] for _ in range(3)] == [201] * 3
    assert len(proven) == 1
    number, flag, body = epoch.chunk(b"x")
    raw = epoch.writer.opening.raw
    for at in range(4, len(raw), 7):
        forged = raw[:at] + bytes([raw[at] ^ 1]) + body[at + 1 :]
        assert code(candidate.put(epoch, (number, flag, forged))) == (422, "bad_opening"), at
    assert candidate.put(epoch, (number, flag, body))[0] == 201


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tracks/microphone/epochs/{e}/chunks/0", 422),
        ("/tracks/screen/epochs/{e}/chunks/0", 422),
        ("/tracks/..%2Fcamera/epochs/{e}/chunks/0", 404),
        ("/tracks/camera/epochs/zz/chunks/0", 422),
        ("/tracks/camera/epochs/{E}/chunks/0", 422),
        ("/tracks/camera/epochs/{e}/chunks/0?flag=2", 422),
        ("/tracks/camera/epochs/{e}/chunks/0?flag=01", 422),
        ("/tracks/camera/epochs/{e}/chunks/1000001", 422),
        ("/tracks/camera/epochs/{e}/chunks/-1", 404),
    ],
)
def test_places_that_do_not_exist(begun: Begun, path: str, status: int) -> None:
    candidate = begun()
    epoch = candidate.epoch(epoch=bytes.fromhex("ab" * 16))
    where = path.replace("{e}", epoch.id).replace("{E}", epoch.id.upper())
    assert candidate.put(epoch, epoch.chunk(b"x"), path=where)[0] == status


def test_the_screen_is_taken_where_the_policy_has_it(begun: Begun) -> None:
    candidate = begun(policy=Policy(screen=ScreenPolicy.OPTIONAL))
    epoch = candidate.epoch("screen")
    assert candidate.put(epoch, epoch.chunk(b"x"))[0] == 201


def test_nothing_is_taken_before_consent(begun: Begun) -> None:
    candidate = begun(consent=False)
    epoch = candidate.epoch()
    assert code(candidate.put(epoch, epoch.chunk(b"x"))) == (409, "consent_missing")


def test_epochs_are_counted_over_all_tracks(begun: Begun) -> None:
    candidate = begun(limits=replace(Limits(), epochs=2))
    camera, events = candidate.epoch(), candidate.epoch("events")
    for epoch in (camera, events):
        assert candidate.put(epoch, epoch.chunk(b"x"))[0] == 201
    third = candidate.epoch()
    assert code(candidate.put(third, third.chunk(b"x"))) == (413, "too_many_epochs")
    assert candidate.put(camera, camera.chunk(b"y"))[0] == 201


def test_of_epochs_that_begin_at_once_as_many_are_taken_as_there_is_room_for(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = begun(limits=replace(Limits(), epochs=1))
    epochs = [candidate.epoch(track) for track in ("camera", "events")]
    counted, room = threading.Barrier(2), record._no_room

    def wait_for_the_other(*given: Any) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            counted.wait(1)
        return room(*given)

    monkeypatch.setattr(record, "_no_room", wait_for_the_other)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda epoch: code(candidate.put(epoch, epoch.chunk(b"x"))), epochs))
    assert sorted(answers, key=str) == [(201, None), (413, "too_many_epochs")]


def test_a_full_recording_keeps_what_it_has_and_still_answers_a_retry(begun: Begun) -> None:
    candidate = begun(limits=replace(Limits(), bytes=3000))
    epoch = candidate.epoch()
    first = epoch.chunk(bytes(1500))
    assert candidate.put(epoch, first)[0] == 201
    assert code(candidate.put(epoch, epoch.chunk(bytes(1500)))) == (413, "recording_too_large")
    assert candidate.put(epoch, first)[0] == 200


def test_a_full_disk_keeps_the_browser_waiting(
    begun: Begun, site: IntakeSite, client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    first = epoch.chunk(b"x")
    assert candidate.put(epoch, first)[0] == 201
    monkeypatch.setattr("appliance.intake_folder.IntakeFolder.free_bytes", lambda _self: -1)
    second = epoch.chunk(b"y")
    assert code(candidate.put(epoch, second)) == (507, "full")
    assert candidate.put(epoch, first)[0] == 200
    monkeypatch.undo()
    assert candidate.put(epoch, second)[0] == 201


def test_nothing_is_added_once_sealed(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    first = epoch.chunk(b"x")
    candidate.put(epoch, first)
    site.seal(candidate.recording)
    assert code(candidate.put(epoch, first)) == (410, "sealed")
    assert code(candidate.put(epoch, epoch.chunk(b"y"))) == (410, "sealed")
    fresh = candidate.epoch("events")
    assert code(candidate.put(fresh, fresh.chunk(b"z"))) == (410, "sealed")
    assert site.folder.tracks(candidate.recording) == ["camera"]
    assert candidate.withdraw()[0] == 200


@pytest.mark.parametrize("retry", [False, True])
def test_a_chunk_that_the_seal_overtakes_is_not_acknowledged(
    begun: Begun, site: IntakeSite, monkeypatch: pytest.MonkeyPatch, retry: bool
) -> None:
    """The tombstone is put between the request's first look for it and the write into the journal."""
    candidate = begun()
    epoch = candidate.epoch()
    piece = epoch.chunk(b"x")
    if retry:
        assert candidate.put(epoch, piece)[0] == 201
    append = Journal.append

    def overtaken(journal: Journal, *record: object) -> str:
        site.seal(candidate.recording)
        return append(journal, *record)

    monkeypatch.setattr(Journal, "append", overtaken)
    assert code(candidate.put(epoch, piece)) == (410, "sealed")


@pytest.mark.parametrize("known", [True, False])
def test_a_chunk_that_an_erasure_overtakes_leaves_nothing(
    begun: Begun, site: IntakeSite, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Everything is removed between the request's first look for a tombstone and its write."""
    candidate = begun()
    epoch = candidate.epoch()
    pieces = [epoch.chunk(b"x") for _ in range(2)]
    if known:
        assert candidate.put(epoch, pieces[0])[0] == 201
    append = Journal.append

    def overtaken(journal: Journal, *record: object) -> str:
        site.seal(candidate.recording, "erased")
        inside = IntakeFolder(site.folder.root)
        assert inside.remove_recording(candidate.recording)
        assert not inside.left_of([candidate.recording])
        written = append(journal, *record)
        assert journal.path.exists()
        return written

    monkeypatch.setattr(Journal, "append", overtaken)
    assert code(candidate.put(epoch, pieces[1])) == (410, "sealed")
    assert site.folder.left_of([candidate.recording]) == set()


def test_uploads_are_taken_for_the_grace_and_no_longer(begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = begun(deadline=datetime.now(UTC) + timedelta(hours=1))
    epoch = candidate.epoch()
    from appliance import intake_session

    class Later(datetime):
        ahead = timedelta(hours=2)

        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + cls.ahead

    monkeypatch.setattr(intake_session, "datetime", Later)
    assert code(candidate.api("POST", "/questions/1/open")) == (410, "expired")
    assert candidate.put(epoch, epoch.chunk(b"x"))[0] == 201
    Later.ahead = timedelta(hours=74)
    assert code(candidate.put(epoch, epoch.chunk(b"y"))) == (410, "expired")


def test_conflicts_stop_at_the_limit_of_the_recording(begun: Begun, site: IntakeSite) -> None:
    candidate = begun(limits=replace(Limits(), bytes=12_000))
    epoch = candidate.epoch()
    pieces = [epoch.chunk(b"first"), epoch.chunk(b"second"), epoch.chunk(b"third")]
    for piece in pieces:
        assert candidate.put(epoch, piece)[0] == 201
    other = epoch.writer.opening.raw + bytes(4000)
    assert code(candidate.put(epoch, (0, 0, other))) == (409, "different_chunk")
    assert code(candidate.put(epoch, (1, 0, other))) == (409, "different_chunk")
    assert code(candidate.put(epoch, (2, 0, other))) == (413, "recording_too_large")
    assert candidate.put(epoch, pieces[2])[0] == 200
    assert len(list(site.folder.root.rglob("*.conflict"))) == 2


def test_epochs_that_find_no_room_are_not_admitted(begun: Begun) -> None:
    """An opening that was refused for its size must not pass the count of epochs later."""
    candidate = begun(limits=replace(Limits(), bytes=6000, epochs=2))
    epochs = [candidate.epoch() for _ in range(4)]
    for epoch in epochs:
        too_much = (0, 0, epoch.writer.opening.raw + bytes(9000))
        assert code(candidate.put(epoch, too_much)) == (413, "recording_too_large")
    answers = [candidate.put(epoch, epoch.chunk(b"x"))[0] for epoch in epochs]
    assert answers == [201, 201, 413, 413]
