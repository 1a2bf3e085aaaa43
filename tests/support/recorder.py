"""The browser's own recorder beside the product: when it started and stopped, and every byte that it gave.

What the product keeps is held against these bytes, so that a test need not ask how fast the machine is.
"""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import Page

# Copies, not the blobs themselves: Chromium may put large blobs into the profile's folder.
WATCH = """
window.watched = { opened: 0, epochs: [] };
const open = MediaDevices.prototype.getUserMedia;
MediaDevices.prototype.getUserMedia = async function (...wanted) {
  const stream = await open.apply(this, wanted);
  window.watched.opened ||= performance.now();
  return stream;
};
const start = MediaRecorder.prototype.start;
MediaRecorder.prototype.start = function (...slice) {
  if (slice.length) {
    const sound = this.stream.getAudioTracks().length > 0;
    const epoch = { sound, started: 0, stopped: 0 };
    const pieces = [];
    Object.defineProperty(epoch, "pieces", { value: pieces });
    window.watched.epochs.push(epoch);
    this.addEventListener("start", () => { epoch.started = performance.now(); });
    this.addEventListener("dataavailable", ({ data }) => { pieces.push(data.arrayBuffer()); });
    this.addEventListener("stop", () => { epoch.stopped = performance.now(); });
  }
  return start.apply(this, slice);
};
"""
_BYTES = """async (number) => {
  const parts = await Promise.all(window.watched.epochs[number].pieces);
  const file = new FileReader();
  const done = new Promise((resolve) => { file.onload = resolve; });
  file.readAsDataURL(new Blob(parts));
  await done;
  return file.result.split(",")[1];
}"""


def watched(page: Page) -> dict[str, Any]:
    """`opened`: when the camera opened; `epochs`: each recorder's `sound`, `started` and `stopped`; in ms of
    performance.now()."""
    found: dict[str, Any] = page.evaluate("window.watched")
    return found


def camera_seconds(page: Page) -> list[float]:
    """The length of each epoch of the camera on this page that has ended."""
    return [(each["stopped"] - each["started"]) / 1000 for each in _cameras(page) if each["stopped"]]


def camera_bytes(page: Page) -> list[bytes]:
    """What each recorder of the camera on this page gave, whole."""
    epochs = watched(page)["epochs"]
    return [base64.b64decode(page.evaluate(_BYTES, n)) for n, each in enumerate(epochs) if each["sound"]]


def _cameras(page: Page) -> list[dict[str, Any]]:
    return [each for each in watched(page)["epochs"] if each["sound"]]
