"""The folder between intake and the inside: what is durable, what is refused, what a crash leaves."""

from __future__ import annotations

import multiprocessing
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import intake_folder
from appliance.intake_errors import LinkUnknownError, RecordsTooLargeError, TooManyRecordsError
from appliance.intake_folder import IntakeFolder
from appliance.intake_state import AttemptState, RecordKind
from appliance.packet import PacketError
from appliance.transport import FolderTransport
from tests.support.intake_site import IntakeSite


@pytest.fixture
def site(tmp_path: Path) -> IntakeSite:
    return IntakeSite(tmp_path)


def opened(ordinal: int) -> dict[str, object]:
    return {"event": "question_opened", "question": ordinal}


def test_records_are_numbered_and_read_back_by_another_process(site: IntakeSite) -> None:
    recording = uuid.uuid4()
    for ordinal in (1, 2, 3):
        site.folder.append(recording, RecordKind.STATE, lambda _, n=ordinal: opened(n))
    other = FolderTransport(IntakeFolder(site.folder.root))
    assert other.list_recordings() == [recording]
    assert [record.seq for record in other.read_records(recording, after=1)] == [2, 3]
    assert other.read_records(recording)[0].body == opened(1)


def test_a_torn_last_line_is_no_record_and_is_written_over(site: IntakeSite) -> None:
    recording = uuid.uuid4()
    site.folder.append(recording, RecordKind.STATE, lambda _: opened(1))
    log = site.folder.root / "recordings" / str(recording) / "records.log"
    with log.open("ab") as file:
        file.write(b'{"seq":2,"at":"2026-11-21T06:02')
    assert len(site.folder.records(recording)) == 1
    site.folder.append(recording, RecordKind.STATE, lambda _: opened(2))
    fresh = IntakeFolder(site.folder.root)
    assert [record.seq for record in fresh.records(recording)] == [1, 2]
    assert fresh.state(recording).opened == 2


def test_the_decision_is_made_on_the_newest_state(site: IntakeSite) -> None:
    recording = uuid.uuid4()
    other = IntakeFolder(site.folder.root)
    site.folder.state(recording)
    other.append(recording, RecordKind.STATE, lambda _: opened(1))
    seen: list[int] = []

    def decide(state: AttemptState) -> None:
        seen.append(state.opened)

    site.folder.append(recording, RecordKind.STATE, decide)
    assert seen == [1]
    assert site.folder.state(recording).last_seq == 1


def _append_many(root: Path, recording: uuid.UUID, count: int) -> None:
    folder = IntakeFolder(root)
    for _ in range(count):
        folder.append(recording, RecordKind.STATE, lambda state: opened(state.opened + 1))


def test_processes_appending_at_once_lose_and_repeat_nothing(site: IntakeSite) -> None:
    recording = uuid.uuid4()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(site.folder.root, recording, 20)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    records = site.folder.records(recording)
    assert [record.seq for record in records] == list(range(1, 61))
    assert sorted(record.body["question"] for record in records) == list(range(1, 61))


def test_records_stop_at_their_limit_but_withdrawing_never_does(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_folder, "MAX_RECORDS", 2)
    recording = uuid.uuid4()
    for ordinal in (1, 2):
        site.folder.append(recording, RecordKind.STATE, lambda _, n=ordinal: opened(n))
    with pytest.raises(TooManyRecordsError):
        site.folder.append(recording, RecordKind.STATE, lambda _: opened(3))
    withdrawal = {"statement": '{"purpose":"analysis"}', "signature": ""}
    assert site.folder.append(recording, RecordKind.CONSENT_WITHDRAWN, lambda _: withdrawal).last_seq == 3


def test_a_packet_comes_back_and_a_newer_generation_replaces_it(site: IntakeSite) -> None:
    packet, _ = site.invite()
    assert site.folder.packet(packet.recording) == packet
    newer, _ = site.reinvite(packet)
    assert site.folder.packet(packet.recording) == newer
    assert set(site.folder.packets(packet.recording)) == {1, 2}


def test_asking_for_what_does_not_exist_keeps_nothing_in_memory(site: IntakeSite) -> None:
    packet, _ = site.invite()
    site.folder.state(packet.recording)
    known = list(site.folder._cache)
    for recording in (uuid.uuid4() for _ in range(3)):
        assert site.folder.packets(recording) == {}
        assert site.folder.tombstone(recording) is None
        assert site.folder.recorded_bytes(recording) == 0
    assert list(site.folder._cache) == known


def test_an_older_or_differing_generation_is_refused(site: IntakeSite) -> None:
    packet, _ = site.invite()
    site.reinvite(packet)
    with pytest.raises(PacketError, match="generation"):
        site.folder.put_packet(site.sign(packet))
    twice = replace(packet, generation=2, title="Another position")
    with pytest.raises(PacketError, match="generation"):
        site.folder.put_packet(site.sign(twice))


def test_a_packet_by_a_stranger_is_refused_and_one_on_disk_is_passed_over(
    site: IntakeSite, tmp_path: Path
) -> None:
    stranger = IntakeSite(tmp_path / "stranger")
    packet, _ = stranger.packet()
    raw = stranger.sign(packet)
    with pytest.raises(PacketError, match="signature"):
        site.folder.put_packet(raw)
    smuggled = site.folder.root / "packets" / str(packet.recording) / "1.packet"
    smuggled.parent.mkdir(parents=True)
    smuggled.write_bytes(raw)
    with pytest.raises(LinkUnknownError):
        site.folder.packet(packet.recording)


def test_nothing_is_trusted_before_set_up(tmp_path: Path) -> None:
    folder = IntakeFolder(tmp_path / "empty")
    assert folder.service_keys() == {}
    with pytest.raises(LinkUnknownError):
        folder.packet(uuid.uuid4())


def test_a_tombstone_must_be_signed_and_name_its_recording(site: IntakeSite) -> None:
    recording, other = uuid.uuid4(), uuid.uuid4()
    site.seal(recording)
    statement = site.folder.tombstone(recording)
    assert statement is not None
    assert statement["reason"] == "sealed"
    folder = site.folder.root / "tombstones"
    (folder / f"{other}.tombstone").write_bytes((folder / f"{recording}.tombstone").read_bytes())
    assert site.folder.tombstone(other) is None
    with pytest.raises(PacketError):
        site.folder.put_tombstone(b"{}")


def test_records_stop_at_their_bytes_but_withdrawing_never_does(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_folder, "MAX_RECORD_BYTES", 2000)
    recording = uuid.uuid4()
    long = {"event": "question_opened", "question": 1, "statement": "x" * 900}
    site.folder.append(recording, RecordKind.STATE, lambda _: long)
    with pytest.raises(RecordsTooLargeError):
        site.folder.append(recording, RecordKind.STATE, lambda _: {**long, "more": "x" * 900})
    withdrawal = {"statement": '{"purpose":"analysis"}', "signature": "s" * 2000}
    assert site.folder.append(recording, RecordKind.CONSENT_WITHDRAWN, lambda _: withdrawal).last_seq == 2


def test_what_is_kept_beside_a_journal_counts(site: IntakeSite) -> None:
    recording = uuid.uuid4()
    site.folder.journal(recording, "camera", 1 << 20)
    assert site.folder.keep_conflict(recording, "camera.00.0.0", bytes(1000))
    assert site.folder.recorded_bytes(recording) == 1000
