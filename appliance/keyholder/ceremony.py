"""Ceremonies: people give what they hold, each alone, until a slot key is to be had. One process for each.

Here, in the keyholder, is only who is asked for what, how far it is, until when and how often it may be
wrong; the secrets are in the ceremony's own process (ceremony_child.py), which ends with it. Time is counted
by a clock that nobody sets.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.errors import KeyholderDownError
from appliance.keyholder.memory import SecretBytes
from appliance.vault_errors import UnlockError
from storage.vault import canonical_json

# Since its start, or since the last thing that was shown or rightly given.
LIFETIME_SECONDS = 15 * 60.0
MAX_CEREMONIES = 4
CHILD_SECONDS = 60.0  # a network HSM may take its time
# Wrong tries: so many at once, then one more each so many seconds. From the console and from the pages apart,
# so that nobody at a page can keep the console out.
WRONG_AT_ONCE, SECONDS_FOR_ONE_MORE = 5, 20.0
# Tokens lock themselves after as few as three.
PINS_AT_ONCE, SECONDS_FOR_ONE_MORE_PIN = 2, 3600.0

Clock = Callable[[], float]
logger = logging.getLogger(__name__)


def clock() -> float:
    """Seconds that go on while the machine sleeps, whatever anybody sets the time to."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Asked:
    """What a ceremony is for: `unlock` (a slot key as it is), `read_back` (all of a new set), `issue` (a new
    set of shares), `token` (a new token slot). `slot` is empty where there is none yet."""

    purpose: str
    slot: str
    kind: str
    set: int = 0
    needed: int = 1
    count: int = 1


class Ceremony:
    """One of them, with its process. Safe across threads."""

    def __init__(self, vault_id: uuid.UUID, asked: Asked, task: Mapping[str, Any], now: Clock) -> None:
        self.id, self.asked, self._now = uuid.uuid4(), asked, now
        self.given: list[int] = []
        self.complete = False
        self.extra: dict[str, Any] = {}
        self._guard = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "appliance.keyholder.ceremony_child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        self._socket.settimeout(CHILD_SECONDS)
        try:
            hello = self._ask({**task, "vault": str(vault_id), "ceremony": str(self.id)})
        except BaseException:
            self.end()
            raise
        self.public = base64.b64decode(hello.pop("public"))
        self.hello = hello
        self.until = now() + LIFETIME_SECONDS

    def give(self, sealed: bytes) -> dict[str, Any]:
        """One share or PIN, encrypted to `public`: its `index` and `set`. Raises UnlockError."""
        with self._guard:
            found = self._ask({"do": "give", "sealed": base64.b64encode(sealed).decode()})
            self.given, self.complete = found["given"], found["complete"]
            self.extra = {"token": found["token"]} if "token" in found else {}
            self.until = self._now() + LIFETIME_SECONDS
            return {"index": found["index"], "set": found["set"]}

    def show(self, index: int, to: bytes) -> bytes:
        """A new share, encrypted to a console's one-time key. Raises UnlockError."""
        with self._guard:
            asked = {"do": "show", "index": index, "to": base64.b64encode(to).decode()}
            sealed = base64.b64decode(self._ask(asked)["sealed"])
            self.until = self._now() + LIFETIME_SECONDS
            return sealed

    def slot_key(self) -> SecretBytes:
        """The slot key. Raises UnlockError("too_few")."""
        with self._guard:
            self._ask({"do": "take"})
            key = bytearray(32)
            if self._socket.recv_into(key) != len(key):
                raise KeyholderDownError
            return SecretBytes(key)

    def end(self) -> None:
        """Forget everything: the process goes, and its memory with it. Safe to repeat."""
        self._socket.close()
        self._child.kill()
        self._child.wait()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._socket.send(canonical_json(request))
            answer: dict[str, Any] = json.loads(self._socket.recv(1 << 18))
        except (OSError, ValueError) as error:
            logger.error("the process of a ceremony does not answer: %s", error)
            raise UnlockError(problem="no_ceremony") from error
        if "problem" in answer:
            if answer["problem"] == "wrong_key":
                self.given = []
            raise UnlockError(problem=answer["problem"], **answer["params"])
        return answer


