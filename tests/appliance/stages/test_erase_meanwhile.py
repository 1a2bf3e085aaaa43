"""What somebody keeps while its owner is being erased is refused, or goes with the rest."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from appliance import documents
from appliance.database import transaction
from appliance.documents import require_ready
from appliance.domain import Owner, OwnerKind
from appliance.erasing import ErasedError, require_kept
from appliance.errors import FupanError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.stages.decide import notes
from appliance.stages.erase import removal
from appliance.stages.talent import resume
from appliance.tables import document, note, person_document
from storage.vault import Vault
from tests.support import erasure as support
from tests.support import papers
from tests.support.site import Site


class TestKeptMeanwhile:
    """What somebody keeps while its owner is being erased is refused, or goes with the rest."""

    def test_the_key_was_given_before(self, site: Site, server: Server) -> None:
        made = support.recorded(site)
        person = support.person_of(site, made)
        support.mark(site, made)
        support.days_pass(server, 8)
        require_ready(site.settings)
        for owner in (Owner(OwnerKind.RECORDING, made), Owner(OwnerKind.PERSON, person)):
            with transaction("staff", site.settings) as tx:
                require_kept(tx, owner)
        assert support.carry_out(site) == 1
        for owner in (Owner(OwnerKind.RECORDING, made), Owner(OwnerKind.PERSON, person)):
            with pytest.raises(ErasedError), transaction("staff", site.settings) as tx:
                require_kept(tx, owner)

    @pytest.mark.parametrize("what", ["a note", "a résumé"])
    def test_erased_between_the_key_and_the_file(
        self, site: Site, server: Server, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        made = support.recorded(site)
        support.mark(site, made)
        support.days_pass(server, 8)
        given = Keyholder.new_document_key

        def given_and_then_erased(self: Keyholder, *arguments: Any) -> tuple[bytes, bytes]:
            found = given(self, *arguments)
            assert support.carry_out(site) == 1
            return found

        monkeypatch.setattr(Keyholder, "new_document_key", given_and_then_erased)
        keep = {
            "a note": lambda: notes.write(site.settings, site.recruiter, made, "late"),
            "a résumé": lambda: resume.keep(site.settings, site.recruiter, made, lambda: papers.PDF),
        }
        with pytest.raises(ErasedError):
            keep[what]()
        assert not list(site.settings.vault_folder.rglob("*.fps"))
        assert not site.rows(note) + site.rows(person_document) + site.rows(document)

    def test_erased_while_it_is_noted(
        self, site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever keeps it was first: the erasure waits for that, and takes it along."""
        made = support.recorded(site)
        support.mark(site, made)
        support.days_pass(server, 8)
        begun, threads = threading.Event(), []
        checked, real = documents.require_kept, removal.erasing.lock

        def waited_for(tx: Any, owner_id: uuid.UUID, *, shared: bool = False) -> None:
            if not shared:
                begun.set()
            real(tx, owner_id, shared=shared)

        def checked_while_it_is_erased(tx: Any, owner: Owner) -> None:
            checked(tx, owner)
            threads.append(threading.Thread(target=support.carry_out, args=(site,)))
            threads[0].start()
            assert begun.wait(20)

        monkeypatch.setattr(documents, "require_kept", checked_while_it_is_erased)
        monkeypatch.setattr(removal.erasing, "lock", waited_for)
        notes.write(site.settings, site.recruiter, made, "in time")
        threads[0].join()
        assert not list(site.settings.vault_folder.rglob("*.fps"))
        assert not site.rows(note) + site.rows(document)

    def test_at_the_pages(self, site: Site, server: Server) -> None:
        made = support.recorded(site)
        support.mark(site, made)
        support.days_pass(server, 8)
        support.carry_out(site)
        for keep in (
            lambda: notes.write(site.settings, site.recruiter, made, "late"),
            lambda: resume.keep(site.settings, site.recruiter, made, lambda: papers.PDF),
        ):
            with pytest.raises(FupanError):
                keep()
        assert not list(Vault(site.settings.vault_folder).recordings())
