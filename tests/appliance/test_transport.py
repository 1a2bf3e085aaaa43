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
from appliance.domain import AttemptState
from appliance.durable import StrangeFileError
from appliance.intake_folder import IntakeFolder
from appliance.intake_log import MAX_LOG_LINES
from appliance.intake_state import IntakeRecord, RecordKind, parse_record
from appliance.keyholder.client import Keyholder
from appliance.tables import attempt
from appliance.transport import FolderTransport
from storage.vault import IntegrityError, Journal
from tests.support.intake_site import IntakeSite
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
    assert inside(site).tracks(recording) == ["camera"]
    with pytest.raises(StrangeFileError, match=r"camera\.journal"):
        inside(site).journal(recording, "camera")


@pytest.mark.parametrize("put", [fifo, link])
def test_a_journal_that_is_exchanged_after_it_was_looked_at_is_not_opened(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "camera.journal")
    with pytest.raises(IntegrityError, match="no plain file"):
        Journal(tmp_path / "camera.journal").state()


@pytest.mark.parametrize("put", STRANGE)
def test_strange_packets_heartbeats_and_keys_are_passed_over(
    site: IntakeSite, put: Callable[[Path], None]
) -> None:
    recording = site.invite()[0].recording
    put(place(site, recording, "heartbeat.json"))
    put(site.folder.root / "packets" / str(recording) / "2.packet")
    assert list(inside(site).packets(recording)) == [1]
    assert inside(site).heartbeat(recording) is None
    keys = site.folder.root / "service_keys.json"
    keys.unlink()
    put(keys)
    assert inside(site).packets(recording) == {}


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
    site_inside.begun(made)
    read: list[str] = []

    def spy(name: str) -> None:
        original = getattr(FolderTransport, name)

        def outside(*arguments: Any, **more: Any) -> Any:
            assert engine("worker", site_inside.settings).pool.checkedout() == 0, name
            read.append(name)
            return original(*arguments, **more)

        monkeypatch.setattr(FolderTransport, name, outside)

    spy("read_records")
    site_inside.pull()
    assert site_inside.row(attempt, made).state == AttemptState.CHECKED_IN
    assert set(read) == {"read_records"}
