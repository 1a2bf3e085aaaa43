"""Check-in: devices are checked before anything is recorded, and each consent is a receipt of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from playwright.sync_api import BrowserContext, Page, expect

from appliance import texts
from appliance.packet import link
from appliance.tables import consent, intake_record
from tests.flow.desk import browser
from tests.flow.fixtures import Told
from tests.flow.rows import rows
from tests.support import fake_camera, room
from tests.support.intake_site import IntakeSite
from tests.support.product import Product
from webui.intake.app import create_app


def test_the_check_is_kept_with_the_attempt(live: Product, anna: Told) -> None:
    [checked] = rows(live, intake_record, attempt_id=anna.recording, kind="checked")
    found = {name: checked.body[name] for name in ("browser", "camera", "microphone", "network", "heard")}
    assert found == {"browser": "ok", "camera": "ok", "microphone": "ok", "network": "ok", "heard": True}
    assert checked.body["numbers"]["height"] == 360
    assert checked.body["numbers"]["latency_ms"] < 800


def test_each_consent_is_a_receipt_that_anyone_can_check(live: Product, anna: Told) -> None:
    receipts = {row.purpose: row for row in rows(live, consent, attempt_id=anna.recording)}
    assert {purpose: row.granted for purpose, row in receipts.items()} == {"record": True, "analysis": True}
    for purpose, row in receipts.items():
        shown = texts.consent_texts()["en"][purpose]
        assert (row.language, row.text_sha256) == ("en", hashlib.sha256(shown.encode()).hexdigest())
        verify(row.receipt)
        said = json.loads(row.receipt["statement"])
        assert said["choices"][purpose] is True
        assert said["recording"] == str(anna.recording)
    [record] = rows(live, intake_record, attempt_id=anna.recording, kind="consent")
    assert record.body["address"] == "127.0.0.1"


def verify(receipt: dict[str, str]) -> None:
    """The browser's signature over the statement, by nothing of ours. Raises InvalidSignature."""
    point = base64.b64decode(receipt["browser_key"])
    signature = base64.b64decode(receipt["signature"])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    key.verify(der, receipt["statement"].encode(), ec.ECDSA(hashes.SHA256()))


def test_the_candidates_pages_set_no_cookie(anna: Told) -> None:
    assert anna.facts["cookies"] == []


# --- devices that are missing, muted or slow, against intake alone -----------------------------------------


@pytest.fixture
def welcomed(tmp_path: Path) -> Iterator[str]:
    """A link to an intake that runs for this test."""
    if not room.CHROMIUM.exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    site = IntakeSite(tmp_path / "data")
    server = room.Server(create_app(site.settings))
    packet, secret = site.invite()
    yield link(server.url, packet.recording, secret)
    server.stop()


def at_the_check(context: BrowserContext, address: str) -> Page:
    page = context.pages[0]
    page.goto(address)
    page.click("#begin:not([disabled])")
    room.at(page, "check")
    return page


def test_without_a_camera_the_page_says_how_to_allow_one(welcomed: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as context:
        context.clear_permissions()
        page = at_the_check(context, welcomed)
        expect(page.locator("#light-camera")).to_have_attribute("data-state", "fail", timeout=10000)
        expect(page.locator("#light-camera [data-fix]")).to_contain_text("Allow")
        expect(page.locator("#check-go")).to_be_disabled()


def test_a_muted_microphone_holds_the_check_up(welcomed: str, tmp_path: Path) -> None:
    silent = fake_camera.make(tmp_path, size=(320, 180), seconds=3, lead=3)
    with wave.open(str(silent.sound)) as file:
        assert not any(file.readframes(file.getnframes()))
    with browser(tmp_path / "profile", *silent.arguments) as context:
        page = at_the_check(context, welcomed)
        page.click("#play-sound")
        page.click("#heard")
        expect(page.locator("#light-camera")).not_to_have_attribute("data-state", "busy")
        page.wait_for_timeout(1000)
        expect(page.locator("#light-microphone")).to_have_attribute("data-state", "busy")
        expect(page.locator("#check-go")).to_be_disabled()
        assert page.locator("#light-microphone [data-words]").inner_text()


def test_a_slow_network_is_a_warning_with_advice(welcomed: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as context:
        page = context.pages[0]
        slow = {"offline": False, "latency": 850, "downloadThroughput": -1, "uploadThroughput": -1}
        page.goto(welcomed)
        page.wait_for_selector("#begin:not([disabled])")
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
        page.click("#begin")
        room.at(page, "check")
        network = page.locator("#light-network")
        expect(network).to_have_attribute("data-state", "warn", timeout=30000)
        expect(network.locator("[data-fix]")).to_contain_text("another network")
