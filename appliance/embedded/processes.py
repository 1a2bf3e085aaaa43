"""The product's processes as the embedded default starts them, and how to see that they serve."""

from __future__ import annotations

import http.client
import os
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.embedded.address import Address
from appliance.embedded.certificate import Certificate
from appliance.embedded.layout import Layout
from appliance.embedded.supervisor import Program, Supervisor
from appliance.errors import ConfigurationError

START_SECONDS = 60.0
POLL_SECONDS = 0.1
# nginx keeps connections to a candidate's browser in an installed site; here gunicorn does. Candidates send a
# piece every two seconds, so a kept connection must outlive the pause between two.
KEEP_ALIVE = "10"
# Bodies of chunks and pieces of replayed media are fresh blocks of up to some megabytes. malloc would map and
# unmap each, and the kernel clear its pages every time; below this limit they come from a heap that is kept.
KEPT_HEAP = ("/usr/bin/env", "MALLOC_MMAP_THRESHOLD_=67108864", "MALLOC_TRIM_THRESHOLD_=134217728")


def programs(layout: Layout, address: Address, certificate: Certificate | None) -> list[Program]:
    """Keyholder first and intake last up, so that no page meets a missing part; down the other way round."""
    fupan = (sys.executable, "-m", "appliance.cli")
    return [
        Program("keyholder", (*fupan, "keyholder"), 10),
        Program("worker", (*fupan, "worker"), 20, grace=20),
        Program("scheduler", (*fupan, "scheduler"), 30),
        Program("staff", _gunicorn("webui.staff.app", address, address.port, certificate, threads=16), 40),
        Program("intake", _gunicorn("webui.intake.app", address, address.intake_port, certificate, 2), 50),
    ]


def _gunicorn(
    module: str,
    address: Address,
    port: int,
    certificate: Certificate | None,
    workers: int = 1,
    threads: int = 8,
) -> tuple[str, ...]:
    command = [
        *KEPT_HEAP,
        sys.executable,
        "-m",
        "gunicorn",
        f"--bind={address.listen(port)}",
        "--worker-class=webui.serving.PatientWorker",
        f"--workers={workers}",
        f"--threads={threads}",
        f"--keep-alive={KEEP_ALIVE}",
        "--timeout=60",
        "--graceful-timeout=5",
        "--worker-tmp-dir=/dev/shm",  # its heartbeat file must not wait for a disk
        # gunicorn would believe any process of this machine about the scheme, the mount point and the path;
        # a proxy before the site is named in the settings, and webui.app reads what that one adds.
        "--forwarded-allow-ips=",
        "--forwarder-headers=",
        "--no-control-socket",
        "--log-level=warning",
    ]
    if workers > 1:
        command.append("--preload")  # load the application once, then fork
    if certificate:
        command += [f"--certfile={certificate.certificate}", f"--keyfile={certificate.key}"]
    return (*command, f"{module}:create_app()")


def environment(layout: Layout, code: Path) -> dict[str, str]:
    """What each process gets besides PATH: where the settings are, nothing else of the starter's."""
    return {
        "FUPAN_CONFIG": str(layout.settings),
        "TMPDIR": str(layout.temporary),
        "PYTHONPATH": str(code),
        "PYTHONUNBUFFERED": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "LC_ALL": "C.UTF-8",
        "ORT_DISABLE_TELEMETRY": "1",  # docs/decisions/0007: nothing of ours calls home
    }


def wait_until_ready(
    layout: Layout, supervisor: Supervisor, checks: Mapping[str, Callable[[], bool]]
) -> None:
    """Wait until each process runs and passes its check.

    Raises ConfigurationError with the last line of the log of the first that does not.
    """
    waiting = dict(checks)
    deadline = time.monotonic() + START_SECONDS
    while waiting:
        states = supervisor.states()
        for name in sorted(waiting):
            if states.get(name) == "FATAL":
                raise ConfigurationError(what=_log_line(layout, name, "does not start"))
            if states.get(name) in ("RUNNING", "STARTING") and waiting[name]():
                del waiting[name]
        if time.monotonic() > deadline:
            name = sorted(waiting)[0]
            raise ConfigurationError(
                what=_log_line(layout, name, f"is not ready after {START_SECONDS:.0f} s")
            )
        if waiting and supervisor.wait(POLL_SECONDS) is not None:
            raise ConfigurationError(what=_log_line(layout, "supervisord", "ended"))


def serves(address: Address, port: int, certificate: Certificate | None) -> bool:
    """Whether a web process answers requests: any status below 500 shows that its application is up."""
    connection: http.client.HTTPConnection
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # the certificate itself is pinned
        context.load_verify_locations(certificate.certificate)
        connection = http.client.HTTPSConnection(address.near, port, timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection(address.near, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _log_line(layout: Layout, name: str, what: str) -> str:
    path = layout.logs / f"{name}.log"
    text = path.read_text(errors="replace") if path.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{name} {what}: {lines[-1] if lines else 'it wrote nothing'} (see {path})"
