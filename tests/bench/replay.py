"""Replay of a two-hour recording: first byte, seeks, throughput against nginx, the first picture."""

from __future__ import annotations

import http.client
import random
import shutil
import socket
import tempfile
import time
import uuid
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from appliance.domain import Role
from storage.vault import Vault
from tests.bench import nginx, servers
from tests.bench.figures import Goal, Sheet, median, p95
from tests.bench.stand import Stand
from tests.support.room import ARGUMENTS, CHROMIUM

FIRSTS, SEEKS, RUNS = 100, 200, 7
# What a player takes before it shows the picture it seeks: the way from a key frame, two seconds at the most.
SEEK_BYTES = 400_000
RANGE_BYTES = 128 * 1024 * 1024
OPENINGS, JUMPS = 7, 40
FIRST_PICTURE = """
const now = () => performance.timeOrigin + performance.now()
addEventListener('click', () => sessionStorage.setItem('clicked', now()), true)
addEventListener('DOMContentLoaded', () => {
  const shown = () => { document.documentElement.dataset.picture = now() }
  document.querySelector('video')?.requestVideoFrameCallback(shown)
})
"""
JUMP = """at => new Promise((resolve, reject) => {
  const video = document.querySelector('video'), begun = performance.now()
  video.addEventListener('seeked', () => resolve(performance.now() - begun), {once: true})
  video.addEventListener('error', () => reject(new Error('the video failed')), {once: true})
  video.currentTime = at
})"""


def measure(sheet: Sheet, stand: Stand, recording: uuid.UUID, seconds: float, folder: Path) -> None:
    """All of it on one sealed recording of `seconds`."""
    cookie = stand.cookie(Role.RECRUITER)
    with (
        servers.running("staff", stand.settings_file) as staff,
        nginx.running(folder, staff.port) as front,
    ):
        track = f"{_open_view(front.front, recording, cookie)}/tracks/camera"
        asked = _Asker(front.front, track, cookie)
        size = asked.size()
        _first_bytes(sheet, asked)
        _seeks(sheet, asked, size)
        plain = front.root / "plain"
        shutil.copyfile(Vault(stand.settings.vault_folder).path(recording, "track", "camera"), plain)
        _throughput(sheet, asked, _Asker(front.files, "/plain", ""), size)
        if CHROMIUM.exists():
            _in_the_browser(sheet, staff.port, recording, stand.desk.token(Role.RECRUITER), seconds)
        else:
            sheet.leave_out("replay.browser", "Chromium is not installed")


