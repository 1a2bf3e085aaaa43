"""Whether the machine had room to film: the kernel's own measure of work that waited for a processor.

An idle machine of two cores shows 0.25 to 0.35 while a candidate is filmed. From 0.45 on the encoder loses
frames and seconds stretch, whatever the product does: then a figure of time says nothing about it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

CPU = Path("/proc/pressure/cpu")
BUSY = 0.45


class Waiting:
    """How much of the time since it was made something that could run waited for a processor."""

    def __init__(self) -> None:
        self._since, self._before = time.monotonic(), _stalled_seconds()

    @property
    def share(self) -> float:
        """0 to 1; where the kernel does not tell, what the load of each core is above one."""
        stalled = _stalled_seconds()
        if stalled is None or self._before is None:
            return max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1.0)
        return (stalled - self._before) / (time.monotonic() - self._since)


def exact_unless_busy(waited: float, off: float, limit: float, found: object) -> None:
    """Assert a figure of time that only a machine with room to film can keep; `waited` while it filmed.

    Ten times the limit holds on any machine. Assert what is no matter of time before: this may skip.
    """
    assert off <= 10 * limit, found
    if off > limit and waited > BUSY:
        pytest.skip(f"the machine was too busy to film: {waited:.0%} of the time something waited, {found}")
    assert off <= limit, found


def _stalled_seconds() -> float | None:
    """The total of the line `some`, see the kernel's documentation of PSI."""
    try:
        [line] = [line for line in CPU.read_text().splitlines() if line.startswith("some ")]
    except OSError:
        return None
    return int(line.rpartition("total=")[2]) / 1e6
