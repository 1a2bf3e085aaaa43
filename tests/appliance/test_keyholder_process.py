"""The keyholder as a process: how it is hardened, how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import KeyholderDownError
from appliance.keyholder.client import Keyholder, Status
from appliance.vault_errors import NoVaultError

START = "from appliance import config; from appliance.keyholder import process; process.run(config.load())"
START_SECONDS = 60


@contextlib.contextmanager
def started(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", START], cwd=root, env=dict(os.environ))
    try:
        await_status(settings, process)
        yield process
    finally:
        process.kill()
        process.wait()


def await_status(settings: Settings, process: subprocess.Popen[bytes]) -> Status:
    """Poll the socket: a starting process has no other way to say that it serves."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            return Keyholder(settings).status()
        except NoVaultError:
            raise  # it serves
        except KeyholderDownError:
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    pytest.fail("the keyholder did not start")


def test_a_started_keyholder_serves_and_ends_cleanly_on_sigterm(settings: Settings) -> None:
    with started(settings) as process:
        assert not Keyholder(settings).status().locked
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        (core,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not settings.keyholder_socket.exists()


def test_a_killed_keyholder_starts_again_with_the_same_keys(settings: Settings) -> None:
    with started(settings):
        before = Keyholder(settings).publics()
    assert settings.keyholder_socket.exists()  # a leftover of the kill
    with started(settings):
        assert Keyholder(settings).publics() == before


def test_no_debugger_and_no_core_dump_after_hardening() -> None:
    code = (
        "import ctypes, resource; from appliance.keyholder.memory import harden; harden();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0", "0"]
