"""The stores that the tests of storage run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.objects import DiskObjects, Objects
from tests.support import seaweedfs


@pytest.fixture(params=["disk", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """An empty store."""
    if request.param == "disk":
        return DiskObjects(tmp_path / "objects")
    store: seaweedfs.Store = request.getfixturevalue("seaweed")
    return store.objects(tmp_path / "scratch")
