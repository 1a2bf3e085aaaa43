"""A recording whose keys are asked for and who asks; a folder and an account for the embedded default."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.domain import Role, User
from appliance.embedded import accounts
from appliance.embedded.accounts import Account
from appliance.keyholder.client import Keyholder
from tests.support import factory


@pytest.fixture
def department(settings: Settings) -> uuid.UUID:
    return factory.make_department(settings)


@pytest.fixture
def recording(settings: Settings, department: uuid.UUID) -> uuid.UUID:
    """One that is being sealed and analysed, so that nothing but the event decides."""
    made = factory.make_attempt(settings, department, state="sealing")
    factory.set_analysis(settings, made, "running")
    return made


@pytest.fixture
def user(settings: Settings, department: uuid.UUID) -> User:
    return factory.make_user(settings, Role.RECRUITER)


@pytest.fixture
def header(settings: Settings, keyholder: Keyholder, recording: uuid.UUID, department: uuid.UUID) -> bytes:
    """The header of a file of the recording, whose key exists."""
    event = factory.worker_event(settings, recording, "seal")
    keyholder.create_recording_key(recording, department, 2026, event.id)
    ((raw, _),) = keyholder.new_file_keys(recording, event.id, "seal", [("track", "camera")])
    return raw


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path that PostgreSQL's user can reach, which pytest's own below a private home is not."""
    made = Path(tempfile.mkdtemp(prefix="fupan-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def account() -> Account:
    """Who PostgreSQL runs as: never root."""
    return accounts.unprivileged() if os.geteuid() == 0 else Account.current()
