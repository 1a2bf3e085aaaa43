"""Debian's nginx before the product, and nginx itself as what it is measured against."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import usage
from tests.support.waiting import until

PROGRAM = shutil.which("nginx") or "/usr/sbin/nginx"
# A body is taken into memory whole before a Python thread sees it: a slow uplink holds none, and no file
# is written. 11m is the largest body: a résumé (10 MB) in its form; a chunk has 8 MiB with opening and tag.
BODY_BUFFER = "11m"
# What a proxy does by itself: what is over a little goes to a file, in the clear where it is no ciphertext.
CARELESS = {"client_body_buffer_size": "16k", "proxy_max_temp_file_size": "1024m"}

CONFIGURATION = """
{user}
worker_processes 2;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/octet-stream;
  sendfile on;
  keepalive_requests 1000000;
  client_max_body_size {body_buffer};
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/unused1; uwsgi_temp_path {folder}/unused2; scgi_temp_path {folder}/unused3;
  {servers}
}}
"""
FRONT = """
  upstream app{port} {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    client_body_buffer_size {client_body_buffer_size};
    location / {{
      proxy_pass http://app{port};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_request_buffering on;
      proxy_max_temp_file_size {proxy_max_temp_file_size};
      proxy_buffer_size 16k;
      proxy_buffers 8 256k;
      proxy_busy_buffers_size 512k;
    }}
  }}
"""
FILES = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {root};
    client_body_temp_path {root}/.bodies;
    location / {{ dav_methods PUT; create_full_put_path on; }}
  }}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx: port `front` passes on to the product, port `files` keeps plain files below `root`."""

    front: int
    files: int
    root: Path
    log: Path
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds that nginx used so far."""
        return usage.cpu_of_session(self.pid)

    @property
    def spilled(self) -> int:
        """How many bodies or answers it wrote to a temporary file of its own; it warns of each."""
        return self.log.read_text().count("is buffered to a temporary file") if self.log.exists() else 0


def available() -> bool:
    """Whether nginx is installed."""
    return Path(PROGRAM).exists()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(folder: Path, upstream: int, *, careless: bool = False) -> Iterator[Nginx]:
    """nginx with two servers: one before 127.0.0.1:`upstream`, one for plain files.

    `careless`: it keeps what passes in temporary files, as it would by itself.
    """
    root = folder / "files"
    root.mkdir(parents=True)
    front, files = free_port(), free_port()
    buffering = {"client_body_buffer_size": BODY_BUFFER, "proxy_max_temp_file_size": "0"}
    buffering |= CARELESS if careless else {}
    servers = FRONT.format(port=front, upstream=upstream, **buffering)
    servers += FILES.format(port=files, root=root)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            body_buffer=BODY_BUFFER,
            servers=servers,
        )
    )
    command = [PROGRAM, "-p", str(folder), "-c", str(configuration)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_for(front, process)
        yield Nginx(front, files, root, folder / "error.log", process.pid)
    finally:
        process.terminate()
        process.wait(20)


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Until somebody listens on the port. Raises RuntimeError when the process ends or does not listen."""

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    with contextlib.suppress(TimeoutError):
        until(lambda: listens() or process.poll() is not None, seconds)
    if not listens():
        raise RuntimeError(f"{process.args!r} does not listen on port {port}")
