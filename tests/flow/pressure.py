"""Whether the machine had room to film: the kernel's own measure of work that waited for a processor.

An idle machine of two cores shows 0.25 to 0.35 while a candidate is filmed. From 0.45 on the encoder loses
frames and seconds stretch, whatever the product does. What the product kept of the recorder's bytes is exact
on any machine; only what the recorder itself makes of the camera needs room.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

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


def room_for(limit: float, waited: float) -> float:
    """What a browser that films may be off: the stated limit, tenfold where there was no room to film."""
    return limit if waited <= BUSY else 10 * limit


def _stalled_seconds() -> float | None:
    """The total of the line `some`, see the kernel's documentation of PSI."""
    try:
        [line] = [line for line in CPU.read_text().splitlines() if line.startswith("some ")]
    except OSError:
        return None
    return int(line.rpartition("total=")[2]) / 1e6
