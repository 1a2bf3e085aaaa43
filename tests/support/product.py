"""The whole product, started by its own command on a scratch data folder and free ports."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance import config
from appliance.config import Settings

CODE = Path(__file__).resolve().parents[2]
DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15")
MODELS = Path(os.environ.get("FUPAN_MODELS") or Path.home() / ".cache" / "fupan" / "models")
START_SECONDS = 180
READY = "Ctrl-C stops everything"


@dataclass
class Product:
    """A running `fupan run`. Commands act on it as its administrator would."""

    data: Path
    port: int
    process: subprocess.Popen[str]
    output: str

    @property
    def settings(self) -> Settings:
        return config.load(self.data / "run" / "fupan.toml")

    def printed(self, label: str) -> str:
        """What `fupan run` printed beside a label."""
        for line in self.output.splitlines():
            if line.strip().startswith(label + " "):
                return line.strip().removeprefix(label).strip()
        raise AssertionError(f"{label} is not in:\n{self.output}")

    def command(self, *arguments: str) -> str:
        """Run `fupan …` on this site; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli", "--data", str(self.data), *arguments],
            cwd=CODE,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise AssertionError(f"fupan {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def sign_in_link(self, username: str = "recruiter") -> str:
        return self.command("link", username)

    def invitation(self, *arguments: str) -> str:
        return self.command("invite", *arguments)

    def logs(self) -> str:
        """The last lines of every log, for a failure's message."""
        parts = []
        for path in sorted((self.data / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            parts += [f"== {path.name}", *lines]
        return "\n".join(parts)

    def stop(self) -> int:
        """As Ctrl-C does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start(
    data: Path,
    *,
    port: int | None = None,
    postgres: Path | None = None,
    models: Path | None = MODELS,
    demo: bool = False,
    language: str = "zh",
    more_settings: str = "",
) -> Product:
    """Start on `data` and wait until it says where to go; `more_settings` goes into the site's fupan.toml.

    Raises AssertionError with its output.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / "fupan.toml").write_text(f'language = "{language}"\n{more_settings}')
    if models is not None and (models / "active").exists() and not (data / "models").exists():
        shutil.copytree(models, data / "models", symlinks=True)
    port = port or free_port_pair()
    arguments = ["--data", str(data), "--port", str(port), "--demo" if demo else "--no-demo"]
    if postgres is not None:
        arguments += ["--postgres", str(postgres)]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "appliance.cli", "run", *arguments],
        cwd=CODE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    product = Product(data, port, process, "")
    product.output = _read_until_ready(product)
    return product


def _read_until_ready(product: Product) -> str:
    deadline = time.monotonic() + START_SECONDS
    pipe = product.process.stdout
    assert pipe is not None
    said = b""
    while time.monotonic() < deadline:
        # Bytes, not lines: select knows nothing of lines that already wait in Python's buffer.
        if not select.select([pipe], [], [], 1.0)[0]:
            continue
        read = os.read(pipe.fileno(), 65536)
        if not read:
            break
        said += read
        if READY.encode() in said:
            return said.decode(errors="replace")
    logs = product.logs()
    product.process.kill()
    raise AssertionError(f"the product did not start:\n{said.decode(errors='replace')}\n{logs}")


@contextlib.contextmanager
def running(**options: object) -> Iterator[Product]:
    """A product on a folder of its own that is gone afterwards."""
    # Not pytest's tmp_path: PostgreSQL's user must reach it, and socket paths are short.
    folder = Path(tempfile.mkdtemp(prefix="fupan-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        product = start(folder / "data", **options)
        try:
            yield product
        finally:
            product.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port_pair() -> int:
    """A port that is free, and the next one too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
