"""Ingest: real intake behind nginx against nginx storing the same bodies, and 1,000 candidates at once."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.intake_folder import IntakeFolder
from tests.bench import load, nginx, servers
from tests.bench.figures import Goal, Sheet, median, p95, percentile
from tests.support.candidate import Candidate, Epoch, flask_call
from tests.support.intake_site import IntakeSite
from webui.intake.app import create_app

CONNECTIONS = 16
ROUNDS = 7
ROUND_BYTES = 320_000_000
# What the room records: 1.2 Mbit/s of picture and 64 kbit/s of sound, cut every two seconds; and 5 Mbit/s.
CHUNK_SECONDS = 2.0
USUAL_CHUNK, LARGE_CHUNK = 316_000, 1_250_000
# A thousand who record at 0.5 Mbit/s, and as the room does.
CROWD_CHUNKS = (125_000, USUAL_CHUNK)
CROWD = 1000
CROWD_SECONDS = 30


def measure(sheet: Sheet, folder: Path) -> None:
    """Both measurements, on the disk that `folder` is on."""
    site = IntakeSite(folder / "site")
    settings_file = _settings_file(site)
    with (
        servers.running("intake", settings_file) as intake,
        nginx.running(folder / "nginx", intake.port) as front,
    ):
        for size in (USUAL_CHUNK, LARGE_CHUNK):
            _against_webdav(sheet, site, intake, front, size)
        for size in CROWD_CHUNKS:
            _crowd(sheet, site, front, size)
        sheet.add("ingest.bodies_in_files", front.spilled, "bodies", Goal("≤", 0), "written to disk by nginx")


def _settings_file(site: IntakeSite) -> Path:
    """What `site` has, as the file that a process reads."""
    path = site.settings.data / "fupan.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'data = "{site.settings.data}"\nlanguage = "en"\ndisk_floor_bytes = 1073741824\n'
        'staff_url = "http://127.0.0.1"\nintake_url = "http://127.0.0.1"\n[database]\nhost = "/nonexistent"\n'
    )
    return path


@dataclass
class Sender:
    """One candidate who has begun and agreed, with an epoch open."""

    candidate: Candidate
    epoch: Epoch

    @property
    def recording(self) -> uuid.UUID:
        return self.candidate.recording

    def requests(self, plain: bytes, count: int) -> Iterator[load.Request]:
        """The next `count` chunks, each sealed when it is asked for."""
        for _ in range(count):
            number, body = self.epoch.writer.chunk(plain)
            yield self._head(number, body), body

    def _head(self, number: int, body: bytes) -> bytes:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        return (
            f"PUT /intake/recordings/{self.recording}/tracks/camera/epochs/{self.epoch.id}/chunks/{number}"
            f"?flag=0 HTTP/1.1\r\nHost: intake\r\nAuthorization: Fupan {self.candidate.token}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Digest: sha-256=:{digest}:\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()


def _senders(site: IntakeSite, count: int) -> list[Sender]:
    call = flask_call(create_app(site.settings).test_client(use_cookies=False))
    made = []
    for _ in range(count):
        packet, secret = site.invite()
        candidate = Candidate(call, packet.recording, secret)
        for status, answer in (candidate.begin(), candidate.consent()):
            if status != 200:
                raise RuntimeError(f"a candidate could not begin: {status} {answer}")
        made.append(Sender(candidate, candidate.epoch()))
    return made


def _plain(sender: Sender, size: int) -> bytes:
    """Random plaintext that makes a wire body of `size` bytes."""
    return os.urandom(size - len(sender.epoch.writer.opening.raw) - 16)


def _against_webdav(
    sheet: Sheet, site: IntakeSite, intake: servers.WebProcess, front: nginx.Nginx, size: int
) -> None:
    """The same bodies through both, one after the other, in alternating order."""
    senders = _senders(site, CONNECTIONS)
    plain = _plain(senders[0], size)
    each = ROUND_BYTES // size // CONNECTIONS
    rates: dict[int, list[float]] = {front.front: [], front.files: []}
    cores: dict[int, list[float]] = {front.front: [], front.files: []}
    for number in range(-1, ROUNDS):  # the first is a warm-up
        requests = [list(sender.requests(plain, each)) for sender in senders]
        files = [_as_files(of_one, f"{size}/{number}/{i}") for i, of_one in enumerate(requests)]
        sides = [(front.front, requests), (front.files, files)]
        for port, bodies in sides if number % 2 else reversed(sides):
            os.sync()  # what the side before left unwritten is not this side's cost
            used = intake.cpu_seconds + front.cpu_seconds
            outcome = load.drive(port, [iter(of_one) for of_one in bodies])
            if set(outcome.statuses) != {201}:
                raise RuntimeError(f"port {port} answered {dict(outcome.statuses)}")
            if number >= 0:
                rates[port].append(outcome.rate)
                cores[port].append((intake.cpu_seconds + front.cpu_seconds - used) / outcome.bytes * 1e9)
        shutil.rmtree(front.root / str(size))
    name = f"ingest.{size // 1000}kB"
    ours, theirs = rates[front.front], rates[front.files]
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    about = f"{size / 1000:.0f} kB bodies, {CONNECTIONS} connections, median of {ROUNDS} alternating rounds"
    lost = _lost(site.folder, senders, each * (ROUNDS + 1))
    sheet.add(f"{name}.ratio", median(ratios), "times", Goal("≥", 1.0), about)
    sheet.add(f"{name}.ratio_worst", min(ratios), "times", None, "worst round")
    sheet.add(f"{name}.rate", median(ours), "MB/s", None, "through nginx, digest checked, fsynced")
    sheet.add(f"{name}.webdav", median(theirs), "MB/s", None, "nginx WebDAV PUT, neither")
    sheet.add(f"{name}.cpu", median(cores[front.front]), "s/GB", None, "CPU of nginx and intake")
    sheet.add(f"{name}.webdav_cpu", median(cores[front.files]), "s/GB", None, "CPU of nginx")
    sheet.add(f"{name}.lost", lost, "chunks", Goal("≤", 0), "of those acknowledged")


def _as_files(requests: list[load.Request], folder: str) -> list[load.Request]:
    """The same bodies as plain files of their own."""
    return [
        (f"PUT /{folder}/{n} HTTP/1.1\r\nHost: files\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body)
        for n, (_, body) in enumerate(requests)
    ]


def _lost(folder: IntakeFolder, senders: list[Sender], sent: int) -> int:
    """How many acknowledged chunks a fresh reading of the journals does not find."""
    lost = 0
    for sender in senders:
        journal = folder.journal(sender.recording, "camera", 1 << 40)
        lost += sent - len(journal.state()[sender.epoch.id].chunks)
    return lost


def _crowd(sheet: Sheet, site: IntakeSite, front: nginx.Nginx, size: int) -> None:
    """Each of a thousand sends a chunk every two seconds; the client takes its share of the same cores."""
    senders = _senders(site, CROWD)
    plain = _plain(senders[0], size)
    count = round(CROWD_SECONDS / CHUNK_SECONDS)
    os.sync()
    outcome = load.drive(front.front, [sender.requests(plain, count) for sender in senders], CHUNK_SECONDS)
    refused = sum(n for status, n in outcome.statuses.items() if status != 201)
    offered = CROWD * size / CHUNK_SECONDS / 1e6
    about = f"{CROWD} candidates, {size // 1000} kB every {CHUNK_SECONDS:g} s for {CROWD_SECONDS} s"
    client = f"of {offered:.0f} sent; the client took {outcome.client_cpu / outcome.seconds:.2f} of the cores"
    name = f"ingest.crowd_{size // 1000}kB"
    sheet.add(f"{name}.p95", p95(outcome.latencies), "s", Goal("<", 1.0), about)
    sheet.add(f"{name}.p50", median(outcome.latencies), "s")
    sheet.add(f"{name}.p99", percentile(outcome.latencies, 0.99), "s")
    sheet.add(f"{name}.rate", outcome.rate, "MB/s", None, client)
    lost = _lost(site.folder, senders, count)
    sheet.add(f"{name}.lost", lost + refused, "chunks", Goal("≤", 0), "refused, or acknowledged and gone")
