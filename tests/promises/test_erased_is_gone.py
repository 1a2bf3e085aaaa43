"""Promise: what was erased is gone, also from every backup that is put back, and never too much of it.

The keys of a vault with seven generations of backups, its media, its ledger and its database are each put
back to a day before; nothing of what was erased opens. A hold beats every mark. A database that is empty,
older, or another site's leads to no erasure at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from appliance import cli, database
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Owner, OwnerKind, Role
from appliance.erasing import ErasedError
from appliance.errors import DatabaseDoubtfulError, FupanError, LedgerRefusedError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.erase_client import ErasingKeyholder
from appliance.keyholder.server import Server
from appliance.stages import erase, replay
from appliance.stages.erase import holds
from appliance.tables import audit_event, erasure
from appliance.upkeep import key_backup
from installer import verify_certificate
from storage.vault import KeyStore, Vault, generations
from tests.support import erasure as support
from tests.support import factory, postgres
from tests.support.keyholder import running_keyholder, unlock, with_key_backups
from tests.support.site import Site

pytestmark = pytest.mark.promise

Record = Callable[[str, object], None]
VERIFIER = Path(verify_certificate.__file__)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_key_backups(settings)


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[tuple[Server, Site]]:
    """A keyholder, unlocked, and the site around it."""
    with running_keyholder(settings) as server:
        site = Site(settings, Keyholder(settings))
        yield server, site


def back_up_each_day(server: Server) -> None:
    """Seven generations, the newest today's."""
    today = dt.datetime.now(dt.UTC).date()
    for ago in range(6, -1, -1):
        server.service.desk.custody.backups.make(today - dt.timedelta(days=ago))


def records(settings: Settings) -> set[str]:
    """Every recording or person that has a key record."""
    store = KeyStore(settings.keys_folder)
    return {*store.list("recording"), *store.list("person")}


def opened(site: Site, owner: Owner) -> int:
    """How many of an owner's files the keyholder gives a key for that opens them, for a live event."""
    vault, keyholder, count = Vault(site.settings.vault_folder), site.keyholder, 0
    for file in vault.list(owner.id):
        header = vault.header_of(owner.id, file.kind, file.name)
        with contextlib.suppress(FupanError):
            if owner.kind is OwnerKind.RECORDING:
                _view, event = factory.open_view(site.settings, site.recruiter, owner.id)
                [key] = keyholder.file_keys(owner.id, event.id, "replay", [header.raw])
            else:
                with transaction("staff", site.settings) as tx:
                    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
                    details = log.document_use(owner, "resume", [file.name], until)
                    actor = log.Actor.of(site.recruiter)
                    event = log.append(
                        tx, log.Action.RESUME_OPEN, actor, "candidate", owner.id, details=details
                    )
                [key] = keyholder.document_keys(owner, event.id, [header.raw])
            with vault.open_sealed(owner.id, file.kind, file.name, key) as reader:
                count += bool(reader.read())
    return count


def test_no_backup_brings_back_what_was_erased(settings: Settings, record_property: Record) -> None:
    with served(settings) as (server, site):
        gone, stays = support.recorded(site, "ming"), support.recorded(site, "hong")
        owners = [Owner(OwnerKind.RECORDING, gone), Owner(OwnerKind.PERSON, support.person_of(site, gone))]
        other = Owner(OwnerKind.RECORDING, stays)
        files = sum(opened(site, owner) for owner in owners)
        assert files == len([*Vault(settings.vault_folder).list(gone)]) + 1
        back_up_each_day(server)
        backup = settings.data.parent / "backup"
        for folder in (settings.vault_folder, settings.keys_folder):
            shutil.copytree(folder, backup / folder.name)
        support.mark(site, gone)
        support.days_pass(server, 8)
        assert support.carry_out(site) == 1
        with pytest.raises(ErasedError):
            replay.open_view(settings, site.recruiter, gone)
        for media in (backup / "vault").rglob("*.fps"):  # an old backup of the media, put back
            shutil.copy(media, settings.vault_folder / media.parent.name / media.name)
        with transaction("owner", settings) as tx:  # and of the rows
            tx.execute(text("UPDATE recording SET state = 'sealed'"))
        assert sum(opened(site, owner) for owner in owners) == 0
        left = records(settings)
    found = generations(Path(settings.vault.key_backup))
    assert len(found) == 7
    for generation in found:
        assert str(gone) not in records(settings)
        restored = key_backup.restore(settings, generation.path, "test")
        assert restored.erased == 2
        with served(settings) as (_, again):
            assert records(settings) == left
            again.recruiter = site.recruiter
            assert sum(opened(again, owner) for owner in owners) == 0
            assert opened(again, other) > 0
    for name in (
        "recording",
        "person",
        "day",
        "ledger",
    ):
        place = settings.keys_folder / name
        with contextlib.suppress(FileNotFoundError):
            place.unlink() if place.is_file() else shutil.rmtree(place)
        with contextlib.suppress(FileNotFoundError):
            source = backup / "keys" / name
            shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
    assert str(gone) in records(settings)
    with served(settings) as (_, again):
        again.recruiter = site.recruiter
        assert records(settings) == left
        assert sum(opened(again, owner) for owner in owners) == 0
    with transaction("auditor", settings) as tx:
        verified = log.verify(tx)
    assert verified.ok
    record_property(
        "figure",
        f"{len(found)} generations, a copied keys folder and a media backup put back: 0 of {files} erased "
        f"files open; the log's chain of {verified.count} entries verifies",
    )


