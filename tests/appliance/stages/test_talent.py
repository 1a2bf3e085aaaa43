"""Résumés: kept sealed, replaced, opened by whom the candidate concerns, never parsed."""

from __future__ import annotations

import functools
import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from appliance.audit.log import Action
from appliance.database import transaction
from appliance.documents import NoRoomError
from appliance.domain import Role, User
from appliance.errors import (
    ConflictError,
    DamagedError,
    DatabaseDownError,
    FupanError,
    InvalidInputError,
    NotFoundError,
    VaultLockedError,
)
from appliance.keyholder.client import Keyholder
from appliance.stages.talent import resume
from appliance.tables import assignment, attempt, person_document
from storage.vault import Vault
from tests.support import factory, papers
from tests.support.site import Site


@pytest.fixture
def invited(site: Site) -> uuid.UUID:
    [made] = site.invite("xiaoming")
    return made


def person_of(site: Site, invited: uuid.UUID) -> uuid.UUID:
    return uuid.UUID(str(site.row(attempt, invited).candidate_id))


def keep(site: Site, invited: uuid.UUID, data: bytes, user: User | None = None) -> None:
    resume.keep(site.settings, user or site.recruiter, invited, lambda: data)


def kept(site: Site, invited: uuid.UUID) -> list[resume.Version]:
    with transaction("staff", site.settings) as tx:
        return resume.versions(tx, person_of(site, invited))


def test_what_was_kept_comes_back_as_it_was(site: Site, invited: uuid.UUID) -> None:
    data = papers.pdf(size=3_000_000)
    keep(site, invited, data)
    found = resume.opened(site.settings, site.recruiter, invited, 1)
    assert (found.data, found.format, found.name) == (data, "pdf", "xiaoming")
    [version] = kept(site, invited)
    assert (version.number, version.format) == (1, "pdf")
    assert version.bytes == pytest.approx(len(data), rel=0.01)


def test_a_replaced_one_stays_until_it_is_erased(site: Site, invited: uuid.UUID) -> None:
    files = [papers.pdf(b"first"), papers.docx(), "工作经历:五年后端。\n".encode()]
    for data in files:
        keep(site, invited, data)
    assert [(each.number, each.format) for each in kept(site, invited)] == [
        (3, "txt"),
        (2, "docx"),
        (1, "pdf"),
    ]
    for number, data in enumerate(files, start=1):
        assert resume.opened(site.settings, site.recruiter, invited, number).data == data
    names = [file.name for file in Vault(site.settings.vault_folder).list(person_of(site, invited))]
    assert names == ["resume", "resume.v2", "resume.v3"]


def test_each_use_is_an_event_about_the_candidate_before_it_happens(site: Site, invited: uuid.UUID) -> None:
    keep(site, invited, papers.PDF)
    resume.opened(site.settings, site.recruiter, invited, 1)
    person = person_of(site, invited)
    assert site.actions("candidate", person) == [Action.RESUME_KEEP, Action.RESUME_OPEN]
    details = site.last_details("candidate", person)
    assert details.pop("expires")
    assert details == {
        "person": str(person), "documents": ["resume"], "purpose": "resume", "unit": "staff"
    }  # fmt: skip


def test_it_is_the_candidates_over_all_their_interviews(site: Site) -> None:
    first, second = site.position(), site.position()
    [one] = site.invite("xiaoming", position_id=first)
    [two] = site.invite("xiaoming", position_id=second)
    keep(site, one, papers.PDF)
    assert resume.opened(site.settings, site.recruiter, two, 1).data == papers.PDF


def people(site: Site) -> dict[str, User]:
    other = factory.make_department(site.settings)
    return {
        "recruiter of the department": factory.make_user(site.settings, Role.RECRUITER, site.department),
        "recruiter of another": factory.make_user(site.settings, Role.RECRUITER, other),
        "head": factory.make_user(site.settings, Role.DEPARTMENT_HEAD, site.department),
        "head of another": factory.make_user(site.settings, Role.DEPARTMENT_HEAD, other),
        "interviewer": factory.make_user(site.settings, Role.INTERVIEWER),
        "assigned": factory.make_user(site.settings, Role.INTERVIEWER),
        **{role: factory.make_user(site.settings, role) for role in Role if role.value.endswith("admin")},
        "auditor": factory.make_user(site.settings, Role.AUDITOR),
    }


