"""What an acknowledgement rests on: every name on the way to the file has been made to last."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from appliance.intake_folder import IntakeFolder
from appliance.intake_state import RecordKind


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file and folder given to fsync, in order."""
    seen: list[Path] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    return seen


def test_the_folders_above_a_first_record_last(tmp_path: Path, synced: list[Path]) -> None:
    root, recording = tmp_path / "new" / "intake", uuid.uuid4()
    IntakeFolder(root).append(
        recording, RecordKind.STATE, lambda _: {"event": "question_opened", "question": 1}
    )
    log = root / "recordings" / str(recording) / "records.log"
    assert set(synced) == {log, log.parent, root / "recordings", root, root.parent, tmp_path}


def test_the_folders_above_a_first_chunk_last(tmp_path: Path, synced: list[Path]) -> None:
    recording = uuid.uuid4()
    IntakeFolder(tmp_path).journal(recording, "camera", 1 << 20)
    folder = tmp_path / "recordings" / str(recording)
    assert synced == [tmp_path, tmp_path / "recordings", folder]


def test_the_folders_above_a_whole_file_last(tmp_path: Path, synced: list[Path]) -> None:
    folder = IntakeFolder(tmp_path / "intake")
    folder.install_service_keys({})
    assert tmp_path in synced
    assert synced[-1] == folder.root
