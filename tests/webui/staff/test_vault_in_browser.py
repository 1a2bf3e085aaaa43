"""Giving a share at a page: encrypted in the browser, named when wrong, never seen by the server."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import request, request_started
from playwright.sync_api import expect

from appliance.config import Settings
from appliance.domain import Role
from appliance.keyholder import orders
from appliance.keyholder.client import Keyholder
from appliance.keyholder.vault_client import VaultKeyholder
from tests.support import custodians
from tests.support.axe import serious
from tests.support.custodians import ME, init
from tests.support.desk import SAME_ORIGIN, Desk
from tests.support.desk_browser import at_the_desk
from tests.support.keyholder import running_keyholder
from tests.support.room import NEEDS_BROWSER

pytestmark = NEEDS_BROWSER


@pytest.fixture
def site(settings: Settings) -> Iterator[tuple[Desk, list[str]]]:
    """An installed site's desk, its vault locked, and the shares of it."""
    made = custodians.installed(settings)
    with running_keyholder(made):
        shares = init(made)
        orders.lock(made, ME)
        yield Desk(made, Keyholder(made)), shares


def test_two_custodians_unlock_at_their_own_pages(
    site: tuple[Desk, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    desk, shares = site
    bodies: list[bytes] = []

    def note(_app: object, **_: Any) -> None:
        bodies.append(
            request.get_data(cache=True) + request.full_path.encode() + str(request.headers).encode()
        )

    with request_started.connected_to(note, desk.app), at_the_desk(desk) as browser:
        first = browser.window(Role.INTERVIEWER, width=360)
        first.goto("/vault")
        first.get_by_role("button", name="Begin to collect shares").click()
        shown = first.locator("#fingerprint").text_content()
        (ceremony,) = VaultKeyholder(desk.settings).vault().ceremonies
        assert shown == ceremony.fingerprint
        field = first.get_by_role("textbox", name="Your share")
        first.get_by_role("button", name="Give the share").click()
        expect(first.locator("#f-share-error")).to_have_text("Type your share.")
        expect(field).to_be_focused()
        field.fill(shares[0][:-1])
        first.get_by_role("button", name="Give the share").click()
        expect(first.locator("#f-share-error")).to_contain_text("mistyped")
        assert serious(first) == []
        assert not first.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        first.get_by_role("textbox", name="Your share").fill(shares[0].lower().replace("-", " "))
        first.keyboard.press("Tab")
        first.keyboard.press("Enter")  # with the keyboard alone
        expect(first.get_by_text("1 of 2 given.")).to_be_visible()
        second = browser.window(Role.SYSTEM_ADMIN, lang="zh")
        second.goto("/vault")
        assert serious(second) == []
        expect(second.get_by_text("已提交 1 份")).to_be_visible()
        second.locator("#f-share").fill(shares[2])
        second.get_by_role("button", name="提交份额").click()
        expect(second.get_by_role("status")).to_contain_text("保险库已解锁")
        assert browser.problems == []
    assert not VaultKeyholder(desk.settings).vault().locked
    said = b"\n".join(bodies) + caplog.text.encode() + _files(desk.settings.data)
    for share in shares:
        for text in (share, share.lower().replace("-", " "), share[6:30]):
            assert text.encode() not in said
    assert len([body for body in bodies if b"sealed=" in body]) == 3


def test_the_server_never_holds_what_a_form_sends_in_clear(site: tuple[Desk, list[str]]) -> None:
    """Somebody without a script, or with another one: the field has no name, and clear text is refused."""
    desk, shares = site
    client = desk.client(Role.RECRUITER)
    client.post("/vault/ceremony", headers=SAME_ORIGIN)
    (ceremony,) = VaultKeyholder(desk.settings).vault().ceremonies
    page = client.get("/vault").get_data(as_text=True)
    assert '<textarea id="f-share"' in page
    assert 'name="share"' not in page
    for sealed in ("", shares[0], "AAAA", "A" * 10_000):
        form = {"ceremony": str(ceremony.id), "sealed": sealed}
        answer = client.post("/vault", data=form, headers=SAME_ORIGIN)
        assert answer.status_code == 422
        assert "error" in answer.get_data(as_text=True)
    answer = client.post("/vault", data={"ceremony": "x", "sealed": "AAAA"}, headers=SAME_ORIGIN)
    assert answer.status_code == 422
    assert "Begin again" in answer.get_data(as_text=True)
    gc.collect()


def test_what_each_state_of_the_vault_shows(settings: Settings, keyholder: Keyholder) -> None:
    desk = Desk(settings, keyholder)
    admin, recruiter = desk.client(Role.SYSTEM_ADMIN), desk.client(Role.RECRUITER)
    assert "No share is needed now" in recruiter.get("/vault").get_data(as_text=True)
    assert "Key file" in admin.get("/vault").get_data(as_text=True)
    assert "Key file" not in recruiter.get("/vault").get_data(as_text=True)
    keyholder.lock()
    assert "not unlocked by shares" in recruiter.get("/vault").get_data(as_text=True)
    assert recruiter.post("/vault/ceremony", headers=SAME_ORIGIN).status_code == 422
    settings.keyholder_socket.unlink()
    assert "does not answer" in recruiter.get("/vault").get_data(as_text=True)


def _files(folder: Path) -> bytes:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_socket())
    return b"\n".join(path.read_bytes() for path in found)
