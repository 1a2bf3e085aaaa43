"""What must be true before anything starts; each failure is one line that says what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from pathlib import Path

from appliance.embedded.layout import Layout
from appliance.errors import ConfigurationError

START_BYTES = 1024**3


def lock_start(layout: Layout) -> int:
    """Take the data folder for this start; the descriptor holds it. Raises when another start has it."""
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 64).decode(errors="replace").strip()
        os.close(descriptor)
        raise ConfigurationError(
            what=f"it is already running on {layout.data} (process {holder}). Stop that one with Ctrl-C, "
            "or choose another folder with DATA="
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def start_is_held(layout: Layout) -> bool:
    """Whether a start has the data folder, so that its site runs, or is about to."""
    try:
        descriptor = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_writable(folder: Path) -> None:
    """Make the folder and write into it. Raises ConfigurationError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            what=f"cannot write to {folder} ({error.strerror}). Choose another folder with DATA="
        ) from error


def check_disk(folder: Path, needed: int = START_BYTES) -> None:
    """Refuse to start on a disk that recordings would fill at once."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigurationError(
            what=f"the disk of {folder} has {free // 1024**2} MiB free; {needed // 1024**2} MiB are needed. "
            "Free some space, or choose another disk with DATA="
        )


def check_port(address: str, port: int) -> None:
    """Refuse a port that something else holds, or an address that is not this machine's."""
    if not 1 <= port <= 65535:
        raise ConfigurationError(what=f"{port} is not a port (1 to 65535). Choose another with PORT=")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ConfigurationError(what=_why_not(error, address, port)) from error


def _why_not(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use by another program. Choose another with PORT= (it takes PORT and PORT+1)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine. Choose another with HOST="
    if error.errno == errno.EACCES:
        return f"only root may use port {port}. Choose one above 1023 with PORT="
    return f"cannot listen on {address} port {port} ({error.strerror})"
