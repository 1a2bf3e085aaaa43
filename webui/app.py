"""What both web applications share: the factory they start from and the check they end with."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, Response, g, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from appliance.config import Settings
from appliance.selftest import require_known_answers
from webui import assets, auth, errors, i18n, uploads

logger = logging.getLogger("fupan.web")

HERE = Path(__file__).parent
STAFF_DEVICES = "camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=()"
ROOM_DEVICES = "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()"
FORM = "application/x-www-form-urlencoded"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


View = TypeVar("View", bound=Callable[..., Any])


class _App(Flask):
    request_class = uploads.MemoryRequest

    def ensure_sync(self, func: View) -> View:
        """No view or hook of ours is a coroutine, so none is looked at for it at each request."""
        return func


def base_app(
    name: str,
    settings: Settings,
    *,
    devices: str = STAFF_DEVICES,
    language_cookie: bool = False,
    max_body: int = 4 * 1024 * 1024,
) -> Flask:
    """A Flask app with static files, languages, error pages, request ids and security headers.

    `devices` is the Permissions-Policy; `language_cookie` lets ?lang= be remembered (never in intake);
    `max_body` is the largest request body in bytes.
    Call `auth.check_every_endpoint(app)` when all routes are in place. Raises ConfigurationError when the
    self-test fails.
    """
    require_known_answers()
    app = _App(name, static_folder=None, template_folder=str(HERE / "templates"))
    app.extensions["fupan_settings"] = settings
    _believe_proxies(app, settings.trusted_proxies)
    app.config.update(
        MAX_CONTENT_LENGTH=max_body,
        MAX_FORM_MEMORY_SIZE=2 * 1024 * 1024,
        SITE=settings.site,
    )
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.ensure_ascii = False
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.before_request(_number_the_request)
    headers = _standing_headers(devices, settings.staff_url.startswith("https:"))
    app.after_request(lambda response: _secure(response, headers))
    app.before_request(uploads.refuse_others)
    app.before_request(_refuse_nul)
    auth.install(app)
    i18n.install(app, settings.language, cookie=language_cookie)
    assets.install(app)
    errors.install(app)
    return app


def _believe_proxies(app: Flask, count: int) -> None:
    """Take the client's address from behind `count` proxies of ours; whatever more a client wrote into
    X-Forwarded-For is its own word. Host, scheme and prefix are never taken from headers."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=0)  # type: ignore[method-assign]  # Flask's own way


def _number_the_request() -> None:
    g.request_id = secrets.token_hex(6)
    g.started = time.monotonic()
    g.user = None


def _refuse_nul() -> None:
    """No text of ours holds the NUL character, and PostgreSQL takes none."""
    fields = [*request.args.values(), *(request.view_args or {}).values()]
    if request.mimetype == FORM:
        fields += [text for values in request.form.listvalues() for text in values]
    if any("\x00" in text for text in fields if isinstance(text, str)):
        raise errors.BadRequestError()


def _standing_headers(devices: str, https: bool) -> dict[str, str]:
    """What every answer carries unless its view says otherwise."""
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Permissions-Policy": devices,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return {**headers, "Strict-Transport-Security": "max-age=31536000"} if https else headers


def _secure(response: Response, standing: Mapping[str, str]) -> Response:
    # One look at what the view has set: Headers.setdefault would search the whole list for each name.
    stated = {name.lower() for name, _ in response.headers}
    response.headers.extend({name: text for name, text in standing.items() if name.lower() not in stated})
    response.headers["X-Request-ID"] = g.get("request_id", "")
    started = g.get("started")
    if started is not None and logger.isEnabledFor(logging.INFO):
        logger.info(
            "%s %s %s %d ms",
            g.get("request_id", ""),
            request.method,
            response.status_code,
            (time.monotonic() - started) * 1000,
        )
    return response
