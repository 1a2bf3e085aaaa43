from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import update

from appliance.audit.log import Action
from appliance.database import transaction
from appliance.domain import AnalysisState, AttemptState, RecordingState
from appliance.intake_folder import IntakeFolder
from appliance.intake_state import RecordKind
from appliance.packet import canonical
from appliance.stages import ingest
from appliance.tables import analysis, attempt, browser_key, consent, intake_record, outgoing_mail, recording
from appliance.transport import transport_of
from storage.vault import new_browser_key, sign_by_browser
from tests.support.candidate import Candidate, b64
from tests.support.media import recorded
from tests.support.site import Site


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    [made] = site.invite("ming")
    site.run_jobs()
    return made


def state(site: Site, made: uuid.UUID) -> tuple[str, str]:
    return site.row(attempt, made).state, site.row(recording, made).state


def hostile_record(site: Site, made: uuid.UUID, kind: RecordKind, body: dict[str, Any]) -> None:
    """A record that a seized intake writes by itself."""
    IntakeFolder(site.settings.intake_folder).append(made, kind, lambda _: body)


def test_an_attempt_advances_with_what_its_browser_does(site: Site, made: uuid.UUID) -> None:
    assert state(site, made) == (AttemptState.INVITED, RecordingState.COLLECTING)
    browser = site.begun(made)
    site.pull()
    assert state(site, made)[0] == AttemptState.CHECKED_IN
    assert bytes(site.rows(browser_key, attempt_id=made)[0].public_key) == browser.public_key
    assert browser.api("POST", "/questions/1/open")[0] == 200
    site.pull()
    assert state(site, made)[0] == AttemptState.RECORDING
    epoch = site.record(browser, list(recorded()))
    assert browser.finish(epoch)[0] == 200
    site.pull()
    assert state(site, made) == (AttemptState.FINISHED, RecordingState.SEALING)
    assert site.row(attempt, made).end_proven
    assert site.actions("attempt", made)[-1] == Action.INGEST_FINISH


def test_pulling_again_takes_nothing_twice(site: Site, made: uuid.UUID) -> None:
    browser = site.begun(made)
    browser.finish(site.record(browser, list(recorded())))
    other = ingest.Puller(site.settings)
    for _ in range(3):
        site.pull()
        other.pull()
    records = site.rows(intake_record, attempt_id=made)
    assert sorted(row.seq for row in records) == list(range(1, len(records) + 1))
    assert len(site.rows(consent, attempt_id=made)) == 2
    assert len(site.waiting_jobs("seal")) == 1


def test_consent_is_a_receipt_for_each_purpose(site: Site, made: uuid.UUID) -> None:
    site.begun(made, analysis=False)
    site.pull()
    given = {row.purpose: row for row in site.rows(consent, attempt_id=made)}
    assert {purpose: row.granted for purpose, row in given.items()} == {"record": True, "analysis": False}
    assert set(given["record"].receipt) == {"generation", "statement", "signature", "browser_key"}
    assert given["record"].text_sha256 != given["analysis"].text_sha256
    assert given["record"].language == "en"


def test_withdrawing_cancels_what_is_queued(site: Site) -> None:
    made = site.sealed_but_not_analysed(list(recorded()))
    assert len(site.waiting_jobs("analyse")) == 1
    assert site.last_browser.withdraw()[0] == 200
    site.pull()
    assert site.row(analysis, made).state == AnalysisState.CANCELLED
    assert site.waiting_jobs("analyse") == []
    newest = max(site.rows(consent, attempt_id=made, purpose="analysis"), key=lambda row: row.seq)
    assert not newest.granted
    assert Action.ANALYSE_CANCEL in site.actions("attempt", made)


