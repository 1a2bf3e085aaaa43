"""The main job, step by step, through the doors people use: for tests/flow and `make smoke`."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select

from appliance import database
from appliance.config import Settings
from appliance.tables import analysis, recording, track
from tests.support import recorder, room
from tests.support.waiting import until

ANALYSIS_SECONDS = 300


@dataclass(frozen=True)
class Recorded:
    """What was recorded: the id, by the recorder's own clock how many seconds, and the bytes it gave."""

    recording: uuid.UUID
    seconds: float
    media: bytes


@dataclass(frozen=True)
class Result:
    """What became of a recording: states, sizes in bytes, milliseconds, the analysis' numbers."""

    state: str
    duration_ms: int
    bytes: int
    gaps: list[Any]
    tracks: list[dict[str, Any]]
    analysis: str
    reason: str | None
    figures: dict[str, float]
    analysed_seconds: float

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it by itself."""
        sealed = self.state == "sealed" and self.analysis not in ("queued", "running")
        return sealed or self.state == "failed"


def record(context: BrowserContext, link: str, seconds: float, *, analysis: bool = True) -> Recorded:
    """Be the candidate: check, agree, and answer all questions within `seconds`, to the receipt."""
    page = context.new_page()
    page.add_init_script(recorder.WATCH)
    room.go_to_rules(page, link)
    room.start_recording(page, analysis=analysis)
    # wait_for_function would evaluate a string in the page, which its security policy forbids.
    room.until(page, lambda: any(each["started"] for each in recorder.watched(page)["epochs"]))
    page.wait_for_timeout(seconds * 1000)
    room.answer_and_finish(page, 60000)
    [taken], [media] = recorder.camera_seconds(page), recorder.camera_bytes(page)
    page.close()
    return Recorded(uuid.UUID(urlsplit(link).path.rsplit("/", 1)[1]), taken, media)


def wait_for_report(settings: Settings, recording_id: uuid.UUID, seconds: float = ANALYSIS_SECONDS) -> Result:
    """Wait until the recording is sealed and its analysis has ended, however. Raises TimeoutError."""
    with contextlib.suppress(TimeoutError):
        until(lambda: result(settings, recording_id).ended, seconds, 0.25)
    found = result(settings, recording_id)
    if not found.ended:
        raise TimeoutError(f"recording {found.state}, analysis {found.analysis} after {seconds:.0f} s")
    return found


def result(settings: Settings, recording_id: uuid.UUID) -> Result:
    """What the database says now."""
    with database.transaction("staff", settings) as tx:
        row = tx.execute(select(recording).where(recording.c.id == recording_id)).one()
        tracks = tx.execute(select(track).where(track.c.recording_id == recording_id)).all()
        job = tx.execute(select(analysis).where(analysis.c.recording_id == recording_id)).one_or_none()
    seconds = 0.0
    if job is not None and job.finished_at and job.started_at:
        seconds = (job.finished_at - job.started_at).total_seconds()
    return Result(
        row.state,
        row.duration_ms or 0,
        row.bytes or 0,
        list(row.gaps or []),
        [dict(each._mapping) for each in tracks],
        job.state if job is not None else "none",
        job.reason if job is not None else None,
        dict(job.figures or {}) if job is not None else {},
        seconds,
    )


def sign_in(context: BrowserContext, link: str) -> Page:
    """Use a one-time link, as a person does: by its button."""
    page = context.new_page()
    page.goto(link)
    page.click("main form button")
    page.wait_for_url(lambda address: "/sign-in" not in address)
    return page


def open_replay(page: Page, settings: Settings, recording_id: uuid.UUID) -> float:
    """Open the replay from the candidate's page; milliseconds from the press to the first frame."""
    page.goto(f"{settings.staff_url}/attempts/{recording_id}")
    opener = page.locator(f'form[action$="/recordings/{recording_id}/views"] button').first
    started = time.monotonic()
    opener.click()
    page.wait_for_url("**/replay/*")
    room.until(page, lambda: page.evaluate("(document.querySelector('video')?.readyState ?? 0) >= 2"), 30)
    return (time.monotonic() - started) * 1000


def seek(page: Page, seconds: float) -> float:
    """Jump in the player; milliseconds until the picture there is shown."""
    return page.evaluate(
        """async (at) => {
          const video = document.querySelector("video");
          const before = performance.now();
          const done = new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
          video.currentTime = at;
          await done;
          return performance.now() - before;
        }""",
        seconds,
    )


def document(page: Page, name: str) -> dict[str, Any]:
    """A sealed document of the open replay, as the page itself fetches it."""
    view = urlsplit(page.url).path.rsplit("/", 1)[1]
    response = page.request.get(f"{page.url.rsplit('/replay/', 1)[0]}/replay/{view}/documents/{name}.json")
    assert response.ok, f"{name}: {response.status} {response.text()[:200]}"
    found: dict[str, Any] = json.loads(response.body())
    return found


def transcript(page: Page) -> str:
    """All that was said, in one line."""
    segments = document(page, "transcript")["segments"]
    return " ".join(segment["text"].strip() for segment in segments)


def plays(page: Page) -> None:
    """Press play and see the picture move."""
    page.evaluate("document.querySelector('video').muted = true")
    page.click("button[name=toggle]")
    room.until(page, lambda: page.evaluate("document.querySelector('video').currentTime > 0.5"))
    expect(page.locator("video").first).to_be_visible()
