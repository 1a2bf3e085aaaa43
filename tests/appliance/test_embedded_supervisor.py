"""The embedded default's supervisor: its processes end with it, and are waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance.embedded.layout import Layout
from appliance.embedded.supervisor import Program, Supervisor, await_previous, configuration
from appliance.errors import ConfigurationError
from tests.support.waiting import until

# A program that says it is there and stays; `alarm` ends it should a failing test leave it behind.
STAYS = "import signal; signal.alarm(600); {0}open({1!r}, 'w').close(); signal.pause()"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "  # as a worker in the middle of a job


def supervised(layout: Layout, name: str, first: str = "", grace: int = 10) -> Supervisor:
    """A supervisor of one program that has begun; `first` is what it does before it says so."""
    for each in layout.folders():
        each.mkdir(exist_ok=True)
    up = layout.data / "up"
    command = (sys.executable, "-c", STAYS.format(first, str(up)))
    text = configuration(layout, [Program(name, command, 1, grace=grace)], layout.data)
    layout.supervisor_configuration.write_text(text)
    supervisor = Supervisor(layout)
    supervisor.start({"PATH": os.environ["PATH"]})
    until(up.exists)
    until(lambda: supervisor.states().get(name) in ("STARTING", "RUNNING"))
    return supervisor


def killed(layout: Layout, supervisor: Supervisor) -> int:
    """The process of its one program, after SIGKILL for the supervisor itself."""
    pid = int(layout.supervisor_pid.read_text())
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    os.kill(pid, signal.SIGKILL)
    supervisor.wait()
    return int(found.stdout.split()[0])


def test_children_end_with_it_even_when_it_is_killed(folder: Path) -> None:
    layout = Layout(folder)
    child = killed(layout, supervised(layout, "obedient"))
    until(lambda: not Path(f"/proc/{child}").exists())


def test_a_start_waits_until_the_processes_of_a_killed_one_are_gone(folder: Path) -> None:
    layout = Layout(folder)
    layout.run.mkdir()
    await_previous(layout)
    child = killed(layout, supervised(layout, "slow", DEAF))
    with pytest.raises(ConfigurationError, match="earlier start"):
        await_previous(layout, 0.3)
    threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
    await_previous(layout)
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text()


def test_a_stop_says_what_it_waits_for(folder: Path) -> None:
    supervisor = supervised(Layout(folder), "stubborn", DEAF, grace=3)
    told: list[list[str]] = []
    supervisor.stop(told.append)
    assert told[0] == ["stubborn"]
    assert not supervisor.alive


def test_percent_signs_in_paths_are_no_formats(folder: Path) -> None:
    text = configuration(Layout(folder / "50%"), [Program("one", ("/bin/true", "100%"), 1)], folder)
    assert "50%%" in text
    assert "100%%" in text
