"""What a process has started."""

from __future__ import annotations

import contextlib
from pathlib import Path


def children_of(process: int, command: bytes = b"") -> list[int]:
    """The processes that one has started, of those only whose command line holds `command`."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if not entry.name.isdigit():
                continue
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == process and command in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found
