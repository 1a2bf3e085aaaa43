"""What is particular to an S3-compatible store: parts, lost answers, refusals, TLS, and a store that dies."""

from __future__ import annotations

import http.server
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.embedded import certificate
from storage import s3
from storage.errors import IntegrityError, NotFound, StoreDown, VaultFull
from storage.objects import digest_of
from tests.storage.test_objects import A, B, file_of, names, put, read
from tests.support import flaky, seaweedfs

MIB = 1 << 20


@pytest.fixture
def objects(seaweed: seaweedfs.Store, tmp_path: Path) -> s3.S3Objects:
    return seaweed.objects(tmp_path / "scratch")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def line(seaweed: seaweedfs.Store) -> Iterator[flaky.Line]:
    with flaky.line_to(seaweed.ports["s3.port"]) as made:
        yield made


@pytest.fixture
def behind(seaweed: seaweedfs.Store, line: flaky.Line, tmp_path: Path) -> s3.S3Objects:
    """Objects at the other end of the line."""
    return seaweed.objects(tmp_path / "scratch", endpoint=f"http://127.0.0.1:{line.port}")


@pytest.mark.parametrize("size", [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 11 * MIB])
def test_a_large_object_goes_in_parts(
    objects: s3.S3Objects, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * MIB)
    data = random.Random(size).randbytes(size)
    put(objects, A, data)
    with closing(objects.open(A)) as source:
        assert source.size == size
        assert all(source.read_at(100, at) == data[at : at + 100] for at in range(0, size, MIB))
    with os.fdopen(objects.fetch(A), "rb") as file:
        assert file.read() == data


