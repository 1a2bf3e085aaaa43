"""A full disk: the answer is 507 with a time to come back, nothing is half-written, and room mends it all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from appliance.intake_folder import IntakeFolder
from tests.support.candidate import Candidate, Epoch
from tests.support.intake_site import IntakeSite
from tests.support.small_disk import mounted
from webui.intake.app import create_app

WRITING = ("mkdir", "open", "pwrite", "pwritev", "ftruncate", "fsync", "fdatasync", "rename")


class Interview:
    """A candidate's requests in order; each may be sent again."""

    def __init__(self, site: IntakeSite, app: Flask | None = None) -> None:
        """`app`: that of the site, where many interviews share it."""
        self.waits: list[str | None] = []
        self.client: FlaskClient = (app or create_app(site.settings)).test_client(use_cookies=False)
        packet, secret = site.invite()
        self.candidate = Candidate(self._call, packet.recording, secret)
        self._epochs: dict[str, Epoch] = {}

    def _call(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        response = self.client.open(path, method=method, **more)
        if response.status_code == 507:
            self.waits.append(response.headers.get("Retry-After"))
        return response.status_code, response.get_json()

    def _piece(self, track: str) -> tuple[int, dict[str, Any]]:
        epoch = self._epochs.get(track)
        if epoch is None:
            epoch = self._epochs[track] = self.candidate.epoch(track)
            epoch.chunk(bytes(9000))
            epoch.end()
        answers = [self.candidate.put(epoch, piece) for piece in epoch.bodies]
        return max(answers, key=lambda answer: answer[0])

    def steps(self) -> dict[str, Callable[[], tuple[int, dict[str, Any]]]]:
        api = self.candidate.api
        return {
            "begin": self.candidate.begin,
            "check": lambda: api("POST", "/check", json={}),
            "consent": self.candidate.consent,
            "open": lambda: api("POST", "/questions/1/open"),
            "camera": lambda: self._piece("camera"),
            "events": lambda: self._piece("events"),
            "heartbeat": lambda: api("POST", "/heartbeat", json={"numbers": {"fps": 25}}),
            "state": lambda: api("GET", "/state"),
            "close": lambda: api("POST", "/questions/1/close"),
            "finish": lambda: self.candidate.finish(*self._epochs.values()),
            "withdraw": self.candidate.withdraw,
        }

    def tried(self, step: Callable[[], tuple[int, dict[str, Any]]]) -> bool:
        """Whether the step was served; if not, it must say when to come back."""
        status, answer = step()
        if status in (200, 201):
            return True
        assert (status, answer.get("code"), self.waits[-1]) == (507, "full", "60")
        return False


def whole(site: IntakeSite, interview: Interview) -> None:
    """The log parses and holds each thing once; nothing temporary is left."""
    records = IntakeFolder(site.folder.root).records(interview.candidate.recording)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    kinds = [str(record.body.get("event", record.kind)) for record in records if record.kind != "bound"]
    assert {"checked", "consent", "question_opened", "question_closed", "finish"} <= set(kinds)
    assert kinds.count("finish") == kinds.count("question_opened") == 1
    assert list(site.folder.root.rglob("*.tmp")) == []
    assert json.loads(next(site.folder.root.rglob("heartbeat.json")).read_text())["numbers"] == {"fps": 25}


@contextlib.contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, at: int, code: int, within: Path
) -> Iterator[list[int]]:
    """The `at`-th call of os.`name` for a file within the folder fails; yields how many there were."""
    real, seen = getattr(os, name), [0]

    def fail(*args: Any, **more: Any) -> Any:
        first = args[0]
        target = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else Path(first)
        writes = name != "open" or args[1] & os.O_CREAT
        if writes and within in target.parents:
            seen[0] += 1
            if seen[0] == at + 1:
                raise OSError(code, os.strerror(code))
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        yield seen


@pytest.mark.parametrize(
    "code",
    [errno.ENOSPC, *(pytest.param(code, marks=pytest.mark.long) for code in (errno.EDQUOT, errno.EFBIG))],
)
@pytest.mark.parametrize("name", WRITING)
def test_wherever_the_disk_fills_up_the_answer_is_507_and_room_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    failed = set()
    site = IntakeSite(tmp_path)
    app = create_app(site.settings)
    for step_name in Interview(site, app).steps():
        at = 0
        while True:
            interview = Interview(site, app)
            for each, step in interview.steps().items():
                if each == step_name:
                    with failing(monkeypatch, name, at, code, site.folder.root) as calls:
                        if not interview.tried(step):
                            failed.add(each)
                assert interview.tried(step)
            whole(site, interview)
            if calls[0] <= at:
                break
            at += 1
    assert failed, f"os.{name} was never refused"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "small", "size=2m", "nr_inodes=200") as folder:
        yield folder


def fill(folder: Path, *, files: bool) -> Callable[[], None]:
    """Take the last block (or the last file) there is; returns what gives it back."""
    if files:
        made: list[Path] = []
        with contextlib.suppress(OSError):
            for number in range(10_000):
                path = folder / f"filler-{number}"
                path.touch()
                made.append(path)

        def give_back() -> None:
            for path in made:
                path.unlink()

        return give_back
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return filler.unlink


@pytest.mark.parametrize("files", [False, True], ids=["no block", "no file"])
def test_a_disk_that_is_really_full(small_disk: Path, files: bool) -> None:
    site = IntakeSite(small_disk / "data")
    refused = set()
    interview = Interview(site)
    for name, step in interview.steps().items():
        make_room = fill(small_disk, files=files)
        if not interview.tried(step):
            refused.add(name)
        make_room()
        assert interview.tried(step), name
    whole(site, interview)
    assert {"begin", "camera", "events", "heartbeat"} <= refused


def test_withdrawing_and_finishing_find_the_room_that_the_floor_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = IntakeSite(tmp_path, disk_floor_bytes=8000)
    interview = Interview(site)
    for name, step in interview.steps().items():
        if name not in ("close", "finish", "withdraw"):
            assert interview.tried(step)
    monkeypatch.setattr(IntakeFolder, "free_bytes", lambda _self: 999)
    assert not interview.tried(interview.steps()["close"])
    for name in ("state", "finish", "withdraw"):
        assert interview.tried(interview.steps()[name])
