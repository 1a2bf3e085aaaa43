"""The one module that writes to disk so that it lasts: temporary name, fsync, rename, fsync of the folder.

Everything else in storage writes through these functions, so there is one place to read, and one to test by
failing each system call in turn.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from storage.errors import IntegrityError, NotFound, StoreDown, VaultFull

TEMPORARY_SUFFIX = ".tmp"
# Linux takes at most 1024 pieces in one call.
_PIECES_AT_ONCE = 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def room_errors() -> Iterator[None]:
    """Turn "no room" into VaultFull("disk") and a read-only disk into StoreDown; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise VaultFull("disk", str(error)) from error
        if error.errno == errno.EROFS:
            raise StoreDown("read_only", f"{error.filename or 'the disk'} is on a read-only disk") from error
        raise


def ensure_folder(path: Path) -> None:
    """Make a folder and its missing parents, each of them lasting."""
    if path.is_dir():
        return
    ensure_folder(path.parent)
    with contextlib.suppress(FileExistsError), room_errors():
        path.mkdir(mode=0o700)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make names in this folder last."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_data(fd: int) -> None:
    """Make the bytes and the length of an open file last."""
    with room_errors():
        os.fdatasync(fd)


def write_at(fd: int, pieces: Sequence[bytes | bytearray | memoryview], offset: int) -> int:
    """Write the pieces one after another from `offset`, also when the kernel takes less; return the end."""
    waiting = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    with room_errors():
        while waiting:
            written = os.pwritev(fd, waiting[:_PIECES_AT_ONCE], offset)
            offset += written
            while waiting and written >= len(waiting[0]):
                written -= len(waiting.pop(0))
            if written:
                waiting[0] = waiting[0][written:]
    return offset


