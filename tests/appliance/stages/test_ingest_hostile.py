"""A seized intake writes what it likes: it brings no consent back, and one recording holds up no other."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from appliance import consents
from appliance.audit.log import Action
from appliance.database import transaction
from appliance.domain import AttemptState, ConsentPurpose, Limits
from appliance.errors import DatabaseDownError
from appliance.packet import canonical
from appliance.stages import ingest
from appliance.stages.ingest import deadline
from appliance.tables import attempt, consent, intake_record
from appliance.transport import FolderTransport, transport_of
from storage.vault import sign_by_browser
from tests.support.candidate import b64
from tests.support.site import Site

NOW = "2026-11-21T00:00:00.000Z"


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    [made] = site.invite("ming")
    site.run_jobs()
    return made


def log_of(site: Site, made: uuid.UUID) -> Path:
    path = site.settings.intake_folder / "recordings" / str(made) / "records.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def append(site: Site, made: uuid.UUID, kind: str, body: Any) -> None:
    """One further line, whole and numbered, of a content that no browser sent."""
    path = log_of(site, made)
    seq = path.read_bytes().count(b"\n") + 1 if path.exists() else 1
    with path.open("ab") as file:
        file.write(canonical({"seq": seq, "at": NOW, "kind": kind, "body": body}) + b"\n")


def agrees(site: Site, made: uuid.UUID) -> bool:
    with transaction("worker", site.settings) as tx:
        return consents.granted(tx, made, ConsentPurpose.ANALYSIS)


def expire(site: Site) -> int:
    return ingest.expire(site.settings, transport_of(site.settings))


def let_pass(site: Site, hours: float, *attempts: uuid.UUID) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)
    with transaction("worker", site.settings) as tx:
        tx.execute(update(attempt).where(attempt.c.id.in_(attempts)).values(deadline=past))


# --- consent -----------------------------------------------------------------------------------------------


def test_a_signed_consent_counts_once(site: Site, made: uuid.UUID) -> None:
    browser = site.begun(made)
    given_first = next(
        record["body"] for record in map(json.loads, log_of(site, made).open()) if record["kind"] == "consent"
    )
    assert browser.withdraw()[0] == 200
    signed_again = b64(sign_by_browser(browser.key, given_first["statement"].encode()))
    for signature in (given_first["signature"], signed_again):
        append(site, made, "consent", {**given_first, "signature": signature})
    site.pull()
    assert not agrees(site, made)
    assert site.actions("attempt", made).count(Action.ACCESS_DENIED) == 2
    assert len(site.rows(consent, attempt_id=made, purpose="analysis")) == 2


def test_a_consent_that_was_signed_before_a_withdrawal_and_held_back_does_not_count(
    site: Site, made: uuid.UUID
) -> None:
    browser = site.begun(made, analysis=False)
    held_back = browser.signed_consent(at="2026-11-21T06:30:00.000Z")
    assert browser.consent(at="2026-11-21T06:31:00.000Z")[0] == 200
    assert browser.withdraw()[0] == 200  # at 07:00
    append(site, made, "consent", {"generation": 1, **held_back})
    site.pull()
    assert not agrees(site, made)
    assert browser.consent(at="2026-11-21T07:01:00.000Z")[0] == 200
    site.pull()
    assert agrees(site, made)


# --- lines that are no records -----------------------------------------------------------------------------

NO_RECORDS = {
    "no seq": b'{"at":"2026-11-21T00:00:00.000Z","kind":"checked","body":{}}',
    "no object": b"7",
    "seq is text": b'{"seq":"x","at":"2026-11-21T00:00:00.000Z","kind":"checked","body":{}}',
    "seq is true": b'{"seq":true,"at":"2026-11-21T00:00:00.000Z","kind":"checked","body":{}}',
    "seq is huge": b'{"seq":9999999999999999999,"at":"2026-11-21T00:00:00.000Z","kind":"checked","body":{}}',
    "time is a number": b'{"seq":1,"at":7,"kind":"checked","body":{}}',
    "time before all calendars": b'{"seq":1,"at":"0001-01-01T00:00:00+05:00","kind":"checked","body":{}}',
    "body is a list": b'{"seq":1,"at":"2026-11-21T00:00:00.000Z","kind":"consent","body":[]}',
    "body is null": b'{"seq":1,"at":"2026-11-21T00:00:00.000Z","kind":"checked","body":null}',
    "unknown kind": b'{"seq":1,"at":"2026-11-21T00:00:00.000Z","kind":"what","body":{}}',
    "deep": b"[" * 100_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("line", NO_RECORDS.values(), ids=NO_RECORDS.keys())
def test_a_line_that_is_no_record_is_passed_over(site: Site, made: uuid.UUID, line: bytes) -> None:
    log_of(site, made).write_bytes(line + b"\n")
    good = {"seq": 2, "at": NOW, "kind": "checked", "body": {"camera": "ok"}}
    with log_of(site, made).open("ab") as file:
        file.write(canonical(good) + b"\n" + canonical(good) + b"\n")
    site.pull()
    assert [(row.seq, row.body) for row in site.rows(intake_record, attempt_id=made)] == [(2, good["body"])]


def test_a_folder_that_is_no_recording_is_passed_over(site: Site, made: uuid.UUID) -> None:
    site.begun(made)
    recordings = site.settings.intake_folder / "recordings"
    for name in ("lost+found", uuid.uuid4().hex, "{" + str(uuid.uuid4()) + "}"):
        (recordings / name).mkdir()
        (recordings / name / "records.log").write_bytes(b"")
    (recordings / str(uuid.uuid4())).mkdir()
    (recordings / str(uuid.uuid4()) / "records.log").mkdir(parents=True)
    site.pull()
    assert site.row(attempt, made).state == AttemptState.CHECKED_IN


@contextlib.contextmanager
def reading_fails(monkeypatch: pytest.MonkeyPatch, hostile: uuid.UUID, error: Exception) -> Iterator[None]:
    """Reading one recording's records raises what nobody thought of."""
    original = FolderTransport.read_records

    def failing(self: FolderTransport, recording: uuid.UUID, after: int = 0) -> Any:
        if recording == hostile:
            raise error
        return original(self, recording, after)

    with monkeypatch.context() as patch:
        patch.setattr(FolderTransport, "read_records", failing)
        yield


