"""How the rest of the product asks the keyholder. Every failure is a typed error.

VaultLockedError: locked; KeyRefusedError: no live audit event allows it; KeyholderDownError: no answer;
DatabaseDownError: the keyholder cannot read the event; DamagedError: a key record does not open.
"""

from __future__ import annotations

import datetime as dt
import json
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.config import Settings
from appliance.domain import Owner
from appliance.errors import KeyholderDownError, VaultLockedError
from appliance.keyholder.key_backups import BackupState, Made
from appliance.keyholder.wire import MAX_LINE_BYTES, raise_error, to_bytes, to_text
from appliance.packet import DayKey, from_timestamp

# Longer than the keyholder's own patience with the database, so its typed answer arrives first.
TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class Status:
    """How the keyholder is. `day_key` is the id (its day) of the day key in use, `last_day_key` that of the
    last one published ahead; `uses` counts journal entries; `alarms` are the kinds of the newest alarms;
    `ledger` is how far the erase ledger goes (`count:head`), `ledger_problem` why it cannot be believed."""

    vault_id: uuid.UUID
    locked: bool
    day_key: str | None
    last_day_key: str | None
    uses: int
    ledger: str = ""
    ledger_problem: str = ""
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Publics:
    """Public halves. `service_keys`: id → Ed25519 key of 32 bytes; `day_keys`: from yesterday's to the last
    one published ahead, `day_list` the same as one signed list for intake; `day_key_id`: the one in use."""

    vault_id: uuid.UUID
    service_keys: dict[str, bytes]
    day_keys: tuple[DayKey, ...]
    day_key_id: str | None
    day_list: bytes | None

    @property
    def current_day_key(self) -> DayKey:
        """The day key for a new packet: today's, or the last one before while the vault stays locked.

        Raises VaultLockedError while there is none, as in a vault that was never unlocked.
        """
        for key in self.day_keys:
            if key.id == self.day_key_id:
                return key
        raise VaultLockedError


@dataclass(frozen=True)
class Alarm:
    """Something in the keyholder's journal that people must hear of; `about` says more, by its kind."""

    id: uuid.UUID
    at: dt.datetime
    kind: str
    about: dict[str, Any]


@dataclass(frozen=True)
class EpochProblem:
    """Why an epoch's key was not given: a BadOpening kind, `foreign`, `browser_key` or `day_key`."""

    kind: str


