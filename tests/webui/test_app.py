"""What both applications share: permissions stated, headers, static files, languages, formats."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from flask import Flask, request

from appliance.config import Database, Settings
from appliance.errors import NotFoundError
from webui import auth, i18n
from webui.app import base_app

TEMPLATES = Path(auth.__file__).parent / "templates"
FIRST_LOAD_BYTES = 150_000


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    settings = Settings(tmp_path, "http://localhost", "http://localhost", Database("/nowhere"))
    return base_app("test", settings, language_cookie=True)


def test_an_endpoint_that_states_no_permission_stops_the_start(app: Flask) -> None:
    auth.check_every_endpoint(app)
    app.add_url_rule("/forgotten", "forgotten", lambda: "")
    with pytest.raises(auth.UnstatedPermissionError, match="forgotten"):
        auth.check_every_endpoint(app)


def test_every_answer_is_under_a_strict_policy(app: Flask) -> None:
    for path in ("/static/fupan.css", "/nowhere"):
        headers = app.test_client().get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch("[0-9a-f]{12}", headers["X-Request-ID"])
    assert app.test_client().get("/nowhere").headers["Cache-Control"] == "no-store"


def test_a_multipart_body_is_refused_before_anything_reads_it(app: Flask) -> None:
    asked: list[str] = []
    app.add_url_rule(
        "/form",
        "form",
        auth.public(lambda: asked.append(request.form.get("a", "")) or "taken"),
        methods=["POST"],
    )
    browser = app.test_client()
    refused = browser.post("/form", data={"a": "b"}, content_type="multipart/form-data")
    assert (refused.status_code, asked) == (415, [])
    assert browser.post("/form", data={"a": "b"}).status_code == 200
    assert asked == ["b"]


@pytest.mark.parametrize(
    ("path", "size", "kind", "limit"),
    [
        ("/form", 5_000_000, "application/x-www-form-urlencoded", "4.2 MB"),
        ("/body", 5_000_000, "application/octet-stream", "4.2 MB"),
        ("/small", 300_000, "application/json", "200 kB"),
    ],
)
def test_a_body_that_is_too_large_is_told_its_own_limit(
    app: Flask, path: str, size: int, kind: str, limit: str
) -> None:
    def small() -> bytes:
        request.max_content_length = 200_000
        return request.get_data()

    views = {"/form": lambda: request.form.get("a", ""), "/body": lambda: request.get_data(), "/small": small}
    app.add_url_rule(path, path, auth.public(views[path]), methods=["POST"])
    refused = app.test_client().post(
        path, data=b"a=" + b"x" * size, content_type=kind, headers={"Accept": "application/json"}
    )
    assert refused.status_code == 413
    assert limit in refused.get_json()["message"]


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_templates_hold_no_inline_script_style_or_handler(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://(?!fupan\.example)", text)
    for tag in re.findall(r"<script[^>]*>", text):
        assert "src=" in tag or 'type="application/json"' in tag


def test_static_files_are_compressed_cached_by_content_and_stay_inside(app: Flask) -> None:
    browser = app.test_client()
    with app.test_request_context():
        from webui.assets import address

        url = address("fupan.css")
    packed = browser.get(url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "immutable" in packed.headers["Cache-Control"]
    assert browser.get("/static/fupan.css").headers["Cache-Control"] == "no-cache"
    again = browser.get("/static/fupan.css", headers={"If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/vendor"):
        assert browser.get(path).status_code == 404


def test_the_first_load_is_light(app: Flask) -> None:
    names = ("vendor/pico.min.css", "fupan.css", "mark.svg", "vendor/htmx.min.js", "staff/desk.js")
    sent = sum(
        len(app.test_client().get(f"/static/{name}", headers={"Accept-Encoding": "gzip"}).data)
        for name in names
    )
    assert sent < FIRST_LOAD_BYTES


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "lang"),
    [
        ("", "", "", "zh-Hans"),
        ("", "", "en-GB,en;q=0.9", "en"),
        ("", "", "fr", "zh-Hans"),
        ("", "zh", "en", "zh-Hans"),
        ("?lang=en", "zh", "zh", "en"),
        ("?lang=xx", "", "zh-CN", "zh-Hans"),
    ],
)
def test_the_language_is_asked_for_in_order(
    app: Flask, query: str, cookie: str, accept: str, lang: str
) -> None:
    browser = app.test_client()
    if cookie:
        browser.set_cookie("fupan_lang", cookie)
    answer = browser.get(f"/nowhere{query}", headers={"Accept-Language": accept})
    assert f'<html lang="{lang}"' in answer.text


def test_dates_and_numbers_are_typeset(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = dt.datetime(2026, 11, 21, 6, 2, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    monkeypatch.setattr(i18n, "local", lambda moment: moment)
    with app.test_request_context("/?lang=zh"):
        assert i18n.when_text(moment) == "2026年11月21日 06:02"
    with app.test_request_context("/?lang=en"):
        assert i18n.when_text(moment) == "21 Nov 2026, 06:02"
    assert [i18n.clock(ms) for ms in (0, 61_999, 3_600_000, None)] == ["0:00", "1:01", "1:00:00", "–:––"]
    assert [i18n.size(n) for n in (999, 1500, 61_000_000)] == ["999 B", "1.5 kB", "61.0 MB"]


def test_errors_are_json_for_scripts_and_pages_for_people(app: Flask) -> None:
    @auth.public
    def missing() -> str:
        raise NotFoundError()

    app.add_url_rule("/missing", "missing", missing)
    browser = app.test_client()
    person = browser.get("/missing", headers={"Accept": "text/html", "Accept-Language": "en"})
    script = browser.get("/missing", headers={"Accept": "application/json", "Accept-Language": "en"})
    assert (person.status_code, script.status_code) == (404, 404)
    assert "There is nothing here, or it is not yours to see." in person.text
    assert script.json is not None
    assert script.json["code"] == "not_found"
    assert script.json["request"] == script.headers["X-Request-ID"]


def test_an_unexpected_error_tells_its_number_and_nothing_else(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    words = "".join(["secret", " ", "words"])  # a trace quotes its source lines; only the value must not leak

    @auth.public
    def broken() -> str:
        raise RuntimeError(words)

    app.add_url_rule("/broken", "broken", broken)
    answer = app.test_client().get("/broken")
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] in answer.text
    assert words not in answer.text + caplog.text
