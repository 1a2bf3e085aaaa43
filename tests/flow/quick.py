"""Candidates without a browser: Python that does over HTTP what the page does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

from appliance.domain import Limits
from appliance.transport import transport_of
from storage.vault import EVENTS_MIME
from tests.flow.desk import Desk, in_a_week
from tests.flow.relay import Relay
from tests.support.candidate import Candidate, Epoch, http_call
from tests.support.product import Product


def browser_at(link: str) -> Candidate:
    """A browser that opened a link and has not begun."""
    parts = urlsplit(link)
    recording = uuid.UUID(parts.path.rsplit("/", 1)[1])
    return Candidate(http_call(f"{parts.scheme}://{parts.netloc}"), recording, parts.fragment)


def invited(recruiter: Desk, relay: Relay, position: str, name: str) -> Candidate:
    """Somebody invited to a position by mail, at the mailed link."""
    address = f"{name}@example.com"
    form = {"people": f"{name}, {address}", "deadline": in_a_week()}
    answer = recruiter.post(f"{position}/invitations", form=form)
    assert answer.status == 200, answer.text
    return browser_at(relay.link_to(address))


def begun(candidate: Candidate, *, analysis: bool = True) -> Candidate:
    assert candidate.begin()[0] == 200
    assert candidate.consent(analysis=analysis)[0] == 200
    assert candidate.api("POST", "/questions/1/open")[0] == 200
    return candidate


def record(
    candidate: Candidate,
    chunks: Sequence[bytes],
    *,
    track: str = "camera",
    chunk_ms: float = 2100,
    **more: object,
) -> Epoch:
    """Seal and upload one epoch with its end record."""
    epoch = candidate.epoch(track, **more)
    for chunk in chunks:
        epoch.chunk(chunk)
    epoch.end(len(chunks) * chunk_ms)
    for body in epoch.bodies:
        assert candidate.put(epoch, body)[0] == 201
    return epoch


def events(candidate: Candidate, *kinds: str) -> Epoch:
    """An events track on which these things happened, half a second apart."""
    epoch = candidate.epoch("events", EVENTS_MIME)
    clock = epoch.writer.opening.clock
    happened = [
        {"t": clock.monotonic_ms + 500 * n, "wall": clock.wall_ms + 500 * n, "kind": kind, "question": 1}
        for n, kind in enumerate(kinds)
    ]
    epoch.chunk(json.dumps(happened).encode())
    epoch.end(500 * len(kinds))
    for body in epoch.bodies:
        assert candidate.put(epoch, body)[0] == 201
    return epoch


def pieces_at_intake(product: Product, recording: uuid.UUID, track: str = "camera") -> int:
    """How many pieces of a track lie in intake's journal."""
    return len(held_at_intake(product, recording, track))


def held_at_intake(
    product: Product, recording: uuid.UUID, track: str = "camera"
) -> set[tuple[str, int, str]]:
    """The pieces of a track in intake's journal: epoch, number, digest in hex."""
    journal = transport_of(product.settings).journals(recording, Limits.bytes).get(track)
    epochs = {} if journal is None else journal.state()
    return {
        (epoch, n, chunk.digest.hex()) for epoch, found in epochs.items() for n, chunk in found.chunks.items()
    }
