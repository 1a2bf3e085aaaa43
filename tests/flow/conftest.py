"""The real product for the whole story: every process under the supervisor, on a scratch data folder.

FUPAN_FLOW_POSTGRES=debian|embedded chooses the database below it; `make test` runs both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, sync_playwright

from tests.support import fake_camera, room
from tests.support import product as products
from tests.support.product import Product

MEDIA = Path(os.environ.get("FUPAN_TEST_MEDIA") or Path(__file__).resolve().parents[3] / "shared" / "media")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is the story, and needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flow)


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """A product with its demo, in English, for the session."""
    if not room.CHROMIUM.exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    postgres = None
    if os.environ.get("FUPAN_FLOW_POSTGRES", "debian") == "debian":
        postgres = products.DEBIAN_POSTGRES
        if not postgres.exists():
            pytest.skip("PostgreSQL 15 is not installed (apt-get install postgresql-15)")
    with products.running(postgres=postgres, demo=True, language="en") as started:
        yield started


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def person() -> Path:
    """A clip of one person speaking: the real one where there is one, else the demo's."""
    real = MEDIA / "face_and_voice_9s.mp4"
    return real if real.exists() else fake_camera.DEMO_CLIP


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real media. Skips where it is absent."""
    if not MEDIA.is_dir():
        pytest.skip(f"no real media at {MEDIA} (FUPAN_TEST_MEDIA names the folder)")
    return MEDIA