def forget_cached(fd: int, offset: int, length: int) -> None:
    """Have the next read of these bytes come from the disk itself, where the system can do that."""
    page = os.sysconf("SC_PAGE_SIZE")
    start = offset // page * page
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, start, -(-(offset + length) // page) * page - start, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def locked_file(path: Path, *, create: bool, exclusive: bool) -> Iterator[int]:
    """A descriptor that holds the file's lock until the end of the block, across threads and processes.

    Raises IntegrityError("record") for what is no plain file: it is neither followed nor waited for.
    """
    flags = (os.O_RDWR if exclusive else os.O_RDONLY) | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = _open_or_create(path, flags) if create else os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise IntegrityError("record", f"{path.name} is no plain file") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise IntegrityError("record", f"{path.name} is no plain file")
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield fd
    finally:
        os.close(fd)


def _open_or_create(path: Path, flags: int) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, flags | os.O_CLOEXEC)
    ensure_folder(path.parent)
    with room_errors():
        return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Temporary:
    """A file under a temporary name that `commit` gives its own name to, or `discard` removes.

    It holds the file's lock, which tells a live writer's file from a crashed one's; making a new one removes
    what crashed writers left in the same folder.
    """

    def __init__(self, path: Path) -> None:
        ensure_folder(path.parent)
        leftovers(path.parent, remove=True)
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
        self.fd = self._create()
        while os.fstat(self.fd).st_nlink == 0:  # another writer tidied it before this one had its lock
            os.close(self.fd)
            self.fd = self._create()
        self._open = True

    def _create(self) -> int:
        with room_errors():
            fd = os.open(self.temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def commit(self) -> None:
        """fsync, rename over the final name, fsync the folder. The rename is the commit."""
        try:
            with room_errors():
                os.fsync(self.fd)
                self.temporary.replace(self.path)
            sync_folder(self.path.parent)
        except BaseException:
            self.discard()
            raise
        self._close()

    def commit_new(self) -> bool:
        """As `commit`, but never over an existing file: False, and nothing changed, when there is one."""
        try:
            with room_errors():
                os.fsync(self.fd)
                try:
                    os.link(self.temporary, self.path)
                except FileExistsError:
                    return False
            sync_folder(self.path.parent)
        finally:
            self.discard()
        return True

    def discard(self) -> None:
        """Forget what was written. Safe to call again, and after `commit`."""
        if self._open:
            try:
                with contextlib.suppress(FileNotFoundError), room_errors():
                    self.temporary.unlink()
            finally:
                self._close()

    def _close(self) -> None:
        self._open = False
        os.close(self.fd)

    def __enter__(self) -> Temporary:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def open_plain(path: Path, access: int = os.O_RDONLY) -> int:
    """A descriptor of a plain file, whoever may have put something else there.

    Raises FileNotFoundError, and IntegrityError("stranger") for what is no plain file: it is neither followed
    nor waited for.
    """
    try:
        fd = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket; to be written, a pipe as well
            raise IntegrityError("stranger", f"{path} is no plain file") from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IntegrityError("stranger", f"{path} is no plain file")
    return fd


def read_plain(path: Path, limit: int) -> bytes:
    """The bytes of a plain file of at most `limit`. Raises as `open_plain` does; for a longer one too."""
    with os.fdopen(open_plain(path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError("stranger", f"{path} is longer than {limit} bytes")
    return data


def create_or_prove_equal(path: Path, data: bytes) -> None:
    """Make the file with these bytes; one that is there must hold them too, or IntegrityError("replaced")."""
    with Temporary(path) as temporary:
        write_at(temporary.fd, [data], 0)
        created = temporary.commit_new()
    if not created:
        same = False
        with contextlib.suppress(IntegrityError):  # a link, a pipe, a longer file: none of them is this one
            same = read_plain(path, len(data)) == data
        if not same:
            raise IntegrityError("replaced", f"{path.name} is there with other bytes")
        # Another process may have been killed between its link and its fsync of the folder.
        sync_folder(path.parent)


def write_once(path: Path, data: bytes) -> None:
    """Make a file with these bytes so that it lasts. Raises FileExistsError, having changed nothing."""
    with Temporary(path) as temporary:
        write_at(temporary.fd, [data], 0)
        if not temporary.commit_new():
            raise FileExistsError(path)


def remove(path: Path) -> None:
    """Take a file away for good. One that is not there is fine."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def destroy(path: Path) -> bool:
    """Overwrite a file with random bytes, fsync, remove its name, fsync the folder. False when there is none.

    A link, a pipe or a socket holds no bytes of ours: only its name goes, and what a link points to stays.
    What it is worth: a file system that copies on write, a flash disk or a snapshot may keep the old bytes.
    """
    try:
        _overwrite_plain(path)
    except FileNotFoundError:
        if path.parent.is_dir():  # another run may have been killed between the removal and its fsync
            sync_folder(path.parent)
        return False
    path.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _overwrite_plain(path: Path) -> None:
    with contextlib.suppress(IntegrityError):
        fd = open_plain(path, os.O_WRONLY)
        try:
            _overwrite(fd)
        finally:
            os.close(fd)


def _overwrite(fd: int) -> None:
    size, offset = os.fstat(fd).st_size, 0
    while offset < size:
        offset = write_at(fd, [secrets.token_bytes(min(size - offset, 1 << 20))], offset)
    os.fsync(fd)


def replace(path: Path, data: bytes) -> None:
    """Put these bytes in the place of the file that is there; a crash leaves the old or the new.

    The old bytes are overwritten afterwards, which is worth what it is worth in `destroy`.
    """
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with Temporary(path) as temporary:
            write_at(temporary.fd, [data], 0)
            temporary.commit()
        _overwrite(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold a folder's lock until the end of the block, across threads and processes. Raises NotFound."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("key", path.name) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_temporary(path: Path) -> bool:
    """Whether this is the temporary name of a file being written."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY_SUFFIX)


def leftovers(folder: Path, *, remove: bool = False) -> list[Path]:
    """Temporary files in this folder that no living process is writing; with `remove`, they go."""
    return [path for path in sorted(folder.glob(f".*{TEMPORARY_SUFFIX}")) if is_leftover(path, remove=remove)]


def is_leftover(path: Path, *, remove: bool = False) -> bool:
    """Whether no living process is writing this temporary file; with `remove`, it goes. What is no plain
    file is nobody's: it must not keep the others from being written or removed."""
    with contextlib.suppress(FileNotFoundError, IntegrityError):
        fd = open_plain(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if remove:
                with room_errors():
                    path.unlink(missing_ok=True)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
    return False


def scratch(folder: Path) -> int:
    """A descriptor of a new file without a name, which is gone with its last descriptor, crash or not."""
    ensure_folder(folder)
    with room_errors():
        try:
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):  # a file system without such files
                raise
        fd, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        return fd
