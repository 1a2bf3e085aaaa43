"""A command at a real terminal, as a person has it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PATIENCE_SECONDS = 60.0


class Terminal:
    """What a command wrote and what is typed to it."""

    def __init__(self, pid: int, fd: int) -> None:
        self._pid, self._fd = pid, fd
        self.all = ""
        self._read = 0
        self.code: int | None = None

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until it has written this, after what was matched before."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (found := re.compile(pattern, re.DOTALL).search(self.all, self._read)) is None:
            if time.monotonic() > until or not self._more(until):
                raise AssertionError(f"{pattern!r} did not come after: {self.all[self._read :]!r}")
        self._read = found.end()
        return found

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._fd, text.encode() + b"\r")

    def end(self) -> int:
        """Wait for its end; the exit code."""
        if self.code is None:
            until = time.monotonic() + PATIENCE_SECONDS
            while self._more(until):
                pass
            self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.code

    def _more(self, until: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.all += data.decode("utf-8", "replace")
        return bool(data)


@contextlib.contextmanager
def terminal(command: Sequence[str], folder: Path) -> Iterator[Terminal]:
    """Run a command at a terminal of its own."""
    pid, fd = pty.fork()
    if not pid:
        os.chdir(folder)
        os.environ["TERM"] = "xterm"
        os.execv(command[0], list(command))
    running = Terminal(pid, fd)
    try:
        yield running
        running.end()
    finally:
        if running.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(fd)
