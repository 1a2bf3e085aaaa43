"""Files of the intake folder that last: an acknowledgement survives a power cut, with every folder above it.

Nothing here knows what it writes. A full disk raises IntakeFullError and leaves nothing half-written.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from appliance.errors import FupanError
from appliance.intake_errors import IntakeFullError
from storage.vault import StoreDown, VaultFull

# No space, no quota, a file size that is not allowed, or a disk that a fault made read-only: the browser
# keeps what it has and comes back.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
# Neither follow a link nor wait for the other end of a pipe.
_AS_IT_IS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StrangeFileError(FupanError):
    """Something that is no plain file, or one longer than it may be, in place of a file of the folder."""

    code = "strange_file"
    message = (
        "What lies in intake’s folder was not put there by intake: %(what)s. Ask who did, and remove it."
    )

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


@contextlib.contextmanager
def full_is_told() -> Iterator[None]:
    """Turn "no room" and "read-only", the kernel's and storage's, into IntakeFullError; others pass."""
    try:
        yield
    except (VaultFull, StoreDown) as error:
        raise IntakeFullError from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise IntakeFullError from error
        raise


def ensure_folder(path: Path) -> None:
    """Make a folder and its missing parents, each name lasting."""
    if path.is_dir():
        return
    ensure_folder(path.parent)
    with contextlib.suppress(FileExistsError), full_is_told():
        path.mkdir()
    # Also when another process was first: its fsync may still be on the way.
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with full_is_told():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_plain(path: Path, limit: int) -> int:
    """The bytes of a plain file, 0 of a missing one. Raises StrangeFileError for what is no plain file of at
    most `limit` bytes."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    _require_plain(path, status, limit)
    return status.st_size


def open_plain(path: Path, limit: int) -> BinaryIO:
    """Open a plain file of at most `limit` bytes for reading, whoever may have put something else there.

    Raises FileNotFoundError, StrangeFileError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _AS_IT_IS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise StrangeFileError(f"{path.name} is no plain file") from error
        raise
    try:
        _require_plain(path, os.fstat(descriptor), limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, limit: int) -> bytes:
    """The bytes of such a file. Raises FileNotFoundError, StrangeFileError."""
    with open_plain(path, limit) as file:
        return file.read(limit)


def _require_plain(path: Path, status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        raise StrangeFileError(f"{path.name} is no plain file of at most {limit} bytes")


@contextlib.contextmanager
def open_folder(root: Path, *names: str) -> Iterator[int]:
    """A descriptor of a folder below `root`, none of the names on the way there being a link.

    Raises FileNotFoundError, StrangeFileError.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _AS_IT_IS, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise StrangeFileError(f"{name} is no folder") from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def empty_folder(root: Path, *names: str) -> None:
    """Remove a folder below `root` with the files in it, and wait until that lasts.

    Raises FileNotFoundError, StrangeFileError when a folder is in it.
    """
    with open_folder(root, *names) as folder:
        with os.scandir(folder) as found:
            inside = list(found)
        for each in inside:
            if each.is_dir(follow_symlinks=False):
                raise StrangeFileError(f"{'/'.join(names)}/{each.name} is a folder")
            with contextlib.suppress(FileNotFoundError):  # another process removes the same
                os.unlink(each.name, dir_fd=folder)
        os.fsync(folder)
    with open_folder(root, *names[:-1]) as parent:
        os.rmdir(names[-1], dir_fd=parent)
        os.fsync(parent)


def append_line(path: Path, end: int, line: bytes) -> None:
    """Write a line at the end of the whole lines, over a tail that a crash tore, and fsync it."""
    fresh = not path.exists()
    with full_is_told():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            _write_at(descriptor, end, line)
        finally:
            os.close(descriptor)
    if fresh:
        sync_folder(path.parent)


def _write_at(descriptor: int, end: int, line: bytes) -> None:
    try:
        os.ftruncate(descriptor, end)
        if os.pwrite(descriptor, line, end) != len(line):  # the disk took a part
            raise IntakeFullError
        os.fsync(descriptor)
    except BaseException:
        # A line that was not acknowledged must not be read as a record.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Replace a whole file so that a reader or a crash sees the old or the new one, never a part."""
    ensure_folder(path.parent)
    replace_file(path, data, lasting=True)
    sync_folder(path.parent)


def replace_file(path: Path, data: bytes, *, lasting: bool = False) -> None:
    """Replace a whole file at once for every reader; unless `lasting`, a power cut may lose it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with full_is_told():
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                if os.pwrite(descriptor, data, 0) != len(data):  # the disk took a part
                    raise IntakeFullError
                if lasting:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes and threads."""
    ensure_folder(path.parent)
    with full_is_told():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _AS_IT_IS, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
