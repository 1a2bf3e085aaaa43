"""The one supervisor of the embedded default: PyPI's supervisord in the foreground.

Processes start by priority and stop in the opposite order. `setpriv --pdeathsig` ends them when supervisord
itself is killed; each holds a shared lock while it lives, for which a second start waits, so that it never
meets their leftovers on its ports.
"""

from __future__ import annotations

import http.client
import shlex
import shutil
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from appliance.embedded.layout import Layout
from appliance.errors import ConfigurationError

TELL_SECONDS = 2.0
LOCK_IS_HELD = 1  # flock's exit code when its time is up
LOG_BYTES = "5MB"
LOG_GENERATIONS = 3


@dataclass(frozen=True)
class Program:
    """One process: lower `priority` starts first and stops last; `grace` seconds before SIGKILL."""

    name: str
    command: tuple[str, ...]
    priority: int
    grace: int = 10


def configuration(layout: Layout, programs: list[Program], code: Path) -> str:
    """The text of supervisord.conf."""
    sections = [
        "[unix_http_server]",
        f"file = {_plain(layout.supervisor_socket)}",
        "chmod = 0600",
        "",
        "[supervisord]",
        "nodaemon = true",
        "silent = true",
        "umask = 077",
        f"directory = {_plain(code)}",
        f"pidfile = {_plain(layout.supervisor_pid)}",
        f"logfile = {_plain(layout.logs / 'supervisord.log')}",
        f"logfile_maxbytes = {LOG_BYTES}",
        f"logfile_backups = {LOG_GENERATIONS}",
        f"childlogdir = {_plain(layout.logs)}",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for program in programs:
        sections += _program(layout, program)
    return "\n".join(sections) + "\n"


def _program(layout: Layout, program: Program) -> list[str]:
    return [
        "",
        f"[program:{program.name}]",
        f"command = {_plain(shlex.join([*_bound_to_parent(layout), *program.command]))}",
        f"priority = {program.priority}",
        "autorestart = true",
        "startsecs = 1",
        "startretries = 5",
        "stopsignal = TERM",
        f"stopwaitsecs = {program.grace}",
        "killasgroup = true",
        "redirect_stderr = true",
        f"stdout_logfile = {_plain(layout.logs / program.name)}.log",
        f"stdout_logfile_maxbytes = {LOG_BYTES}",
        f"stdout_logfile_backups = {LOG_GENERATIONS}",
    ]


def _bound_to_parent(layout: Layout) -> list[str]:
    """What a process is started through: it ends with its parent, and holds a lock as long as it lives."""
    setpriv, flock = shutil.which("setpriv"), shutil.which("flock")
    return [
        *([setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []),
        *([flock, "--no-fork", "--shared", str(layout.alive)] if flock else []),
    ]


def _plain(value: object) -> str:
    return str(value).replace("%", "%%")


class Supervisor:
    """A running supervisord. Its children belong to it; stopping it stops them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it with the configuration written before and nothing but `environment`; in a session of
        its own, so that a terminal's Ctrl-C reaches only `fupan run`, which stops everything in order."""
        self._layout.supervisor_socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                *_bound_to_parent(self._layout),
                sys.executable,
                "-m",
                "supervisor.supervisord",
                "--configuration",
                str(self._layout.supervisor_configuration),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=dict(environment),
        )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float | None = None) -> int | None:
        """Block until it ends; its exit code. None when it still lives after `seconds`."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, tell: Callable[[list[str]], None] | None = None) -> None:
        """Ask it to stop its children, last started first, and wait for it; `tell` gets, every two seconds,
        the names of those that still run. Safe to call twice."""
        if self._process is None:
            return
        pids = _pids(self._layout) if tell and self.alive else {}
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        while self.wait(TELL_SECONDS) is None:
            if tell:
                tell(sorted(name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()))

    def states(self) -> dict[str, str]:
        """Program name → supervisord's word for its state; empty while it does not answer yet."""
        return states(self._layout)


def await_previous(layout: Layout, seconds: float = 30.0) -> None:
    """Wait for what an earlier, killed start left: its processes end with it, but need a moment, and until
    then hold ports and would take the new ones' sockets with them. Nothing to wait for is the rule.

    Raises ConfigurationError when they do not end.
    """
    flock = shutil.which("flock")
    if flock is None:  # then none of them holds the lock either
        return
    with layout.alive.open("w") as lock:
        # The kernel wakes it when the last of them lets go; no call of Python's own waits so with a limit.
        waited = subprocess.run(
            [flock, "--exclusive", "--timeout", str(seconds), str(lock.fileno())],
            pass_fds=[lock.fileno()],
            check=False,
        )
    if waited.returncode == LOCK_IS_HELD:
        raise ConfigurationError(
            what=f"processes of an earlier start on {layout.data} still run. End them, or wait"
        )
    waited.check_returncode()


def states(layout: Layout) -> dict[str, str]:
    """Program name → state, asked of a running supervisord over its socket; empty when none answers."""
    return {info["name"]: info["statename"] for info in _told(layout)}


def _pids(layout: Layout) -> dict[str, int]:
    """Asked before a stop: while it stops, supervisord answers nothing."""
    return {info["name"]: info["pid"] for info in _told(layout) if info["pid"]}


def _told(layout: Layout) -> list[dict[str, Any]]:
    transport = SupervisorTransport(serverurl=f"unix://{layout.supervisor_socket}")
    proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
    try:
        answer: Any = proxy.supervisor.getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return []
    return list(answer)
