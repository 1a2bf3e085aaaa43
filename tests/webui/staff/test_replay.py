"""Replay over HTTP: recorded before the first byte, the opener's alone, honest about what is not there."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from appliance import jobs, vaults
from appliance.audit.log import Action
from appliance.config import VaultSettings
from appliance.database import transaction
from appliance.domain import Role
from appliance.errors import TooManyKeysError
from appliance.keyholder.client import Keyholder
from appliance.tables import analysis, audit_event, replay_view
from appliance.upkeep import tiers
from storage.vault import Vault
from tests.support.desk import CONTENTS, Desk, post
from webui.staff.app import create_app


def opened(desk: Desk, browser: FlaskClient, recording: uuid.UUID) -> str:
    answer = post(browser, f"/recordings/{recording}/views")
    assert answer.status_code == 303
    return answer.location


def actions(desk: Desk) -> list[str]:
    with transaction("auditor", desk.settings) as tx:
        return list(tx.scalars(select(audit_event.c.action).order_by(audit_event.c.seq)))


def test_an_opening_is_on_the_log_before_its_page_and_ranges_are_no_events(desk: Desk) -> None:
    recording = desk.sealed(4)
    browser = desk.client(Role.RECRUITER)
    before = actions(desk)
    view = opened(desk, browser, recording)
    assert actions(desk) == [*before, Action.REPLAY_OPEN]
    page = browser.get(view)
    assert page.status_code == 200
    assert all(word in page.text for word in ("王小明", "Transcript", "/tracks/camera", "/tracks/screen"))
    for header in ("bytes=0-99", "bytes=-50", None):
        browser.get(f"{view}/tracks/camera", headers={"Range": header} if header else {})
    assert actions(desk) == [*before, Action.REPLAY_OPEN]


def test_a_replay_from_the_cold_tier_works_and_says_so(desk: Desk) -> None:
    made = desk.sealed(4, analysed=False)
    hot = desk.client(Role.RECRUITER)
    path = opened(desk, hot, made)
    whole = hot.get(path + "/tracks/camera").data
    assert "older recordings" not in hot.get(path).text
    desk.settings = replace(desk.settings, vault=VaultSettings(cold=str(desk.settings.data / "archive")))
    desk.app = create_app(desk.settings)
    tiers.move(jobs.Work(desk.settings, lambda: False), recording=str(made), to="cold", reason="ordered")
    for lang, said in (("en", "lies in the store for older recordings"), ("zh", "旧录像的存储层")):
        browser = desk.client(Role.RECRUITER, lang)
        path = opened(desk, browser, made)
        assert said in browser.get(path).text
        assert browser.get(path + "/tracks/camera").data == whole
        part = browser.get(path + "/tracks/camera", headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.data) == (206, whole[100:200])
    admin = desk.client(Role.SYSTEM_ADMIN)
    assert "Cold tier" in admin.get("/health").text
    (desk.settings.data / "archive").rename(desk.settings.data / "unmounted")
    assert browser.get(path + "/tracks/camera").status_code == 503
    vaults._states.cache_clear()
    health = admin.get("/health").text
    assert "Not there" in health
    assert "Nothing is lost: what waits for it goes on by itself." in health


def test_ranges_of_a_sealed_track_are_the_same_bytes(desk: Desk) -> None:
    browser = desk.client(Role.RECRUITER)
    path = opened(desk, browser, desk.sealed(4, analysed=False)) + "/tracks/camera"
    whole = browser.get(path)
    assert (whole.status_code, whole.headers["Cache-Control"]) == (200, "no-store")
    assert whole.data[:4] == b"\x1a\x45\xdf\xa3"
    size = len(whole.data)
    for start, end in ((0, 1), (1, 70_000), (size // 2, size // 2 + 10), (size - 1, size)):
        part = browser.get(path, headers={"Range": f"bytes={start}-{end - 1}"})
        end = min(end, size)
        assert (part.status_code, part.data) == (206, whole.data[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    head = browser.head(path)
    assert (head.status_code, head.data, head.content_length) == (200, b"", size)
    beyond = browser.get(path, headers={"Range": f"bytes={size}-", "Accept": "application/json"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert beyond.json is not None
    assert beyond.json["message"] == "The file has no such part."
    assert browser.get(path, headers={"Range": "bytes=nonsense"}).data == whole.data


def test_documents_are_read_under_the_view_and_only_those_that_pages_show(desk: Desk) -> None:
    browser = desk.client(Role.RECRUITER)
    view = opened(desk, browser, desk.sealed(4))
    answer = browser.get(f"{view}/documents/transcript.json")
    assert answer.json == CONTENTS["transcript"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.get(f"{view}/documents/timeline.json").json["events"]
    for name in ("notes", "..%2F..%2Fkeys", "transcript.v9"):
        assert browser.get(f"{view}/documents/{name}.json").status_code == 404


def test_watched_seconds_are_kept_and_nonsense_is_refused(desk: Desk) -> None:
    recording = desk.sealed(4)
    browser = desk.client(Role.RECRUITER)
    view = opened(desk, browser, recording)
    for ranges in ([[0, 1000]], [[900, 2000], [3000, 3500]]):
        answer = post(browser, f"{view}/watched", json={"ranges": ranges})
        assert answer.status_code == 200
    for body in (
        {"ranges": [[5, 1, 2]]},
        {"ranges": "all"},
        [],
        {"ranges": [["a", "b"]]},
        {"ranges": [[-5, 9]]},
    ):
        assert post(browser, f"{view}/watched", json=body).status_code == 422
    with transaction("staff", desk.settings) as tx:
        assert tx.scalar(select(replay_view.c.watched)) == [[0, 2000], [3000, 3500]]
    closed = post(browser, f"{view}/close")
    assert "view-closed" in closed.location
    assert actions(desk)[-1] == Action.REPLAY_CLOSE
    seen = desk.client(Role.AUDITOR).get(f"/audit/recordings/{recording}").text
    assert "0:00–0:02" in seen
    assert "0:03–0:04" in seen  # a part of a second counts as that second


def test_a_view_is_its_openers_alone(desk: Desk) -> None:
    view = opened(desk, desk.client(Role.RECRUITER), desk.sealed(4))
    for role in (Role.DEPARTMENT_HEAD, Role.INTERVIEWER, Role.AUDITOR, Role.SYSTEM_ADMIN):
        other = desk.client(role)
        for path in (view, f"{view}/tracks/camera", f"{view}/documents/transcript.json"):
            assert other.get(path).status_code == 404
        assert post(other, f"{view}/watched", json={"ranges": []}).status_code == 404


def test_a_view_that_is_over_offers_to_open_it_again(desk: Desk) -> None:
    browser = desk.client(Role.RECRUITER)
    view = opened(desk, browser, desk.sealed(4))
    with transaction("staff", desk.settings) as tx:
        tx.execute(update(replay_view).values(lease_until=replay_view.c.opened_at))
    over = browser.get(view)
    assert over.status_code == 410
    assert "Open replay again" in over.text
    assert browser.get(f"{view}/tracks/camera").status_code == 410


def test_a_locked_vault_is_a_page_that_says_so(desk: Desk) -> None:
    recording = desk.sealed(4)
    browser = desk.client(Role.RECRUITER)
    desk.keyholder.lock()
    assert "The vault is locked." in browser.get(f"/attempts/{recording}").text
    answer = post(browser, f"/recordings/{recording}/views")
    assert answer.status_code == 503
    assert "The vault is locked" in answer.text
    assert Action.REPLAY_OPEN not in actions(desk)


def test_who_opened_too_many_is_told_when_to_come_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = desk.client(Role.RECRUITER)
    view = opened(desk, browser, desk.sealed(4))

    def limited(*_: object) -> None:
        raise TooManyKeysError(seconds=600, minutes=10)

    monkeypatch.setattr(Keyholder, "file_keys", limited)
    answer = browser.get(f"{view}/tracks/camera", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_keys")
    assert answer.headers["Retry-After"] == "600"
    assert "Try again in 10 minutes" in answer.json["message"]


def test_without_a_keyholder_pages_say_so_and_go_on(desk: Desk) -> None:
    recording = desk.sealed(4)
    browser = desk.client(Role.RECRUITER)
    desk.settings.keyholder_socket.unlink()
    assert "The keyholder is not running." in browser.get(f"/attempts/{recording}").text
    answer = post(browser, f"/recordings/{recording}/views")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert browser.get("/").status_code == 200


def test_a_damaged_track_is_not_shown(desk: Desk) -> None:
    recording = desk.sealed(4)
    browser = desk.client(Role.RECRUITER)
    view = opened(desk, browser, recording)
    path = Vault(desk.settings.vault_folder).path(recording, "document", "transcript")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    answer = browser.get(f"{view}/documents/transcript.json", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (502, "damaged")


def test_a_document_of_a_newer_release_is_said_to_be_so(desk: Desk) -> None:
    recording = desk.sealed(4)
    browser = desk.client(Role.RECRUITER)
    view = opened(desk, browser, recording)
    path = Vault(desk.settings.vault_folder).path(recording, "document", "transcript")
    data = bytearray(path.read_bytes())
    data[4] += 1
    path.write_bytes(data)
    answer = browser.get(f"{view}/documents/transcript.json", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (501, "newer_format")
    assert "bring this site to that release" in answer.json["message"]


def test_before_it_is_sealed_there_is_no_view(desk: Desk) -> None:
    made = desk.people_in_every_state()["sealing"]
    answer = post(desk.client(Role.RECRUITER), f"/recordings/{made}/views")
    assert answer.status_code == 409
    assert "not ready to be replayed" in answer.text


def test_facts_in_the_page_cannot_break_out_of_their_script(desk: Desk) -> None:
    browser = desk.client(Role.RECRUITER)
    page = browser.get(opened(desk, browser, desk.sealed(4))).text
    found = re.search(r'<script type="application/json" id="replay-facts">(.*?)</script>', page, re.S)
    assert found is not None
    assert "<" not in found.group(1)


WITHOUT_ANALYSIS = [
    ("skipped", "no_model_pack", "it is then analysed by itself"),
    ("skipped", "declined", "The candidate declined the analysis."),
    ("skipped", "not_offered", "so candidates were not asked"),
    ("skipped", "no_media", "There is no picture and no sound"),
    ("cancelled", "consent_withdrawn", "withdrew the consent"),
    ("queued", None, "appears here by itself"),
    ("running", None, "appears here by itself"),
    ("failed", "timeout", "at the top of this page"),
]


def test_why_there_is_no_analysis_and_what_can_be_done_is_said_wherever_it_would_be(desk: Desk) -> None:
    recording = desk.sealed(4, analysed=False)
    browser = desk.client(Role.RECRUITER)
    for state, reason, said in WITHOUT_ANALYSIS:
        with transaction("worker", desk.settings) as tx:
            changed = update(analysis).values(state=state, reason=reason)
            tx.execute(changed.where(analysis.c.recording_id == recording))
        page = browser.get(opened(desk, browser, recording)).text
        assert page.count(said) == 3, (state, reason)
