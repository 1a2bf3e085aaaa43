"""Byte ranges: what the standard says of one range, several, and nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.staff.ranges import RangeError, Span, answer, parse

SIZE = 1000
ETAG = "abc"
DATA = bytes(n % 251 for n in range(SIZE))


def get(header: str | None, if_range: str | None = None) -> tuple[int, bytes, dict[str, str]]:
    response = answer(lambda a, b: iter([DATA[a:b]]), SIZE, "video/webm", ETAG, header, if_range)
    return response.status_code, b"".join(response.response), dict(response.headers)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-", Span(0, SIZE)),
        ("bytes=500-599", Span(500, 600)),
        ("bytes=990-5000", Span(990, SIZE)),
        ("bytes=-10", Span(990, SIZE)),
        ("bytes=-5000", Span(0, SIZE)),
        ("Bytes = 1-2", Span(1, 3)),
        ("bytes= 1-2 ,", Span(1, 3)),
    ],
)
def test_one_range(header: str, span: Span) -> None:
    assert parse(header, SIZE) == span


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=0-1,5-6"])
def test_refused(header: str) -> None:
    with pytest.raises(RangeError):
        parse(header, SIZE)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "seconds=1-2",
        "bytes=1-2x",
        "bytes=0x1-2",
    ],
)
def test_nonsense_gives_the_whole(header: str | None) -> None:
    status, body, headers = get(header)
    assert (status, body, headers["Accept-Ranges"]) == (200, DATA, "bytes")


def test_a_partial_answer_says_all_it_must() -> None:
    status, body, headers = get("bytes=10-19")
    assert (status, body) == (206, DATA[10:20])
    assert headers["Content-Range"] == "bytes 10-19/1000"
    assert (headers["Content-Length"], headers["Cache-Control"]) == ("10", "no-store")


def test_if_range_of_another_version_gives_the_whole() -> None:
    assert get("bytes=10-19", '"abc"')[0] == 206
    assert get("bytes=10-19", '"old"')[0] == 200


@given(st.text(max_size=40), st.integers(0, 2**40))
def test_whatever_comes_no_span_leaves_the_file(text: str, size: int) -> None:
    try:
        span = parse(f"bytes={text}", size)
    except RangeError:
        return
    assert span is None or 0 <= span.start < span.end <= size
