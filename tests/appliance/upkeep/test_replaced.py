"""An earlier copy of a document that somebody put back opens under its key, and is refused by its row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from appliance.audit.log import Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Owner, OwnerKind
from appliance.errors import DamagedError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.tree import KeyTree
from appliance.stages import replay
from appliance.stages.decide import notes
from appliance.stages.talent import resume
from appliance.tables import attempt, audit_event, document, note, recording
from appliance.upkeep import repair
from appliance.upkeep.check import look_over
from storage.vault import Vault
from tests.appliance.upkeep.test_repair import journals_gone
from tests.support import papers
from tests.support.keyholder import running_keyholder
from tests.support.media import recorded
from tests.support.site import Site

WORKER = Actor.unit("worker")


class Replacing:
    """A sealed recording with a note and a résumé, and whoever can put earlier copies of their files back."""

    def __init__(self, settings: Settings, tree: KeyTree) -> None:
        self.site, self.vault, self._tree = (
            Site(settings, Keyholder(settings)),
            Vault(settings.vault_folder),
            tree,
        )
        self.made = self.site.sealed_but_not_analysed(list(recorded()), analysis=False)
        self.recording = Owner(OwnerKind.RECORDING, self.made)
        notes.write(settings, self.site.recruiter, self.made, "thoughtful")
        resume.keep(settings, self.site.recruiter, self.made, lambda: papers.PDF)
        person = uuid.UUID(str(self.site.row(attempt, self.made).candidate_id))
        self.person = Owner(OwnerKind.PERSON, person)
        self.note = f"note-{self.site.rows(note)[0].id}"

    def put_back(self, owner: Owner, name: str, data: bytes = b"{}") -> None:
        header, key = self._tree.new_file_key(owner.id, "document", name, owner.kind)
        self.vault.write_document(owner.id, name, header, key, data)

    def found(self) -> list[tuple[str, str]]:
        damage = look_over(self.site.settings, True, None, WORKER).damage
        return sorted((each.kind, each.file.name) for each in damage if each.file)


@pytest.fixture
def case(settings: Settings) -> Iterator[Replacing]:
    with running_keyholder(settings) as server:
        yield Replacing(settings, server.service.custody.tree)


def test_where_people_read_and_in_the_check(case: Replacing) -> None:
    site, made = case.site, case.made
    view = replay.open_view(site.settings, site.recruiter, made)
    assert replay.document(site.settings, view, "timeline")
    assert case.found() == []
    case.put_back(case.recording, "timeline")
    case.put_back(case.recording, case.note)
    case.put_back(case.person, "resume")
    with pytest.raises(DamagedError, match="replaced"):
        replay.document(site.settings, view, "timeline")
    with pytest.raises(DamagedError, match="replaced"):
        notes.opened(site.settings, site.recruiter, made)
    with pytest.raises(DamagedError, match="replaced"):
        resume.opened(site.settings, site.recruiter, made, 1)
    all_three = [("replaced", case.note), ("replaced", "resume"), ("replaced", "timeline")]
    assert [each for each in case.found() if each[0] == "replaced"] == all_three
    with transaction("owner", site.settings) as tx:  # as rows from before are
        tx.execute(update(document).values(header_sha256=None))
    assert replay.document(site.settings, view, "timeline") == b"{}"


@pytest.mark.parametrize("name", ["timeline", "manifest"])
def test_no_repair_takes_it_for_whole(case: Replacing, name: str) -> None:
    site, made = case.site, case.made
    journals_gone(site, made)
    kept = site.opened(made, "document", name)
    case.put_back(case.recording, name, kept)
    repair.repair(site.work, str(made), suspected=True)
    assert site.row(recording, made).problem == "damaged"
    with transaction("owner", site.settings) as tx:
        body = tx.scalar(select(audit_event.c.body).order_by(audit_event.c.seq.desc()).limit(1))
    assert "replaced" in str(body)
