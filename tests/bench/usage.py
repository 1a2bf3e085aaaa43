"""What processes used, as the kernel counts it: unlike a rate, it hardly depends on what else runs here."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of_session(leader: int) -> float:
    """CPU seconds of every living process of a session, by the process that began it."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = _stat(entry)
                if int(fields[3]) == leader:
                    total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _stat(process: Path) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on; the name before it may hold anything."""
    return (process / "stat").read_text().rpartition(")")[2].split()


class ChildWatch:
    """Watches this process' own children named by a part of their command line, while the block runs.

    `peak_bytes`: the largest resident memory of one of them. The kernel's own figure for a reaped child
    counts the memory of the process that started it too, so the children are looked at while they live.
    """

    def __init__(self, command: str, every: float = 0.02) -> None:
        self.peak_bytes = 0
        self._command, self._every = command.encode(), every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ChildWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(self._every):
            for process in self._children():
                with contextlib.suppress(OSError):
                    found = re.search(r"VmHWM:\s*(\d+) kB", (process / "status").read_text())
                    if found:
                        self.peak_bytes = max(self.peak_bytes, int(found.group(1)) * 1024)

    def _children(self) -> Iterator[Path]:
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                for child in (task / "children").read_text().split():
                    process = Path("/proc") / child
                    if self._command in (process / "cmdline").read_bytes():
                        yield process