def test_who_may_keep_and_who_may_open(site: Site, invited: uuid.UUID) -> None:
    staff = people(site)
    with transaction("staff", site.settings) as tx:
        mine = {"attempt_id": invited, "account_id": staff["assigned"].account_id}
        tx.execute(insert(assignment).values(**mine))
    keep(site, invited, papers.PDF)

    def may(act: Callable[[User], object], person: User) -> bool:
        try:
            act(person)
        except NotFoundError:
            return False
        return True

    def opening(person: User) -> object:
        return resume.opened(site.settings, person, invited, 1)

    opens = {name for name, person in staff.items() if may(opening, person)}
    assert opens == {"recruiter of the department", "head", "assigned"}
    attach = functools.partial(keep, site, invited, papers.PDF)
    keeps = {name for name, person in staff.items() if may(attach, person)}
    assert keeps == {"recruiter of the department"}
    assert site.actions("candidate", person_of(site, invited)).count(Action.RESUME_OPEN) == 3


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (papers.PDF, "pdf"),
        (b"\xef\xbb\xbf\n" + papers.PDF, "pdf"),
        (papers.docx(), "docx"),
        ("简历 résumé\tx\r\n".encode(), "txt"),
        ("\ufeff简历".encode("utf-16"), "txt"),
        ("工作经历".encode("gb18030"), "txt"),
    ],
)
def test_the_format_shows_in_the_content(data: bytes, kind: str) -> None:
    assert resume.format_of(data) == kind


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
        b"MZ" + bytes(200),
        b"text\x00with zero",
        os.urandom(4096),
        b"\xff\xfe\x00",
        papers.pdf(size=resume.MAX_BYTES + 1),
    ],
    ids=["empty", "png", "zip", "doc", "exe", "nul", "random", "utf-16 cut short", "too large"],
)
def test_anything_else_is_refused_and_nothing_is_logged(site: Site, invited: uuid.UUID, data: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        keep(site, invited, data)
    assert caught.value.params["field"] == "resume"
    assert site.actions("candidate", person_of(site, invited)) == []


def test_locked_nothing_is_kept_opened_or_logged(site: Site, invited: uuid.UUID) -> None:
    keep(site, invited, papers.PDF)
    before = site.actions("candidate", person_of(site, invited))
    site.keyholder.lock()
    with pytest.raises(VaultLockedError):
        keep(site, invited, papers.PDF)
    with pytest.raises(VaultLockedError):
        resume.opened(site.settings, site.recruiter, invited, 1)
    assert site.actions("candidate", person_of(site, invited)) == before


def test_of_two_at_once_one_is_kept_and_the_other_is_told(
    site: Site, invited: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both take the same number; the second to be noted leaves nothing, whichever file was there first."""
    files = {name: papers.pdf(name.encode(), 200_000) for name in ("one", "two")}
    met = threading.Barrier(2)
    ask = Keyholder.new_document_key

    def at_once(self: Keyholder, *about: Any) -> Any:
        met.wait(20)
        return ask(self, *about)

    monkeypatch.setattr(Keyholder, "new_document_key", at_once)
    outcomes: dict[str, str] = {}

    def attach(name: str) -> None:
        try:
            keep(site, invited, files[name])
            outcomes[name] = "kept"
        except ConflictError:
            outcomes[name] = "told"

    threads = [threading.Thread(target=attach, args=(name,)) for name in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes.values()) == ["kept", "told"]
    winner = next(name for name, outcome in outcomes.items() if outcome == "kept")
    assert resume.opened(site.settings, site.recruiter, invited, 1).data == files[winner]
    path = Vault(site.settings.vault_folder).path(person_of(site, invited), "document", "resume")
    assert list(Path(path).parent.iterdir()) == [path]


def no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


def failing(*_: object) -> None:
    raise OSError(5, "Input/output error")


def no_database(*_: object) -> None:
    raise DatabaseDownError


@pytest.mark.parametrize(
    ("where", "fault", "expected", "logged"),
    [
        ("os.pwritev", no_room, NoRoomError, 2),
        ("storage.vault.Draft.commit", failing, FupanError, 2),
        ("appliance.documents.transaction", no_database, DatabaseDownError, 1),
    ],
    ids=["full disk", "failing disk", "database gone"],
)
def test_what_could_not_be_kept_is_told_logged_and_leaves_nothing(
    site: Site,
    invited: uuid.UUID,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    fault: Callable[..., None],
    expected: type[FupanError],
    logged: int,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(where, fault)
        with pytest.raises(expected):
            keep(site, invited, papers.PDF)
    assert kept(site, invited) == []
    assert site.actions("candidate", person_of(site, invited)) == [Action.RESUME_KEEP] * logged
    keep(site, invited, papers.PDF)
    assert resume.opened(site.settings, site.recruiter, invited, 1).data == papers.PDF
    path = Vault(site.settings.vault_folder).path(person_of(site, invited), "document", "resume")
    assert list(Path(path).parent.iterdir()) == [path]


def test_a_damaged_one_is_named_and_gives_nothing(site: Site, invited: uuid.UUID) -> None:
    keep(site, invited, papers.PDF)
    path = Path(Vault(site.settings.vault_folder).path(person_of(site, invited), "document", "resume"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedError):
        resume.opened(site.settings, site.recruiter, invited, 1)
    path.unlink()
    with pytest.raises(DamagedError):
        resume.opened(site.settings, site.recruiter, invited, 1)
    assert site.rows(person_document) != []


def test_a_version_that_there_is_none_of_is_not_found(site: Site, invited: uuid.UUID) -> None:
    keep(site, invited, papers.PDF)
    with pytest.raises(NotFoundError):
        resume.opened(site.settings, site.recruiter, invited, 2)
