"""Files that forms send: only where a view takes one, of a bounded size, and in memory alone."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from appliance.config import Database, Settings
from webui import auth
from webui.app import base_app
from webui.uploads import FRAME_BYTES, file_bytes, takes_file

LIMIT = 2_000_000


@pytest.fixture
def browser(tmp_path: Path) -> FlaskClient:
    settings = Settings(tmp_path, "http://localhost", "http://localhost", Database("/nowhere"))
    app: Flask = base_app("test", settings, language_cookie=True)

    @auth.public
    @takes_file(LIMIT)
    def paper() -> str:
        return str(len(file_bytes("paper")))

    app.add_url_rule("/paper", "paper", paper, methods=["POST"])
    return app.test_client()


def send(browser: FlaskClient, size: int, name: str = "paper") -> tuple[int, str]:
    form = {name: (io.BytesIO(b"x" * size), "x.pdf")}
    answer = browser.post("/paper", data=form, headers={"Accept": "application/json"})
    return answer.status_code, answer.text


def test_a_file_arrives_whole_without_a_temporary_one(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spooled(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", spooled)
    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", spooled)
    assert send(browser, LIMIT) == (200, str(LIMIT))


def test_no_file_is_no_bytes(browser: FlaskClient) -> None:
    assert send(browser, 5, "other") == (200, "0")
    assert browser.post("/paper").text == "0"


def test_more_than_the_limit_is_refused_with_the_limit(browser: FlaskClient) -> None:
    status, told = send(browser, LIMIT + FRAME_BYTES)
    assert status == 413
    assert "2.0 MB" in told
