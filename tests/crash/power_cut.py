"""A disk that can lose its power: records what storage does to it, and rebuilds what a cut may leave.

What POSIX promises is all that is assumed: bytes last once their file is fsynced, names once their folder is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

#: What becomes of writes that were not fsynced: none stay, all, most of the last, most and zeros.
LOSSES = ("lost", "whole", "torn", "holed")


@dataclass
class Log:
    """What was done below `root`, in order. A file is known by a number, not by its name."""

    root: Path
    operations: list[tuple[Any, ...]] = field(default_factory=list)
    files: dict[int, int] = field(default_factory=dict)  # inode → number of the file
    before: int = 0  # how many operations stand for what was there, lasting, when the recording began

    def moments(self) -> range:
        """Where the power may be cut: before the first operation, after each."""
        return range(self.before, len(self.operations) + 1)

    def take_in(self) -> None:
        """Note what is there as having lasted."""
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_dir():
                self.operations.append(("mkdir", name))
            else:
                number = len(self.operations)
                self.files[path.stat().st_ino] = number
                self.operations += [("create", number, name), ("write", number, 0, path.read_bytes())]
                self.operations.append(("sync", number))
        folders = [path for path in self.root.rglob("*") if path.is_dir()]
        self.operations += [("sync folder", self.relative(path)) for path in [self.root, *folders]]
        self.before = len(self.operations)

    def acknowledge(self, line: str) -> None:
        """Note that a step was acknowledged at this moment."""
        self.operations.append(("acknowledged", line))

    def acknowledged(self, moment: int) -> list[str]:
        """What was acknowledged before this moment."""
        return [operation[1] for operation in self.operations[:moment] if operation[0] == "acknowledged"]

    def relative(self, path: Any) -> str | None:
        """The path below the root, or None for one elsewhere."""
        path = Path(os.fspath(path))
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else None

    def rebuild(self, target: Path, moment: int, loss: str, *, names_last: bool) -> None:
        """Make below `target` what a cut at this moment leaves; unsynced names stay only if `names_last`."""
        done = self.operations[:moment]
        target.mkdir()
        names: dict[str, int] = {}
        for i, operation in enumerate(done):
            if operation[0] in ("mkdir", "create", "link", "replace", "unlink", "rmdir"):
                parent = str(Path(operation[-1]).parent)
                if names_last or ("sync folder", parent) in done[i:]:
                    self._apply_name(target, names, operation)
        contents = {number: self._content(done, number, loss) for number in set(names.values())}
        for name, number in names.items():
            if (target / name).parent.is_dir():
                (target / name).write_bytes(contents[number])

    @staticmethod
    def _apply_name(target: Path, names: dict[str, int], operation: tuple[Any, ...]) -> None:
        kind, *rest = operation
        if kind == "mkdir":
            if (target / rest[0]).parent.is_dir():
                (target / rest[0]).mkdir()
        elif kind == "create":
            names[rest[1]] = rest[0]
        elif kind in ("link", "replace"):
            names[rest[2]] = rest[0]
            if kind == "replace":
                names.pop(rest[1], None)
        elif kind == "rmdir":
            if (target / rest[0]).is_dir() and not any(name.startswith(f"{rest[0]}/") for name in names):
                (target / rest[0]).rmdir()
        else:
            names.pop(rest[0], None)

    @staticmethod
    def _content(done: list[tuple[Any, ...]], number: int, loss: str) -> bytes:
        mine = [operation for operation in done if operation[:2] in (("write", number), ("truncate", number))]
        synced = max((i for i, operation in enumerate(done) if operation == ("sync", number)), default=0)
        lasting = sum(
            operation[:2] in (("write", number), ("truncate", number)) for operation in done[:synced]
        )
        content = bytearray()
        for i, (kind, _, at, *data) in enumerate(mine):
            if i >= lasting and loss == "lost":
                break
            if kind == "truncate":
                del content[at:]
                content.extend(bytes(at - len(content)))
                continue
            piece = data[0]
            most = len(piece) * 3 // 4
            if i >= lasting and loss == "holed":
                piece = piece[:most] + bytes(len(piece) - most)
            elif i >= lasting and loss == "torn" and i == len(mine) - 1:
                piece = piece[:most]
            content.extend(bytes(max(0, at - len(content))))
            content[at : at + len(piece)] = piece
        return bytes(content)


@contextlib.contextmanager
def recording(root: Path) -> Iterator[Log]:
    """Record every change below `root` that goes through `os` in this block."""
    log = Log(root)
    log.take_in()
    real = {name: getattr(os, name) for name in _RECORDERS}

    def recorder(name: str) -> Any:
        return lambda *args, **kwargs: _RECORDERS[name](log, real[name], *args, **kwargs)

    with contextlib.ExitStack() as patches:
        for name in _RECORDERS:
            patches.enter_context(mock.patch.object(os, name, recorder(name)))
        yield log


def _open(log: Log, real: Any, path: Any, flags: int, *rest: Any, **more: Any) -> int:
    new = bool(flags & os.O_CREAT) and not Path(path).exists()
    fd: int = real(path, flags, *rest, **more)
    name = log.relative(path)
    if flags & os.O_TMPFILE == os.O_TMPFILE and name is not None:
        log.files[os.fstat(fd).st_ino] = len(log.operations)  # without a name, so gone after any cut
        log.operations.append(("nameless", len(log.operations)))
    elif new and name is not None:
        number = len(log.operations)
        log.files[os.fstat(fd).st_ino] = number
        log.operations.append(("create", number, name))
    return fd


def _number(log: Log, path: Any) -> int:
    return log.files[Path(path).stat().st_ino]


def _pwritev(log: Log, real: Any, fd: int, pieces: Any, offset: int) -> int:
    written: int = real(fd, pieces, offset)
    log.operations.append(("write", log.files[os.fstat(fd).st_ino], offset, b"".join(pieces)[:written]))
    return written


def _write(log: Log, real: Any, fd: int, data: Any) -> int:
    status = os.fstat(fd)
    if status.st_ino not in log.files:  # no file below the root: a pipe, a log
        return int(real(fd, data))
    appends = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
    offset = status.st_size if appends else os.lseek(fd, 0, os.SEEK_CUR)
    written: int = real(fd, data)
    log.operations.append(("write", log.files[status.st_ino], offset, bytes(data)[:written]))
    return written


def _pwrite(log: Log, real: Any, fd: int, data: Any, offset: int) -> int:
    written: int = real(fd, data, offset)
    log.operations.append(("write", log.files[os.fstat(fd).st_ino], offset, bytes(data)[:written]))
    return written


def _ftruncate(log: Log, real: Any, fd: int, length: int) -> None:
    real(fd, length)
    log.operations.append(("truncate", log.files[os.fstat(fd).st_ino], length))


def _sync(log: Log, real: Any, fd: int) -> None:
    real(fd)
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        name = log.relative(Path(f"/proc/self/fd/{fd}").readlink())
        log.operations.append(("sync folder", name))
    else:
        log.operations.append(("sync", log.files[status.st_ino]))


def _mkdir(log: Log, real: Any, path: Any, *rest: Any) -> None:
    real(path, *rest)
    log.operations.append(("mkdir", log.relative(path)))


def _move(kind: str) -> Any:
    def record(log: Log, real: Any, source: Any, target: Any) -> None:
        number = _number(log, source)
        real(source, target)
        log.operations.append((kind, number, log.relative(source), log.relative(target)))

    return record


def _remove(kind: str) -> Any:
    def record(log: Log, real: Any, path: Any) -> None:
        real(path)
        log.operations.append((kind, log.relative(path)))

    return record


_RECORDERS: dict[str, Any] = {
    "open": _open,
    "write": _write,
    "pwrite": _pwrite,
    "pwritev": _pwritev,
    "ftruncate": _ftruncate,
    "fsync": _sync,
    "fdatasync": _sync,
    "mkdir": _mkdir,
    "link": _move("link"),
    "rename": _move("replace"),
    "replace": _move("replace"),
    "unlink": _remove("unlink"),
    "rmdir": _remove("rmdir"),
}