@pytest.mark.parametrize("error", [AttributeError(), KeyError(), RecursionError(), MemoryError()])
def test_a_recording_that_fails_in_a_way_nobody_thought_of_fails_alone(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    [other] = site.invite("hong")
    site.run_jobs()
    site.begun(made)
    site.begun(other)
    with reading_fails(monkeypatch, made, error):
        site.pull()
        assert site.row(attempt, other).state == AttemptState.CHECKED_IN
        let_pass(site, 99, made)
        let_pass(site, 98, other)
        assert expire(site) == 2  # the time of the one that fails is over as well
    assert site.row(attempt, other).state == AttemptState.EXPIRED


def test_a_database_that_is_down_stops_the_round(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.begun(made)
    let_pass(site, 99, made)
    with reading_fails(monkeypatch, made, DatabaseDownError()):
        with pytest.raises(DatabaseDownError):
            site.pull()
        with pytest.raises(DatabaseDownError):
            expire(site)


def test_who_is_in_grace_keeps_nobody_waiting_who_never_began(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "EXPIRE_BATCH", 1)
    began, never_began, nor_did = site.invite("ming", "hong", "li")
    site.run_jobs()
    site.begun(began)
    site.pull()
    let_pass(site, 3, began)
    let_pass(site, 2, never_began)
    let_pass(site, 1, nor_did)
    assert expire(site) == 2
    assert site.row(attempt, began).state == AttemptState.CHECKED_IN


@pytest.mark.parametrize(
    ("names", "length", "state"),
    [
        ([f"x{n}" for n in range(8)], Limits.bytes, AttemptState.EXPIRED),
        (["camera", "events", "screen"], Limits.bytes, AttemptState.CHECKED_IN),
        (["camera"], Limits.bytes + 1, AttemptState.CHECKED_IN),
        (["camera"], Limits.bytes, AttemptState.EXPIRED),
    ],
)
def test_an_attempts_strange_journals_keep_no_other_from_ending(
    site: Site, made: uuid.UUID, names: list[str], length: int, state: str
) -> None:
    [other] = site.invite("hong")
    site.run_jobs()
    for each in (made, other):
        site.begun(each)
    site.pull()
    folder = log_of(site, made).with_name("tracks")
    folder.mkdir()
    for name in names:
        with (folder / f"{name}.journal").open("wb") as file:
            file.truncate(length)
    let_pass(site, 99, made)
    let_pass(site, 98, other)
    expire(site)
    assert site.row(attempt, other).state == AttemptState.EXPIRED
    assert site.row(attempt, made).state == state


# --- bodies that nobody could show -------------------------------------------------------------------------

UNSOUND: tuple[tuple[str, Any], ...] = (
    ("checked", {"camera": ["x"]}),
    ("checked", {"camera": {"a": 1}}),
    ("checked", {"camera": "splendid"}),
    ("checked", {"numbers": {"up": [1]}}),
    ("checked", {"numbers": {"up": float("nan")}}),
    ("checked", {"numbers": {"up": "她先量,再改"}}),
    ("checked", {"numbers": {"她先量": 1}}),
    ("checked", {"numbers": {"up": "x" * 129}}),
    ("state", {"event": ["x"]}),
    ("state", {"event": "question_opened", "question": {"x": "y"}}),
    ("state", {"event": "question_opened", "question": True}),
    ("bound", {"generation": True, "browser_key": "AAAA"}),
    ("consent", {"generation": 1, "statement": 7, "signature": "AAAA"}),
    ("finish", {"generation": 1, "statement": "{}", "signature": "AAAA", "receipt": [[]]}),
    ("rebind_requested", {"generation": [1]}),
    ("checked", {"camera": "ok", "heard": "\ud800"}),
)


@pytest.mark.parametrize(("kind", "body"), UNSOUND)
def test_a_body_of_another_shape_is_refused(site: Site, made: uuid.UUID, kind: str, body: Any) -> None:
    with log_of(site, made).open("wb") as file:
        file.write(json.dumps({"seq": 1, "at": NOW, "kind": kind, "body": body}).encode() + b"\n")
    site.pull()
    [row] = site.rows(intake_record, attempt_id=made)
    assert set(row.body) == {"refused"}
    assert site.row(attempt, made).state == AttemptState.INVITED
    assert site.actions("attempt", made).count(Action.ACCESS_DENIED) == 1


def test_of_a_sound_body_only_what_is_known_is_kept(site: Site, made: uuid.UUID) -> None:
    append(site, made, "checked", {"camera": "ok", "to": "somebody", "deep": [[[]]]})
    site.pull()
    assert [row.body for row in site.rows(intake_record, attempt_id=made)] == [{"camera": "ok"}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    (
        "generation",
        "browser_key",
        "statement",
        "signature",
        "event",
        "question",
        "camera",
        "numbers",
        "address",
    )
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "seq": st.integers(1, 9) | JSON,
        "at": st.just(NOW) | JSON,
        "kind": st.sampled_from(("bound", "rebind_requested", "checked", "consent", "state", "finish"))
        | JSON,
        "body": st.dictionaries(FIELDS, JSON, max_size=4) | JSON,
    },
)
LINES = st.binary(max_size=20) | (RECORDS | JSON).map(lambda value: json.dumps(value).encode())


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(lines=st.lists(LINES, min_size=1, max_size=6))
def test_whatever_one_log_holds_the_others_go_on(site: Site, lines: list[bytes]) -> None:
    hostile, other = site.invite(*(f"p{uuid.uuid4().hex[:8]}" for _ in range(2)))
    site.run_jobs()
    log_of(site, hostile).write_bytes(b"\n".join(lines) + b"\n")
    site.begun(other)
    ingest.pull_recording(site.settings, transport_of(site.settings), hostile)
    site.pull()
    assert site.row(attempt, other).state == AttemptState.CHECKED_IN
    let_pass(site, 99, hostile, other)
    assert expire(site) == 2
