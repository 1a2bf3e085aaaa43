"""What the seal says of what it sealed, and keeps of a track's start."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from analysis.container import MIME
from appliance import manifest
from appliance.errors import DamagedError
from appliance.manifest import Manifest
from appliance.tables import recording, track
from storage.head_format import parse_head
from storage.vault import Vault
from tests.support.media import recorded
from tests.support.site import Site


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    return site.sealed_but_not_analysed(list(recorded()))


def test_the_manifest_names_each_track_by_its_digests_and_the_rows_say_the_same(
    site: Site, made: uuid.UUID
) -> None:
    read = Manifest.parse(site.opened(made, "document", "manifest"))
    row, [camera] = site.row(recording, made), read.tracks
    assert (read.recording, read.end_proven, read.gaps) == (made, True, row.gaps)
    assert (read.duration_ms, read.day_key, read.sealed_at) == (
        row.duration_ms,
        row.day_key_id,
        row.sealed_at,
    )
    assert read.department_year_key == row.department_year_key
    media = site.opened(made, "track", "camera")
    path = Vault(site.settings.vault_folder).path(made, "track", "camera")
    assert camera.sha256 == hashlib.sha256(media).hexdigest()
    assert camera.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (camera.size, camera.file_size) == (len(media), path.stat().st_size)
    assert (camera.recorded_as, camera.codecs) == (("video/webm;codecs=vp8,opus",), ("vp8", "opus"))
    [kept] = site.rows(track, recording_id=made)
    assert camera.row(made) == dict(kept._mapping)
    assert Manifest.parse(read.encode()) == read


def test_the_head_is_the_tracks_own_header_and_first_bytes(site: Site, made: uuid.UUID) -> None:
    head = parse_head(site.opened(made, "document", "camera.head"))
    media = site.opened(made, "track", "camera")
    assert head.header == Vault(site.settings.vault_folder).header_of(made, "track", "camera")
    assert head.size == len(media)
    assert media.startswith(head.first)
    assert len(head.first) > 65536


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[" * 100_000, b'{"version":2}', b'{"version":1,"tracks":[{}]}']
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedError):
        Manifest.parse(data)


def test_every_container_that_is_written_has_a_content_type() -> None:
    assert manifest.MIME_OF == MIME
