"""Many requests at once, over the two processes of the product's own gunicorn."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from appliance.config import Database, Settings
from storage.vault import Journal
from tests.support.candidate import Candidate, content_digest, http_call
from tests.support.intake_site import IntakeSite
from tests.support.serving import connect, read_answer, serving
from webui.intake import app as intake
from webui.serving import PatientWorker

AT_ONCE = 12
Worker = PatientWorker


def create_app() -> Flask:
    """The application over the folder that the test has set up."""
    where = "http://127.0.0.1"
    return intake.create_app(Settings(Path(os.environ["SITE"]), where, where, Database(host="/nonexistent")))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[IntakeSite, str]]:
    folder = tmp_path_factory.mktemp("served")
    site = IntakeSite(folder / "data")
    with serving(folder, "intake", __name__) as port:
        yield site, f"http://127.0.0.1:{port}"


def invited(served: tuple[IntakeSite, str]) -> Candidate:
    site, url = served
    packet, secret = site.invite()
    return Candidate(http_call(url), packet.recording, secret)


def begun(served: tuple[IntakeSite, str]) -> Candidate:
    candidate = invited(served)
    assert candidate.begin()[0] == 200
    assert candidate.consent()[0] == 200
    return candidate


def twin(candidate: Candidate, url: str) -> Candidate:
    """The same browser on a connection of its own."""
    other = Candidate(http_call(url), candidate.recording, candidate.secret)
    other.key, other.token, other.packet = candidate.key, candidate.token, candidate.packet
    return other


def at_once(*doing: Callable[[], tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    start = threading.Barrier(len(doing))

    def run(one: Callable[[], tuple[int, dict[str, Any]]]) -> tuple[int, dict[str, Any]]:
        start.wait(10)
        return one()

    with ThreadPoolExecutor(len(doing)) as pool:
        return list(pool.map(run, doing))


def counted(answers: list[tuple[int, dict[str, Any]]]) -> Counter[tuple[int, object]]:
    return Counter((status, answer.get("code")) for status, answer in answers)


def test_of_many_browsers_one_is_bound_and_one_link_is_asked_for(served: tuple[IntakeSite, str]) -> None:
    site, url = served
    first = invited(served)
    others = [Candidate(http_call(url), first.recording, first.secret) for _ in range(AT_ONCE)]
    found = counted(at_once(*(each.begin for each in others)))
    assert found == {(200, None): 1, (409, "bound_elsewhere"): AT_ONCE - 1}
    kinds = [str(record.kind) for record in site.folder.records(first.recording)]
    assert kinds == ["bound", "rebind_requested"]


def test_a_piece_that_is_sent_many_times_is_kept_once(served: tuple[IntakeSite, str]) -> None:
    site, url = served
    candidate = begun(served)
    epoch = candidate.epoch()
    piece = epoch.chunk(os.urandom(100_000))
    senders = [twin(candidate, url) for _ in range(AT_ONCE)]
    answers = at_once(*(partial(each.put, epoch, piece) for each in senders))
    assert counted(answers) == {(201, None): 1, (200, None): AT_ONCE - 1}
    kept = site.folder.root / "recordings" / str(candidate.recording) / "tracks" / "camera.journal"
    assert len(piece[2]) < kept.stat().st_size < len(piece[2]) + 2000


@pytest.mark.parametrize("reset", [False, True])
def test_a_piece_that_is_cut_off_is_not_kept_and_is_taken_when_it_comes_whole(
    served: tuple[IntakeSite, str], reset: bool
) -> None:
    site, url = served
    candidate = begun(served)
    epoch = candidate.epoch()
    piece = epoch.chunk(os.urandom(100_000))
    body = piece[2]
    path = f"/intake/recordings/{candidate.recording}/tracks/camera/epochs/{epoch.id}/chunks/0?flag=0"
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Fupan {candidate.token}\r\nContent-Digest: {content_digest(body)}\r\n\r\n"
    )
    with connect(int(url.rpartition(":")[2])) as cut:
        cut.sendall(head.encode() + body[:70_000])
        if reset:
            cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            cut.shutdown(socket.SHUT_WR)
            assert read_answer(cut)[0].startswith(b"HTTP/1.1 400")
    assert site.folder.tracks(candidate.recording) == []
    assert candidate.put(epoch, piece)[0] == 201


def test_of_differing_pieces_for_one_place_one_is_kept_in_the_journal(served: tuple[IntakeSite, str]) -> None:
    site, url = served
    candidate = begun(served)
    epoch = candidate.epoch()
    raw = epoch.writer.opening.raw
    bodies = [raw + os.urandom(5000) for _ in range(AT_ONCE)]
    senders = [twin(candidate, url) for _ in bodies]
    answers = at_once(
        *(partial(each.put, epoch, (0, 0, body)) for each, body in zip(senders, bodies, strict=True))
    )
    assert counted(answers) == {(201, None): 1, (409, "different_chunk"): AT_ONCE - 1}
    folder = site.folder.root / "recordings" / str(candidate.recording) / "tracks"
    kept = Journal(folder / "camera.journal").read(bytes.fromhex(epoch.id), 0)
    assert raw + kept == bodies[[status for status, _ in answers].index(201)]
    [conflict] = folder.glob("*.conflict")
    assert conflict.read_bytes() in bodies
    events = [record.body.get("event") for record in site.folder.records(candidate.recording)]
    assert events.count("chunk_conflict") == 1


def test_finishes_and_pieces_that_race_leave_one_receipt(served: tuple[IntakeSite, str]) -> None:
    site, url = served
    candidate = begun(served)
    epoch = candidate.epoch()
    first, second = epoch.chunk(b"one"), epoch.chunk(b"two")
    end = epoch.end()
    candidate.put(epoch, first)
    senders = [twin(candidate, url) for _ in range(AT_ONCE)]
    doing = [partial(each.finish, epoch) for each in senders[2:]]
    pieces = [partial(senders[0].put, epoch, second), partial(senders[1].put, epoch, end)]
    answers = at_once(*pieces, *doing)
    assert [status for status, _ in answers[:2]] == [201, 201]
    receipts = [
        answer["receipt"] for status, answer in [*answers[2:], candidate.finish(epoch)] if status == 200
    ]
    assert set(counted(answers[2:])) <= {(200, None), (409, "chunks_missing")}
    assert all(receipt == receipts[0] for receipt in receipts)
    kinds = [str(record.kind) for record in site.folder.records(candidate.recording)]
    assert kinds.count("finish") == 1


def test_what_was_acknowledged_while_the_tombstone_fell_is_in_the_journal(
    served: tuple[IntakeSite, str],
) -> None:
    """The seal puts its tombstone, then reads the journals: every 201 must be among what it reads."""
    site, url = served
    candidate = begun(served)
    epoch = candidate.epoch()
    pieces = [epoch.chunk(bytes([n])) for n in range(AT_ONCE)]
    senders = [twin(candidate, url) for _ in pieces]
    read: set[int] = set()

    def seal() -> tuple[int, dict[str, Any]]:
        site.seal(candidate.recording)
        state = site.folder.journal(candidate.recording, "camera", 1 << 30).state()
        read.update(state[epoch.id].chunks if epoch.id in state else ())
        return 0, {}

    sending = [partial(each.put, epoch, piece) for each, piece in zip(senders, pieces, strict=True)]
    answers = at_once(seal, *sending)[1:]
    assert set(counted(answers)) <= {(201, None), (410, "sealed")}
    assert {n for n, (status, _) in enumerate(answers) if status == 201} <= read


def test_epochs_that_begin_at_once_keep_to_their_number(served: tuple[IntakeSite, str]) -> None:
    _, url = served
    candidate = begun(served)
    limit = candidate.packet["limits"]["epochs"]
    epochs = [candidate.epoch("events") for _ in range(limit + 1)]
    senders = [twin(candidate, url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: senders[n % 8].put(epochs[n], epochs[n].chunk(b"x")), range(limit + 1))
        )
    assert counted(answers) == {(201, None): limit, (413, "too_many_epochs"): 1}
