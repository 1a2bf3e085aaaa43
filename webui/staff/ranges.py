"""Byte ranges (RFC 9110, section 14): one is served, several are refused, nonsense is ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flask import Response

from appliance.errors import FupanError
from webui import errors

SPEC = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)


class RangeError(FupanError):
    """The range asked for is not in the file."""

    status, code = 416, "range"
    message = "The file has no such part."


@dataclass(frozen=True)
class Span:
    """Bytes from `start` up to but not including `end`."""

    start: int
    end: int


def parse(header: str | None, size: int) -> Span | None:
    """The one range a header asks for; None means the whole file. Raises RangeError.

    Several ranges are refused (a player never asks for them, and answering them would cost a multipart
    body); a header that is not a bytes range is ignored, as the standard has it.
    """
    if header is None:
        return None
    unit, equals, specs = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    asked = [spec.strip() for spec in specs.split(",") if spec.strip()]
    if len(asked) != 1:
        if asked and all(SPEC.fullmatch(spec) for spec in asked):
            raise RangeError()
        return None
    found = SPEC.fullmatch(asked[0])
    if found is None or found.group() == "-":
        return None
    first, last = found.groups()
    if not first:
        length = int(last)
        if length == 0 or size == 0:
            raise RangeError()
        return Span(max(0, size - length), size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeError()
    return Span(start, min(size, int(last) + 1) if last else size)


def answer(
    pieces: Callable[[int, int], Iterable[bytes]],
    size: int,
    mime: str,
    etag: str,
    header: str | None,
    if_range: str | None,
) -> Response:
    """A 200 or 206 response that streams `pieces(start, end)`, or 416 with the size and in words.

    `header` and `if_range` are the request's Range and If-Range.
    """
    quoted = f'"{etag}"'
    try:
        span = parse(header, size) if if_range in (None, quoted) else None
    except RangeError as error:
        response = errors.answer(error)
        response.headers["Content-Range"] = f"bytes */{size}"
        response.headers["Accept-Ranges"] = "bytes"
        return response
    start, end = (span.start, span.end) if span else (0, size)
    response = Response(pieces(start, end), status=206 if span else 200, direct_passthrough=True)
    response.headers["Content-Type"] = mime
    response.headers["Content-Length"] = str(end - start)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = quoted
    response.headers["Cache-Control"] = "no-store"
    if span:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return response
