"""One recording's epochs as intake holds them, the sealed files they become, and the child in between."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from appliance import child, documents, jobs
from appliance.domain import TrackKind
from appliance.drafts import Drafts, Written, to_text
from appliance.durable import open_plain
from appliance.keyholder.client import Keyholder
from storage.vault import BadOpening, EpochState, IntegrityError, Journal, NotFound, head_name, parse_opening

PURPOSE = "seal"
MEDIA = (TrackKind.CAMERA, TrackKind.SCREEN)

Journals = Mapping[str, Journal]
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


def journal_states(journals: Journals) -> TrackStates:
    """What every journal of a recording holds."""
    return {name: journal.state() for name, journal in journals.items()}


def journal_bytes(journals: Journals) -> int:
    """The size of every journal of a recording, and so about that of its sealed tracks."""
    return sum(journal.path.lstat().st_size for journal in journals.values())


def read_epochs(
    keyholder: Keyholder,
    journals: Journals,
    recording_id: uuid.UUID,
    event_id: uuid.UUID,
    states: TrackStates,
    limit: int,
) -> list[Epoch]:
    """Every epoch with its key, or with the reason why it has none; those beyond `limit` get none."""
    found = []
    for name, state in sorted(states.items()):
        for epoch_id in state:
            epoch = Epoch(name, epoch_id)
            try:
                opening = parse_opening(journals[name].opening(bytes.fromhex(epoch_id)))
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


def outputs(epochs: list[Epoch]) -> list[tuple[str, str]]:
    """The sealed files a recording becomes: a track with its head for each kind of media that came, the
    timeline, and the manifest."""
    media = [str(name) for name in MEDIA if any(epoch.track == name for epoch in epochs)]
    tracks = [("track", name) for name in media]
    heads = [("document", head_name(name)) for name in media]
    return [*tracks, *heads, ("document", documents.TIMELINE), ("document", documents.MANIFEST)]


def remux(
    work: jobs.Work,
    journals: Journals,
    epochs: list[Epoch],
    drafts: Drafts,
    longest: timedelta,
) -> dict[str, Any]:
    """Let the child decrypt, put together and encrypt; nothing of it is in the clear here."""
    with contextlib.ExitStack() as stack:
        descriptors = {}
        for name in {epoch.track for epoch in epochs}:
            file = stack.enter_context(open_plain(journals[name].path, journals[name].max_bytes))
            descriptors[name] = file.fileno()

        def listed(name: str) -> list[dict[str, Any]]:
            return [
                {
                    "journal_fd": descriptors[name],
                    "opening": to_text(epoch.opening),
                    "key": to_text(epoch.key) if epoch.key else None,
                }
                for epoch in epochs
                if epoch.track == name and epoch.opening
            ]

        request = {
            "mode": "remux",
            "tracks": [
                {
                    "name": name,
                    "kind": name,
                    "epochs": listed(name),
                    "head": drafts.request("document", head_name(name)),
                    **drafts.request(kind, name),
                }
                for kind, name in outputs(epochs)
                if kind == "track"
            ],
            "events": [
                {"epochs": listed(TrackKind.EVENTS), **drafts.request("document", documents.TIMELINE)}
            ],
        }
        return child.run(
            request,
            [*descriptors.values(), *drafts.descriptors],
            memory_bytes=work.settings.analysis_memory_bytes,
            timeout=longest.total_seconds(),
            stopping=work.stopping,
        )


def commit(drafts: Drafts, result: dict[str, Any]) -> dict[str, Written]:
    """Give every written track its name, with its head, and the timeline; the documents by name.

    A track in which nothing was readable leaves no file.
    """
    written = {}
    for described in result["tracks"]:
        if described["container"]:
            head = head_name(described["name"])
            drafts.commit("track", described["name"])
            written[head] = drafts.commit("document", head)
    written[documents.TIMELINE] = drafts.commit("document", documents.TIMELINE)
    return written
