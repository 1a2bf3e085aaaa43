"""A small HTTP client for a running product: cookies are kept, redirects are not followed."""

from __future__ import annotations

import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """A response, read whole."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_json(self) -> bool:
        return self.headers.get_content_type() == "application/json"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Client:
    """One browser's worth of cookies, for addresses below `url`."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url, self.headers = url, dict(headers or {})
        self.cookies = http.cookiejar.CookieJar()
        jar = urllib.request.HTTPCookieProcessor(self.cookies)
        # No proxy of the environment stands between a test and 127.0.0.1.
        self._opener = urllib.request.build_opener(jar, _Stay, urllib.request.ProxyHandler({}))

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        raw: bytes | None = None,
        json: object = None,
        form: Mapping[str, str | Iterable[str]] | None = None,
    ) -> Answer:
        """Send one request; every status is an answer. `raw` is sent under the Content-Type in `headers`."""
        sent = {**self.headers, **(headers or {})}
        if json is not None:
            data, sent["Content-Type"] = _json_bytes(json), "application/json"
        elif form is not None:
            data = urllib.parse.urlencode(form, doseq=True).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        elif data is not None:
            sent["Content-Type"] = "application/octet-stream"
        elif raw is not None:
            data = raw
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


def _json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()
