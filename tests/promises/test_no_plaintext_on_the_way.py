"""Promise: what is sent and fetched passes no file in the clear, however slow the line.

A résumé goes up and comes down, and a recording is watched, through nginx as it stands before the product;
meanwhile its folders of temporary files, and each file that the staff's process makes, are looked at. The
controls are nginx and werkzeug as they are by themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import nginx
from tests.bench.nginx import Nginx
from tests.flow import processes
from tests.flow.desk import Desk
from tests.flow.fixtures import Told
from tests.support import papers, traced
from tests.support.canary import Canaries
from tests.support.children import children_of
from tests.support.product import Product
from tests.support.waiting import until

pytestmark = [pytest.mark.promise, pytest.mark.flow, pytest.mark.browser]

SIZE = 9_000_000  # over all that kernel and proxy keep of an answer that nobody takes
BOUNDARY = "----of-a-form"


@pytest.fixture(scope="module")
def resume() -> bytes:
    return papers.pdf(secrets.token_bytes(64), SIZE)


@pytest.fixture(scope="module")
def sought(resume: bytes, recruiter: Desk, anna: Told) -> Canaries:
    canaries = Canaries()
    canaries.media("résumé", resume)
    canaries.media("camera", recruiter.track(recruiter.open_view(anna.recording)))
    return canaries


@pytest.fixture(params=[False, True], ids=["as it stands", "as it is by itself"])
def careless(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def front(live: Product, tmp_path: Path, careless: bool) -> Iterator[Nginx]:
    if not nginx.available():
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    with nginx.running(tmp_path / "nginx", live.port, careless=careless) as running:
        yield running


class Line:
    """A browser's connection to nginx that sends and takes as slowly as the test likes."""

    def __init__(self, front: Nginx, desk: Desk) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", front.front))
        self._port = self.socket.getsockname()[1]
        self._front = front.front
        self._cookies = "; ".join(f"{each.name}={each.value}" for each in desk.client.cookies)

    def head(self, method: str, path: str, *more: str) -> None:
        lines = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Cookie: {self._cookies}", *more)
        self.send("\r\n".join((*lines, "Sec-Fetch-Site: same-origin", "Connection: close", "", "")).encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def taken(self) -> None:
        """Wait until nginx has read all that was sent."""
        until(lambda: self._waiting() == 0)

    def _waiting(self) -> int:
        """Bytes that lie in the kernel for nginx to read."""
        here, there = f"0100007F:{self._front:04X}", f"0100007F:{self._port:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines():
            parts = line.split()
            if parts[1:3] == [there, here]:
                sent = int(parts[4].split(":")[0], 16)
            elif parts[1:3] == [here, there]:
                received = int(parts[4].split(":")[1], 16)
        return sent + received

    def take(self, size: int) -> bytes:
        return self.socket.recv(size)

    def rest(self) -> Iterator[bytes]:
        while piece := self.take(1 << 16):
            yield piece


def spooled(front: Nginx, sought: Canaries) -> set[str]:
    """What lies in files of nginx, those without a name as well."""
    folder = front.log.parent
    _, hits = sought.scan([folder / "bodies", folder / "proxied"])
    for process in (front.pid, *children_of(front.pid)):
        for path in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                if str(path.readlink()).startswith(str(folder)):
                    hits += sought.in_file(path)[1]
    return {hit.split(" in /")[0] for hit in hits}


def form(data: bytes) -> tuple[bytes, bytes]:
    """A form with one file, and what comes before it."""
    lead = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="resume"; filename="cv.pdf"\r\n\r\n'.encode()
    )
    return lead, lead + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def attach(line: Line, attempt: uuid.UUID, data: bytes, pause: Callable[[], None]) -> bytes:
    """Send the résumé, stopping at two thirds; the answer."""
    _, body = form(data)
    line.head(
        "POST",
        f"/attempts/{attempt}/resume",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    )
    line.send(body[: len(body) * 2 // 3])
    line.taken()
    pause()
    line.send(body[len(body) * 2 // 3 :])
    return b"".join(line.rest())


def test_a_resume_that_comes_slowly_is_in_no_file_of_the_proxy(
    front: Nginx, careless: bool, recruiter: Desk, anna: Told, resume: bytes, sought: Canaries,
    record_property: pytest.RecordProperty,
) -> None:  # fmt: skip
    found: set[str] = set()
    answer = attach(
        Line(front, recruiter), anna.recording, resume, lambda: found.update(spooled(front, sought))
    )
    assert answer.startswith(b"HTTP/1.1 303 ")
    assert bool(found) is bool(front.spilled) is careless
    record_property("figure", f"{SIZE / 1e6:.0f} MB, stopped at two thirds: {len(found)} pieces in files")


@pytest.mark.parametrize("what", ["résumé", "camera"])
def test_what_is_taken_slowly_is_in_no_file_of_the_proxy(
    front: Nginx, careless: bool, recruiter: Desk, anna: Told, resume: bytes, sought: Canaries, what: str,
    record_property: pytest.RecordProperty,
) -> None:  # fmt: skip
    line = Line(front, recruiter)
    if what == "résumé":
        assert attach(Line(front, recruiter), anna.recording, resume, lambda: None)
        version = len(re.findall(rb"/resume/\d+/open", recruiter.get(f"/attempts/{anna.recording}").body))
        line.head("POST", f"/attempts/{anna.recording}/resume/{version}/open", "Content-Length: 0")
    else:
        line.head("GET", f"{recruiter.open_view(anna.recording)}/tracks/camera")
    assert line.take(9) == b"HTTP/1.1 "
    if careless and what == "résumé":
        until(lambda: bool(spooled(front, sought)))
    found, size = set(spooled(front, sought)), 9
    for piece in line.rest():
        size += len(piece)
        if not careless:
            found |= spooled(front, sought)
    assert size > (SIZE if what == "résumé" else 100_000)
    if not careless:
        assert (found, front.spilled) == (set(), 0)
    record_property("figure", f"{size / 1e6:.1f} MB taken slowly: {len(found)} pieces in files")


def test_the_staffs_process_makes_no_file_but_the_sealed_one(
    live: Product, recruiter: Desk, anna: Told, resume: bytes, tmp_path: Path,
    record_property: pytest.RecordProperty,
) -> None:  # fmt: skip
    staff = processes.pid(live, "staff")
    _, body = form(resume)
    with traced.files_written([staff, *children_of(staff)], tmp_path / "calls") as made:
        answer = recruiter.client.ask(
            "POST",
            f"/attempts/{anna.recording}/resume",
            headers={
                "Sec-Fetch-Site": "same-origin",
                "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            },
            raw=body,
        )
        assert answer.status == 303
        note = recruiter.post(f"/attempts/{anna.recording}/notes", form={"text": "她先量" * 3000})
        assert note.status == 303
        assert recruiter.get(f"/attempts/{anna.recording}/notes").status == 200
    vault = str(live.settings.vault_folder)
    assert len(made) >= 2
    assert [line for line in made if vault not in line] == []
    record_property("figure", f"{len(made)} files opened for writing, all of them sealed ones in the vault")


def test_the_parser_by_itself_would_make_one(tmp_path: Path, resume: bytes) -> None:
    """The control for the trace: werkzeug's own request, with the same form."""
    lead, body = form(resume)
    (tmp_path / "body").write_bytes(body)
    script = (
        "import sys; from werkzeug import Request; from werkzeug.test import EnvironBuilder\n"
        "body = open(sys.argv[1], 'rb'); sys.stdin.readline()\n"
        f"environ = EnvironBuilder(method='POST', input_stream=body, content_length={len(body)},"
        f" content_type='multipart/form-data; boundary={BOUNDARY}').get_environ()\n"
        "print(len(Request(environ).files['resume'].read()))"
    )
    parsing = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "body"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with traced.files_written([parsing.pid], tmp_path / "calls") as made:
        out, _ = parsing.communicate(b"\n", 60)
    assert int(out) == len(resume)
    assert [line for line in made if str(tmp_path) in line]
    assert lead in body
