"""The journals of a sealed recording: they go once it is read back whole, and never before."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from appliance.audit.log import Action
from appliance.child import ChildFailedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Limits
from appliance.errors import KeyRefusedError
from appliance.jobs import Work
from appliance.keyholder.client import Keyholder
from appliance.stages import replay
from appliance.stages.seal import journals
from appliance.tables import recording, vault_alarm
from appliance.transport import transport_of
from storage.vault import Vault
from tests.support import factory
from tests.support.keyholder import running_keyholder, unlock, with_key_backups
from tests.support.media import recorded
from tests.support.site import Site


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    return site.sealed(list(recorded()), analysis=False)


def now(site: Site) -> Work:
    """A run of a site whose journals are due as soon as they are sealed."""
    return Work(replace(site.settings, journal_days=0), lambda: False)


def at_intake(site: Site, made: uuid.UUID) -> set[str]:
    return set(transport_of(site.settings).journals(made, Limits.bytes))


def test_they_go_once_the_sealed_files_were_read_back(site: Site, made: uuid.UUID) -> None:
    tracks = site.settings.intake_folder / "recordings" / str(made) / "tracks"
    (tracks / "camera.00.1.0.conflict").write_bytes(b"x")
    assert at_intake(site, made) == {"camera"}
    assert journals.clear(now(site)) == 1
    assert list(tracks.iterdir()) == []
    assert site.row(recording, made).journals_removed_at is not None
    assert site.actions("recording", made)[-2:] == [Action.SEAL_CHECK, Action.INGEST_CLEAR]
    assert journals.clear(now(site)) == 0
    # the recording and what its candidate may still see and do are as before
    view = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, view, "camera") as file:
        assert len(file.read(0, file.size)) == file.size
    status, answer = site.last_browser.api("GET", "/state")
    assert (status, answer["state"], answer["tracks"]) == (200, "sealed", {})
    assert answer["receipt"]
    late = site.last_browser.epoch()
    assert site.last_browser.put(late, late.chunk(b"late"))[0] == 410


@pytest.mark.parametrize(("days", "due"), [(2.9, 0), (3.1, 1)])
def test_they_stay_for_some_days(site: Site, made: uuid.UUID, days: float, due: int) -> None:
    at = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    with transaction("worker", site.settings) as tx:
        tx.execute(update(recording).where(recording.c.id == made).values(sealed_at=at))
    assert journals.clear(site.work) == due


def spoilt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [(spoilt, "segment"), (Path.unlink, "file"), (lambda path: path.write_bytes(b""), "header")],
)
def test_what_does_not_prove_whole_keeps_its_journals_and_says_so_once(
    site: Site, made: uuid.UUID, spoil: Callable[[Path], object], kind: str
) -> None:
    spoil(Vault(site.settings.vault_folder).path(made, "track", "camera"))
    for _ in range(2):
        assert journals.clear(now(site)) == 0
    row = site.row(recording, made)
    assert (row.problem, row.journals_removed_at) == ("damaged", None)
    assert at_intake(site, made) == {"camera"}
    checks = [each for each in site.actions("recording", made) if each == Action.SEAL_CHECK]
    assert len(checks) == 2  # that it began, and that it failed
    path = Vault(site.settings.vault_folder).path(made, "track", "camera")
    [alarm] = site.rows(vault_alarm)
    about = {"count": 1, "kinds": [kind], "places": [str(path)]}
    assert (alarm.kind, alarm.about) == ("damage", about)
    assert site.waiting_jobs("repair") == [{"recording": str(made)}]
    site.run_jobs()  # from the journals, which is why they stayed
    assert site.row(recording, made).problem is None
    assert journals.clear(now(site)) == 1


def test_a_child_that_cannot_do_it_now_proves_nothing(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaxed(*_: object, **__: object) -> None:
        raise ChildFailedError("memory")

    with monkeypatch.context() as broken:
        broken.setattr(journals.child, "run", overtaxed)
        assert journals.clear(now(site)) == 0
    assert site.row(recording, made).problem is None
    assert journals.clear(now(site)) == 1


def test_locked_nothing_is_read_back_nor_removed(site: Site, made: uuid.UUID) -> None:
    site.keyholder.lock()
    assert journals.clear(now(site)) == 0
    assert Action.SEAL_CHECK not in site.actions("recording", made)
    assert at_intake(site, made) == {"camera"}
    unlock(site.settings)
    assert journals.clear(now(site)) == 1


def test_where_keys_are_backed_up_they_stay_until_the_recordings_key_is(settings: Settings) -> None:
    backed_up = with_key_backups(settings)
    with running_keyholder(backed_up):
        site = Site(backed_up, Keyholder(backed_up))
        made = site.sealed(list(recorded()), analysis=False)
        assert journals.clear(now(site)) == 0
        assert at_intake(site, made) == {"camera"}
        site.keyholder.backup_keys(again=True)
        assert journals.clear(now(site)) == 1


def test_what_intake_has_not_closed_stays(site: Site, made: uuid.UUID) -> None:
    tombstone = site.settings.intake_folder / "tombstones" / f"{made}.tombstone"
    kept = tombstone.read_bytes()
    tombstone.unlink()
    assert journals.clear(now(site)) == 0
    assert at_intake(site, made) == {"camera"}
    tombstone.write_bytes(kept)
    assert journals.clear(now(site)) == 1


def test_one_that_fails_holds_up_none_of_the_others(site: Site, made: uuid.UUID) -> None:
    other = site.sealed(list(recorded()), analysis=False)
    folder = site.settings.intake_folder / "recordings" / str(made)
    (folder / "tracks").rename(folder / "elsewhere")
    (folder / "tracks").symlink_to(folder / "elsewhere")
    assert journals.clear(now(site)) == 1
    assert (folder / "elsewhere" / "camera.journal").exists()  # nothing is removed through a link
    assert at_intake(site, other) == set()


def test_cut_short_before_its_note_it_is_noted_by_the_next_run(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert transport_of(site.settings).remove_journals(made)
    assert journals.clear(now(site)) == 1
    assert site.row(recording, made).journals_removed_at is not None


def test_an_event_to_check_opens_files_only_while_there_are_journals(site: Site, made: uuid.UUID) -> None:
    header = Vault(site.settings.vault_folder).header_of(made, "track", "camera").raw
    event = factory.worker_event(site.settings, made, "check")
    assert site.keyholder.file_keys(made, event.id, "check", [header])
    for ask in (
        lambda: site.keyholder.new_file_keys(made, event.id, "check", [("document", "report")]),
        lambda: site.keyholder.epoch_keys(made, event.id, "check", []),
    ):
        with pytest.raises(KeyRefusedError):
            ask()
    assert journals.clear(now(site)) == 1
    with pytest.raises(KeyRefusedError) as caught:
        site.keyholder.file_keys(made, event.id, "check", [header])
    assert "no journals" in str(caught.value.params["reason"])
