"""Fixtures for the media child: a recorder of its own for each test, real media, a built model pack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.model_pack import ModelPack, ModelPackError, load_pack

from .recorder import Recorder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """An empty recording."""
    made = Recorder(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def real_media() -> Path:
    """Folder of real recordings of people, which are not part of the product."""
    folder = Path(os.environ.get("FUPAN_TEST_MEDIA", ROOT.parent / "shared" / "media"))
    if not folder.is_dir():
        pytest.skip(f"no real test media at {folder} (set FUPAN_TEST_MEDIA)")
    return folder


@pytest.fixture(scope="session")
def pack() -> ModelPack:
    """The default model pack as the builder made it."""
    folder = Path(os.environ.get("FUPAN_TEST_MODELS", Path.home() / ".cache/fupan/models/active"))
    try:
        return load_pack(folder)
    except ModelPackError as error:
        pytest.skip(f"{error}; build it: python -m installer.model_packs build (or set FUPAN_TEST_MODELS)")
