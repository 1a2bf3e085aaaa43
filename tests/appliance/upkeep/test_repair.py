"""A damaged recording: found, marked, repaired without its damaged places, and never written over."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from pathlib import Path

import pytest
from sqlalchemy import update

from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import DamagedError
from appliance.keyholder.client import Keyholder
from appliance.manifest import Manifest
from appliance.stages import replay
from appliance.stages.decide import notes
from appliance.stages.replay.damage import BeingRepairedError
from appliance.tables import checked_part, document, recording, track, vault_alarm
from appliance.upkeep import damage, night_check, repair
from appliance.upkeep.check import look_over
from storage.vault import Depth, KeyStore, Part, Vault
from tests.support.damage import flip_segments, samples
from tests.support.keyholder import unlock
from tests.support.media import recorded
from tests.support.site import Site

WORKER = Actor.unit("worker")


@pytest.fixture
def site(settings: Settings, keyholder: Keyholder) -> Site:
    return Site(settings, keyholder)


@pytest.fixture
def fresh(site: Site) -> uuid.UUID:
    """One whose uploads are still at intake."""
    return site.sealed_but_not_analysed(list(recorded(12.0)), analysis=False)


@pytest.fixture
def made(site: Site, fresh: uuid.UUID) -> uuid.UUID:
    """One that is in the vault alone."""
    journals_gone(site, fresh)
    return fresh


def journals_gone(site: Site, made: uuid.UUID) -> None:
    with transaction("worker", site.settings) as tx:
        now = dt.datetime.now(dt.UTC)
        tx.execute(update(recording).where(recording.c.id == made).values(journals_removed_at=now))


def path_of(site: Site, made: uuid.UUID, kind: str, name: str) -> Path:
    return Path(Vault(site.settings.vault_folder).path(made, kind, name))


def part_of(made: uuid.UUID) -> int:
    return next(number for number in range(1, 29) if made in Part(number, 28))


def nights(site: Site, count: int = 28) -> None:
    for _ in range(count):
        night_check.check_part(site.work)


def test_in_28_nights_everything_is_proven_and_the_next_is_the_oldest(site: Site, made: uuid.UUID) -> None:
    nights(site)
    rows = {row.part: row for row in site.rows(checked_part)}
    assert sorted(rows) == [*range(1, 29)]
    assert sum(row.by_tags for row in rows.values()) == rows[part_of(made)].by_tags == 4
    assert sum(row.damaged for row in rows.values()) == 0
    assert site.actions("recording", made).count(Action.VAULT_CHECK) == 1
    first = rows[1].ended_at
    nights(site, 1)
    [again] = site.rows(checked_part, part=1)
    assert again.ended_at > first


def test_locked_it_goes_by_digests_and_says_so(site: Site, made: uuid.UUID) -> None:
    site.keyholder.lock()
    report = look_over(site.settings, True, None, WORKER)
    assert (report.files.by_tags, report.files.by_digest, report.files.only_read) == (0, 1, 3)
    assert report.without_keys == "vault_locked"
    assert Action.VAULT_CHECK not in site.actions("recording", made)
    flip_segments(path_of(site, made, "track", "camera"), 2)
    report = look_over(site.settings, True, None, WORKER)
    assert [finding.kind for finding in report.damage] == ["digest"]


@pytest.mark.parametrize("depth", [False, Part(1, 28), True])
def test_a_key_record_that_is_gone_is_damage_also_at_a_quick_look(
    site: Site, made: uuid.UUID, depth: Depth
) -> None:
    record = KeyStore(site.settings.keys_folder).path("recording", str(made))
    record.rename(record.with_name("elsewhere"))
    found = look_over(site.settings, depth, None, WORKER).damage
    assert [(each.kind, each.path) for each in found if each.kind == "no_key"] == [("no_key", record)]
    record.with_name("elsewhere").rename(record)
    assert look_over(site.settings, depth, None, WORKER).damage == []


def test_damage_is_an_alarm_once_marks_its_recording_and_is_repaired(site: Site, made: uuid.UUID) -> None:
    whole = site.opened(made, "track", "camera")
    damaged = path_of(site, made, "track", "camera")
    flip_segments(damaged, 2)
    kept = damaged.read_bytes()
    for _ in range(2):
        nights(site)
    assert site.row(recording, made).problem == "damaged"
    [alarm] = site.rows(vault_alarm)
    assert (alarm.kind, alarm.about["count"], alarm.about["places"]) == ("damage", 1, [str(damaged)])
    assert site.waiting_jobs("repair") == [{"recording": str(made)}]

    repair.repair(site.work, str(made))
    details = site.last_details("recording", made)
    assert details["tracks"]["camera"]["file"] == "camera.r1"
    row, [camera] = site.row(recording, made), site.rows(track, recording_id=made)
    assert (row.problem, camera.file) == (None, "camera.r1")
    [[start, end, reason, name]] = row.gaps
    assert (reason, name) == ("damaged", "camera")
    assert 0 <= start < end <= row.duration_ms
    assert damaged.read_bytes() == kept  # the original stays as it is
    view = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, view, "camera") as file:
        assert 0 < len(file.read(0, file.size)) == file.size < len(whole) + 65536
    read = Manifest.parse(site.opened(made, "document", "manifest.v2"))
    assert [entry.row(made) for entry in read.tracks] == [dict(camera._mapping)]
    assert read.gaps == row.gaps
    assert {(each.name, each.version) for each in site.rows(document, recording_id=made)} >= {
        ("camera.r1.head", 1),
        ("timeline", 2),
        ("manifest", 2),
    }
    # what is kept of the damaged one is known, and neither an alarm nor a repair any more
    nights(site)
    assert site.row(recording, made).problem is None
    assert [(f.kind, f.harmless) for f in look_over(site.settings, True, None, WORKER).findings] == [
        ("superseded", True)
    ]
    assert len(site.rows(vault_alarm)) == 1


@pytest.mark.parametrize("what", ["header", "head too", "timeline", "cut"])
def test_what_else_is_damaged_is_repaired_as_far_as_it_goes(site: Site, made: uuid.UUID, what: str) -> None:
    camera = path_of(site, made, "track", "camera")
    match what:
        case "header":
            camera.write_bytes(b"FPX1" + camera.read_bytes()[4:])
        case "head too":
            flip_segments(camera, 3)
            path_of(site, made, "document", "camera.head").unlink()
        case "timeline":
            flip_segments(camera, 3)
            flip_segments(path_of(site, made, "document", "timeline"), 0)
        case "cut":
            os.truncate(camera, camera.stat().st_size // 2)
    report = look_over(site.settings, True, None, WORKER)
    assert damage.mark(site.settings, report.damage, WORKER) == [made]
    assert damage.mark(site.settings, report.damage, WORKER) == []
    repair.repair(site.work, str(made))
    [row] = site.rows(track, recording_id=made)
    assert row.file == "camera.r1"
    # a damaged timeline is nothing that could be made again: the recording needs a person still
    assert site.row(recording, made).problem == ("damaged" if what == "timeline" else None)
    repair.repair(site.work, str(made))
    assert [each.file for each in site.rows(track, recording_id=made)] == ["camera.r1"]


def test_without_its_manifest_nothing_is_repaired_and_the_log_says_why(site: Site, made: uuid.UUID) -> None:
    flip_segments(path_of(site, made, "track", "camera"), 3)
    flip_segments(path_of(site, made, "document", "manifest"), 0)
    damage.mark(site.settings, look_over(site.settings, True, None, WORKER).damage, WORKER)
    repair.repair(site.work, str(made))
    assert site.row(recording, made).problem == "damaged"
    assert site.actions("recording", made)[-2:] == [Action.VAULT_REPAIR] * 2


def test_locked_the_repair_waits(site: Site, made: uuid.UUID) -> None:
    flip_segments(path_of(site, made, "track", "camera"), 3)
    damage.mark(site.settings, look_over(site.settings, True, None, WORKER).damage, WORKER)
    site.keyholder.lock()
    repair.repair(site.work, str(made))
    assert Action.VAULT_REPAIR not in site.actions("recording", made)
    assert len(site.waiting_jobs("repair")) == 2
    unlock(site.settings)
    repair.repair(site.work, str(made))
    assert site.row(recording, made).problem is None


def test_a_replay_that_meets_damage_says_so_once_and_goes_on_with_the_repaired_track(
    site: Site, made: uuid.UUID
) -> None:
    path = path_of(site, made, "track", "camera")
    flip_segments(path, 2)
    view = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, view, "camera") as file:
        assert len(file.read(0, 65536)) == 65536
        for _ in range(2):
            with pytest.raises(DamagedError):
                file.read(0, file.size)
    assert site.actions("recording", made).count(Action.VAULT_DAMAGE) == 1
    assert len(site.waiting_jobs("repair")) == 1
    with pytest.raises(BeingRepairedError):
        replay.open_track(site.settings, view, "camera")
    site.run_jobs()
    assert site.row(recording, made).problem is None
    [alarm] = site.rows(vault_alarm)
    assert (alarm.kind, alarm.about) == ("damage", {"count": 1, "places": [f"{made} track/camera"]})
    with replay.open_track(site.settings, view, "camera") as file:
        assert len(file.read(0, file.size)) == file.size


def test_what_no_repair_gives_back_is_not_waited_for(site: Site, made: uuid.UUID) -> None:
    path = path_of(site, made, "track", "camera")
    path_of(site, made, "document", "camera.head").unlink()
    path.write_bytes(path.read_bytes()[:97] + bytes(path.stat().st_size - 97))
    view = replay.open_view(site.settings, site.recruiter, made)
    with pytest.raises(BeingRepairedError):
        replay.open_track(site.settings, view, "camera")
    site.run_jobs()
    for _ in range(2):
        with pytest.raises(DamagedError):
            replay.open_track(site.settings, view, "camera")
    assert site.row(recording, made).problem == "damaged"
    assert site.actions("recording", made).count(Action.VAULT_DAMAGE) == 1


def test_a_suspicion_that_proves_wrong_changes_nothing(site: Site, made: uuid.UUID) -> None:
    repair.repair(site.work, str(made), suspected=True)
    assert site.row(recording, made).problem is None
    assert site.rows(vault_alarm) == []
    assert [each.file for each in site.rows(track, recording_id=made)] == ["camera"]


def test_a_file_that_is_gone_or_was_cut_is_known_by_its_row(site: Site, made: uuid.UUID) -> None:
    timeline, head = (path_of(site, made, "document", name) for name in ("timeline", "camera.head"))
    timeline.unlink()
    os.truncate(head, head.stat().st_size - 100)
    site.keyholder.lock()  # without keys nothing else tells of a document
    for depth in (True, Part(part_of(made), 28)):
        found = look_over(site.settings, depth, None, WORKER).damage
        assert [(each.kind, str(each.path)) for each in found] == [
            ("length", str(head)),
            ("lost", str(timeline)),
        ]
    other = part_of(made) % 28 + 1
    assert look_over(site.settings, Part(other, 28), None, WORKER).damage == []


@pytest.mark.parametrize("also", ["nothing", "manifest"])
def test_while_the_uploads_are_there_it_is_sealed_once_more_and_loses_nothing(
    site: Site, fresh: uuid.UUID, also: str
) -> None:
    whole = site.opened(fresh, "track", "camera")
    notes.write(site.settings, site.recruiter, fresh, "thoughtful")
    view = replay.open_view(site.settings, site.recruiter, fresh)
    with replay.open_track(site.settings, view, "camera") as file:
        assert file.read(0, file.size) == whole
    flip_segments(path_of(site, fresh, "track", "camera"), 2)
    if also == "manifest":
        flip_segments(path_of(site, fresh, "document", "manifest"), 0)
    with replay.open_track(site.settings, view, "camera") as file, pytest.raises(DamagedError):
        file.read(0, file.size)
    site.run_jobs()
    row = site.row(recording, fresh)
    assert (row.state, row.problem, row.gaps) == ("sealed", None, [])
    assert [each.file for each in site.rows(track, recording_id=fresh)] == ["camera"]
    with replay.open_track(site.settings, view, "camera") as file:  # by the same view
        assert samples(file.read(0, file.size)) == samples(whole)
    assert [each.text for each in notes.opened(site.settings, site.recruiter, fresh)] == ["thoughtful"]
    assert look_over(site.settings, True, None, WORKER).findings == []
