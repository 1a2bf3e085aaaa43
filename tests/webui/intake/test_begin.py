"""Links and browsers: who is bound, who is told what, and that looking binds nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from appliance.intake_state import RecordKind
from appliance.packet import Packet
from tests.support.candidate import Candidate, b64, flask_call
from tests.support.intake_site import IntakeSite
from webui.intake.app import create_app

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def invited(site: IntakeSite, client: FlaskClient) -> tuple[Packet, Candidate]:
    packet, secret = site.invite()
    return packet, Candidate(flask_call(client), packet.recording, secret)


def kinds(site: IntakeSite, packet: Packet) -> list[str]:
    return [str(record.kind) for record in site.folder.records(packet.recording)]


def test_begin_binds_and_gives_a_token_of_which_only_a_digest_is_kept(
    site: IntakeSite, invited: tuple[Packet, Candidate]
) -> None:
    _, candidate = invited
    status, answer = candidate.begin()
    assert status == 200
    assert answer["packet"]["candidate_name"] == "Li Ming"
    assert answer["state"] == "bound"
    everything = b"".join(path.read_bytes() for path in site.folder.root.rglob("*") if path.is_file())
    assert candidate.token.encode() not in everything
    assert candidate.secret.encode() not in everything


def test_begin_hands_out_no_question(invited: tuple[Packet, Candidate]) -> None:
    packet, candidate = invited
    _, answer = candidate.begin()
    assert not any(question.text in str(answer) for question in packet.questions)
    assert len(answer["packet"]["plan"]) == 2


def test_a_scanner_that_opens_everything_binds_nothing(
    site: IntakeSite, client: FlaskClient, invited: tuple[Packet, Candidate]
) -> None:
    packet, candidate = invited
    base = f"/intake/recordings/{packet.recording}"
    for path in (f"/i/{packet.recording}", "/i/sw.js", "/intake/ping"):
        assert client.get(path).status_code == 200
    assert client.get(f"{base}/state").status_code == 401
    assert client.get(f"{base}/begin").status_code == 405
    assert client.head(f"/i/{packet.recording}").status_code == 200
    assert kinds(site, packet) == []
    assert candidate.begin()[0] == 200


def test_a_forged_link_looks_unknown(site: IntakeSite, invited: tuple[Packet, Candidate]) -> None:
    packet, candidate = invited
    for secret in ("", "A" * 22, None, 7, "é" * 22):
        status, answer = candidate.begin(secret=secret)
        assert (status, answer["code"]) == (404, "unknown_link")
    stranger = Candidate(candidate.call, site.packet()[0].recording, candidate.secret)
    assert stranger.begin()[0] == 404
    assert kinds(site, packet) == []


def test_begin_needs_the_private_half_of_the_browser_key(invited: tuple[Packet, Candidate]) -> None:
    _, candidate = invited
    other = Candidate(candidate.call, candidate.recording, candidate.secret)
    status, answer = candidate.begin(browser_key=b64(other.public_key))
    assert (status, answer["code"]) == (422, "bad_signature")
    for field in ("browser_key", "signature", "page"):
        assert candidate.begin(**{field: "!"})[0] == 422
        assert candidate.begin(**{field: None})[0] == 422


def test_the_same_browser_may_begin_again_and_both_tokens_hold(invited: tuple[Packet, Candidate]) -> None:
    _, candidate = invited
    candidate.begin()
    first = candidate.token
    assert candidate.begin()[0] == 200
    assert candidate.token != first
    candidate.token = first
    assert candidate.api("GET", "/state")[0] == 200


def test_a_second_browser_asks_for_a_fresh_link_once(
    site: IntakeSite, invited: tuple[Packet, Candidate]
) -> None:
    packet, candidate = invited
    candidate.begin()
    second = Candidate(candidate.call, candidate.recording, candidate.secret)
    for _ in range(3):
        status, answer = second.begin()
        assert (status, answer["code"]) == (409, "bound_elsewhere")
        assert "mail" in answer["message"]
    assert kinds(site, packet) == ["bound", "rebind_requested"]
    assert second.api("GET", "/state")[0] == 401


def test_an_expired_link_binds_nobody_new(site: IntakeSite, client: FlaskClient) -> None:
    packet, secret = site.invite(deadline=YESTERDAY)
    candidate = Candidate(flask_call(client), packet.recording, secret)
    status, answer = candidate.begin()
    assert (status, answer["code"]) == (410, "expired")
    assert kinds(site, packet) == []


def test_a_finished_link_says_so_to_another_browser(begun: Callable[..., Candidate]) -> None:
    candidate = begun()
    epoch = candidate.epoch()
    candidate.put(epoch, epoch.chunk(b"all"))
    candidate.put(epoch, epoch.end())
    assert candidate.finish(epoch)[0] == 200
    other = Candidate(candidate.call, candidate.recording, candidate.secret)
    assert other.begin()[1]["code"] == "finished"
    assert candidate.begin()[1]["state"] == "finished"


def test_a_nearly_full_disk_refuses_new_candidates(site: IntakeSite) -> None:
    full = IntakeSite(site.settings.data, disk_floor_bytes=1 << 62)
    client = create_app(full.settings).test_client(use_cookies=False)
    packet, secret = full.invite()
    waits: list[str | None] = []

    def call(method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        response = client.open(path, method=method, **more)
        waits.append(response.headers.get("Retry-After"))
        return response.status_code, response.get_json()

    candidate = Candidate(call, packet.recording, secret)
    status, answer = candidate.begin()
    assert (status, answer["code"]) == (507, "full")
    assert waits == ["60"]
    assert kinds(full, packet) == []


def test_tokens_open_their_own_recording_only(begun: Callable[..., Candidate]) -> None:
    one, two = begun(), begun()
    one.token = two.token
    assert one.api("GET", "/state")[0] == 403
    one.token = ""
    assert one.api("GET", "/state")[0] == 401
    assert one.call("GET", f"/intake/recordings/{one.recording}/state", headers={})[0] == 401


def test_a_binding_outlives_the_process(site: IntakeSite, begun: Callable[..., Candidate]) -> None:
    candidate = begun()
    candidate.call = flask_call(create_app(site.settings).test_client(use_cookies=False))
    assert candidate.api("GET", "/state")[1]["state"] == "consented"
    record = site.folder.records(candidate.recording)[0]
    assert record.kind is RecordKind.BOUND
