"""Small files that must last: the vault's description, secrets, published day keys."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def write_once(path: Path, data: bytes) -> None:
    """Create a file (0600) with this content so that it lasts, or raise FileExistsError."""
    with _unfinished(path, data) as unfinished:
        # link, not rename: it never replaces a file that is already there
        os.link(unfinished, path)
    sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Put a file (0600) with this content in the place of another; a crash leaves the old or the new."""
    with _unfinished(path, data) as unfinished:
        unfinished.rename(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Take a file away for good. One that is not there is fine."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def _unfinished(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary file beside `path` with this content, on disk; gone at the end of the block."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in path.parent.glob(f".{path.name}.*"):
        leftover.unlink()  # of a writer that was killed: only the one keyholder writes here
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
