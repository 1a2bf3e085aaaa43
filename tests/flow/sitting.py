"""One candidate before the camera: what a person does in the room, and what the browser can tell of it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.support import recorder, room

# The sealed pieces that one of the page's stores names: `chunks` wait to be sent, `digests` were committed.
PIECES = """async (store) => {
  const request = indexedDB.open("fupan-intake");
  const db = await new Promise((done) => { request.onsuccess = () => done(request.result); });
  const all = db.transaction(store).objectStore(store).getAll();
  await new Promise((done) => { all.onsuccess = done; });
  db.close();
  const hex = (digest) => Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return all.result.map(
    ({ track, epoch, n, flag, digest }) => ({ track, epoch, n, flag, digest: hex(digest) }));
}"""
SAVED = "[data-screen=room] [data-saved]"


@dataclass
class Sitting:
    """A candidate at work on one page. `moments` are spans of the page's performance.now() in ms."""

    page: Page
    link: str
    moments: dict[str, tuple[float, float]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @property
    def recording(self) -> uuid.UUID:
        return uuid.UUID(urlsplit(self.link).path.rsplit("/", 1)[1])

    def check_in(self, *, analysis: bool = True) -> None:
        """From the mailed link to the first question."""
        self.page.add_init_script(recorder.WATCH)
        room.go_to_rules(self.page, self.link)
        room.start_recording(self.page, analysis=analysis)
        room.until(self.page, lambda: bool(self.watched()["epochs"]))
        room.until(self.page, lambda: bool(self.watched()["epochs"][0]["started"]))

    def come_back(self) -> None:
        """Open the page again in the same browser, as its address was left: without the link's secret."""
        self.page.add_init_script(recorder.WATCH)
        self.page.goto(self.link.split("#")[0])
        room.at(self.page, "room")

    def watched(self) -> dict[str, Any]:
        return recorder.watched(self.page)

    def now(self) -> float:
        return float(self.page.evaluate("performance.now()"))

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[None]:
        """What happens in here, the page may put at any moment in between."""
        before = self.now()
        yield
        self.moments[name] = (before, self.now())

    def heard_for(self) -> float:
        """Seconds since the camera and the microphone opened."""
        return (self.now() - self.watched()["opened"]) / 1000

    def listen_until(self, seconds: float) -> None:
        """Let the microphone play on to this moment of its file."""
        self.page.wait_for_timeout(max(0.0, seconds - self.heard_for()) * 1000)

    def advance(self) -> None:
        """Press the one primary button, and see that the room went on."""
        before = self.page.text_content("#question-number"), self.page.text_content("#advance")
        self.page.click("#advance")
        room.until(
            self.page,
            lambda: (
                (self.page.text_content("#question-number"), self.page.text_content("#advance")) != before
            ),
        )

    def mark(self) -> None:
        self.page.click("#question-text")
        with self.during("mark"):
            self.page.keyboard.press("m")
            expect(self.page.locator("#mark-state")).not_to_be_empty()

    def type_note(self, text: str) -> None:
        self.page.click("details:has(#note) summary")
        self.page.fill("#note", text)
        typing = self.page.text_content("#note-state")
        room.until(self.page, lambda: self.page.text_content("#note-state") != typing)
        self.page.keyboard.press("Tab")

    def waiting(self, track: str = "camera") -> int:
        """Sealed pieces of a track that wait in the browser."""
        return len(self._pieces("chunks", track))

    def committed(self) -> set[tuple[str, int, str]]:
        """The camera's sealed pieces that this browser must not lose: epoch, number, digest in hex."""
        found = self._pieces("digests", "camera")
        return {(each["epoch"], each["n"], each["digest"]) for each in found if not each["flag"]}

    def _pieces(self, store: str, track: str) -> list[dict[str, Any]]:
        return [each for each in self.page.evaluate(PIECES, store) if each["track"] == track]

    def all_saved(self) -> None:
        room.until(self.page, lambda: self.waiting() <= 1, 30)

    def finish(self) -> None:
        """From the last question to the receipt."""
        with self.during("finish"):
            self.page.click("#advance")
            expect(self.page.locator("[data-screen=room]")).to_be_hidden(timeout=20_000)
        room.at(self.page, "done", 60_000)
        self.words["receipt"] = self.page.text_content("#receipt-number") or ""