class Allowance:
    """How often something may still go wrong: `at_once` times, and once more each `seconds`."""

    def __init__(self, at_once: int, seconds: float, now: Clock) -> None:
        self._at_once, self._seconds, self._now = at_once, seconds, now
        self._left, self._since = float(at_once), now()

    def require(self) -> None:
        """Raises UnlockError("too_many") with the seconds to wait."""
        self._refill()
        if self._left < 1:
            wait = int((1 - self._left) * self._seconds) + 1
            raise UnlockError(problem="too_many", seconds=wait)

    def spend(self) -> None:
        """One went wrong."""
        self._refill()
        self._left -= 1

    def _refill(self) -> None:
        now = self._now()
        self._left = min(self._at_once, self._left + (now - self._since) / self._seconds)
        self._since = now


class Ceremonies:
    """Those that go on now: one for each purpose and slot. Safe across threads."""

    def __init__(self, now: Clock = clock) -> None:
        self._now = now
        self._going: dict[uuid.UUID, Ceremony] = {}
        self._wrong: dict[tuple[str, str], Allowance] = {}
        self._guard = threading.RLock()

    def begin(self, vault_id: uuid.UUID, asked: Asked, task: Mapping[str, Any]) -> Ceremony:
        """The ceremony for this, a new one unless it goes on already."""
        with self._guard:
            found = self.of(asked.purpose, asked.slot)
            if found is not None:
                return found
            if len(self._going) >= MAX_CEREMONIES:
                self._end(min(self._going.values(), key=lambda each: each.until))
            made = Ceremony(vault_id, asked, task, self._now)
            self._going[made.id] = made
            return made

    def give(self, ceremony: uuid.UUID, sealed: bytes, via: str) -> tuple[Ceremony, dict[str, Any]]:
        """Hand one secret on. Raises UnlockError, each wrong one counted for where it came from (`via`)."""
        found = self.get(ceremony)
        allowance = self._allowance(found.asked.kind, via)
        allowance.require()
        try:
            return found, found.give(sealed)
        except UnlockError as error:
            if error.params["problem"] not in ("given_already", "no_ceremony", "token_gone", "last_pin_try"):
                allowance.spend()
            raise

    def get(self, ceremony: uuid.UUID) -> Ceremony:
        """Raises UnlockError("no_ceremony") for one that is over."""
        self.tick()
        with self._guard:
            try:
                return self._going[ceremony]
            except KeyError:
                raise UnlockError(problem="no_ceremony") from None

    def of(self, purpose: str, slot: str) -> Ceremony | None:
        """The one for this purpose and slot that goes on, if there is one."""
        self.tick()
        with self._guard:
            going = self._going.values()
            return next(
                (one for one in going if (one.asked.purpose, one.asked.slot) == (purpose, slot)), None
            )

    def going(self) -> list[Ceremony]:
        """All of them, those that end first in front."""
        self.tick()
        with self._guard:
            return sorted(self._going.values(), key=lambda each: each.until)

    def end(self, ceremony: uuid.UUID) -> None:
        """Forget what was given. One that is over already is fine."""
        with self._guard:
            if ceremony in self._going:
                self._end(self._going[ceremony])

    def end_all(self) -> None:
        """Forget everything, as when the vault is locked."""
        with self._guard:
            for each in list(self._going.values()):
                self._end(each)

    def tick(self) -> None:
        """End those whose time is over."""
        with self._guard:
            for each in list(self._going.values()):
                if self._now() >= each.until:
                    logger.warning("a ceremony (%s) ran out of time and is forgotten", each.asked.purpose)
                    self._end(each)

    def _end(self, ceremony: Ceremony) -> None:
        self._going.pop(ceremony.id, None)
        ceremony.end()

    def _allowance(self, kind: str, via: str) -> Allowance:
        with self._guard:
            if (kind, via) not in self._wrong:
                token = kind == "token"
                at_once = PINS_AT_ONCE if token else WRONG_AT_ONCE
                seconds = SECONDS_FOR_ONE_MORE_PIN if token else SECONDS_FOR_ONE_MORE
                self._wrong[kind, via] = Allowance(at_once, seconds, self._now)
            return self._wrong[kind, via]
