"""Run the media child `python -m analysis` and read what it says.

The child gets one request line on stdin, descriptors by inheritance, and nothing else: no environment of
ours, no socket, and no path but the model pack's, the one folder besides its own code that it may read. It is
told which process starts it, and ends when that one does, however early. It answers in JSON lines. Whatever
goes wrong inside it ends as ChildFailedError with a kind, never as a crash here. What it prints on stderr may
quote a recording, so only the name of an exception is taken from it.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from appliance.errors import ConfigurationError, FupanError

logger = logging.getLogger(__name__)

MAX_OUTPUT_BYTES = 16 * 1024**2  # all lines together; results are numbers and names, not media
MAX_ERROR_BYTES = 64 * 1024
POLL_SECONDS = 0.25
CONFINEMENT_MEMORY = 512 * 1024**2
CONFINEMENT_SECONDS = 30.0
EXCEPTION_LINE = re.compile(rb"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Interrupt))\b")

Progress = Callable[[float, str], None]


class ChildFailedError(FupanError):
    """The child could not do it.

    `kind` is the child's own word, or one of timeout, crash, memory, protocol, output; `detail` is for the
    administrator's log.
    """

    status, code = 502, "child_failed"
    message = "The media could not be processed (%(kind)s). The recording itself is kept as it came."

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind=kind)
        self.kind = kind
        self.detail = detail


class ChildStoppedError(Exception):
    """We asked the child to end because this process is ending; the work is to be done again."""


def run(
    request: Mapping[str, Any],
    pass_fds: Sequence[int],
    *,
    memory_bytes: int,
    timeout: float,
    progress: Progress | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run one request to its end and return its result.

    `memory_bytes` limits the child's address space, `timeout` (seconds) its life. `progress(fraction,
    stage)` is called as the child reports. Raises ChildFailedError, or ChildStoppedError once `stopping()` is
    true.
    """
    process = subprocess.Popen(
        [sys.executable, "-s", "-m", "analysis", str(os.getpid()), *_readable(request)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(pass_fds),
        env=_environment(),
        cwd="/",
        start_new_session=True,
    )
    try:
        _limit(process.pid, memory_bytes)
        pump = _Pump(process, json.dumps(request).encode() + b"\n", progress)
        pump.run(time.monotonic() + timeout, stopping)
        return pump.outcome()
    finally:
        _end(process)


@functools.cache
def files_are_hidden() -> bool:
    """Whether the child on this machine can read nothing but its own code, a pack and its descriptors.

    False on a kernel without Landlock. Asked of a real child, once. Raises ChildFailedError when it cannot be
    confined at all and so will process nothing.
    """
    answer = run({"mode": "confinement"}, (), memory_bytes=CONFINEMENT_MEMORY, timeout=CONFINEMENT_SECONDS)
    return bool(answer["landlock"])


def _readable(request: Mapping[str, Any]) -> list[str]:
    return [str(request["pack"])] if "pack" in request else []


def _environment() -> dict[str, str]:
    """The few variables a Python child needs; secrets of ours may lie in the rest."""
    spec = importlib.util.find_spec("analysis")
    if spec is None or spec.origin is None:
        raise ConfigurationError(what="the package `analysis` is not installed")
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(spec.origin).parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _limit(pid: int, memory_bytes: int) -> None:
    """Set limits from outside: the child waits on stdin, and a preexec function is not safe with threads."""
    try:
        resource.prlimit(pid, resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    except ProcessLookupError:
        logger.debug("the child ended before its limits were set")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the child with everything it started, and reap it."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            logger.debug("the child ended by itself")
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class _Pump:
    """Moves the request in and the lines out, without ever blocking on one of the three pipes."""

    def __init__(self, process: subprocess.Popen[bytes], request: bytes, progress: Progress | None) -> None:
        self._process = process
        self._request = memoryview(request)
        self._progress = progress
        self._line = bytearray()
        self._errors = bytearray()
        self._taken = 0
        self._last: dict[str, Any] = {}

    def run(self, deadline: float, stopping: Callable[[], bool]) -> None:
        with selectors.DefaultSelector() as selector:
            self._register(selector)
            while selector.get_map():
                if stopping():
                    raise ChildStoppedError
                if time.monotonic() > deadline:
                    raise ChildFailedError("timeout")
                for key, _ in selector.select(POLL_SECONDS):
                    if not key.data(key.fileobj):
                        selector.unregister(key.fileobj)
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise ChildFailedError("timeout") from error

    def _register(self, selector: selectors.BaseSelector) -> None:
        process = self._process
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for stream, event, move in (
            (process.stdin, selectors.EVENT_WRITE, self._write),
            (process.stdout, selectors.EVENT_READ, self._read_output),
            (process.stderr, selectors.EVENT_READ, self._read_errors),
        ):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, event, move)

    def _write(self, stream: IO[bytes]) -> bool:
        try:
            self._request = self._request[os.write(stream.fileno(), self._request) :]
        except BrokenPipeError:  # it ended early; its exit tells why
            return False
        if not self._request:
            stream.close()
            return False
        return True

    def _read_output(self, stream: IO[bytes]) -> bool:
        data = os.read(stream.fileno(), 65536)
        self._taken += len(data)
        if self._taken > MAX_OUTPUT_BYTES:
            raise ChildFailedError("output")
        self._line += data
        while (end := self._line.find(b"\n")) >= 0:
            self._take_line(bytes(self._line[:end]))
            del self._line[: end + 1]
        return bool(data)

    def _read_errors(self, stream: IO[bytes]) -> bool:
        data = os.read(stream.fileno(), 65536)
        self._errors += data
        del self._errors[:-MAX_ERROR_BYTES]
        return bool(data)

    def _take_line(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise TypeError
        except (ValueError, TypeError) as error:
            raise ChildFailedError("protocol") from error
        if "progress" in message:
            if self._progress:
                self._progress(float(message["progress"]), str(message.get("stage", "")))
        else:
            self._last = message

    def outcome(self) -> dict[str, Any]:
        """The result, or the failure that the exit code, the last line and stderr tell of."""
        code = self._process.returncode
        result = self._last.get("result")
        if code == 0 and isinstance(result, dict):
            return result
        error = self._last.get("error")
        if isinstance(error, dict):
            raise ChildFailedError(str(error.get("kind", "unknown")), str(error.get("message", "")))
        name = self._exception_name()
        if name == "MemoryError":
            raise ChildFailedError("memory")
        if code < 0:
            raise ChildFailedError("crash", signal.Signals(-code).name)
        raise ChildFailedError("protocol" if code == 0 else "crash", name or f"exit {code}")

    def _exception_name(self) -> str:
        for line in reversed(bytes(self._errors).splitlines()):
            if found := EXCEPTION_LINE.match(line):
                return found.group(1).decode()
        return ""
