"""What goes from the intake folder once a recording takes nothing more, and what is left of one that went.

Whoever asks has seen the tombstone. No link on the way is followed, and removing again is harmless.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from appliance.durable import empty_folder, open_folder

KEPT = (".journal", ".conflict")
_OWN_FOLDERS = ("recordings", "packets")


def remove_tracks(root: Path, recording: uuid.UUID) -> None:
    """Remove the journals, and what was kept beside them. Raises StrangeFileError for a link on the way."""
    with (
        contextlib.suppress(FileNotFoundError),
        open_folder(root, "recordings", str(recording), "tracks") as folder,
    ):
        with os.scandir(folder) as found:
            kept = [each.name for each in found if each.name.endswith(KEPT)]
        for name in kept:
            os.unlink(name, dir_fd=folder)
        os.fsync(folder)


def remove_recording(root: Path, recording: uuid.UUID) -> None:
    """Remove all but the tombstone. Raises StrangeFileError."""
    own = str(recording)
    for names in (("recordings", own, "tracks"), *((kind, own) for kind in _OWN_FOLDERS)):
        with contextlib.suppress(FileNotFoundError):
            empty_folder(root, *names)


def left_of(root: Path, recordings: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """The recordings that have a folder of their own, or whatever lies in its place."""
    return {
        each for each in recordings if any(os.path.lexists(root / kind / str(each)) for kind in _OWN_FOLDERS)
    }
