from __future__ import annotations

from pathlib import Path

import pytest

from appliance import demo
from appliance.config import Settings
from appliance.domain import RecordingState
from appliance.keyholder.client import Keyholder
from appliance.tables import account, recording, track
from tests.support.site import Site


def test_the_demo_is_recorded_sealed_and_put_in_once(settings: Settings, keyholder: Keyholder) -> None:
    site = Site(settings, keyholder)
    made = demo.seed(settings)
    assert made is not None
    site.pull()
    site.run_jobs()
    assert site.row(recording, made).state == RecordingState.SEALED
    assert site.row(recording, made).gaps == []
    [camera] = site.rows(track, recording_id=made)
    clip = demo.load_clip(demo.clip_folder())
    assert camera.duration_ms == pytest.approx(clip.duration_ms, abs=200)

    before = len(site.rows(recording))
    assert demo.seed(settings) is None
    site.run_jobs()
    assert len(site.rows(recording)) == before
    people = {row.username: row.password_hash for row in site.staff_rows(account)}
    assert {"recruiter", "head", "interviewer", "sysadmin", "secadmin", "auditor"} <= set(people)
    assert not any(people.values())


def test_a_missing_clip_is_said(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoError, match="clip"):
        demo.load_clip(tmp_path)
