"""Decide: the résumé beside the recording and the note about it, kept and opened by whom they concern."""

from __future__ import annotations

from sqlalchemy import select

from appliance.audit.log import Action
from appliance.database import transaction
from appliance.tables import attempt, document
from storage.vault import Vault
from tests.flow.desk import Desk
from tests.flow.fixtures import Told
from tests.flow.paperwork import Kept
from tests.flow.rows import actions, rows
from tests.support.product import Product


def person_of(live: Product, told: Told):
    with transaction("staff", live.settings) as tx:
        return tx.scalar(select(attempt.c.candidate_id).where(attempt.c.id == told.recording))


def test_the_resume_comes_back_in_each_version_as_a_download(recruiter: Desk, anna: Told, kept: Kept) -> None:
    for version, data in enumerate(kept.resumes, start=1):
        answer = recruiter.post(f"/attempts/{anna.recording}/resume/{version}/open")
        assert (answer.status, answer.body) == (200, data)
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_note_is_read_as_it_is_now(recruiter: Desk, auditor: Desk, anna: Told, kept: Kept) -> None:
    page = recruiter.get(f"/attempts/{anna.recording}/notes")
    assert kept.changed in page.text
    assert kept.note not in page.text
    assert auditor.get(f"/attempts/{anna.recording}/notes").status == 404


def test_each_lies_sealed_under_its_owner(live: Product, anna: Told, kept: Kept) -> None:
    vault, person = Vault(live.settings.vault_folder), person_of(live, anna)
    assert [file.name for file in vault.list(person)] == ["resume", "resume.v2"]
    [first, second] = sorted(
        row.version for row in rows(live, document, recording_id=anna.recording, kind="note")
    )
    assert (first, second) == (1, 2)
    assert "no damage found" in live.command("vault", "check", "--full")
    assert kept.profile.exists()


def test_who_kept_and_opened_what_is_on_the_log(
    live: Product, recruiter: Desk, anna: Told, kept: Kept
) -> None:
    recruiter.post(f"/attempts/{anna.recording}/resume/2/open")
    recruiter.get(f"/attempts/{anna.recording}/notes")
    assert kept.profile.exists()
    told = actions(live, "candidate", person_of(live, anna))
    assert told[:2] == [Action.RESUME_KEEP] * 2
    assert set(told[2:]) == {Action.RESUME_OPEN}
    notes = [each for each in actions(live, "recording", anna.recording) if each.startswith("note")]
    assert [each for each in notes if each == Action.NOTE_KEEP] == [Action.NOTE_KEEP] * 2
    assert notes[-1] == Action.NOTE_OPEN