def test_nothing_of_a_draft_or_a_copy_has_a_name_on_disk(objects: s3.S3Objects, tmp_path: Path) -> None:
    put(objects, A, b"media")
    draft, fd = objects.begin(B), objects.fetch(A)
    os.write(draft.fd, b"half")
    assert list((tmp_path / "scratch").iterdir()) == []
    draft.discard()
    os.close(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(draft.fd)


def test_what_another_writes_under_the_name_ends_a_reading(objects: s3.S3Objects) -> None:
    put(objects, A, bytes(1000))
    with closing(objects.open(A)) as source:
        put(objects, A, bytes(1001))
        with pytest.raises(IntegrityError, match="replaced"):
            source.read_at(10, 500)
        objects.remove(A)
        with pytest.raises(NotFound):
            source.read_at(10, 500)


def test_foreign_names_are_listed_as_strangers(seaweed: seaweedfs.Store, tmp_path: Path) -> None:
    outer, inner = seaweed.objects(tmp_path), seaweed.objects(tmp_path)
    foreign = f"{inner.place('').removeprefix(f's3://{seaweedfs.BUCKET}/')}Notes of ours.txt"
    with file_of(b"x") as fd:
        outer._writes.fput_object(seaweedfs.BUCKET, foreign, f"/proc/self/fd/{fd}")
    assert [(stored.name, stored.kind, stored.bytes) for stored in inner.list()] == [
        ("Notes of ours.txt", "stranger", 1)
    ]


# --- answers that are lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 200, 5000])
def test_a_reading_whose_line_breaks_goes_on(behind: s3.S3Objects, line: flaky.Line, kept: int) -> None:
    data = random.Random(3).randbytes(100_000)
    put(behind, A, data)
    line.losses += [(b"^GET", kept)] * 2
    assert read(behind, A) == data
    assert line.losses == []


def test_a_line_that_always_breaks_is_an_outage(behind: s3.S3Objects, line: flaky.Line) -> None:
    put(behind, A, bytes(100_000))
    line.losses += [(b"^GET", 5000)] * 50
    with pytest.raises(StoreDown, match="unreachable"):
        read(behind, A)


def test_a_put_whose_answer_is_lost_is_put_again(behind: s3.S3Objects, line: flaky.Line) -> None:
    line.losses.append((b"^PUT", 0))
    put(behind, A, b"media")
    assert read(behind, A) == b"media"
    assert line.losses == []


def test_a_completion_whose_answer_is_lost_was_one(
    behind: s3.S3Objects, line: flaky.Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * MIB)
    data = random.Random(4).randbytes(6 * MIB)
    line.losses += [(rb"^POST \S*uploads=", 0), (rb"^PUT \S*partNumber=2", 0), (rb"^POST \S*uploadId=", 0)]
    put(behind, A, data)
    assert read(behind, A) == data
    assert line.losses == []


def test_of_a_new_one_whose_answer_is_lost_it_is_known_whose_it_is(
    behind: s3.S3Objects, line: flaky.Line
) -> None:
    with file_of(b"ours") as ours, file_of(b"theirs") as theirs:
        line.losses.append((b"^PUT", 0))
        assert behind.put_new(A, ours)
        line.losses.append((b"^PUT", 0))
        assert not behind.put_new(A, theirs)
    assert read(behind, A) == b"ours"
    assert line.losses == []


# --- proof of what arrived ---------------------------------------------------------------------------------


def test_a_store_whose_etag_is_no_digest_has_its_object_read_back(
    objects: s3.S3Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3._Sending, "etag", "of another kind")
    put(objects, A, b"media")
    assert read(objects, A) == b"media"


def test_other_bytes_than_were_sent_are_noticed(
    objects: s3.S3Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = s3._Sending.read
    monkeypatch.setattr(s3._Sending, "read", lambda self, *size: bytes(len(real(self, *size))))
    with pytest.raises(IntegrityError, match="replaced"):
        put(objects, A, b"media")


# --- refusals ----------------------------------------------------------------------------------------------


def outcome_of(objects: s3.S3Objects, kind: str) -> list[str]:
    """What each call says of a store that is out of order in this way."""
    found = []
    with file_of(b"x") as fd:
        for act in (
            lambda: objects.open(A),
            lambda: objects.fetch(A),
            lambda: objects.put(A, fd),
            lambda: objects.put_new(A, fd),
            lambda: objects.remove(A),
            lambda: objects.exists(A),
            lambda: list(objects.list()),
        ):
            with pytest.raises(StoreDown) as raised:
                act()
            assert raised.value.kind == kind
            found.append(raised.value.detail)
    return found


@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
def test_a_wrong_key_is_named(seaweed: seaweedfs.Store, tmp_path: Path, wrong: str) -> None:
    for told in outcome_of(seaweed.objects(tmp_path, **{wrong: "wrong"}), "refused"):
        assert told.startswith(f"{seaweed.endpoint} refuses the access key")


def test_a_bucket_that_is_not_ours_is_refused(seaweed: seaweedfs.Store, tmp_path: Path) -> None:
    outcome_of(seaweed.objects(tmp_path, bucket="others"), "refused")


def test_a_missing_bucket_is_named(seaweed: seaweedfs.Store, tmp_path: Path) -> None:
    admin = {"access_key": seaweedfs.ADMIN, "secret_key": seaweedfs.ADMIN_SECRET}
    lost = seaweed.objects(tmp_path, bucket="lost", **admin)
    with pytest.raises(StoreDown, match=r"missing: .* has no bucket “lost”"):
        lost.open(A)
    with file_of(b"x") as fd, pytest.raises(StoreDown, match="missing"):
        lost.put(A, fd)
    with pytest.raises(StoreDown, match="missing"):
        list(lost.list())


def test_a_store_that_is_not_there_is_named(seaweed: seaweedfs.Store, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        [told] = {*outcome_of(seaweed.objects(tmp_path, endpoint=address), "unreachable")}
    assert told == f"{address} does not answer: [Errno 111] Connection refused"


@pytest.mark.parametrize(("status", "error"), [(503, "failing"), (400, "failing"), (507, "full")])
def test_a_store_that_answers_with_faults_is_an_outage(
    seaweed: seaweedfs.Store, tmp_path: Path, status: int, error: str
) -> None:
    class Faulty(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            body = b"<Error><Code>Odd</Code><Message>odd</Message></Error>"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        objects = seaweed.objects(tmp_path, endpoint=f"http://127.0.0.1:{server.server_port}")
        if error == "full":
            with file_of(b"x") as fd, pytest.raises(VaultFull):
                objects.put(A, fd)
        else:
            outcome_of(objects, "failing")
        server.shutdown()


def test_tls_by_the_companys_own_authority(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    made, other = certificate.ensure(ours, ["127.0.0.1"]), certificate.ensure(theirs, ["127.0.0.1"])
    with seaweedfs.running(tmp_path / "store", made.certificate, made.key) as store:
        objects = store.objects(tmp_path / "scratch", ca_file=str(made.certificate))
        put(objects, A, b"media")
        assert objects.place(A).startswith(f"s3://{seaweedfs.BUCKET}/")
        assert read(objects, A) == b"media"
        for ca_file in (str(other.certificate), ""):
            with pytest.raises(StoreDown, match=r"unreachable: .* is not trusted"):
                store.objects(tmp_path / "scratch", ca_file=ca_file).open(A)


# --- a store that dies -------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_store_that_is_killed_keeps_every_acknowledged_object(tmp_path: Path) -> None:
    """SIGKILL in the middle of puts, five times: what was acknowledged is there, and clients go on."""
    rng, acknowledged = random.Random(7), dict[str, bytes]()
    with seaweedfs.running(tmp_path / "store") as store:
        objects, stop = store.objects(tmp_path / "scratch"), threading.Event()

        def write(writer: int) -> None:
            number = 0
            while not stop.is_set():
                name, data = f"{writer}/{number}", rng.randbytes(rng.choice([100, 70_000, 3 * MIB]))
                try:
                    put(objects, name, data)
                except StoreDown:
                    continue  # as a job does: the same again, later
                acknowledged[name] = data
                number += 1

        writers = [threading.Thread(target=write, args=(i,)) for i in range(3)]
        for thread in writers:
            thread.start()
        for _ in range(5):
            before = len(acknowledged)
            seaweedfs.until(lambda: len(acknowledged) > before + 5, 120)  # noqa: B023 - used within its turn
            store.kill()
            store.start()
        stop.set()
        for thread in writers:
            thread.join()
        assert len(acknowledged) > 25
        for name, data in acknowledged.items():
            assert read(objects, name) == data, name
        assert set(acknowledged) <= set(names(objects))
        with closing(objects.open("0/0")) as source:
            assert digest_of(source)
