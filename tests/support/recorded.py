"""What the room has recorded: sealed pieces at intake and in the browser, and what they hold once opened."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from playwright.sync_api import Page, expect

from appliance.packet import Packet
from storage.vault import open_epoch_key, parse_opening
from tests.support.intake_site import IntakeSite
from tests.support.room import until

SAVED = "[data-screen=room] [data-saved]"
# How many sealed pieces wait in the browser.
WAITING = """async () => {
  const request = indexedDB.open("fupan-intake");
  const db = await new Promise((done) => { request.onsuccess = () => done(request.result); });
  const count = db.transaction("chunks").objectStore("chunks").count();
  await new Promise((done) => { count.onsuccess = done; });
  db.close();
  return count.result;
}"""


def opened(site: IntakeSite, packet: Packet) -> dict[str, list[bytes]]:
    """Every track's epochs, decrypted with the day key as the inside would, each as one run of bytes."""
    result: dict[str, list[bytes]] = {}
    for track in site.folder.tracks(packet.recording):
        journal = site.folder.journal(packet.recording, track, 1 << 40)
        for epoch, state in journal.state().items():
            opening = parse_opening(journal.opening(bytes.fromhex(epoch)))
            key = open_epoch_key(site.day_scalar, opening)
            parts = []
            for n, chunk in sorted(state.chunks.items()):
                place = n.to_bytes(4) + bytes([chunk.flag])
                sealed = journal.read(bytes.fromhex(epoch), n)
                plain = AESGCM(key).decrypt(bytes(7) + place, sealed, opening.sha256 + place)
                if chunk.flag:
                    assert json.loads(plain)["chunks"] == n
                else:
                    parts.append(plain)
            assert sorted(n for n in state.chunks) == list(range(len(state.chunks)))
            result.setdefault(track, []).append(b"".join(parts))
    return result


def events(site: IntakeSite, packet: Packet) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    decoder = json.JSONDecoder()
    for epoch in opened(site, packet)["events"]:
        text, place = epoch.decode(), 0
        while place < len(text):
            some, place = decoder.raw_decode(text, place)
            found += some
    return found


def arrived(site: IntakeSite, packet: Packet, track: str = "camera") -> int:
    """Chunks of one track that intake holds."""
    journal = site.folder.journal(packet.recording, track, 1 << 40)
    return sum(len(epoch.chunks) for epoch in journal.state().values())


def chunks(site: IntakeSite, packet: Packet) -> int:
    """Chunks of every track that intake holds."""
    return sum(arrived(site, packet, track) for track in site.folder.tracks(packet.recording))


def all_saved(page: Page) -> None:
    expect(page.locator(SAVED)).to_have_text("Saved", timeout=20000)
    until(page, lambda: page.evaluate(WAITING) <= 1)
