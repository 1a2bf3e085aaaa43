"""Seal: whole, opaque, and closed to whatever comes later."""

from __future__ import annotations

import pytest

from appliance.audit.log import Action
from appliance.tables import document, recording
from storage.vault import Vault
from tests.flow import quick
from tests.flow.desk import Desk
from tests.flow.fixtures import Hired, Told
from tests.flow.relay import Relay
from tests.flow.rows import actions, rows
from tests.support import story
from tests.support.media import recorded
from tests.support.product import Product


def test_the_order_is_on_the_audit_log(live: Product, anna: Told) -> None:
    done = actions(live, "recording", anna.recording)
    assert done[:2] == [Action.SEAL_RUN, Action.SEAL_DONE]
    about = actions(live, "attempt", anna.recording)
    wanted = [Action.INGEST_PIN, Action.INGEST_CONSENT, Action.INGEST_FINISH]
    assert [action for action in about if action in wanted] == wanted


def test_every_file_of_the_recording_is_sealed_and_counted(live: Product, ming: Told) -> None:
    vault = Vault(live.settings.vault_folder)
    files = vault.list(ming.recording)
    kept = {row.name for row in rows(live, document, recording_id=ming.recording)}
    assert {file.name for file in files} == {"camera", "screen", *kept}
    for file in files:
        assert vault.path(ming.recording, file.kind, file.name).read_bytes()[:4] == b"FPS1"
    [row] = rows(live, recording, id=ming.recording)
    assert row.department_year_key
    assert row.problem is None


def test_the_vault_and_the_log_check_out(live: Product, anna: Told, ming: Told) -> None:
    assert anna.report.state == ming.report.state == "sealed"
    assert "no damage found" in live.command("vault", "check", "--full")
    assert "the chain is whole" in live.command("audit", "verify")


def test_what_comes_after_sealing_is_refused(
    live: Product, hired: Hired, relay: Relay, recruiter: Desk
) -> None:
    candidate = quick.begun(quick.invited(recruiter, relay, hired.english, "late"), analysis=False)
    epoch = quick.record(candidate, recorded(2.0))
    assert candidate.finish(epoch)[0] == 200
    assert story.wait_for_report(live.settings, candidate.recording).state == "sealed"
    late = candidate.epoch()
    status, answer = candidate.put(late, late.chunk(b"late"))
    assert (status, answer["code"]) == (410, "sealed")
    assert answer["message"]
    assert quick.browser_at(relay.link_to("late@example.com")).begin()[0] in (409, 410)
    assert candidate.finish(epoch)[0] == 200  # the same receipt, as often as it is asked for
    assert pytest.approx(2.0, abs=0.3) == rows(live, recording, id=candidate.recording)[0].duration_ms / 1000
