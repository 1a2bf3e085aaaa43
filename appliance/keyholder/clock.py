"""The wall clock, and whether it has leapt while this process ran."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

LEAP_SECONDS = 3600.0


def _steady() -> float:
    """Seconds that pass whatever the wall clock does, and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """Compares the wall clock with one that cannot be set."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _steady) -> None:
        self._wall, self._steady = wall, steady
        self._ahead = wall() - steady()

    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._wall(), dt.UTC)

    @property
    def leapt(self) -> bool:
        """Whether the wall clock was set by more than an hour since the start: then neither the time before
        nor the one after is to be believed until somebody has looked and started the process again."""
        return abs(self._wall() - self._steady() - self._ahead) > LEAP_SECONDS
