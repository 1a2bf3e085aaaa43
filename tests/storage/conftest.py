"""The stores that the tests of storage run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.objects import DiskObjects, Objects


@pytest.fixture(params=["disk"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """An empty store."""
    return DiskObjects(tmp_path / "objects")
