"""The keyholder's own record of each use of a key, on disk before the answer leaves.

One JSON line an entry, each naming the SHA-256 of the line before it. After a fail-over or a restore it
shows the uses that the database forgot.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError, DamagedError
from appliance.packet import canonical, to_timestamp
from storage.vault import sync_folder

START = "00" * 32
ALARMS = 100


class Journal:
    """An append-only file, held under a lock by the one keyholder of the site. `alarms` are the newest of its
    entries that people must hear of.

    Raises ConfigurationError when another keyholder runs and DamagedError when the chain does not hold.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._guard = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.path = path
        self.alarms: deque[dict[str, Any]] = deque(maxlen=ALARMS)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sync_folder(path.parent)
            self.count, self._head, self._end = self._recover()
        except BlockingIOError:
            os.close(self._fd)
            raise ConfigurationError(what="another keyholder is running for this data folder") from None
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one entry and wait until it is on disk. Raises OSError; then nothing was recorded."""
        with self._guard:
            stamped = {**entry, "at": to_timestamp(dt.datetime.now(dt.UTC)), "prev": self._head}
            line = canonical({**stamped, "seq": self.count + 1})
            try:
                if os.write(self._fd, line + b"\n") != len(line) + 1:
                    raise OSError("the journal took only a part of an entry")
                os.fdatasync(self._fd)
            except OSError:
                os.ftruncate(self._fd, self._end)
                raise
            self._end += len(line) + 1
            self._head = hashlib.sha256(line).hexdigest()
            self.count += 1
            self._note(stamped)

    def entries(self) -> Iterator[dict[str, Any]]:
        """What has been recorded, oldest first."""
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def close(self) -> None:
        """Let go of the file and its lock, also where a child that is just being started has a copy of it."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)

    def _note(self, entry: Mapping[str, Any]) -> None:
        if entry.get("op") == "alarm":
            self.alarms.append(dict(entry))

    def _recover(self) -> tuple[int, str, int]:
        """Walk the chain; cut off a last line without an end, which was never answered for."""
        count, head, end = 0, START, 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                count += 1
                entry = _entry(line)
                if (entry.get("prev"), entry.get("seq")) != (head, count):
                    raise DamagedError(kind=f"keyholder journal, entry {count}")
                self._note(entry)
                head, end = hashlib.sha256(line[:-1]).hexdigest(), end + len(line)
        os.ftruncate(self._fd, end)
        return count, head, end


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