def test_a_short_or_forged_ledger_opens_nothing(settings: Settings, record_property: Record) -> None:
    with served(settings) as (server, site):
        people = [support.recorded(site, name, resume_too=False) for name in ("ming", "hong", "lei")]
        for each in people:
            support.mark(site, each)
        support.days_pass(server, 8)
        assert support.carry_out(site) == 3
    copies = [settings.keys_folder / "ledger", settings.vault_folder / "ledger"]
    kept = copies[0].read_bytes()
    lines = kept.splitlines(keepends=True)
    entry = json.loads(lines[-1])
    entry["body"]["recordings"] = []
    forged = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    one, two, three = lines
    other = kept.replace(b'"kind":"erase"', b'"kind":"other"')
    wrong = [b"", one, one + two, two + one + three, one + three, kept + one, one + two + forged, other]
    wrong += [b"{}\n", kept + b"{}\n"]
    for data in wrong:
        for path in copies:
            path.write_bytes(data)
        with running_keyholder(settings):
            assert Keyholder(settings).status().locked
            with pytest.raises(LedgerRefusedError):
                unlock(settings)
    for path in copies:
        path.write_bytes(kept)
    with running_keyholder(settings):
        assert not Keyholder(settings).status().locked
    record_property("figure", f"{len(wrong)} of {len(wrong)} short or forged ledgers refused")


def test_the_certificate_verifies_offline_and_no_altered_one_does(
    settings: Settings, tmp_path: Path, record_property: Record
) -> None:
    with served(settings) as (server, site):
        mark = support.mark(site, support.recorded(site))
        support.days_pass(server, 8)
        assert support.carry_out(site) == 1
        told = CliRunner().invoke(cli.main, ["vault", "status"], prog_name="fupan").output
        [row] = site.rows(erasure, id=mark)
        again = ErasingKeyholder(settings).erasure_certificate(mark)
    assert again == row.certificate  # the same words each time
    key = next(line for line in told.splitlines() if "its key" in line).partition("its key ")[2]
    file, ledger = tmp_path / "certificate.json", settings.vault_folder / "ledger"
    file.write_text(json.dumps(row.certificate, sort_keys=True, ensure_ascii=False, separators=(",", ":")))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(VERIFIER), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    fine = run(file, "--key", key, "--ledger", ledger)
    assert (fine.returncode, fine.stdout.splitlines()[0]) == (0, "genuine"), fine.stdout + fine.stderr
    stated = json.loads(row.certificate["statement"])
    erased = dt.datetime.fromisoformat(stated["erased_at"])
    gone = dt.datetime.fromisoformat(stated["unrecoverable_at"])
    assert dt.timedelta(days=7) < gone - erased <= dt.timedelta(days=8)
    assert run(file, "--key", "0" * 64).returncode == 1
    short = tmp_path / "ledger"
    short.write_bytes(b"")
    assert run(file, "--key", key, "--ledger", short).returncode == 1
    data, refused = file.read_bytes(), 0
    places = range(0, len(data), 23)
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(verify_certificate.NotGenuineError):
            verify_certificate.verify(bytes(changed), key)
        refused += 1
    assert verify_certificate.verify(data, key) == stated
    record_property("figure", f"genuine without any library; {refused} of {len(places)} altered ones refused")


def test_a_hold_beats_every_mark_whenever_it_is_set(settings: Settings, record_property: Record) -> None:
    with served(settings) as (server, site):
        officer = None
        held, set_holds = [], []
        for moment in ("before the mark", "meanwhile", "when its time is over"):
            for what in ("person", "recording"):
                made = support.recorded(site, f"{moment[:4]}{what}", resume_too=False)
                number = support.person_of(site, made) if what == "person" else made
                if moment != "before the mark":
                    support.days_pass(server, 0)
                    support.mark(site, made, whole=what == "person")
                support.days_pass(server, 8 if moment == "when its time is over" else 3)
                officer, hold = support.hold(site, number)
                if moment == "before the mark":
                    support.mark(site, made, whole=what == "person")
                held.append(str(made))
                set_holds.append(hold)
        support.days_pass(server, 400)
        for _ in range(3):
            assert support.carry_out(site) == 0
        assert records(settings) == set(held)
        assert officer is not None
        for hold in set_holds:
            with transaction("staff", settings) as tx:
                holds.lift(tx, officer, hold)
        assert support.carry_out(site) == len(held)  # nothing else stood in the way
        assert records(settings) == set()
    record_property("figure", f"0 of {len(held)} held keys destroyed; all of them once the holds were lifted")


