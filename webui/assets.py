"""Static files: one route, addresses that carry the content's hash, texts compressed once in memory."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Flask, Response, request, url_for
from werkzeug.security import safe_join

from appliance.errors import NotFoundError
from webui.auth import public

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml"}
A_YEAR = 31536000


@dataclass(frozen=True)
class Asset:
    """One static file as it is sent."""

    body: bytes
    packed: bytes | None
    mime: str
    digest: str


def install(app: Flask) -> None:
    """Add /static/<path> and the template function `asset(name)`."""
    app.add_url_rule("/static/<path:name>", "static", send)
    app.jinja_env.globals["asset"] = address


def address(name: str) -> str:
    """URL of a static file, changing with its content."""
    return url_for("static", name=name, v=_asset(name).digest[:10])


@public
def send(name: str) -> Response:
    """A static file; cached for good when its address carries its hash."""
    asset = _asset(name)
    response = Response(asset.body, mimetype=asset.mime)
    if asset.packed is not None:
        response.headers["Vary"] = "Accept-Encoding"
        if request.accept_encodings["gzip"]:
            response = Response(asset.packed, mimetype=asset.mime)
            response.headers.update({"Vary": "Accept-Encoding", "Content-Encoding": "gzip"})
    named = request.args.get("v") == asset.digest[:10]
    response.headers["Cache-Control"] = f"public, max-age={A_YEAR}, immutable" if named else "no-cache"
    response.set_etag(asset.digest)
    response.make_conditional(request)
    return response


def _asset(name: str) -> Asset:
    path = safe_join(str(STATIC), name)
    if path is None or not Path(path).is_file():
        raise NotFoundError()
    return _read(path, Path(path).stat().st_mtime_ns)


@cache
def _read(path: str, _changed: int) -> Asset:
    body = Path(path).read_bytes()
    mime = TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    text = mime.startswith("text/") or mime in ("image/svg+xml", "application/json")
    packed = gzip.compress(body, 9, mtime=0) if text and len(body) > 512 else None
    return Asset(body, packed, mime, hashlib.sha256(body).hexdigest())
