"""An intake application over a folder of its own, and a candidate who has begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, Playwright, sync_playwright

from appliance.packet import Packet, link
from tests.support.candidate import Candidate, flask_call
from tests.support.intake_site import IntakeSite
from tests.support.room import Server, chromium
from webui.intake.app import create_app


@pytest.fixture
def site(tmp_path: Path) -> IntakeSite:
    return IntakeSite(tmp_path / "data")


@pytest.fixture
def client(site: IntakeSite) -> FlaskClient:
    return create_app(site.settings).test_client(use_cookies=False)


@pytest.fixture
def begun(site: IntakeSite, client: FlaskClient) -> Callable[..., Candidate]:
    """Makes a candidate who has begun and agreed; packet fields may be changed."""

    def make(consent: bool = True, **changes: object) -> Candidate:
        packet, secret = site.invite(**changes)
        candidate = Candidate(flask_call(client), packet.recording, secret)
        assert candidate.begin()[0] == 200
        if consent:
            assert candidate.consent()[0] == 200
        return candidate

    return make


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture
def server(site: IntakeSite) -> Iterator[Server]:
    running = Server(create_app(site.settings))
    yield running
    running.stop()


@pytest.fixture
def invited(site: IntakeSite, server: Server) -> tuple[Packet, str]:
    packet, secret = site.invite()
    return packet, link(server.url, packet.recording, secret)


@pytest.fixture
def page(playwright: Playwright, server: Server, tmp_path: Path) -> Iterator[Page]:
    """The one page of a candidate's browser, gone before the server goes."""
    with chromium(playwright, tmp_path / "profile", locale="en-GB") as context:
        yield context.pages[0]
