"""Where sealed files lie: one small interface, and a folder of a local disk behind it. `s3` has the other.

An object has a name like `22f/22f0….track.camera.fps`, is written once and whole, and read in ranges. Both
stores promise the same: a name holds the old bytes or the new ones, never a part of them; when a write
returns, the bytes last and have the digest of what was sent. tests/storage/test_objects.py holds both to it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

from storage import disk
from storage.errors import IntegrityError, NotFound

_PART = re.compile(r"[a-z0-9][a-z0-9._-]*")
_PARTS = re.compile(rf"(?:{_PART.pattern}(?:\n|$))*")
_NAME = re.compile(rf"{_PART.pattern}(?:/{_PART.pattern})*")
_PIECE = 1 << 20
# Neither follow a link nor wait for the other end of a pipe.
_AS_IT_IS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Source(Protocol):
    """An object opened for reading, by any number of threads at once."""

    size: int
    """Bytes of the object."""

    def read_at(self, length: int, offset: int, /) -> bytes:
        """Bytes from `offset` on, fewer only at the end. Raises NotFound, StoreDown, OSError."""

    def forget(self, length: int, offset: int, /) -> None:
        """Have the next read of these bytes come from the medium itself, where that can be had."""

    def close(self) -> None:
        """Let go of it."""


class Pending(Protocol):
    """An object being written: bytes go to the descriptor `fd`, and nothing has the name until `commit`."""

    fd: int

    def commit(self) -> None:
        """Give it its name, over what had it. Raises VaultFull, StoreDown, OSError; then nothing changed."""

    def discard(self) -> None:
        """Forget it. Safe to call again, and after `commit`."""


# A folder's prefix and its entries, of any kind → those that are to be listed.
Sift = Callable[[str, Iterable[os.DirEntry[str]]], Iterable[os.DirEntry[str]]]


class Stored:
    """One entry of a listing.

    kind: `object`, `leftover` (what a crashed writer left), `stranger` (a link, a pipe, a foreign name).
    """

    __slots__ = ("_about", "kind", "name")

    def __init__(self, name: str, about: os.DirEntry[str] | tuple[int, float], kind: str = "object") -> None:
        """`about`: its bytes and when it was last written, or what a disk is asked about that when needed."""
        self.name, self._about, self.kind = name, about, kind

    @property
    def bytes(self) -> int:
        """How long it is. Raises FileNotFoundError for one that went since."""
        return self.stat()[0]

    def stat(self) -> tuple[int, float]:
        """How long it is, and when it was last written, in seconds since 1970. Raises as `bytes` does."""
        about = self._about
        if isinstance(about, tuple):
            return about
        found = about.stat(follow_symlinks=False)
        return found.st_size, found.st_mtime


class Objects(Protocol):
    """A store of objects. Names are checked: IntegrityError("header") for one that no object can have.

    Every call may raise StoreDown while the store cannot serve.
    """

    @property
    def drafts(self) -> Path:
        """The folder on this machine in which drafts and copies take room."""

    def place(self, name: str) -> Path | str:
        """Where an object lies or would lie, for messages."""

    def open(self, name: str, first: int = 0) -> Source:
        """Open an object; `first` tells how many bytes will surely be read from its start.

        Raises NotFound, and IntegrityError("stranger") for what is no plain file.
        """

    def fetch(self, name: str) -> int:
        """A descriptor of the object's bytes, for a child; the caller closes it. Raises as `open` does."""

    def begin(self, name: str) -> Pending:
        """Start an object. What crashed writers left beside it may be removed. Raises VaultFull."""

    def put(self, name: str, fd: int) -> None:
        """Keep all bytes of an open file under this name, over what had it.

        Raises VaultFull, and IntegrityError("replaced") when others arrived than were sent.
        """

    def put_new(self, name: str, fd: int) -> bool:
        """As `put`, but never over another: False, and nothing has changed, when the name is taken."""

    def remove(self, name: str) -> None:
        """Remove an object, lastingly; one that is not there is no error."""

    def exists(self, name: str) -> bool:
        """Whether something has this name."""

    def settle(self, name: str) -> None:
        """Make the folders of this name last, whoever put something there and was killed before it did."""

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Everything whose name begins so, one after another, sorted; only where a folder's name begins a
        file's name beside it, stores differ in which comes first."""

    def tidy(self, prefix: str = "") -> None:
        """Remove what crashed writers left of objects whose names begin so; a living one's stays."""