def test_a_second_browser_gets_one_fresh_link_and_only_then_its_key_is_pinned(
    site: Site, made: uuid.UUID
) -> None:
    first = site.begun(made)
    second = site.browser(made)
    for _ in range(2):
        assert second.begin()[0] == 409
    site.pull()
    site.run_jobs()
    assert len(site.mails()) == 2
    again = site.browser(made)
    assert again.begin()[0] == 200
    site.pull()
    pinned = {row.generation: bytes(row.public_key) for row in site.rows(browser_key, attempt_id=made)}
    assert pinned == {1: first.public_key, 2: again.public_key}


def test_a_key_that_no_packet_of_ours_let_in_is_not_pinned(site: Site, made: uuid.UUID) -> None:
    browser = site.begun(made)
    site.pull()
    stranger = new_browser_key()
    point = b64(Candidate(browser.call, made, "").public_key)
    for generation in (0, 1, 2, 99):
        body = {"generation": generation, "browser_key": point, "page": "x", "token_sha256": "0" * 64}
        hostile_record(site, made, RecordKind.BOUND, body)
    text = canonical({"type": "finish", "recording": str(made), "generation": 1, "epochs": []}).decode()
    body = {
        "generation": 1,
        "statement": text,
        "signature": b64(sign_by_browser(stranger, text.encode())),
        "receipt": {},
    }
    hostile_record(site, made, RecordKind.FINISH, body)
    site.pull()
    assert [bytes(row.public_key) for row in site.rows(browser_key, attempt_id=made)] == [browser.public_key]
    assert state(site, made) == (AttemptState.CHECKED_IN, RecordingState.COLLECTING)
    assert site.actions("attempt", made).count(Action.ACCESS_DENIED) == 5


NONSENSE: tuple[dict[str, Any], ...] = (
    {},
    {"generation": "one", "browser_key": "?"},
    {"generation": 1, "browser_key": None},
    {"generation": 1, "statement": "[]", "signature": ""},
    {"generation": 1, "statement": 7, "signature": 7},
    {"event": "\x00", "text": "\x00"},
    {"generation": 10**30, "browser_key": "AAAA", "address": "\x00\n" + "x" * 500},
)


def test_nonsense_is_kept_refused_and_holds_nothing_up(site: Site, made: uuid.UUID) -> None:
    log = site.settings.intake_folder / "recordings" / str(made) / "records.log"
    browser = site.begun(made)
    seq = log.read_bytes().count(b"\n")
    with log.open("ab") as file:
        for kind in RecordKind:
            for body in NONSENSE:
                seq += 1
                record = {"seq": seq, "at": "2026-11-21T00:00:00.000Z", "kind": str(kind), "body": body}
                file.write(canonical(record) + b"\n")
    site.pull()
    assert len(site.rows(intake_record, attempt_id=made)) == seq
    assert [bytes(row.public_key) for row in site.rows(browser_key, attempt_id=made)] == [browser.public_key]
    assert state(site, made) == (AttemptState.CHECKED_IN, RecordingState.COLLECTING)


def test_a_time_that_is_none_stops_only_its_own_recording(site: Site, made: uuid.UUID) -> None:
    [other] = site.invite("hong")
    site.run_jobs()
    site.begun(other)
    log = site.settings.intake_folder / "recordings" / str(made) / "records.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(canonical({"seq": 1, "at": "yesterday", "kind": "checked", "body": {}}) + b"\n")
    site.pull()
    assert state(site, other)[0] == AttemptState.CHECKED_IN
    assert site.rows(intake_record, attempt_id=made) == []


def test_a_finish_whose_pieces_are_not_there_waits(site: Site, made: uuid.UUID) -> None:
    browser = site.begun(made)
    epoch = browser.epoch()
    missing = epoch.chunk(b"first")
    pieces = [epoch.chunk(b"second"), epoch.end()]
    for piece in pieces:
        assert browser.put(epoch, piece)[0] == 201
    finish = browser.signed("finish", epochs=[epoch.listed()], at="2026-11-21T06:30:00.000Z")
    body = {"generation": 1, **finish, "receipt": {}}
    hostile_record(site, made, RecordKind.FINISH, body)
    site.pull()
    assert state(site, made) == (AttemptState.CHECKED_IN, RecordingState.COLLECTING)
    assert browser.put(epoch, missing)[0] == 201
    site.pull()
    assert state(site, made) == (AttemptState.FINISHED, RecordingState.SEALING)


