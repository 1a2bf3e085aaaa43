"""Locks the vault by itself: after some hours, at a time of day, and when something was tampered with.

The hours are counted by a clock that nobody sets. A time of day is the machine's own, yet a clock that is set
back delays it by nothing: the moment was worked out at the unlock. A clock that leaps over it locks at once.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.keyholder.ceremony import Clock, clock

TICK_SECONDS = 1.0
MAX_BYTES = 4096
DAY = dt.timedelta(days=1)

logger = logging.getLogger(__name__)


def local_time() -> dt.datetime:
    """The machine's own time, without a zone."""
    return dt.datetime.now()  # noqa: DTZ005 - `lock_at` is what the clock on the wall shows


class Watch:
    """Looks once a second while the vault is unlocked; on a thread of its own, since a disk may hang."""

    def __init__(
        self,
        settings: Settings,
        is_locked: Callable[[], bool],
        lock: Callable[[str], None],
        now: Clock = clock,
        wall: Callable[[], dt.datetime] = local_time,
    ) -> None:
        """`lock` is called with the reason. Raises ConfigurationError for a folder among `tamper_paths`: in
        one nothing would ever be noticed."""
        self._wishes = settings.vault
        for path in self._wishes.tamper_paths:
            if _is_folder(Path(path)):
                why = "that is a folder; allowed are absolute paths of files, so name the ones in it"
                raise ConfigurationError(what=f"vault.tamper_paths = {path!r}: {why}")
        self._folders = (settings.keys_folder, settings.vault_folder)
        self._is_locked, self._lock, self._now, self._wall = is_locked, lock, now, wall
        self._since: float | None = None
        self._at: float | None = None
        self._last_wall = wall()
        self._paths: dict[Path, bytes | None] = {}
        self._devices: dict[Path, int | None] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        """Look until `stop`."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                self.tick()
            except Exception:
                logger.exception("the watch over the vault met something unforeseen and goes on")

    def tick(self) -> None:
        """Look once."""
        if self._is_locked():
            self._since = None
        elif self._since is None:
            self._begin()
        elif reason := self._reason():
            logger.warning("the vault is locked: %s", reason)
            self._since = None
            self._lock(reason)

    def _begin(self) -> None:
        """From an unlock on: what is so now is what was found right by whoever unlocked."""
        self._since = self._now()
        self._last_wall = self._wall()
        self._at = None
        if self._wishes.lock_at:
            self._at = self._since + (self._next_moment(self._last_wall) - self._last_wall).total_seconds()
        self._paths = {Path(path): _content(Path(path)) for path in self._wishes.tamper_paths}
        self._devices = {folder: _device(folder) for folder in self._folders}

    def _reason(self) -> str:
        assert self._since is not None
        now, hours = self._now(), self._wishes.lock_after_hours
        if hours and now - self._since >= hours * 3600:
            return "timer: unlocked for the longest time that is allowed"
        if self._passed(now):
            return "timer: the time of day"
        for path, before in self._paths.items():
            content = _content(path)
            if content != before:
                return f"tamper: {path} {'is gone' if content is None else 'changed'}"
        for folder, device in self._devices.items():
            if device is not None and _device(folder) != device:
                return f"tamper: {folder} is gone or on another device"
        return ""

    def _passed(self, now: float) -> bool:
        if self._at is None:
            return False
        before, self._last_wall = self._last_wall, self._wall()
        return now >= self._at or self._next_moment(before) <= self._last_wall

    def _next_moment(self, after: dt.datetime) -> dt.datetime:
        hour, minute = map(int, self._wishes.lock_at.split(":"))
        today = after.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return today if today > after else today + DAY


def _content(path: Path) -> bytes | None:
    """What a file says; of one longer than a sensor's its start, and what every change of it changes too."""
    try:
        with path.open("rb") as file:
            start, about = file.read(MAX_BYTES), os.fstat(file.fileno())
            if len(start) == MAX_BYTES:
                start += f"{about.st_size} {about.st_ctime_ns} {about.st_ino}".encode()
            return start
    except OSError:
        return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None
