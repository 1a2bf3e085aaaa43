"""Files of the intake folder that last: an acknowledgement survives a power cut, with every folder above it.

Nothing here knows what it writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from appliance.intake_errors import IntakeFullError


def ensure_folder(path: Path) -> None:
    """Make a folder and its missing parents, each name lasting."""
    if path.is_dir():
        return
    ensure_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    # Also when another process was first: its fsync may still be on the way.
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_line(path: Path, end: int, line: bytes) -> None:
    """Write a line at the end of the whole lines, over a tail that a crash tore, and fsync it."""
    fresh = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        os.ftruncate(descriptor, end)
        if os.pwrite(descriptor, line, end) != len(line):
            os.ftruncate(descriptor, end)
            raise IntakeFullError
        os.fsync(descriptor)
    except OSError as error:
        raise IntakeFullError from error
    finally:
        os.close(descriptor)
    if fresh:
        sync_folder(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a whole file so that a reader or a crash sees the old or the new one, never a part."""
    ensure_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes and threads."""
    ensure_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
