"""What a seized intake leaves in place of its files: reading follows nothing, waits for nothing and ends."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance import intake_log
from appliance.config import Settings
from appliance.database import engine
from appliance.domain import AttemptState, Limits, RecordingState, TrackKind
from appliance.durable import StrangeFileError
from appliance.intake_folder import IntakeFolder
from appliance.intake_log import MAX_LOG_LINES
from appliance.intake_state import IntakeRecord, RecordKind, parse_record
from appliance.keyholder.client import Keyholder
from appliance.tables import attempt, recording
from appliance.transport import FolderTransport
from storage.vault import IntegrityError, Journal
from tests.support.intake_site import IntakeSite
from tests.support.media import recorded
from tests.support.site import Site


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def folder(path: Path) -> None:
    path.mkdir()


def endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)


def listener(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


STRANGE = [fifo, link, folder, endless, listener]


@pytest.fixture
def site(tmp_path: Path) -> IntakeSite:
    return IntakeSite(tmp_path / "data")


@pytest.fixture
def site_inside(settings: Settings, keyholder: Keyholder) -> Site:
    return Site(settings, keyholder)


def place(site: IntakeSite, recording: uuid.UUID, name: str) -> Path:
    path = site.folder.root / "recordings" / str(recording) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def inside(site: IntakeSite) -> FolderTransport:
    return FolderTransport(IntakeFolder(site.folder.root))


@pytest.mark.parametrize("put", STRANGE)
def test_a_log_that_is_no_file_of_records_is_refused(site: IntakeSite, put: Callable[[Path], None]) -> None:
    recording = site.invite()[0].recording
    put(place(site, recording, "records.log"))
    with pytest.raises(StrangeFileError, match=r"records\.log"):
        inside(site).read_records(recording)


@pytest.mark.parametrize("line", [b"\n", b"{}\n"])
def test_a_log_of_more_lines_than_there_may_be_records_is_refused(site: IntakeSite, line: bytes) -> None:
    recording = site.invite()[0].recording
    path = place(site, recording, "records.log")
    path.write_bytes(line * (MAX_LOG_LINES + 1))
    with pytest.raises(StrangeFileError, match="lines"):
        inside(site).read_records(recording)
    path.write_bytes(line * MAX_LOG_LINES)
    assert inside(site).read_records(recording) == []


def test_what_a_log_is_not_divided_by_makes_no_lines(site: IntakeSite) -> None:
    recording = site.invite()[0].recording
    site.folder.append(recording, RecordKind.STATE, lambda _: {"event": "question_opened", "question": 1})
    path = place(site, recording, "records.log")
    whole = path.read_bytes()
    path.write_bytes(b"\r" * 100_000 + b"\n" + whole)
    parsed: list[bytes] = []

    def counting(line: bytes) -> IntakeRecord:
        parsed.append(line)
        return parse_record(line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake_log, "parse_record", counting)
        assert [record.seq for record in inside(site).read_records(recording)] == [1]
    assert len(parsed) == 2


@pytest.mark.parametrize("put", STRANGE)
def test_a_journal_that_is_none_is_refused(site: IntakeSite, put: Callable[[Path], None]) -> None:
    recording = site.invite()[0].recording
    put(place(site, recording, "tracks/camera.journal"))
    with pytest.raises(StrangeFileError, match=r"camera\.journal"):
        inside(site).journals(recording, Limits.bytes)


def sparse(path: Path, length: int) -> None:
    with path.open("wb") as file:
        file.truncate(length)


def test_a_journal_that_is_named_like_no_track_is_none(site: IntakeSite) -> None:
    recording = site.invite()[0].recording
    for name in ("x0", "camera.x", "CAMERA", ""):
        sparse(place(site, recording, f"tracks/{name}.journal"), Limits.bytes)
    assert inside(site).journals(recording, Limits.bytes) == {}


def test_journals_share_the_limit_of_their_recording(site: IntakeSite) -> None:
    recording = site.invite()[0].recording
    for name in TrackKind:
        sparse(place(site, recording, f"tracks/{name}.journal"), Limits.bytes)
    with pytest.raises(StrangeFileError, match="bytes of journals"):
        inside(site).journals(recording, Limits.bytes)
    for name in TrackKind:
        sparse(place(site, recording, f"tracks/{name}.journal"), Limits.bytes // 3)
    assert set(inside(site).journals(recording, Limits.bytes)) == set(TrackKind)


def test_a_journal_that_grows_after_it_was_looked_at_is_not_read(site: IntakeSite) -> None:
    recording = site.invite()[0].recording
    path = place(site, recording, "tracks/camera.journal")
    sparse(path, 1000)
    journal = inside(site).journals(recording, 1000)["camera"]
    assert journal.state() == {}
    sparse(path, 1001)
    with pytest.raises(IntegrityError, match="longer"):
        journal.state()


def test_intake_does_not_say_how_much_the_inside_reads(site: IntakeSite) -> None:
    """Neither a packet by a key that intake made itself trust, nor one that the inside signed."""
    packet, _ = site.invite(limits=Limits(bytes=2**52))
    sparse(place(site, packet.recording, "tracks/camera.journal"), Limits.bytes + 1)
    with pytest.raises(StrangeFileError, match=r"camera\.journal"):
        inside(site).journals(packet.recording, Limits.bytes)


@pytest.mark.parametrize("put", [fifo, link])
def test_a_journal_that_is_exchanged_after_it_was_looked_at_is_not_opened(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "camera.journal")
    with pytest.raises(IntegrityError, match="no plain file"):
        Journal(tmp_path / "camera.journal").state()


@pytest.mark.parametrize("put", STRANGE)
def test_a_tombstone_that_is_no_file_closes_nothing(site: IntakeSite, put: Callable[[Path], None]) -> None:
    recording = site.invite()[0].recording
    site.seal(recording)
    assert inside(site).remove_journals(recording)
    tombstone = site.folder.root / "tombstones" / f"{recording}.tombstone"
    tombstone.unlink()
    put(tombstone)
    assert not inside(site).remove_journals(recording)
    assert not inside(site).remove_recording(recording)


@pytest.mark.parametrize("put", STRANGE)
def test_strange_packets_heartbeats_and_keys_are_passed_over(
    site: IntakeSite, put: Callable[[Path], None]
) -> None:
    recording = site.invite()[0].recording
    put(place(site, recording, "heartbeat.json"))
    put(site.folder.root / "packets" / str(recording) / "2.packet")
    assert list(IntakeFolder(site.folder.root).packets(recording)) == [1]
    assert inside(site).heartbeat(recording) is None
    keys = site.folder.root / "service_keys.json"
    keys.unlink()
    put(keys)
    assert IntakeFolder(site.folder.root).packets(recording) == {}


def test_a_lock_is_not_followed_out_of_the_folder(site: IntakeSite, tmp_path: Path) -> None:
    packet, _ = site.invite()
    lock = site.folder.root / "packets" / str(packet.recording) / ".lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="symbolic links"):
        inside(site).put_packet(site.sign(packet))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("put", STRANGE)
def test_one_recordings_strange_files_hold_up_no_other(
    site_inside: Site, caplog: pytest.LogCaptureFixture, put: Callable[[Path], Any]
) -> None:
    seized, other = site_inside.invite("ming", "hong")
    site_inside.run_jobs()
    path = site_inside.settings.intake_folder / "recordings" / str(seized) / "records.log"
    path.parent.mkdir(parents=True)
    put(path)
    site_inside.begun(other)
    site_inside.pull()
    assert site_inside.row(attempt, seized).state == AttemptState.INVITED
    assert site_inside.row(attempt, other).state == AttemptState.CHECKED_IN
    assert f"recording {seized} could not be pulled: StrangeFileError" in caplog.text


def test_nothing_of_intake_is_read_while_a_transaction_is_open(
    site_inside: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What intake holds may be slow to read, and the database ends a session that waits in a transaction."""
    [made] = site_inside.invite("ming")
    site_inside.run_jobs()
    browser = site_inside.begun(made)
    read: list[str] = []

    def spy(name: str) -> None:
        original = getattr(FolderTransport, name)

        def outside(*arguments: Any, **more: Any) -> Any:
            assert engine("worker", site_inside.settings).pool.checkedout() == 0, name
            read.append(name)
            return original(*arguments, **more)

        monkeypatch.setattr(FolderTransport, name, outside)

    for name in ("read_records", "journals", "put_tombstone"):
        spy(name)
    site_inside.pull()
    assert site_inside.row(attempt, made).state == AttemptState.CHECKED_IN
    assert browser.finish(site_inside.record(browser, list(recorded(2.0))))[0] == 200
    site_inside.pull()
    assert site_inside.row(attempt, made).end_proven
    site_inside.run_jobs()
    assert site_inside.row(recording, made).state == RecordingState.SEALED
    assert set(read) == {"read_records", "journals", "put_tombstone"}
