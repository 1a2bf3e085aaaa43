"""Ingest: what the browser signed is what arrived, and a stopped inside stops nobody outside."""

from __future__ import annotations

import hashlib
import json

from appliance.domain import Limits, RecordingState
from appliance.tables import attempt, intake_record
from appliance.transport import transport_of
from tests.flow import processes, quick
from tests.flow.desk import Desk
from tests.flow.fixtures import Hired, Told
from tests.flow.relay import Relay
from tests.flow.rows import rows
from tests.support import product, story
from tests.support.media import recorded
from tests.support.product import Product


def test_the_servers_digests_are_those_the_browser_signed(live: Product, ming: Told) -> None:
    [finish] = rows(live, intake_record, attempt_id=ming.recording, kind="finish")
    epochs = json.loads(finish.body["statement"])["epochs"]
    assert {each["track"] for each in epochs} == {"camera", "screen", "events"}
    for each in epochs:
        journal = transport_of(live.settings).journals(ming.recording, Limits.bytes)[each["track"]]
        chunks = journal.state()[each["epoch"]].chunks
        digests = b"".join(chunk.digest for _, chunk in sorted(chunks.items()))
        assert hashlib.sha256(digests).hexdigest() == each["digest"]
        assert sum(not chunk.flag for chunk in chunks.values()) == each["chunks"]
    [row] = rows(live, attempt, id=ming.recording)
    assert row.end_proven


def test_without_database_keyholder_and_worker_recording_goes_on_and_nothing_is_lost(
    live: Product, hired: Hired, relay: Relay, recruiter: Desk, anna: Told, ming: Told
) -> None:
    assert anna.report.state == ming.report.state == "sealed"  # nothing of theirs is under way
    candidate = quick.begun(quick.invited(recruiter, relay, hired.english, "outlast"), analysis=False)
    epoch = candidate.epoch()
    chunks = list(recorded(6.0))
    assert candidate.put(epoch, epoch.chunk(chunks[0]))[0] == 201
    with (
        processes.without(live, "keyholder", "worker", "scheduler"),
        processes.without_database(live, product.DEBIAN_POSTGRES),
    ):
        again = quick.browser_at(relay.link_to("outlast@example.com"))
        page, _ = again.call("GET", f"/i/{candidate.recording}")
        assert page == 200
        for chunk in chunks[1:]:
            assert candidate.put(epoch, epoch.chunk(chunk))[0] == 201
        assert candidate.put(epoch, epoch.end(6100))[0] == 201
        status, answer = candidate.finish(epoch)
        assert status == 200
        assert answer["receipt"]["chunks"] == len(chunks)
    report = story.wait_for_report(live.settings, candidate.recording)
    assert report.state == RecordingState.SEALED
    assert report.gaps == []
    assert abs(report.duration_ms - 6000) <= 200
    assert quick.pieces_at_intake(live, candidate.recording) == len(chunks) + 1


def test_a_killed_intake_loses_nothing_that_it_acknowledged(
    live: Product, hired: Hired, relay: Relay, recruiter: Desk
) -> None:
    candidate = quick.begun(quick.invited(recruiter, relay, hired.english, "crash"), analysis=False)
    epoch = candidate.epoch()
    sent = [epoch.chunk(bytes([n]) * 50_000) for n in range(5)]
    for piece in sent:
        assert candidate.put(epoch, piece)[0] == 201
    processes.kill(live, "intake")
    journal = transport_of(live.settings).journals(candidate.recording, Limits.bytes)["camera"]
    kept = journal.state()[epoch.id].chunks
    assert {n: chunk.digest for n, chunk in kept.items()} == {
        n: hashlib.sha256(body).digest() for n, _, body in sent
    }
    begun = candidate.api("GET", "/state")
    assert begun[1]["tracks"]["camera"][epoch.id]["have"] == [[0, 4]]
