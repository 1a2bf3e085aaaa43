"""For how many recordings, and people with documents, keys may be asked within an hour: by each person, and
by each unit. Somebody who watches needs few; whoever copies needs many.

By a clock that nobody can set. A restart of the keyholder begins anew; only an administrator can do that.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from appliance.config import UseLimitSettings

WINDOW_SECONDS = 3600.0


@dataclass(frozen=True)
class Exceeded:
    """Why a use has to wait: `who` reached `limit`. `first`: nobody was told yet since it was last below."""

    who: str
    limit: int
    seconds: int
    first: bool


@dataclass
class _Window:
    limit: int
    used: OrderedDict[uuid.UUID, float] = field(default_factory=OrderedDict)  # the longest ago first
    told: bool = False

    def forget(self, before: float) -> None:
        while self.used and next(iter(self.used.values())) <= before:
            self.used.popitem(last=False)

    @property
    def full(self) -> bool:
        return len(self.used) >= self.limit


class UseLimits:
    """Sliding windows of distinct owners. Safe across threads."""

    def __init__(
        self, each_person: int, units: Mapping[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._each_person, self._clock = each_person, clock
        self._units = {unit: _Window(limit) for unit, limit in units.items()}
        self._people: dict[str, _Window] = {}
        self._guard = threading.Lock()

    @classmethod
    def of(cls, allowed: UseLimitSettings) -> UseLimits:
        """As the site is set."""
        units = {"staff": allowed.staff_recordings_per_hour, "worker": allowed.worker_recordings_per_hour}
        return cls(allowed.replay_recordings_per_hour, units)

    def ask(self, owner: uuid.UUID, unit: str, person: str = "") -> Exceeded | None:
        """Count a use of an owner's keys, or say why it has to wait and count nothing. `person`: the account
        that acts, where there is one."""
        with self._guard:
            now = self._clock()
            self._forget(now - WINDOW_SECONDS)
            asked = {unit: self._units[unit]}
            if person:
                asked[person] = self._people.setdefault(person, _Window(self._each_person))
            for who, window in asked.items():
                if window.full and owner not in window.used:
                    first, window.told = not window.told, True
                    oldest = next(iter(window.used.values()))
                    return Exceeded(who, window.limit, math.ceil(oldest + WINDOW_SECONDS - now), first)
            for window in asked.values():
                window.told = window.told and window.full
                window.used[owner] = now
                window.used.move_to_end(owner)
            return None

    def _forget(self, before: float) -> None:
        for window in (*self._units.values(), *self._people.values()):
            window.forget(before)
        self._people = {who: window for who, window in self._people.items() if window.used}
