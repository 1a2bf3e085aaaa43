"""Notes: sealed with their recording, read by whom it concerns, changed by their author alone."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from appliance.audit.log import Action
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.errors import ConflictError, FupanError, InvalidInputError, NotFoundError, VaultLockedError
from appliance.stages import replay
from appliance.stages.decide import notes
from appliance.tables import assignment, document, note
from storage.vault import Vault
from tests.support import factory
from tests.support.media import recorded
from tests.support.site import Site

TEXT = "她把导入拆成三个队列。\nShe measured each of them."


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    return site.sealed(list(recorded()))


def read(site: Site, made: uuid.UUID, user: User | None = None) -> list[notes.Note]:
    return notes.opened(site.settings, user or site.recruiter, made)


def test_a_note_is_read_as_it_was_written(site: Site, made: uuid.UUID) -> None:
    written = notes.write(site.settings, site.recruiter, made, f"  {TEXT}\r\n")
    [found] = read(site, made)
    assert found.text == TEXT
    assert (found.head.id, found.head.author_id) == (written, site.recruiter.account_id)
    assert (found.head.version, found.head.changed_at) == (1, None)
    [file] = [each for each in Vault(site.settings.vault_folder).list(made) if each.name.startswith("note")]
    assert file.name == f"note-{written}"


def test_a_change_is_a_further_version_and_the_earlier_ones_stay(site: Site, made: uuid.UUID) -> None:
    written = notes.write(site.settings, site.recruiter, made, TEXT)
    for version in (1, 2):
        notes.change(site.settings, site.recruiter, made, written, f"{TEXT} {version}", version)
    [found] = read(site, made)
    assert (found.text, found.head.version) == (f"{TEXT} 2", 3)
    assert found.head.changed_at is not None
    names = {each.name for each in Vault(site.settings.vault_folder).list(made)}
    assert names >= {f"note-{written}", f"note-{written}.v2", f"note-{written}.v3"}


def test_the_database_knows_who_and_when_and_no_word(site: Site, made: uuid.UUID) -> None:
    written = notes.write(site.settings, site.recruiter, made, TEXT)
    [row] = site.rows(note, recording_id=made)
    assert {**row._mapping, "created_at": None} == {
        "id": written,
        "recording_id": made,
        "author_id": site.recruiter.account_id,
        "created_at": None,
    }
    [row] = site.rows(document, recording_id=made, kind="note")
    assert (row.name, row.version) == (f"note-{written}", 1)


def test_writing_and_reading_are_events_that_name_the_notes(site: Site, made: uuid.UUID) -> None:
    assert read(site, made) == []
    before = site.actions("recording", made)
    assert Action.NOTE_OPEN not in before  # nothing was there to be read
    one, two = (notes.write(site.settings, site.recruiter, made, TEXT) for _ in range(2))
    notes.change(site.settings, site.recruiter, made, two, "x", 1)
    read(site, made)
    expected = [Action.NOTE_KEEP] * 3 + [Action.NOTE_OPEN]
    assert site.actions("recording", made)[len(before) :] == expected
    assert site.last_details("recording", made)["documents"] == [f"note-{one}", f"note-{two}.v2"]


def test_who_may_read_and_write_and_change(site: Site, made: uuid.UUID) -> None:
    other = factory.make_department(site.settings)
    staff = {
        "recruiter": factory.make_user(site.settings, Role.RECRUITER, site.department),
        "recruiter of another": factory.make_user(site.settings, Role.RECRUITER, other),
        "head": factory.make_user(site.settings, Role.DEPARTMENT_HEAD, site.department),
        "head of another": factory.make_user(site.settings, Role.DEPARTMENT_HEAD, other),
        "assigned": factory.make_user(site.settings, Role.INTERVIEWER),
        "interviewer": factory.make_user(site.settings, Role.INTERVIEWER),
        "auditor": factory.make_user(site.settings, Role.AUDITOR),
        "security": factory.make_user(site.settings, Role.SECURITY_ADMIN),
        "system": factory.make_user(site.settings, Role.SYSTEM_ADMIN),
    }
    with transaction("staff", site.settings) as tx:
        mine = {"attempt_id": made, "account_id": staff["assigned"].account_id}
        tx.execute(insert(assignment).values(**mine))
    written = notes.write(site.settings, site.recruiter, made, TEXT)

    def may(act: Any, person: User, *more: Any) -> bool:
        try:
            act(site.settings, person, made, *more)
        except NotFoundError:
            return False
        return True

    concerned = {"recruiter", "head", "assigned"}
    assert {name for name, person in staff.items() if may(notes.opened, person)} == concerned
    assert {name for name, person in staff.items() if may(notes.write, person, TEXT)} == concerned
    assert {name for name, person in staff.items() if may(notes.change, person, written, "x", 1)} == set()
    assert len(read(site, made, staff["head"])) == 1 + len(concerned)


@pytest.mark.parametrize("text", ["", " \n\t ", "x" * (notes.MAX_TEXT + 1)])
def test_a_text_that_is_none_or_too_long_is_refused(site: Site, made: uuid.UUID, text: str) -> None:
    before = site.actions("recording", made)
    with pytest.raises(InvalidInputError) as caught:
        notes.write(site.settings, site.recruiter, made, text)
    assert caught.value.params["field"] == "text"
    assert site.actions("recording", made) == before


def test_the_longest_text_is_kept(site: Site, made: uuid.UUID) -> None:
    text = "长" * notes.MAX_TEXT
    notes.write(site.settings, site.recruiter, made, text)
    assert read(site, made)[0].text == text


def test_a_change_to_an_older_version_is_told_and_overwrites_nothing(site: Site, made: uuid.UUID) -> None:
    written = notes.write(site.settings, site.recruiter, made, "first")
    notes.change(site.settings, site.recruiter, made, written, "second", 1)
    with pytest.raises(notes.NoteChangedError):
        notes.change(site.settings, site.recruiter, made, written, "also from the first", 1)
    assert read(site, made)[0].text == "second"


def test_there_are_no_notes_before_the_seal(site: Site) -> None:
    made = site.finished(list(recorded()))
    with pytest.raises(notes.NotSealedYetError):
        notes.write(site.settings, site.recruiter, made, TEXT)


def test_there_is_an_end_to_their_number(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "MAX_NOTES", 2)
    for _ in range(2):
        notes.write(site.settings, site.recruiter, made, TEXT)
    with pytest.raises(ConflictError, match="2 notes"):
        notes.write(site.settings, site.recruiter, made, TEXT)


def test_locked_nothing_is_written_read_or_logged(site: Site, made: uuid.UUID) -> None:
    written = notes.write(site.settings, site.recruiter, made, TEXT)
    before = site.actions("recording", made)
    site.keyholder.lock()
    for act in (
        lambda: notes.write(site.settings, site.recruiter, made, TEXT),
        lambda: notes.change(site.settings, site.recruiter, made, written, TEXT, 1),
        lambda: read(site, made),
    ):
        with pytest.raises(VaultLockedError):
            act()
    assert site.actions("recording", made) == before


def test_a_note_that_could_not_be_kept_leaves_no_row(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("storage.vault.Draft.commit", failing)
        with pytest.raises(FupanError):
            notes.write(site.settings, site.recruiter, made, TEXT)
    assert site.rows(note) == []
    assert site.actions("recording", made)[-2:] == [Action.NOTE_KEEP] * 2
    notes.write(site.settings, site.recruiter, made, TEXT)


def test_a_view_of_the_replay_names_no_note_as_a_document_of_its_own(site: Site, made: uuid.UUID) -> None:
    """Notes are read by their own event; what a replay shows of the recording goes on beside them."""
    notes.write(site.settings, site.recruiter, made, TEXT)
    view = replay.open_view(site.settings, site.recruiter, made)
    assert json.loads(replay.document(site.settings, view, "timeline"))
