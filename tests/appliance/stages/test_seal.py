from __future__ import annotations

import io

import av
import pytest

from appliance.domain import RecordingState
from appliance.stages import replay
from appliance.tables import analysis, recording, track
from tests.support.media import recorded
from tests.support.site import Site


def test_a_finished_recording_is_sealed_and_plays(site: Site) -> None:
    made = site.sealed(list(recorded()))

    row = site.row(recording, made)
    assert (row.state, row.problem, row.gaps) == (RecordingState.SEALED, None, [])
    [camera] = site.rows(track, recording_id=made)
    assert (camera.name, camera.container, camera.width) == ("camera", "webm", 160)
    assert abs(camera.duration_ms - 4000) < 200

    view = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, view, "camera") as file:
        plain = file.read(0, file.size)
    with av.open(io.BytesIO(plain)) as container:
        assert container.duration == pytest.approx(4_000_000, abs=200_000)
        assert {stream.type for stream in container.streams} == {"video", "audio"}
    assert site.row(analysis, made).reason == "no_model_pack"
