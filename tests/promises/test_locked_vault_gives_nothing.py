"""Promise: a locked vault gives nothing. Nobody replays, seals or analyses; inviting and recording go on."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import text

from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, Limits, RecordingState
from appliance.errors import VaultLockedError
from appliance.keyholder import orders
from appliance.keyholder.answers.ceremonies import VIAS
from appliance.keyholder.client import Keyholder
from appliance.keyholder.erase_client import ErasingKeyholder
from appliance.keyholder.vault_client import VaultKeyholder, encrypted
from appliance.stages import analyse, replay, seal
from appliance.stages.decide import notes
from appliance.stages.talent import resume
from appliance.tables import analysis, recording
from appliance.transport import transport_of
from appliance.upkeep import waiting
from appliance.vault_errors import UnlockError
from storage.vault import Vault, split_key
from tests.support import custodians, factory, papers
from tests.support.keyholder import running_keyholder, unlock
from tests.support.media import recorded
from tests.support.site import Site

pytestmark = pytest.mark.promise


@pytest.fixture
def site(settings: Settings, keyholder: Keyholder) -> Site:
    return Site(settings, keyholder)


def test_every_key_is_refused_while_locked(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    made = site.sealed(list(recorded()))
    vault, locked = Vault(site.settings.vault_folder), Keyholder(site.settings)
    header = vault.header_of(made, "track", "camera").raw
    waits = site.finished(list(recorded()))  # its seal may begin: nothing but the lock is in its way
    opening, year = _opening(site, waits), dt.datetime.now(dt.UTC).year
    sealing = factory.worker_event(site.settings, waits, "seal").id
    factory.set_analysis(site.settings, made, "running")
    analysing = factory.worker_event(site.settings, made, "analyse").id
    view = replay.open_view(site.settings, site.recruiter, made)
    keys: list[Callable[[], object]] = [
        lambda: locked.create_recording_key(waits, site.department, year, sealing),
        lambda: locked.new_file_keys(waits, sealing, "seal", [("track", "camera")]),
        lambda: locked.epoch_keys(waits, sealing, "seal", [opening]),
        lambda: locked.file_keys(made, analysing, "analyse", [header]),
        lambda: locked.new_file_keys(made, analysing, "analyse", [("document", "report")]),
        lambda: locked.file_keys(made, view.id, "replay", [header]),
    ]
    for ask in keys:
        assert ask()  # the negative control
    resume.keep(site.settings, site.recruiter, made, lambda: papers.PDF)
    notes.write(site.settings, site.recruiter, made, "a note")
    steward = VaultKeyholder(site.settings)
    locked.lock()
    asked: list[Callable[[], object]] = [
        *keys,
        lambda: replay.open_view(site.settings, site.recruiter, made),
        lambda: replay.open_track(site.settings, view, "camera"),
        lambda: replay.document(site.settings, view, "timeline"),
        lambda: resume.keep(site.settings, site.recruiter, made, lambda: papers.PDF),
        lambda: resume.opened(site.settings, site.recruiter, made, 1),
        lambda: notes.write(site.settings, site.recruiter, made, "a note"),
        lambda: notes.opened(site.settings, site.recruiter, made),
        lambda: steward.reshare(uuid.uuid4(), 2, 3),
        lambda: steward.activate(uuid.uuid4(), unread=True),
        lambda: steward.add_slot(uuid.uuid4(), "file"),
        lambda: steward.remove_slot(uuid.uuid4(), steward.vault().slots[0].id),
        lambda: steward.rekey(uuid.uuid4()),
        lambda: ErasingKeyholder(site.settings).due_erasures(),
        lambda: ErasingKeyholder(site.settings).erase(uuid.uuid4(), uuid.uuid4()),
        lambda: ErasingKeyholder(site.settings).erasure_certificate(uuid.uuid4()),
        lambda: steward.rotate(uuid.uuid4(), f"{site.department}.{year}"),
    ]
    for ask in asked:
        with pytest.raises(VaultLockedError):
            ask()
    record_property("figure", f"{len(asked)} of {len(asked)} ways to a key refused while locked")


def test_fewer_wrong_or_old_shares_open_nothing(
    settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    installed, tries = custodians.installed(settings), 0
    with running_keyholder(installed):
        old = custodians.init(installed, 3, 5)
        new = custodians.reshare(installed, 3, 5)
        steward = VaultKeyholder(installed)
        vault = steward.vault().vault_id
        stranger = [share.text() for share in split_key(uuid.uuid4(), 2, 3, 5, bytes(32))]
        forged = [share.text() for share in split_key(vault, 2, 3, 5, bytes(32))]
        for given in (
            [], new[:1], new[1:3], [new[0], new[0], new[0]], old[:3], [new[0], new[1], old[2]],
            stranger[:3], forged[:3], [new[0], new[4], forged[2]], [new[2], new[3], new[0][:-1]], ["", "x"],
        ):  # fmt: skip
            orders.lock(installed, custodians.ME)
            ceremony = steward.begin("unlock", "shares")
            for share in given:
                sealed = encrypted(vault, ceremony, share)
                with contextlib.suppress(UnlockError):  # from here and there, so that none has to wait
                    orders.give(installed, custodians.ME, vault, ceremony, sealed, VIAS[tries % 3])
            with pytest.raises(UnlockError):
                orders.unlock(installed, custodians.ME, "shares")
            assert steward.vault().locked
            tries += 1
        custodians.unlock(installed, [new[4], new[2], new[0]])  # the negative control
        assert not steward.vault().locked
    record_property("figure", f"{tries} of {tries} sets of too few, wrong or old shares refused; 3 of 5 open")


def _opening(site: Site, made: uuid.UUID) -> bytes:
    journal = transport_of(site.settings).journals(made, Limits.bytes)["camera"]
    return journal.opening(bytes.fromhex(next(iter(journal.state()))))


def test_candidates_go_on_and_sealing_waits_without_failing(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    site.keyholder.publics()  # today's day key is published before the vault is locked
    site.keyholder.lock()
    made = site.finished(list(recorded()))
    waits = 25
    for _ in range(waits):
        seal.seal(site.work, str(made))
    row = site.row(recording, made)
    assert (row.state, row.problem) == (RecordingState.SEALING, "vault_locked")
    assert Vault(site.settings.vault_folder).list(made) == []
    assert not {Action.SEAL_RUN, Action.SEAL_FAIL} & set(site.actions("recording", made))
    with transaction("worker", site.settings) as tx:
        tx.execute(text("DELETE FROM procrastinate_jobs"))
    assert waiting.take_up(site.settings) == 0
    unlock(site.settings)
    assert waiting.take_up(site.settings) == 1
    assert waiting.take_up(site.settings) == 0
    site.run_jobs()
    assert site.row(recording, made).state == RecordingState.SEALED
    record_property("figure", f"recorded while locked; {waits} seals waited, then 1 recording sealed, 0 lost")


def test_analysis_waits_too(site: Site) -> None:
    made = _to_analyse(site)
    site.keyholder.lock()
    analyse.analyse(site.work, str(made))
    row = site.row(analysis, made)
    assert (row.state, row.reason) == (AnalysisState.QUEUED, "vault_locked")
    assert len(site.waiting_jobs("analyse")) == 1  # the one it had


@pytest.mark.parametrize("name", ["seal", "analyse"])
def test_waiting_forgets_no_failure_before_it(site: Site, name: str) -> None:
    """A job that failed four times and then met the lock has one more try, not six."""
    made = site.finished(list(recorded())) if name == "seal" else _to_analyse(site)
    with transaction("worker", site.settings) as tx:
        tx.execute(text("UPDATE procrastinate_jobs SET args = args || jsonb_build_object('failures', 4)"))
    site.keyholder.lock()
    site.run_jobs()
    assert site.waiting_jobs(name) == []  # nothing tries again and again
    unlock(site.settings)
    waiting.take_up(site.settings)
    assert site.waiting_jobs(name) == [{"recording": str(made), "failures": 4}]


def _to_analyse(site: Site) -> uuid.UUID:
    """A sealed recording whose analysis could begin now."""
    made = site.sealed_but_not_analysed(list(recorded()))
    pack = site.settings.models_folder / "1"
    pack.mkdir()
    (pack / "manifest.json").write_text("{}")
    (site.settings.models_folder / "active").symlink_to(pack)
    return made
