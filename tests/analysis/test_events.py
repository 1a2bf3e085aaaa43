"""Events as a stranger's browser may send them: each is understood or counted as refused."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from analysis import events
from analysis.documents import canonical
from analysis.events import read_events
from analysis.timeline import EpochClock, place
from storage.vault import Clock

from .recorder import WALL, pieces, run_child, webm

GOOD = {"kind": "mark", "t": 1500, "wall": WALL}
HUGE = "1" + "0" * 400
REFUSED = {
    "kind of a list": '{"kind":[],"t":5,"wall":5}',
    "kind of an object": '{"kind":{},"t":5,"wall":5}',
    "time beyond floats": f'{{"kind":"mark","t":{HUGE},"wall":5}}',
    "time of 1e308": '{"kind":"mark","t":1e308,"wall":5}',
    "wall time of -1e308": '{"kind":"mark","t":5,"wall":-1e308}',
    "time that is no number": '{"kind":"mark","t":NaN,"wall":5}',
    "time that is true": '{"kind":"mark","t":true,"wall":5}',
    "question beyond floats": f'{{"kind":"question_shown","t":5,"wall":5,"question":{HUGE}}}',
    "detail without end": '{"kind":"mark","t":5,"wall":5,"x":1e999}',
    "detail that is no number": '{"kind":"mark","t":5,"wall":5,"x":NaN}',
    "details without number": json.dumps(GOOD | {f"x{n}": 1 for n in range(1000)}),
}


def read(*chunks: bytes) -> tuple[list[dict[str, Any]], int]:
    page = b"1" * 16
    clock = Clock(page, 1000.0, WALL)
    reader = SimpleNamespace(opening=SimpleNamespace(clock=clock), iter_chunks=lambda: enumerate(chunks))
    return read_events([reader], place([EpochClock(page, 1000.0, WALL, 2000.0)]))


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_an_event_that_makes_no_sense_is_refused_and_its_neighbours_are_kept(raw: str) -> None:
    good = json.dumps(GOOD)
    found, refused = read(f"[{good},{raw},{good}]".encode())
    assert ([event["at_ms"] for event in found], refused) == ([500, 500], 1)
    canonical({"events": found})


def test_text_with_half_a_character_is_kept_without_it() -> None:
    raw = '[{"kind":"typed","t":1500,"wall":5,"question":1,"text":"a\\ud800b","\\udfff":null}]'
    ((event,), refused) = read(raw.encode())
    assert (event["text"], event["\ufffd"], refused) == ("a\ufffdb", None, 0)
    assert json.loads(canonical(event)) == event


def test_a_nested_detail_is_left_out_and_a_claimed_place_is_not_believed() -> None:
    ((event,), _) = read(canonical([GOOD | {"at_ms": 7, "deep": {"a": [1]}, "flag": True}]))
    assert event == {"at_ms": 500, "wall": WALL, "kind": "mark", "flag": True}


def test_text_ends_where_a_document_could_not_be_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LARGEST_TOTAL", 1000)
    found, refused = read(canonical([GOOD | {"text": "x" * 200}] * 10))
    assert (len(found), refused) == (3, 7)
    assert all(math.isfinite(event["at_ms"]) for event in found)


def test_a_chunk_of_such_events_does_not_cost_the_recording(recorder) -> None:
    recorder.epoch("camera", pieces(webm(1), 2), length_ms=1000)
    text = '{"kind":"typed","t":1500,"wall":5,"text":"\\ud800"}'
    recorder.epoch("events", [f"[{','.join([*REFUSED.values(), text])}]".encode(), b"\xff", b"[[[[", b"7"])
    answer = run_child(recorder.remux_request(), recorder.descriptors)
    assert answer["exit"] == 0, answer
    timeline = recorder.document("timeline")
    assert [event["text"] for event in timeline["events"]] == ["\ufffd"]
    assert timeline["events_refused"] == len(REFUSED) + 3