def _open_view(port: int, recording: uuid.UUID, cookie: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Content-Length": "0"}
    connection.request("POST", f"/recordings/{recording}/views", headers=headers)
    answer = connection.getresponse()
    if answer.status != 303:
        raise RuntimeError(f"the view was not opened: {answer.status}")
    location = answer.headers["Location"]
    connection.close()
    return location


class _Asker:
    """Asks for ranges of one address, each over a fresh connection, as a player's seek does."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        self._port, self._path, self._cookie = port, path, cookie
        self._buffer = memoryview(bytearray(1 << 20))

    def size(self) -> int:
        """The whole file's bytes; the first request of a view, which fetches its keys."""
        head = self._ask("bytes=0-0", 1)[2].lower()
        return int(head.split(b"content-range: bytes 0-0/", 1)[1].split(b"\r\n", 1)[0])

    def ask(self, wanted: str, count: int) -> tuple[float, float]:
        """Seconds to the first byte of the body and to its byte number `count`."""
        first, last, _ = self._ask(wanted, count)
        return first, last

    def _ask(self, wanted: str, count: int) -> tuple[float, float, bytes]:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
            request = f"GET {self._path} HTTP/1.1\r\nHost: bench\r\nCookie: {self._cookie}\r\n"
            connection.sendall(f"{request}Range: {wanted}\r\nConnection: close\r\n\r\n".encode())
            head, got, first = b"", 0, 0.0
            while got < count:
                read = connection.recv_into(self._buffer)
                if not read:
                    raise RuntimeError(f"{self._path} ended after {got} of {count} bytes: {head[:80]!r}")
                if first:
                    got += read
                    continue
                head += bytes(self._buffer[:read])
                end = head.find(b"\r\n\r\n")
                if end >= 0 and len(head) > end + 4:
                    if not head.startswith(b"HTTP/1.1 206"):
                        raise RuntimeError(f"{self._path} answered {head[:40]!r}")
                    first, got = time.monotonic() - begun, len(head) - end - 4
            return first, time.monotonic() - begun, head


def _first_bytes(sheet: Sheet, asked: _Asker) -> None:
    taken = [asked.ask("bytes=0-", 1)[0] for _ in range(FIRSTS)]
    about = f"through nginx, {FIRSTS} fresh connections, median {median(taken) * 1000:.0f} ms"
    sheet.add("replay.first_byte.p95", p95(taken) * 1000, "ms", Goal("<", 300), about)


def _seeks(sheet: Sheet, asked: _Asker, size: int) -> None:
    places = random.Random(20261121)
    starts = [places.randrange(size - SEEK_BYTES) for _ in range(SEEKS)]
    taken = [asked.ask(f"bytes={start}-", SEEK_BYTES)[1] for start in starts]
    about = f"{SEEK_BYTES // 1000} kB from {SEEKS} random places of {size / 1e6:.0f} MB"
    sheet.add("replay.seek.p95", p95(taken) * 1000, "ms", Goal("<", 300), about)


def _throughput(sheet: Sheet, ours: _Asker, theirs: _Asker, size: int) -> None:
    """Alternating, the same range of both; the file is in the page cache for both."""
    count = min(RANGE_BYTES, size // 2)
    rates: dict[_Asker, list[float]] = {ours: [], theirs: []}
    for number in range(-1, RUNS):
        start = max(0, number) * (size - count) // RUNS
        for asker in (ours, theirs) if number % 2 else (theirs, ours):
            rate = count / 1e6 / asker.ask(f"bytes={start}-{start + count - 1}", count)[1]
            if number >= 0:
                rates[asker].append(rate)
    ratios = [mine / other for mine, other in zip(rates[ours], rates[theirs], strict=True)]
    about = f"one connection, {count / 1e6:.0f} MB ranges, median of {RUNS} alternating runs"
    sheet.add("replay.ranges.ratio", median(ratios), "times", Goal("≥", 0.5), about)
    sheet.add("replay.ranges.rate", median(rates[ours]), "MB/s", None, "decrypted on the way, through nginx")
    sheet.add("replay.ranges.plain", median(rates[theirs]), "MB/s", None, "nginx and a plain file")


def _in_the_browser(sheet: Sheet, port: int, recording: uuid.UUID, token: str, seconds: float) -> None:
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        browser.add_cookies([{"name": "fupan", "value": token, "url": url}])
        browser.add_init_script(FIRST_PICTURE)
        page = browser.new_page()
        firsts = [_first_picture(page, url, recording) for _ in range(OPENINGS)]
        places = random.Random(20261121)
        jumps = [page.evaluate(JUMP, places.uniform(1, seconds - 5)) for _ in range(JUMPS)]
        browser.close()
    about = f"Chromium, from the click to the picture on screen, slowest of {OPENINGS} openings"
    sheet.add("replay.first_frame.max", max(firsts), "ms", Goal("<", 1000), about)
    sheet.add("replay.first_frame.p50", median(firsts), "ms")
    about = f"Chromium, currentTime to seeked, {JUMPS} random places in {seconds / 3600:g} h"
    sheet.add("replay.jump.p95", p95(jumps), "ms", Goal("<", 300), about)
    sheet.add("replay.jump.p50", median(jumps), "ms")


def _first_picture(page: Page, url: str, recording: uuid.UUID) -> float:
    page.goto(f"{url}/attempts/{recording}")
    page.click(f'form[action="/recordings/{recording}/views"] button')
    page.wait_for_selector("html[data-picture]", state="attached")
    taken: float = page.evaluate(
        "document.documentElement.dataset.picture - sessionStorage.getItem('clicked')"
    )
    return taken