@pytest.mark.parametrize(("before", "after"), [(None, "chunk_conflict"), ("vault_locked", "vault_locked")])
def test_two_versions_of_a_piece_are_noted_but_never_over_what_the_seal_waits_for(
    site: Site, made: uuid.UUID, before: str | None, after: str
) -> None:
    with transaction("worker", site.settings) as tx:
        tx.execute(update(recording).where(recording.c.id == made).values(problem=before))
    body = {"event": "chunk_conflict", "track": "camera", "epoch": "00" * 16, "n": 1, "flag": 0}
    hostile_record(site, made, RecordKind.STATE, body)
    site.pull()
    assert site.row(recording, made).problem == after


# --- deadlines ---------------------------------------------------------------------------------------------


def let_pass(site: Site, made: uuid.UUID, hours: float) -> None:
    """Move the deadline so that it was `hours` ago."""
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)
    with transaction("worker", site.settings) as tx:
        tx.execute(update(attempt).where(attempt.c.id == made).values(deadline=past))


def expire(site: Site) -> int:
    return ingest.expire(site.settings, transport_of(site.settings))


def test_who_never_began_expires_at_the_deadline(site: Site, made: uuid.UUID) -> None:
    assert expire(site) == 0
    let_pass(site, made, 0.1)
    assert (expire(site), expire(site)) == (1, 0)
    assert state(site, made) == (AttemptState.EXPIRED, RecordingState.COLLECTING)
    with transaction("worker", site.settings) as tx:
        tx.execute(update(outgoing_mail).values(state="queued"))
    site.run_jobs()
    assert len(site.mails()) == 1


def test_what_was_recorded_is_sealed_after_the_grace_with_its_end_not_proven(
    site: Site, made: uuid.UUID
) -> None:
    browser = site.begun(made)
    site.record(browser, list(recorded()), end=False)
    site.pull()
    let_pass(site, made, 71)
    assert expire(site) == 0
    let_pass(site, made, 73)
    assert expire(site) == 1
    site.run_jobs()
    assert state(site, made) == (AttemptState.FINISHED, RecordingState.SEALED)
    assert not site.row(attempt, made).end_proven


def test_who_began_but_recorded_nothing_expires_after_the_grace(site: Site, made: uuid.UUID) -> None:
    site.begun(made)
    site.pull()
    let_pass(site, made, 73)
    assert expire(site) == 1
    assert state(site, made)[0] == AttemptState.EXPIRED


@pytest.mark.parametrize("chunks", [1, 2])
def test_pieces_that_arrive_after_the_finish_do_not_undo_it(site: Site, made: uuid.UUID, chunks: int) -> None:
    """A browser that had died comes back, with pieces that the list could not know of."""
    browser = site.begun(made)
    epoch = browser.epoch()
    for plaintext in (b"one", b"two"):
        assert browser.put(epoch, epoch.chunk(plaintext))[0] == 201
    # One of two: the page lists so what stands in the place of a piece that it could not store.
    listed = {**epoch.listed(), "chunks": chunks}
    finish = browser.signed("finish", epochs=[listed], at="2026-11-21T06:30:00.000Z")
    assert browser.api("POST", "/finish", json=finish)[0] == 200
    assert browser.put(epoch, epoch.chunk(b"three"))[0] == 201
    assert browser.put(epoch, epoch.end())[0] == 201
    site.pull()
    assert state(site, made) == (AttemptState.FINISHED, RecordingState.SEALING)
    assert site.row(attempt, made).end_proven


def test_a_finish_that_was_not_pulled_yet_still_counts_at_the_deadline(site: Site, made: uuid.UUID) -> None:
    browser = site.begun(made)
    browser.finish(site.record(browser, list(recorded())))
    let_pass(site, made, 73)
    assert expire(site) == 0
    assert site.row(attempt, made).end_proven
