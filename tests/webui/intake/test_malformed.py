"""What no page sends is refused with 422, never with a fault of the server."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from storage.vault import sign_by_browser
from tests.support.candidate import Candidate
from tests.support.intake_site import IntakeSite

Begun = Callable[..., Candidate]
SIGNATURE = base64.b64encode(bytes(64)).decode()


@pytest.mark.parametrize("track", [[], {}, 1, None])
def test_a_track_that_is_no_name(begun: Begun, track: object) -> None:
    candidate = begun()
    listed = {**candidate.epoch().listed(), "track": track}
    status, answer = candidate.api("POST", "/finish", json=candidate.signed("finish", epochs=[listed]))
    assert (status, answer["code"]) == (422, "bad_field")


@pytest.mark.parametrize("path", ["/consent", "/withdraw", "/finish"])
def test_half_a_surrogate_pair_in_a_statement(begun: Begun, path: str) -> None:
    body = {"statement": "\ud800", "signature": SIGNATURE}
    status, answer = begun().api("POST", path, data=json.dumps(body))
    assert (status, answer["code"]) == (422, "bad_field")


def test_half_a_surrogate_pair_in_a_page(begun: Begun) -> None:
    candidate = begun()
    key = base64.b64encode(candidate.public_key).decode()
    body = {"secret": candidate.secret, "browser_key": key, "page": "\ud800", "signature": SIGNATURE}
    status, answer = candidate.api("POST", "/begin", data=json.dumps(body))
    assert (status, answer["code"]) == (422, "bad_field")


def answer(got: tuple[int, dict[str, object]]) -> tuple[int, object]:
    return got[0], got[1].get("code")


@pytest.mark.parametrize(
    "epoch", ["\ud800", "", "../../etc", "AB" * 16, "a" * 31, "é" * 32, "ab" * 16 + "\n"]
)
def test_a_finish_that_lists_no_epoch(begun: Begun, epoch: str) -> None:
    candidate = begun()
    listed = {**candidate.epoch().listed(), "epoch": epoch}
    assert answer(finished_with(candidate, listed)) == (422, "bad_field")


@pytest.mark.parametrize(
    "change", [{"digest": "\ud800"}, {"digest": "0" * 63}, {"chunks": True}, {"chunks": 1.0}]
)
def test_a_finish_that_counts_strangely(begun: Begun, change: dict[str, object]) -> None:
    candidate = begun()
    assert answer(finished_with(candidate, {**candidate.epoch().listed(), **change})) == (422, "bad_field")


def finished_with(candidate: Candidate, listed: dict[str, object]) -> tuple[int, dict[str, object]]:
    whole = {"type": "finish", "recording": str(candidate.recording), "generation": 1, "epochs": [listed]}
    return candidate.api("POST", "/finish", json=signed_text(candidate, json.dumps(whole)))


def signed_text(candidate: Candidate, text: str) -> dict[str, str]:
    signature = base64.b64encode(sign_by_browser(candidate.key, text.encode())).decode()
    return {"statement": text, "signature": signature}


@pytest.mark.parametrize("language", ["version", "fr", "", None, 7, ["en"], {"en": 1}])
def test_a_consent_in_no_language_of_the_packet(begun: Begun, language: object) -> None:
    assert answer(begun(consent=False).consent(language=language)) == (422, "bad_field")


@pytest.mark.parametrize("generation", [True, "1", 1.5, None, [1], 10**30])
def test_a_statement_about_no_generation(begun: Begun, generation: object) -> None:
    assert answer(begun(consent=False).consent(generation=generation)) == (422, "bad_field")


@pytest.mark.parametrize(
    "more",
    [
        '"purpose":"record"',
        '"type":"withdraw"',
        '"x":NaN',
        '"x":-Infinity',
        '"x":' + "9" * 5000,
        '"x":' + "[" * 9999,
    ],
)
def test_a_statement_that_two_readers_could_read_differently(begun: Begun, more: str) -> None:
    candidate = begun()
    text = candidate.signed("withdraw", purpose="analysis", at="")["statement"]
    assert answer(
        candidate.api("POST", "/withdraw", json=signed_text(candidate, text[:-1] + f",{more}}}"))
    ) == (
        422,
        "bad_field",
    )
    assert candidate.withdraw()[0] == 200


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 400, "9" * 5000, '"1"', "null", "{}"]
)
@pytest.mark.parametrize("path", ["/heartbeat", "/check"])
def test_numbers_that_are_none(begun: Begun, path: str, number: str) -> None:
    candidate = begun()
    refused = candidate.api("POST", path, data=f'{{"numbers":{{"fps":{number}}}}}')
    assert answer(refused) == (422, "bad_field")
    assert candidate.api("POST", path, json={"numbers": {"fps": 25}})[0] == 200


@pytest.mark.parametrize(
    "track",
    [
        "..",
        "camera.journal",
        "%2e%2e%2fcamera",
        "camera%00",
        "CAMERA",
        "camera%2F..%2Fevents",
        "caméra",
        "a" * 3000,
    ],
)
def test_tracks_that_lead_elsewhere(begun: Begun, site: IntakeSite, track: str) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    path = f"/tracks/{track}/epochs/{epoch.id}/chunks/0"
    assert candidate.put(epoch, epoch.chunk(b"x"), path=path)[0] in (400, 404, 422)
    assert list(site.folder.root.rglob("*.journal")) == []


@pytest.mark.parametrize("number", ["9" * 18, "9" * 4000, "9" * 5000, "4294967296", "1e3", "0x1", "+1"])
def test_chunk_numbers_that_are_none(begun: Begun, number: str) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    path = f"/tracks/camera/epochs/{epoch.id}/chunks/{number}"
    assert candidate.put(epoch, epoch.chunk(b"x"), path=path)[0] in (400, 404, 422)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Fupan \xff\xfe"},
        {"Authorization": "Fupan"},
        {"Authorization": "fupan x"},
        {"Authorization": "Fupan  " + "A" * 8000},
        {"Authorization": "Bearer x, Fupan y"},
    ],
)
def test_tokens_that_are_none(begun: Begun, headers: dict[str, str]) -> None:
    candidate = begun()
    status, _ = candidate.call("GET", f"/intake/recordings/{candidate.recording}/state", headers=headers)
    assert status in (401, 403)


@pytest.mark.parametrize(
    "digest", ["sha-256=:\xff:", "sha-256=::", "sha-256=:" + "A" * 9000 + ":", "," * 5000, "="]
)
def test_digest_headers_that_are_none(begun: Begun, digest: str) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    assert answer(candidate.put(epoch, epoch.chunk(b"x"), digest=digest)) == (422, "bad_digest")


def test_one_epoch_id_on_two_tracks_is_two_epochs(begun: Begun) -> None:
    candidate = begun()
    camera = candidate.epoch()
    events = candidate.epoch("events", epoch=camera.writer.opening.epoch)
    for epoch in (camera, events):
        assert candidate.put(epoch, epoch.chunk(b"x"))[0] == 201
        assert candidate.put(epoch, epoch.end())[0] == 201
    assert candidate.finish(camera, events)[0] == 200


def test_a_consent_that_was_sent_before_brings_nothing_back(begun: Begun, site: IntakeSite) -> None:
    candidate = begun(consent=False)
    statement = candidate.signed_consent()
    for _ in range(2):  # an answer that was lost is asked for again
        assert candidate.api("POST", "/consent", json=statement)[0] == 200
    assert len(site.folder.records(candidate.recording)) == 2
    assert candidate.withdraw()[0] == 200
    again = base64.b64encode(sign_by_browser(candidate.key, statement["statement"].encode())).decode()
    for signature in (statement["signature"], again):
        assert answer(candidate.api("POST", "/consent", json={**statement, "signature": signature})) == (
            422,
            "bad_field",
        )
    assert candidate.api("GET", "/state")[1]["consent"] == {"record": True, "analysis": False}
    assert candidate.consent(at="2026-11-21T08:00:00.000Z")[0] == 200
    assert candidate.api("POST", "/consent", json=statement)[0] == 422
    assert candidate.api("GET", "/state")[1]["consent"]["analysis"] is True