class Keyholder:
    """The keyholder of a site. Safe across threads; a connection a call."""

    def __init__(self, settings: Settings, timeout: float = TIMEOUT_SECONDS) -> None:
        self._path, self._timeout = str(settings.keyholder_socket), timeout

    def status(self) -> Status:
        found = self.ask("status")
        return Status(
            uuid.UUID(found["vault"]),
            found["locked"],
            found["day_key"],
            found["last_day_key"],
            found["uses"],
            found["ledger"],
            found["ledger_problem"],
            tuple(found["alarms"]),
        )

    def require_unlocked(self) -> None:
        """Ask before work that needs keys, so that nothing is begun, nor logged, that can only wait.

        Raises VaultLockedError, KeyholderDownError.
        """
        if self.status().locked:
            raise VaultLockedError

    def publics(self) -> Publics:
        """Service keys and signed day keys; 30 days ahead are made while the vault is unlocked."""
        found = self.ask("publics")
        return Publics(
            uuid.UUID(found["vault"]),
            {name: to_bytes(key) for name, key in found["service_keys"].items()},
            tuple(DayKey(key["id"], to_bytes(key["public"]), key["signature"]) for key in found["day_keys"]),
            found["day_key"],
            found["day_list"].encode() if found["day_list"] else None,
        )

    def sign(self, kind: str, statement: Mapping[str, Any]) -> bytes:
        """A signed envelope; `kind` (packet, tombstone, checkpoint) is the statement's type."""
        envelope: str = self.ask("sign", kind=kind, statement=dict(statement))
        return envelope.encode()

    def create_recording_key(
        self, recording: uuid.UUID, department: uuid.UUID, year: int, event_id: uuid.UUID
    ) -> str:
        """Make the recording's key once, for a `seal` event; returns the department-and-year key's id."""
        parent: str = self.ask(
            "create_recording_key",
            recording=str(recording),
            event=str(event_id),
            department=str(department),
            year=year,
        )
        return parent

    def file_keys(
        self, recording: uuid.UUID, event_id: uuid.UUID, purpose: str, headers: Sequence[bytes]
    ) -> list[bytes]:
        """The keys (32 bytes) of sealed files of one recording, by their headers, in order."""
        found = self.ask(
            "file_keys",
            recording=str(recording),
            event=str(event_id),
            purpose=purpose,
            headers=[to_text(header) for header in headers],
        )
        return [to_bytes(key) for key in found]

    def new_file_keys(
        self, recording: uuid.UUID, event_id: uuid.UUID, purpose: str, names: Sequence[tuple[str, str]]
    ) -> list[tuple[bytes, bytes]]:
        """(header, key) for each (kind, name): fresh, for one write of that file."""
        found = self.ask(
            "new_file_keys", recording=str(recording), event=str(event_id), purpose=purpose, names=list(names)
        )
        return [(to_bytes(header), to_bytes(key)) for header, key in found]

    def epoch_keys(
        self, recording: uuid.UUID, event_id: uuid.UUID, purpose: str, openings: Sequence[bytes]
    ) -> list[bytes | EpochProblem]:
        """The key (32 bytes) of each epoch, or why there is none, in order."""
        found = self.ask(
            "epoch_keys",
            recording=str(recording),
            event=str(event_id),
            purpose=purpose,
            openings=[to_text(opening) for opening in openings],
        )
        return [to_bytes(each["key"]) if "key" in each else EpochProblem(each["problem"]) for each in found]

    def new_document_key(self, owner: Owner, event_id: uuid.UUID, name: str) -> tuple[bytes, bytes]:
        """(header, key) for the one write of the document that the event names. A person's own key is made
        the first time."""
        header, key = self.ask(
            "new_document_key", owner=owner.kind, id=str(owner.id), event=str(event_id), name=name
        )
        return to_bytes(header), to_bytes(key)

    def document_keys(self, owner: Owner, event_id: uuid.UUID, headers: Sequence[bytes]) -> list[bytes]:
        """The keys (32 bytes) of documents that the event names, by their headers, in order."""
        found = self.ask(
            "document_keys",
            owner=owner.kind,
            id=str(owner.id),
            event=str(event_id),
            headers=[to_text(header) for header in headers],
        )
        return [to_bytes(key) for key in found]

    def missing_events(self) -> list[uuid.UUID]:
        """Events that keys were given for and that the audit log no longer has."""
        return [uuid.UUID(event) for event in self.ask("missing_events")]

    def alarms(self) -> list[Alarm]:
        """The newest alarms, oldest first."""
        return [
            Alarm(uuid.UUID(each["id"]), from_timestamp(each["at"]), each["alarm"], each["about"])
            for each in self.ask("alarms")
        ]

    def idle_day_keys(self) -> list[str]:
        """The day keys that nothing needs any more, oldest first. Raises DatabaseDoubtfulError as well."""
        return [str(day) for day in self.ask("idle_day_keys")]

    def destroy_day_keys(self, event_id: uuid.UUID) -> list[str]:
        """Destroy those of the ordered day keys that are still idle, once for a committed order; returns
        them. Raises DatabaseDoubtfulError as well."""
        return [str(day) for day in self.ask("destroy_day_keys", event=str(event_id))]

    def lock(self, event_id: uuid.UUID | None = None, reason: str = "") -> None:
        """Forget the vault key; recording goes on. `event_id` is the order's, where it could be recorded."""
        self.ask("lock", event=str(event_id) if event_id else None, reason=reason or None)

    def unlock(self, event_id: uuid.UUID, kind: str = "") -> None:
        """Unlock from a slot whose key is at hand (of this kind, if one is named), once for a committed order
        to do so. Raises UnlockError."""
        self.ask("unlock", event=str(event_id), kind=kind or None)

    def backup_keys(self, *, again: bool = False) -> Made | None:
        """Back up the key records, unless today's generation is there and not wanted `again`; None when
        nothing was made. Raises KeyBackupError."""
        found = self.ask("backup_keys", again=again or None)
        if found is None:
            return None
        damaged, removed = tuple(found["damaged"]), tuple(found["removed"])
        return Made(found["day"], found["records"], damaged, removed)

    def key_backups(self) -> BackupState:
        """Which generations of key backups there are."""
        found = self.ask("key_backups")
        return BackupState(found["configured"], tuple(found["days"]), tuple(found["unreadable"]))

    def is_backed_up(self, kind: str, key_id: str) -> bool:
        """Whether a key record is in a generation that was read back; true where none is configured."""
        return bool(self.ask("is_backed_up", kind=kind, id=key_id))

    def expect_ledger(self, text: str) -> None:
        """Demand an erase ledger no shorter than this, from the next unlock on: `count:head` as printed, or
        the text of a signed checkpoint. Raises LedgerRefusedError, InvalidInputError."""
        self.ask("expect_ledger", ledger=text)

    def ask(self, operation: str, **fields: Any) -> Any:
        """One operation, for the parts of this face that stand in files of their own."""
        line = json.dumps({"op": operation, **fields}, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout)
                connection.connect(self._path)
                connection.sendall(line + b"\n")
                with connection.makefile("rb") as answers:
                    answer = json.loads(answers.readline(MAX_LINE_BYTES))
        except (OSError, ValueError) as error:
            raise KeyholderDownError() from error
        raise_error(answer)
        return answer["ok"]
