"""Where sealed files lie below the vault's root."""

from __future__ import annotations

import uuid
from pathlib import Path

from storage.errors import IntegrityError
from storage.segment_format import KINDS, is_name

SUFFIX = ".fps"


def recording_folder(root: Path, recording_id: uuid.UUID) -> Path:
    """The folder of one recording."""
    return root / recording_id.hex[:2] / str(recording_id)


def file_path(root: Path, recording_id: uuid.UUID, kind: str, name: str) -> Path:
    """The path of one sealed file. Raises IntegrityError("header") for a kind or name that is not allowed."""
    if kind not in KINDS or not is_name(name):
        raise IntegrityError("header", "kind or name is not allowed")
    return recording_folder(root, recording_id) / kind / f"{name}{SUFFIX}"