# --- databases that are not to be believed ------------------------------------------------------------------


@dataclasses.dataclass
class Snapshots:
    """Copies of the site's database, and sites that run on one."""

    cluster: postgres.Cluster
    settings: Settings
    names: list[str]

    def take(self, template: str | None = None) -> Settings:
        """The site as it would be with a database like this one: the present one, or another."""
        database.dispose(self.settings)
        name = postgres.new_name()
        self.cluster.create(name, template or self.settings.database.name)
        self.names.append(name)
        return dataclasses.replace(self.settings, database=self.cluster.database(name))


@pytest.fixture
def snapshots(settings: Settings, cluster: postgres.Cluster) -> Iterator[Snapshots]:
    made = Snapshots(cluster, settings, [])
    yield made
    for name in made.names:
        database.dispose(dataclasses.replace(settings, database=cluster.database(name)))
        cluster.drop(name)


def turn(settings: Settings, days: float) -> tuple[int, bool]:
    """One turn of the job on this database, so many days on: what was erased, and whether it was doubted."""
    with running_keyholder(settings) as server:
        support.days_pass(server, days)
        site: Any = type("On", (), {"settings": settings})
        try:
            return support.carry_out(site), False
        except DatabaseDoubtfulError:
            return 0, True


def test_an_empty_an_older_or_another_sites_database_erases_nothing(
    settings: Settings, snapshots: Snapshots, tmp_path: Path, record_property: Record
) -> None:
    with served(settings) as (server, site):
        made, held, due = (support.recorded(site, name) for name in ("ming", "hong", "lei"))
        mark, _, _ = (support.mark(site, each) for each in (made, held, due))
        before = records(settings)
    older = snapshots.take()  # all are marked, nothing is taken back or held yet
    with served(settings) as (server, site):
        with transaction("staff", settings) as tx:
            user = factory.make_user(settings, site.recruiter.role)
            erase.withdraw(tx, user, mark)
        erase.tell_keyholder(settings)
        support.hold(site, support.person_of(site, held))
    empty = snapshots.take(postgres.TEMPLATE)
    forged = snapshots.take(postgres.TEMPLATE)
    forge_marks(forged, [made, held])
    foreign = another_site(snapshots, tmp_path, [made, held])
    outcomes = {}
    doubtful = {"empty": empty, "forged": forged, "older": older, "another site's": foreign}
    for name, database_of in doubtful.items():
        outcomes[name] = [turn(database_of, days) for days in (0, 8, 400)]
        assert records(settings) == before, name
    assert not any(erased for turns in outcomes.values() for erased, _ in turns), outcomes
    doubted = {name for name, turns in outcomes.items() if any(doubt for _, doubt in turns)}
    assert doubted == {"forged", "older", "another site's"}
    with served(settings) as (server, site):
        support.days_pass(server, 8)
        assert support.carry_out(site) == 1  # the control: its own database is believed
        assert records(settings) == before - {str(due), str(support.person_of(site, due))}
    record_property("figure", f"0 erasures from {len(outcomes)} databases at {3 * len(outcomes)} moments")


def forge_marks(settings: Settings, recordings: list[uuid.UUID]) -> None:
    """Rows and events that claim that these recordings are marked, in a database that knows nothing else."""
    department = factory.make_department(settings)
    user = factory.make_user(settings, Role.RECRUITER)
    for recording in recordings:
        attempt_of = factory.make_attempt(settings, department, state=None)
        ids = {"new": recording, "old": attempt_of}
        with transaction("owner", settings) as tx:
            tx.execute(text("UPDATE attempt SET id = :new WHERE id = :old"), ids)
        with transaction("staff", settings) as tx:
            erase.mark(tx, settings, user, recording, whole=True, basis="request")


def another_site(snapshots: Snapshots, folder: Path, recordings: list[uuid.UUID]) -> Settings:
    """This site with the database of another one, which has a vault, a log, and marks of our recordings."""
    theirs = snapshots.take(postgres.TEMPLATE)
    their_site = postgres.site(folder / "theirs", snapshots.cluster, theirs.database.name)
    with running_keyholder(their_site):
        site = Site(their_site, Keyholder(their_site))
        support.recorded(site, "zhang")
        site.keyholder.lock()
        unlock(their_site)
        forge_marks(their_site, recordings)
    database.dispose(their_site)
    return theirs


def test_what_the_log_says_of_an_erasure_names_nobody(settings: Settings) -> None:
    with served(settings) as (server, site):
        support.mark(site, support.recorded(site, "xiaoming"))
        support.days_pass(server, 8)
        support.carry_out(site)
    with transaction("auditor", settings) as tx:
        bodies = tx.scalars(select(audit_event.c.body)).all()
    assert len(bodies) > 5
    assert not [body for body in bodies if "xiaoming" in body]
