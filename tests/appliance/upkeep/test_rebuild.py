"""Rows come back from the files of sealed recordings, and nothing that was erased or never known does."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, update

from appliance import cli
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AttemptState, RecordingState
from appliance.errors import DamagedError, KeyRefusedError, VaultLockedError
from appliance.keyholder.client import Keyholder
from appliance.stages import replay, seal
from appliance.stages.seal import UploadsGoneError
from appliance.tables import analysis, attempt, document, recording, track
from appliance.upkeep import rebuild, repair
from storage.vault import Vault
from tests.appliance.upkeep.test_repair import journals_gone
from tests.support import erasure as erasing
from tests.support.damage import flip_segments
from tests.support.keyholder import running_keyholder
from tests.support.media import recorded
from tests.support.site import Site

CLI = Actor("unit", "cli", name="root")


@pytest.fixture
def site(settings: Settings, keyholder: Keyholder) -> Site:
    return Site(settings, keyholder)


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    return site.sealed_but_not_analysed(list(recorded()), analysis=False)


def path_of(site: Site, made: uuid.UUID, kind: str, name: str) -> Path:
    return Path(Vault(site.settings.vault_folder).path(made, kind, name))


def rows(site: Site, made: uuid.UUID) -> dict[str, Any]:
    """Everything of a recording but when a row was written."""
    kept = site.rows(recording, id=made)
    return {
        "recording": [row._asdict() for row in kept],
        "tracks": [row._asdict() for row in site.rows(track, recording_id=made)],
        "documents": sorted(
            (row.name, row.version, row.kind, row.bytes, row.header_sha256)
            for row in site.rows(document, recording_id=made)
        ),
    }


def drop(site: Site, made: uuid.UUID, *tables: Any) -> None:
    with transaction("owner", site.settings) as tx:
        for table in tables:
            column = table.c.id if table is recording else table.c.recording_id
            tx.execute(delete(table).where(column == made))


def rebuilt(site: Site) -> list[str]:
    said: list[str] = []
    assert rebuild.rebuild_all(site.settings, CLI, said.append) == 0
    return said


@pytest.mark.parametrize(
    "tables",
    [(track,), (document,), (track, document), (track, document, analysis, recording)],
    ids=["tracks", "documents", "both", "the recording too"],
)
def test_lost_rows_come_back_as_they_were(site: Site, made: uuid.UUID, tables: tuple[Any, ...]) -> None:
    before = rows(site, made)
    assert rebuilt(site) == []
    drop(site, made, *tables)
    assert len(rebuilt(site)) == 1
    assert rows(site, made) == before
    assert site.actions("recording", made)[-2:] == [Action.VAULT_REBUILD] * 2
    assert rebuilt(site) == []
    view = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, view, "camera") as file:
        assert len(file.read(0, file.size)) == file.size


def test_an_older_database_still_has_it_as_collecting(site: Site, made: uuid.UUID) -> None:
    """Its row is there since the invitation."""
    before = rows(site, made)
    drop(site, made, track, document)
    unknown = dict.fromkeys(("sealed_at", "day_key_id", "department_year_key", "duration_ms", "bytes"))
    with transaction("owner", site.settings) as tx:
        tx.execute(update(recording).values(state=RecordingState.COLLECTING, **unknown))
        tx.execute(update(attempt).values(state=AttemptState.INVITED, finished_at=None, end_proven=False))
    assert len(rebuilt(site)) == 1
    assert rows(site, made) == before
    [known] = site.rows(attempt, id=made)
    assert (known.state, known.end_proven) == (AttemptState.FINISHED, True)
    assert rebuilt(site) == []


@pytest.mark.parametrize("state", [RecordingState.SEALING, RecordingState.FAILED])
def test_an_older_database_has_it_in_the_middle_of_its_seal(
    site: Site, made: uuid.UUID, state: RecordingState
) -> None:
    """While the uploads are there the seal brings it back; once they are gone it writes nothing over."""
    before = rows(site, made)
    drop(site, made, track, document)
    with transaction("owner", site.settings) as tx:
        tx.execute(update(recording).values(state=state, sealed_at=None, problem="ChangedError"))
    assert rebuilt(site) == []
    for journal in site.settings.intake_folder.glob("recordings/*/tracks/*"):
        journal.unlink()
    files = {path: path.read_bytes() for path in site.settings.vault_folder.rglob("*.fps")}
    if state is RecordingState.SEALING:
        with pytest.raises(UploadsGoneError):
            seal.seal(site.work, str(made))
    assert {path: path.read_bytes() for path in site.settings.vault_folder.rglob("*.fps")} == files
    assert len(rebuilt(site)) == 1
    assert rows(site, made) == before
    assert rebuilt(site) == []


def test_a_repaired_recording_comes_back_repaired(site: Site, made: uuid.UUID) -> None:
    journals_gone(site, made)
    flip_segments(path_of(site, made, "track", "camera"), 0)
    repair.repair(site.work, str(made), suspected=True)
    before = rows(site, made)
    assert before["tracks"][0]["file"] == "camera.r1"
    drop(site, made, track, document)
    rebuilt(site)
    assert rows(site, made) == before
    flip_segments(path_of(site, made, "document", "manifest.v2"), 0)
    drop(site, made, track)
    rebuilt(site)  # by the manifest before it
    assert [each.file for each in site.rows(track, recording_id=made)] == ["camera"]


def test_what_was_erased_is_never_brought_back(settings: Settings) -> None:
    """Though a restore brought its files, key and rows of before back: the ledger knows better."""
    with running_keyholder(settings) as server:
        site = Site(settings, Keyholder(settings))
        made = site.sealed_but_not_analysed(list(recorded()), analysis=False)
        kept = [*settings.vault_folder.rglob("*.fps"), settings.keys_folder / "recording" / f"{made}.key"]
        files = {path: path.read_bytes() for path in kept}
        erasing.mark(site, made)
        erasing.days_pass(server, 8)
        assert erasing.carry_out(site) == 1
        for path, data in files.items():
            path.write_bytes(data)
        assert list(rebuild.lacking(settings)) == []  # the rows say so too
        with transaction("owner", settings) as tx:
            tx.execute(update(recording).values(state=RecordingState.SEALED))
        [each] = rebuild.lacking(settings)
        with pytest.raises((KeyRefusedError, DamagedError)):
            rebuild.rebuild(settings, CLI, each)
        assert site.rows(track) == site.rows(document) == []
        assert site.actions("recording", made)[-2:] == [Action.VAULT_REBUILD] * 2


def test_an_interview_that_nobody_knows_is_named_and_left_alone(site: Site, made: uuid.UUID) -> None:
    other = uuid.uuid4()
    place = path_of(site, other, "document", "manifest")
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(path_of(site, made, "document", "manifest").read_bytes())
    [said] = rebuilt(site)
    assert said.startswith(f"{other}: no interview")
    assert site.rows(recording, id=other) == []


def test_an_analysis_that_was_not_finished_is_not_shown(site: Site, made: uuid.UUID) -> None:
    """Its files may lie there from a run that was cut short, or withdrawn since."""
    place = path_of(site, made, "document", "transcript")
    place.write_bytes(path_of(site, made, "document", "timeline").read_bytes())
    drop(site, made, document)
    rebuilt(site)
    assert "transcript" not in {row.name for row in site.rows(document, recording_id=made)}


def test_locked_nothing_is_rebuilt(site: Site, made: uuid.UUID) -> None:
    drop(site, made, track)
    site.keyholder.lock()
    [each] = rebuild.lacking(site.settings)
    with pytest.raises(VaultLockedError):
        rebuild.rebuild(site.settings, CLI, each)
    assert Action.VAULT_REBUILD not in site.actions("recording", made)


def test_the_command_repairs_and_rebuilds(site: Site, made: uuid.UUID) -> None:
    before = rows(site, made)
    drop(site, made, track)
    done = CliRunner().invoke(cli.main, ["vault", "check", "--full", "--repair"])
    assert done.exit_code == 0, done.output
    assert "4 proven under their keys" in done.output
    assert f"{made}: 0 recordings, 1 tracks, 0 documents" in done.output
    assert rows(site, made) == before
    flip_segments(path_of(site, made, "track", "camera"), 0)
    done = CliRunner().invoke(cli.main, ["vault", "check", "--full", "--repair"])
    assert done.exit_code == 1
    assert "the repair of 1 recordings is ordered" in done.output
    assert site.waiting_jobs("repair") == [{"recording": str(made)}]
