"""Fixtures for every test: a real PostgreSQL 15, and a site of its own for each test that asks."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask.templating import Environment
from jinja2.bccache import Bucket, BytecodeCache

from appliance import database
from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from tests.support import postgres
from tests.support.keyholder import running_keyholder
from webui import i18n

# The promises look at what the story leaves; `--count-nonces` counts over all tests.
pytest_plugins = ["tests.flow.fixtures", "tests.flow.paperwork", "tests.support.nonces_plugin"]


def pytest_configure() -> None:
    """Compile the Chinese catalogue when it is newer than what was compiled, as set-up does."""
    source = i18n.TRANSLATIONS / i18n.CHINESE / "LC_MESSAGES" / "messages.po"
    compiled = source.with_suffix(".mo")
    if compiled.exists() and compiled.stat().st_mtime > source.stat().st_mtime:
        return
    part = source.with_suffix(f".{os.getpid()}")
    with source.open("rb") as written, part.open("wb") as made:
        write_mo(made, read_po(written, locale=i18n.CHINESE))
    part.replace(compiled)  # whole or not at all: other processes may be reading it


class _InMemory(BytecodeCache):
    """Templates as compiled before."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def _templates_compiled_once() -> Iterator[None]:
    """Once a process, not once for each test's app: that would be a fifth of what tests of pages take."""
    make = functools.partialmethod(Environment.__init__, bytecode_cache=_InMemory())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "__init__", make)
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """One PostgreSQL for the session, with a migrated template database."""
    if not postgres.DEBIAN_BIN.exists():
        pytest.skip("PostgreSQL 15 is not installed (apt-get install postgresql-15)")
    with postgres.running_cluster() as running:
        yield running


@pytest.fixture
def settings(
    cluster: postgres.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """A site with its own data folder and its own migrated database; FUPAN_CONFIG names it."""
    name = postgres.new_name()
    cluster.create(name, postgres.TEMPLATE)
    made = postgres.site(tmp_path / "data", cluster, name)
    monkeypatch.setenv("FUPAN_CONFIG", str(made.data / "fupan.toml"))
    yield made
    database.dispose(made)
    cluster.drop(name)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One S3-compatible store for the session; see tests/support/seaweedfs.py."""
    from tests.support import seaweedfs

    with seaweedfs.running(tmp_path_factory.mktemp("seaweedfs")) as store:
        yield store


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    """A real keyholder that serves this site, its vault new and unlocked."""
    with running_keyholder(settings) as running:
        yield running


@pytest.fixture
def keyholder(settings: Settings, server: Server) -> Keyholder:
    """Its client."""
    del server  # only has to run
    return Keyholder(settings)
