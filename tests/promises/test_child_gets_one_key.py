"""Promise: the process that parses media gets the keys of one recording over a pipe, and nothing else: a look
at the living child finds no key in its arguments or environment, and no file but that recording's."""

from __future__ import annotations

import base64
import json
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from appliance import child
from appliance.domain import RecordingState
from appliance.keyholder.client import Keyholder
from appliance.tables import recording
from tests.support.media import recorded
from tests.support.site import Site

pytestmark = pytest.mark.promise


class Looks:
    """What /proc says of each child while it is stopped with its request in its hands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[dict[str, Any]] = []
        self._requests: dict[int, bytes] = {}
        begin, write = child._Pump.__init__, child._Pump._write

        def begun(pump: child._Pump, process: Any, request: bytes, progress: Any) -> None:
            self._requests[process.pid] = request
            begin(pump, process, request, progress)

        def written(pump: child._Pump, stream: IO[bytes]) -> bool:
            more = write(pump, stream)
            if not more:
                self._look(pump._process.pid)
            return more

        monkeypatch.setattr(child._Pump, "__init__", begun)
        monkeypatch.setattr(child._Pump, "_write", written)

    def _look(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        proc = Path("/proc") / str(pid)
        try:
            files = {int(each.name): str(each.readlink()) for each in (proc / "fd").iterdir()}
            shown = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
        finally:
            os.kill(pid, signal.SIGCONT)
        self.seen.append({"request": json.loads(self._requests[pid]), "files": files, "shown": shown})


def keys_in(value: Any) -> set[bytes]:
    """Every key of a request, at whatever depth."""
    if isinstance(value, dict):
        own = {base64.b64decode(text) for name, text in value.items() if name in ("key", "out_key") and text}
        return own.union(*(keys_in(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(keys_in(each) for each in value))
    return set()


def test_a_living_child_shows_no_key_and_holds_one_recording(
    site: Site, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may look into a process that cannot be traced")
    looks = Looks(monkeypatch)
    made = [site.finished(list(recorded()), analysis=False) for _ in range(2)]
    site.run_jobs()
    assert {site.row(recording, each).state for each in made} == {RecordingState.SEALED}
    assert len(looks.seen) == len(made)

    keys = [keys_in(seen["request"]) for seen in looks.seen]
    assert all(keys)
    assert not keys[0] & keys[1]  # neither is given anything of the other's
    for seen, own in zip(looks.seen, keys, strict=True):
        for key in own:
            for spelling in (key, key.hex().encode(), base64.b64encode(key), base64.urlsafe_b64encode(key)):
                assert spelling not in seen["shown"]
        about = _recording_of(seen["files"], made)
        for number, target in seen["files"].items():
            if number > 2 and target.startswith(str(site.settings.data)):
                assert str(about) in target, target
        given = {number for number in seen["files"] if number > 2}
        kinds = {
            seen["files"][number].split(":")[0] for number in given if not _is_file(seen["files"][number])
        }
        assert kinds <= {"pipe", "anon_inode"}
    assert {_recording_of(seen["files"], made) for seen in looks.seen} == set(made)
    record_property(
        "figure", f"{len(made)} children looked into: 0 keys to be seen, 0 files of another recording"
    )


def _is_file(target: str) -> bool:
    return target.startswith("/")


def _recording_of(files: dict[int, str], made: list[uuid.UUID]) -> uuid.UUID:
    """The one recording whose files a child holds."""
    [found] = [each for each in made if any(str(each) in target for target in files.values())]
    return found


@pytest.fixture
def site(settings: Any, keyholder: Keyholder) -> Site:
    return Site(settings, keyholder)
