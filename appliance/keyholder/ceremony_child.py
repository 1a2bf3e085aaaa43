"""python -m appliance.keyholder.ceremony_child FD: the process that sees shares, PINs and tokens, and ends.

One for each ceremony. It makes the one-time key pair, takes what people give, puts shares together or asks
the token, and hands the slot key to the keyholder over the socket FD; then the kernel takes its memory back.
So neither shares, nor Shamir's arithmetic, nor a vendor's library ever are in the keyholder's own memory.

Packets of canonical JSON: a task, then requests; one answer each. A slot key is a packet of 32 raw bytes.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import uuid
from collections.abc import Callable
from typing import Any

from appliance.keyholder import memory
from appliance.keyholder.providers import token_driver
from appliance.vault_errors import UnlockError
from storage.vault import (
    Collector,
    OneTimePair,
    Reshare,
    Share,
    ShareError,
    ShareSet,
    Slot,
    canonical_json,
    handover_info,
    new_key,
    parse_description,
    seal_to,
    split_key,
)

PACKET_BYTES = 1 << 18
Answer = dict[str, Any]


class Collecting:
    """Shares of a set that there is: enough to unlock, or all of a new set to prove that each can be read."""

    def __init__(self, task: Answer) -> None:
        description = parse_description(task["description"].encode())
        pending = description.pending
        self._slot = _slot_of(description.slots, pending, task["slot"])
        new = pending.slot.shares.number if isinstance(pending, Reshare) and pending.slot.shares else None
        assert self._slot.shares is not None
        self.hello: Answer = {}
        self._collector = Collector(
            description.vault_id, self._slot.shares, self._slot.proves, needed=task.get("needed"), pending=new
        )

    def give(self, secret: bytes) -> Answer:
        """One share, as it was typed."""
        share = self._collector.give(secret.decode("utf-8", "replace"))
        found = {"index": share.index, "set": share.set, "given": self._collector.given}
        return {**found, "complete": self._collector.complete}

    def take(self) -> bytes:
        """The slot key."""
        return self._collector.slot_key()


class Issuing:
    """A new set: made here, shown one by one, then read back."""

    def __init__(self, task: Answer) -> None:
        self._key = new_key()
        vault_id, number = uuid.UUID(task["vault"]), task["set"]
        self._shares = split_key(vault_id, number, task["needed"], task["count"], self._key)
        issued = tuple(share.digest for share in self._shares)
        self.hello: Answer = {"issued": [digest.hex() for digest in issued]}
        wanted = ShareSet(number, task["needed"], issued)
        self._collector = Collector(vault_id, wanted, lambda key: key == self._key, needed=task["count"])

    def share(self, index: int) -> Share:
        """The share of one custodian."""
        return self._shares[index - 1]

    give = Collecting.give

    def take(self) -> bytes:
        """The slot key, also before anything was read back: the slot is made with it."""
        return self._key


class AskingToken:
    """A slot key that a token unwraps, once its PIN is given; without a slot, a new one that it wraps."""

    def __init__(self, task: Answer) -> None:
        self._module, self._key = task["module"], b""
        self._place = token_driver.Place(task["label"], task["key"])
        self._slot: Slot | None = None
        if task.get("slot"):
            description = parse_description(task["description"].encode())
            self._slot = _slot_of(description.slots, description.pending, task["slot"])
        self.hello: Answer = {}

    def give(self, secret: bytes) -> Answer:
        """The PIN."""
        pin = secret.decode("utf-8", "replace")
        answer: Answer = {"index": 1, "set": 0, "given": [1], "complete": True}
        if self._slot is None:
            self._key = new_key()
            made = token_driver.wrap(self._module, self._place, pin, self._key)
            wrapped = base64.b64encode(made.wrapped).decode()
            return {**answer, "token": {**vars(made), "wrapped": wrapped}}
        assert self._slot.token is not None
        key = token_driver.unwrap(self._module, self._slot.token, pin)
        if not self._slot.proves(key):
            raise UnlockError(problem="token_wrong")
        self._key = key
        return answer

    def take(self) -> bytes:
        """The slot key."""
        if not self._key:
            raise ShareError("too_few")
        return self._key


TASKS: dict[str, Callable[[Answer], Any]] = {"collect": Collecting, "issue": Issuing, "token": AskingToken}


def serve(connection: socket.socket) -> None:
    """Answer until the other end is closed."""
    task = _received(connection)
    if task is None:
        return
    work, pair = TASKS[task["task"]](task), OneTimePair()
    bound = handover_info(uuid.UUID(task["vault"]), uuid.UUID(task["ceremony"]))
    _send(connection, {"public": _text(pair.public), **work.hello})
    while (request := _received(connection)) is not None:
        try:
            match request["do"]:
                case "give":
                    _send(connection, work.give(pair.open(bound, base64.b64decode(request["sealed"]))))
                case "show":
                    text = work.share(request["index"]).text().encode()
                    _send(
                        connection, {"sealed": _text(seal_to(base64.b64decode(request["to"]), bound, text))}
                    )
                case "take":
                    key = work.take()
                    _send(connection, {})
                    connection.send(key)
        except ShareError as error:
            _send(connection, {"problem": error.kind, "params": {}})
        except UnlockError as error:
            params = {name: str(value) for name, value in error.params.items() if name != "problem"}
            _send(connection, {"problem": error.params["problem"], "params": params})


def _slot_of(slots: tuple[Slot, ...], pending: object, slot_id: str) -> Slot:
    known = [*slots, *([pending.slot] if isinstance(pending, Reshare) else [])]
    return next(slot for slot in known if slot.id == slot_id)


def _received(connection: socket.socket) -> Answer | None:
    packet = connection.recv(PACKET_BYTES)
    found: Answer | None = json.loads(packet) if packet else None
    return found


def _send(connection: socket.socket, answer: Answer) -> None:
    connection.send(canonical_json(answer))


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def main() -> None:
    """The command: the number of the socket's descriptor is the one argument."""
    memory.harden()
    memory.lock_all()
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
