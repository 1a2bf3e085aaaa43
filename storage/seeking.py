"""What the file-like classes of storage share: a position, and reading into a buffer."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class Seeking(io.RawIOBase):
    """A file with a position. Subclasses say how long it is."""

    size: int
    """Plaintext bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0

    def seekable(self) -> bool:
        """True: any position can be reached."""
        return True

    def tell(self) -> int:
        """The position of the next read or write."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, as any file does; beyond the end too."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position


class SeekingReader(Seeking):
    """A file to read, by a descriptor that stays the caller's or a path. Subclasses define `read`."""

    _fd = -1
    _owned = False

    def _take_file(self, file: int | Path) -> None:
        if isinstance(file, int):
            self._fd = file
        else:
            self._fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            self._owned = True

    def close(self) -> None:
        """Close what was opened here."""
        if self._owned and not self.closed:
            os.close(self._fd)
        super().close()

    def readable(self) -> bool:
        """True: this is a file to read."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, all of them for -1; b"" at the end."""
        raise io.UnsupportedOperation("read")

    def readinto(self, buffer: Any) -> int:  # Any: typeshed's WriteableBuffer is not importable at run time
        """Read into a buffer; returns the count of bytes."""
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        """Everything from the position on."""
        return self.read()