def check_object_name(name: str) -> str:
    """The name, if an object may have it. Raises IntegrityError("header")."""
    if not _NAME.fullmatch(name):
        raise IntegrityError("header", "no object can be called so")
    return name


def digest_of(source: Source) -> bytes:
    """SHA-256 of a whole object, a megabyte in memory at a time. Raises IntegrityError("size") for one that
    became shorter."""
    digest, offset = hashlib.sha256(), 0
    while offset < source.size:
        piece = source.read_at(_PIECE, offset)
        if not piece:
            raise IntegrityError("size", "the object became shorter")
        digest.update(piece)
        offset += len(piece)
    return digest.digest()


class FileSource:
    """An open file as a source."""

    def __init__(self, fd: int, *, owned: bool = True) -> None:
        """`owned`: whether `close` closes the descriptor."""
        self.fd, self._owned = fd, owned
        self.size = os.fstat(fd).st_size

    @classmethod
    def at(cls, path: Path) -> FileSource:
        """The file at this path."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def read_at(self, length: int, offset: int, /) -> bytes:
        """Bytes from `offset` on, fewer only at the end."""
        return os.pread(self.fd, length, offset)

    def forget(self, length: int, offset: int, /) -> None:
        """Drop what the system keeps of these bytes in memory."""
        disk.forget_cached(self.fd, offset, length)

    def close(self) -> None:
        """Close the descriptor, if it is ours."""
        if self._owned:
            self._owned = False
            os.close(self.fd)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


class DiskObjects:
    """Objects as files below `root`, which may itself be a link; below it no link is followed.

    A write is: temporary name, fsync, rename, fsync of the folder. The rename is the commit.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def __repr__(self) -> str:
        return f"DiskObjects({str(self.root)!r})"

    @property
    def drafts(self) -> Path:
        """The root: drafts lie where they get their names."""
        return self.root

    def place(self, name: str) -> Path:
        """The path of an object."""
        return self.root / name

    def path(self, name: str) -> Path:
        """The path of an object. Raises IntegrityError("header") for a name that is not allowed."""
        return self.root / check_object_name(name)

    def open(self, name: str, first: int = 0) -> FileSource:
        """Open an object; see Objects."""
        del first
        return FileSource(self.fetch(name))

    def fetch(self, name: str) -> int:
        """A descriptor of the file itself."""
        *folders, last = check_object_name(name).split("/")
        try:
            with contextlib.ExitStack() as stack:
                fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, fd)
                for folder in folders:
                    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                    stack.callback(os.close, fd)
                found = os.open(last, os.O_RDONLY | _AS_IT_IS, dir_fd=fd)
        except FileNotFoundError:
            raise NotFound("file", name) from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOTDIR):  # a link, a socket, a link as folder
                raise _stranger(name) from error
            raise
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise _stranger(name)
        return found

    def begin(self, name: str) -> disk.Temporary:
        """A file under a temporary name in the folder of its own."""
        path = self.path(name)
        disk.ensure_folder(path.parent)
        self._require_folders(name)
        return disk.Temporary(path)

    def put(self, name: str, fd: int) -> None:
        """Copy, read back, rename; see Objects."""
        with self.begin(name) as copy:
            _copy_and_prove(fd, copy.fd)
            copy.commit()

    def put_new(self, name: str, fd: int) -> bool:
        """Copy, read back, link to the name; see Objects."""
        if self.exists(name):
            return False
        with self.begin(name) as copy:
            _copy_and_prove(fd, copy.fd)
            return copy.commit_new()

    def remove(self, name: str) -> None:
        """Unlink and fsync the folder."""
        path = self.path(name)
        with contextlib.suppress(FileNotFoundError), disk.room_errors():
            self._require_folders(name)
            path.unlink()
            disk.sync_folder(path.parent)

    def exists(self, name: str) -> bool:
        """Whether something has this name, whatever it is."""
        return os.path.lexists(self.path(name))

    def settle(self, name: str) -> None:
        """fsync each folder down to the one of the name, and where the root lies."""
        *folders, _ = name.split("/")
        with contextlib.suppress(PermissionError):  # then the root was made by somebody else
            disk.sync_folder(self.root.parent)
        with contextlib.suppress(FileNotFoundError):  # then nothing has the name
            for i in range(len(folders) + 1):
                disk.sync_folder(self.root.joinpath(*folders[:i]))

    def list(self, prefix: str = "", sift: Sift | None = None) -> Iterator[Stored]:
        """Walks only the folders that can hold such names, one at a time; of each, only what `sift` leaves:
        looking at a hundred thousand recordings, what costs is every step that is taken for each file."""
        try:
            self._require_folders(prefix)
        except (FileNotFoundError, IntegrityError):
            return
        folder, _, start = prefix.rpartition("/")
        yield from self._walk(f"{folder}/" if folder else "", start, sift)

    def tidy(self, prefix: str = "") -> None:
        """Remove the files of crashed writers; a living one holds its file's lock."""
        for stored in self.list(prefix):
            if stored.kind == "leftover":
                disk.is_leftover(self.root / stored.name, remove=True)

    def _require_folders(self, name: str) -> None:
        """Someone may have put a link to elsewhere in the place of a folder on the way to this name."""
        folder = self.root
        for part in name.split("/")[:-1]:
            folder /= part
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise _stranger(name)

    def _walk(self, folder: str, start: str, sift: Sift | None) -> Iterator[Stored]:
        found: dict[str, os.DirEntry[str]] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / folder) as entries:
            found = {
                entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name: entry
                for entry in (sift(folder, entries) if sift else entries)
                if not start or entry.name.removeprefix(".").startswith(start)
            }
        names = sorted(found)
        # One look at all names of a folder takes a tenth of the time that a look at each of them does.
        usual = (not folder or _NAME.fullmatch(folder[:-1])) and _PARTS.fullmatch("\n".join(names))
        for name in names:
            entry = found[name]
            if (usual or self._is_usual(folder, name)) and entry.is_file(follow_symlinks=False):
                yield Stored(folder + name, entry)
            elif name.endswith("/"):
                yield from self._walk(folder + name, "", sift)
            else:
                yield from self._unusual(folder + name, entry)

    @staticmethod
    def _is_usual(folder: str, name: str) -> bool:
        return _NAME.fullmatch(folder + name) is not None

    def _unusual(self, name: str, entry: os.DirEntry[str]) -> Iterator[Stored]:
        kind = "stranger"
        if entry.is_file(follow_symlinks=False) and disk.is_temporary(path := self.root / name):
            if not disk.is_leftover(path):
                return
            kind = "leftover"
        yield Stored(name, entry, kind)


def _stranger(name: str) -> IntegrityError:
    return IntegrityError("stranger", f"{name} is no plain file, or lies behind a link")


def _copy_and_prove(source: int, target: int) -> None:
    """Copy a whole file, make it last, and read back from the medium what arrived."""
    sent, offset = hashlib.sha256(), 0
    while piece := os.pread(source, _PIECE, offset):
        sent.update(piece)
        offset = disk.write_at(target, [piece], offset)
    disk.sync_data(target)
    disk.forget_cached(target, 0, offset)
    if digest_of(FileSource(target, owned=False)) != sent.digest():
        raise IntegrityError("replaced", "other bytes arrived than were sent")
