"""Check, consent, questions, heartbeat, finish."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from appliance import texts
from appliance.packet import Policy
from tests.support.candidate import Candidate
from tests.support.intake_site import IntakeSite

Begun = Callable[..., Candidate]


def code(answer: tuple[int, dict[str, object]]) -> tuple[int, object]:
    return answer[0], answer[1].get("code")


def test_the_check_keeps_enumerated_results_and_numbers(begun: Begun, site: IntakeSite) -> None:
    candidate = begun(consent=False)
    found = {"browser": "ok", "camera": "ok", "microphone": "warn", "network": "ok", "heard": True}
    assert candidate.api("POST", "/check", json={**found, "numbers": {"latency_ms": 12.5}})[0] == 200
    body = site.folder.records(candidate.recording)[-1].body
    assert body == {**found, "screen": "skipped", "numbers": {"latency_ms": 12.5}}


@pytest.mark.parametrize(
    "body",
    [
        {"camera": "my name is"},
        {"numbers": {"note": "words"}},
        {"numbers": {"x": float("inf")}},
        {"numbers": {"x": True}},
        {"numbers": {"x" * 40: 1}},
        {"numbers": [1]},
    ],
)
def test_the_check_takes_no_words(begun: Begun, body: dict[str, object]) -> None:
    assert code(begun().api("POST", "/check", json=body)) == (422, "bad_field")


@pytest.mark.parametrize("data", [b"", b"[]", b'"text"', b"{", b"[" * 50_000, b"\xff\xfe"])
def test_bodies_that_are_no_json_object(begun: Begun, data: bytes) -> None:
    assert code(begun().api("POST", "/check", data=data)) == (422, "bad_field")


def test_a_consent_receipt_is_kept_as_signed(begun: Begun, site: IntakeSite) -> None:
    candidate = begun(consent=False)
    assert candidate.consent(analysis=False)[0] == 200
    body = site.folder.records(candidate.recording)[-1].body
    assert json.loads(body["statement"])["choices"] == {"record": True, "analysis": False}
    assert body["address"] == "127.0.0.1"
    assert candidate.api("GET", "/state")[1]["consent"] == {"record": True, "analysis": False}


def test_consent_must_be_signed_for_this_attempt_and_these_texts(begun: Begun, site: IntakeSite) -> None:
    candidate, other = begun(consent=False), begun(consent=False)
    before = len(site.folder.records(candidate.recording))
    assert code(candidate.consent(choices={"record": False, "analysis": True})) == (422, "bad_field")
    assert code(candidate.consent(choices={"record": True})) == (422, "bad_field")
    assert code(candidate.consent(choices={"record": 1, "analysis": True})) == (422, "bad_field")
    assert code(candidate.consent(texts={})) == (422, "bad_field")
    assert code(candidate.consent(language="fr")) == (422, "bad_field")
    assert code(candidate.consent(recording=str(other.recording))) == (422, "bad_field")
    assert code(candidate.consent(generation=9)) == (422, "bad_field")
    assert code(candidate.consent(type="withdraw")) == (422, "bad_field")
    candidate.key = other.key
    assert code(candidate.consent()) == (422, "bad_signature")
    assert len(site.folder.records(candidate.recording)) == before


def test_analysis_is_not_asked_for_where_it_is_off(begun: Begun) -> None:
    candidate = begun(policy=Policy(analysis="off"))
    assert candidate.api("GET", "/state")[1]["consent"] == {"record": True}


def test_withdrawing_is_one_record_however_often(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    for _ in range(3):
        assert candidate.withdraw()[0] == 200
    kinds = [str(record.kind) for record in site.folder.records(candidate.recording)]
    assert kinds == ["bound", "consent", "consent_withdrawn"]
    assert candidate.api("GET", "/state")[1]["consent"]["analysis"] is False


def test_questions_come_one_after_the_other(begun: Begun) -> None:
    candidate = begun()
    assert code(candidate.api("POST", "/questions/2/open")) == (409, "question_order")
    assert code(candidate.api("POST", "/questions/1/close")) == (409, "question_order")
    first = candidate.api("POST", "/questions/1/open")[1]["question"]
    assert first["text"].startswith("Please introduce")
    assert "competency" not in first
    assert code(candidate.api("POST", "/questions/2/open")) == (409, "question_order")
    assert candidate.api("POST", "/questions/1/open")[1]["question"] == first
    assert candidate.api("GET", "/state")[1]["question"] == first
    for _ in range(2):
        assert candidate.api("POST", "/questions/1/close")[0] == 200
    assert candidate.api("GET", "/state")[1]["question"] is None
    assert candidate.api("POST", "/questions/2/open")[0] == 200
    assert candidate.api("POST", "/questions/2/close")[0] == 200
    for ordinal in (0, 1, 3, 10**9):
        assert candidate.api("POST", f"/questions/{ordinal}/open")[0] == 409


def test_no_question_before_consent(begun: Begun) -> None:
    assert code(begun(consent=False).api("POST", "/questions/1/open")) == (409, "consent_missing")


def test_the_newest_heartbeat_replaces_the_last(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    for fps in (24.0, 25.0):
        assert candidate.api("POST", "/heartbeat", json={"numbers": {"fps": fps}})[0] == 200
    beat = site.folder.heartbeat(candidate.recording)
    assert beat is not None
    assert beat["numbers"] == {"fps": 25.0}
    assert candidate.api("POST", "/heartbeat", json={"numbers": {"fps": "fast"}})[0] == 422


def test_finish_names_what_is_missing_and_is_idempotent(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    camera, events = candidate.epoch(), candidate.epoch("events")
    pieces = [camera.chunk(bytes([n])) for n in range(4)] + [camera.end()]
    for n in (0, 3):
        candidate.put(camera, pieces[n])
    events.chunk(b"[]")
    events.end()
    status, answer = candidate.finish(camera, events)
    assert (status, answer["code"]) == (409, "chunks_missing")
    assert answer["missing"] == [
        {"track": "camera", "epoch": camera.id, "missing": [[1, 2]], "end": True},
        {"track": "events", "epoch": events.id, "missing": [[0, 0]], "end": True},
    ]
    for piece in pieces:
        candidate.put(camera, piece)
    for piece in events.bodies:
        candidate.put(events, piece)
    first = candidate.finish(camera, events)
    assert first[0] == 200
    assert candidate.finish(camera, events) == first
    assert [str(record.kind) for record in site.folder.records(candidate.recording)].count("finish") == 1
    assert code(candidate.finish(camera)) == (409, "finished_differently")
    assert code(candidate.api("POST", "/questions/1/open")) == (410, "finished")
    site.seal(candidate.recording)
    assert candidate.finish(camera, events) == first


def test_a_finish_that_lists_other_content_is_refused(begun: Begun) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    candidate.put(epoch, epoch.chunk(b"x"))
    candidate.put(epoch, epoch.end())
    at = "2026-11-21T06:30:00.000Z"

    def said(**changes: object) -> tuple[int, object]:
        listed = {**epoch.listed(), **changes}
        return code(candidate.api("POST", "/finish", json=candidate.signed("finish", epochs=[listed], at=at)))

    assert said(digest="0" * 64) == (422, "bad_digest")
    assert said(chunks=-1) == (422, "bad_field")
    assert said(chunks="1") == (422, "bad_field")
    assert said(track="microphone") == (422, "bad_field")
    assert said(more=1) == (422, "bad_field")
    assert said(chunks=2) == (409, "chunks_missing")
    twice = candidate.signed("finish", epochs=[epoch.listed()] * 2, at=at)
    assert code(candidate.api("POST", "/finish", json=twice)) == (422, "bad_field")
    assert code(candidate.api("POST", "/finish", json=candidate.signed("finish", epochs=[], at=at)))[0] == 422
    tampered = candidate.signed("finish", epochs=[epoch.listed()], at=at)
    tampered["statement"] += " "
    assert code(candidate.api("POST", "/finish", json=tampered)) == (422, "bad_signature")
    assert candidate.finish(epoch)[0] == 200


def test_the_probe_reads_and_forgets(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    assert candidate.api("POST", "/probe", data=bytes(100_000))[1] == {"bytes": 100_000}
    assert candidate.api("POST", "/probe", data=bytes(600_000))[0] == 413
    assert site.folder.recorded_bytes(candidate.recording) == 0


def test_the_page_speaks_the_asked_language_and_carries_no_cookie(client: FlaskClient, begun: Begun) -> None:
    candidate = begun()
    response = client.get(f"/i/{candidate.recording}")
    assert 'lang="en"' in response.text
    chinese = client.get(f"/i/{candidate.recording}?lang=zh")
    assert 'lang="zh-Hans"' in chinese.text
    assert "Set-Cookie" not in response.headers
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "camera=(self)" in response.headers["Permissions-Policy"]
    assert response.headers["Cache-Control"] == "no-store"


def test_the_browser_says_the_language_when_nobody_chose(client: FlaskClient, begun: Begun) -> None:
    candidate = begun()  # its packet is English
    page = client.get(f"/i/{candidate.recording}", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert 'lang="zh-Hans"' in page.text
    assert "Accept-Language" in page.headers["Vary"]
    french = client.get(f"/i/{candidate.recording}", headers={"Accept-Language": "fr"})
    assert 'lang="en"' in french.text


def test_our_guide_follows_the_language_and_the_companys_own_does_not(
    client: FlaskClient, site: IntakeSite
) -> None:
    packet, _secret = site.invite()
    assert texts.guide("en").splitlines()[0] in client.get(f"/i/{packet.recording}").text
    chinese = client.get(f"/i/{packet.recording}?lang=zh").text
    assert texts.guide("zh").splitlines()[0] in chinese
    assert texts.guide("en").splitlines()[0] not in chinese
    own, _secret = site.invite(guide="Bring your sketches.")
    assert "Bring your sketches." in client.get(f"/i/{own.recording}?lang=zh").text


def test_how_long_and_whom_to_ask_always_have_an_answer(client: FlaskClient, site: IntakeSite) -> None:
    packet, _secret = site.invite(kept_days=0, contact="")
    page = client.get(f"/i/{packet.recording}").text
    assert "Until the company deletes it" in page
    assert "please ask: the person who invited you." in page
    told, _secret = site.invite(kept_days=180, contact="Ms Lin, +86 10 5555 0100")
    page = client.get(f"/i/{told.recording}").text
    assert "<dd>180 days.</dd>" in page
    assert "please ask: Ms Lin, +86 10 5555 0100." in page


def test_a_reload_promises_no_more_than_is_kept(client: FlaskClient, begun: Begun) -> None:
    page = client.get(f"/i/{begun().recording}").text
    setup = json.loads(page.split('id="setup">')[1].split("</script>")[0])
    assert "up to 2 seconds" in setup["strings"]["resumed"]
