"""Promise: a damaged place of a sealed track costs its own seconds and no more.

Each segment of a real track is damaged in turn and the track repaired. What is missing afterwards lies
between the first sample of that segment and the next key frame behind it; every other sample is there with
its own bytes and its own time; and the gaps that the repair names are what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.recorder import Recorder, pieces, webm
from tests.support.damage import Sealed, allowed, flip_segments, lost

pytestmark = pytest.mark.promise
SECONDS = 12.0
FRAME_MS = 110.0  # ten pictures a second
LOOK = {"size": (320, 180), "fps": 10, "bits": 800_000}
KINDS: dict[str, dict[str, Any]] = {
    "webm vp8 opus": {"codec": "libvpx"},
    "webm vp9 opus": {"codec": "libvpx-vp9"},
    "webm av1 opus": {"codec": "libsvtav1", "container": "mp4"},
    "matroska h264 opus": {"codec": "libx264", "container": "matroska"},
    "mp4 h264 opus": {"codec": "libx264", "container": "mp4"},
}


@pytest.fixture
def sealed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sealed]:
    recorder = Recorder(tmp_path)
    media = webm(SECONDS, **LOOK, **KINDS[request.param])
    recorder.epoch("camera", pieces(media, 8), length_ms=SECONDS * 1000)
    yield Sealed(recorder)
    recorder.close()


def chosen(count: int, every: bool) -> list[int]:
    return [*range(count)] if every else sorted({0, count // 2, count - 2, count - 1})


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "every"])
@pytest.mark.parametrize("sealed", KINDS, indirect=True)
def test_a_damaged_segment_costs_its_own_seconds(
    sealed: Sealed, every: bool, record_property: Callable[[str, object], None]
) -> None:
    worst, total, segments = 0.0, 0, chosen(sealed.segments, every)
    for segment in segments:
        sealed.mend()
        flip_segments(sealed.path, segment)
        result = sealed.repaired()
        missing = lost(sealed, result)
        assert result["damage"]["segments"] == [(segment, segment)]
        assert missing.altered == [], segment
        begin, end = allowed(sealed, segment)
        outside = [s for s in missing.samples if not begin <= s.at < max(end, begin)]
        assert outside == [], (segment, begin, end)
        for sample in missing.samples:
            assert any(a <= sample.at + 1 and sample.at < b for a, b in missing.gaps), (segment, sample.at)
        for start, stop in missing.gaps:
            assert begin - FRAME_MS <= start
            assert stop <= end + FRAME_MS
        total += sum(stop - start for start, stop in missing.gaps)
        worst = max([worst, *(stop - start for start, stop in missing.gaps)])
    mean = total / len(segments) / 1000
    said = f"{len(segments)} damaged segments: 0 altered samples, at most {worst / 1000:.1f} s lost"
    record_property("figure", f"{said}, {mean:.1f} s on average")
