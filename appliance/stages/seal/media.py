"""One recording's epochs as intake holds them, the sealed files they become, and the child in between."""

from __future__ import annotations

import base64
import contextlib
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from appliance import child, documents, jobs
from appliance.domain import TrackKind
from appliance.keyholder.client import Keyholder
from appliance.transport import Transport
from storage.vault import BadOpening, Draft, EpochState, IntegrityError, NotFound, Vault, parse_opening

PURPOSE = "seal"
MEDIA = (TrackKind.CAMERA, TrackKind.SCREEN)

TrackStates = dict[str, dict[str, EpochState]]


@dataclass
class Epoch:
    """One epoch as intake holds it; without a key, `problem` says why."""

    track: str
    id: str
    opening: bytes = b""
    day_key_id: str = ""
    key: bytes = field(default=b"", repr=False)
    problem: str = ""


def journal_states(transport: Transport, recording_id: uuid.UUID) -> TrackStates:
    """What every journal of a recording holds."""
    return {name: transport.journal(recording_id, name).state() for name in transport.tracks(recording_id)}


def read_epochs(
    keyholder: Keyholder,
    transport: Transport,
    recording_id: uuid.UUID,
    event_id: uuid.UUID,
    states: TrackStates,
    limit: int,
) -> list[Epoch]:
    """Every epoch with its key, or with the reason why it has none; those beyond `limit` get none."""
    found = []
    for name in sorted(set(states) & set(TrackKind)):
        journal = transport.journal(recording_id, name)
        for epoch_id in states[name]:
            epoch = Epoch(name, epoch_id)
            try:
                opening = parse_opening(journal.opening(bytes.fromhex(epoch_id)))
                epoch.opening, epoch.day_key_id = opening.raw, opening.day_key_id
                if opening.track != name:
                    epoch.problem = "foreign"
            except (BadOpening, IntegrityError, NotFound) as error:
                epoch.problem = f"opening_{error.kind}"
            found.append(epoch)
    for epoch in found[limit:]:
        epoch.problem = "limit"
    asked = [epoch for epoch in found if not epoch.problem]
    if asked:
        keys = keyholder.epoch_keys(recording_id, event_id, PURPOSE, [epoch.opening for epoch in asked])
        for epoch, key in zip(asked, keys, strict=True):
            if isinstance(key, bytes):
                epoch.key = key
            else:
                epoch.problem = key.kind
    return found


class Drafts:
    """The files of one run, each under a key of its own; what is not committed is discarded."""

    def __init__(
        self,
        vault: Vault,
        keyholder: Keyholder,
        recording_id: uuid.UUID,
        event_id: uuid.UUID,
        epochs: list[Epoch],
    ) -> None:
        self._vault, self._keyholder = vault, keyholder
        self._recording_id, self._event_id = recording_id, event_id
        self.media = [name for name in MEDIA if any(epoch.track == name for epoch in epochs)]
        self._files: dict[tuple[str, str], tuple[Draft, bytes, bytes]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Drafts:
        names = [*(("track", str(name)) for name in self.media), ("document", documents.TIMELINE)]
        keys = self._keyholder.new_file_keys(self._recording_id, self._event_id, PURPOSE, names)
        for (kind, name), (header, key) in zip(names, keys, strict=True):
            draft = self._stack.enter_context(self._vault.begin(self._recording_id, kind, name))
            self._files[kind, name] = (draft, header, key)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def descriptors(self) -> list[int]:
        """What the child must inherit."""
        return [draft.fd for draft, _, _ in self._files.values()]

    def request(self, kind: str, name: str) -> dict[str, Any]:
        """How the child's request names one output."""
        draft, header, key = self._files[kind, name]
        return {"out_fd": draft.fd, "header": _text(header), "out_key": _text(key)}

    def commit(self, result: dict[str, Any]) -> None:
        """Give every written file its name; a track in which nothing was readable leaves none."""
        for described in result["tracks"]:
            if described["container"]:
                self._files["track", described["name"]][0].commit()
        self._files["document", documents.TIMELINE][0].commit()

    def bytes_on_disk(self, kind: str, name: str) -> int:
        """The size of a committed file."""
        return self._vault.path(self._recording_id, kind, name).stat().st_size


def remux(
    work: jobs.Work,
    transport: Transport,
    recording_id: uuid.UUID,
    epochs: list[Epoch],
    drafts: Drafts,
    longest: timedelta,
) -> dict[str, Any]:
    """Let the child decrypt, put together and encrypt; nothing of it is in the clear here."""
    with contextlib.ExitStack() as stack:
        journals = {}
        for name in {epoch.track for epoch in epochs}:
            file = stack.enter_context(transport.journal(recording_id, name).path.open("rb"))
            journals[name] = file.fileno()

        def listed(name: str) -> list[dict[str, Any]]:
            return [
                {
                    "journal_fd": journals[name],
                    "opening": _text(epoch.opening),
                    "key": _text(epoch.key) if epoch.key else None,
                }
                for epoch in epochs
                if epoch.track == name and epoch.opening
            ]

        request = {
            "mode": "remux",
            "tracks": [
                {"name": name, "kind": name, "epochs": listed(name), **drafts.request("track", name)}
                for name in drafts.media
            ],
            "events": [
                {"epochs": listed(TrackKind.EVENTS), **drafts.request("document", documents.TIMELINE)}
            ],
        }
        return child.run(
            request,
            [*journals.values(), *drafts.descriptors],
            memory_bytes=work.settings.analysis_memory_bytes,
            timeout=longest.total_seconds(),
            stopping=work.stopping,
        )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
