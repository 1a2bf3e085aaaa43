"""What the file-like classes of storage share: a position, and reading into a buffer."""

from __future__ import annotations

import io
import os
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
    """A file to read. Subclasses define `read`."""

    def readable(self) -> bool:
        """True: this is a file to read."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, all of them for -1; b"" at the end."""
        raise NotImplementedError

    def readinto(self, buffer: Any) -> int:  # Any: typeshed's WriteableBuffer is not importable at run time
        """Read into a buffer; returns the count of bytes."""
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        """Everything from the position on."""
        return self.read()
