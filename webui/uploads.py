"""Files that forms send: taken by the views that say so, held in memory, never on a disk.

werkzeug's own parser writes a file of more than 500 kB to a temporary file, in the clear.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any, TypeVar

from flask import Request, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from appliance.errors import TooLargeError
from webui import i18n
from webui.errors import MediaTypeError

View = TypeVar("View", bound=Callable[..., Any])
MARK = "fupan_file_bytes"
# What a form's boundaries, headers and other fields take beside the file.
FRAME_BYTES = 64 * 1024


class MemoryRequest(Request):
    """A request whose files stay in memory. Its size is bounded before it is read."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


def takes_file(limit: int) -> Callable[[View], View]:
    """The view's form may send a file of at most `limit` bytes."""

    def mark(view: View) -> View:
        setattr(view, MARK, limit)
        return view

    return mark


def refuse_others() -> None:
    """Before any view: a body with files is for views that take one, and of a size that they name."""
    if not request.mimetype.startswith("multipart/"):
        return
    limit = getattr(current_app.view_functions.get(request.endpoint or ""), MARK, None)
    if limit is None:
        raise MediaTypeError()
    request.max_content_length = limit + FRAME_BYTES


def file_bytes(name: str) -> bytes:
    """The bytes of the file that the form sent under this name; none where it sent none.

    Raises TooLargeError.
    """
    try:
        found = request.files.get(name)
    except RequestEntityTooLarge:
        limit = (request.max_content_length or 0) - FRAME_BYTES
        raise TooLargeError(limit=i18n.size(limit)) from None
    return b"" if found is None else found.read()
