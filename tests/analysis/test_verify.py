"""Sealed files read back: whole ones are, and of others the first thing that is wrong is named."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import MediaError, RequestError
from analysis.verify import PIECE, verify
from storage.keys import new_key
from storage.sealed import SealedWriter
from storage.segment_format import new_header
from tests.storage import builders

SIZES = {"empty": 0, "small": 1000, "long": PIECE + 70_000}


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    made = []
    for name, size in SIZES.items():
        path, key = tmp_path / name, new_key()
        header = new_header(builders.VAULT, builders.RECORDING, "track", name)
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        with SealedWriter(fd, header, key) as writer:
            writer.write(os.urandom(size))
        made.append({"name": name, "fd": fd, "key": base64.b64encode(key).decode()})
    yield made
    for each in made:
        os.close(each["fd"])


def read_back(files: list[dict[str, Any]]) -> dict[str, int]:
    return dict(verify({"files": files}, lambda _fraction, _stage: None)["files"])


def test_whole_files_are_read_to_their_last_byte(files: list[dict[str, Any]]) -> None:
    assert read_back(files) == SIZES


@pytest.mark.parametrize(
    ("at", "kind"), [(0, "header"), (-1, "last_segment"), (PIECE // 2, "segment"), (None, "last_segment")]
)
def test_what_does_not_prove_is_named(files: list[dict[str, Any]], at: int | None, kind: str) -> None:
    fd = files[-1]["fd"]
    if at is None:
        os.truncate(fd, os.fstat(fd).st_size - 1)
    else:
        place = at % os.fstat(fd).st_size
        os.pwrite(fd, bytes([os.pread(fd, 1, place)[0] ^ 1]), place)
    with pytest.raises(MediaError) as caught:
        read_back(files)
    assert (caught.value.kind, str(caught.value)) == ("not_whole", f"{kind} {files[-1]['name']}")


def test_another_files_key_proves_nothing(files: list[dict[str, Any]]) -> None:
    files[0]["key"] = files[1]["key"]
    with pytest.raises(MediaError, match="last_segment"):
        read_back(files)


@pytest.mark.parametrize("broken", [{"name": "x"}, {"name": "x", "fd": "no", "key": ""}])
def test_an_incomplete_request_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        read_back([broken])
