"""Every failure as a page or JSON in the person's language: what happened, what was kept, what to do."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus

from flask import Flask, Response, g, jsonify, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException

from appliance.errors import (
    DatabaseDownError,
    FupanError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
)
from webui import i18n, words
from webui.answers import see_other

logger = logging.getLogger("fupan.web")
RETRY_SECONDS = 5


class MethodError(FupanError):
    """The address exists, the method does not."""

    status, code = 405, "method"
    message = "This address does not take that kind of request."


class BadRequestError(FupanError):
    """The request itself is malformed."""

    status, code = 400, "bad_request"
    message = "The request could not be read. Nothing was changed. Go back and try again."


class MediaTypeError(FupanError):
    """The body is of a kind that no page sends."""

    status, code = 415, "media_type"
    message = "The request could not be read. Nothing was changed. Go back and try again."


def install(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(FupanError, answer)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(OperationalError, _database_down)
    app.register_error_handler(InterfaceError, _database_down)
    app.register_error_handler(Exception, _unexpected)


def wants_json() -> bool:
    """Whether the caller is a script rather than a person's navigation."""
    if request.headers.get("HX-Request") or request.is_json or request.path.startswith("/intake/"):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json"


def message_of(error: FupanError) -> str:
    """The error's message in the person's language."""
    params = dict(error.params)
    kind = params.get("kind")
    if isinstance(kind, str):
        params["kind"] = words.reason(kind)
    return _(error.message, **params)


def answer(error: FupanError) -> Response:
    """The response for an expected failure."""
    if isinstance(error, UnauthenticatedError) and not wants_json() and "session.sign_in" in _endpoints():
        return see_other(url_for("session.sign_in", next=_here()))
    if error.status >= 500:
        logger.warning("%s %s: %s", g.get("request_id", ""), error.code, error)
    if wants_json():
        body = {"code": error.code, "message": message_of(error), "request": g.get("request_id", "")}
        extra = error.params.get("extra")
        response = jsonify({**body, **extra} if isinstance(extra, dict) else body)
    else:
        response = Response(
            render_template("error.html", error=error, message=message_of(error), title=_title(error.status))
        )
    response.status_code = error.status
    if error.status in (429, 503, 507):
        response.headers["Retry-After"] = str(error.params.get("seconds", RETRY_SECONDS))
    return response


def _title(status: int) -> str:
    titles = {
        400: _("This request could not be read"),
        401: _("Please sign in"),
        403: _("Not allowed"),
        404: _("Not found"),
        405: _("Not possible here"),
        409: _("It has changed"),
        410: _("This is over"),
        413: _("Too large"),
        415: _("This request could not be read"),
        416: _("No such part"),
        422: _("Please check"),
        429: _("Too many at once"),
        501: _("Stored by a newer release"),
        502: _("A file is damaged"),
        503: _("Not available at the moment"),
        507: _("No room"),
    }
    return titles.get(status, _("Fupan could not do this"))


def _endpoints() -> frozenset[str]:
    from flask import current_app

    return frozenset(current_app.view_functions)


def _here() -> str | None:
    return request.full_path.rstrip("?") if request.method == "GET" and request.path != "/" else None


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        moved = Response.force_type(error.get_response())
        assert isinstance(moved, Response)
        return moved
    if status >= 500:
        return _unexpected(getattr(error, "original_exception", None) or error)
    if status == HTTPStatus.NOT_FOUND:
        return answer(NotFoundError())
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response = answer(MethodError())
        response.headers.extend({"Allow": ", ".join(sorted(getattr(error, "valid_methods", None) or ()))})
        return response
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return answer(TooLargeError(limit=i18n.size(request.max_content_length)))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return answer(InvalidInputError(what=error.description or ""))
    return answer(BadRequestError())


def _database_down(error: Exception) -> Response:
    logger.error("%s database: %s", g.get("request_id", ""), error.__class__.__name__)
    return answer(DatabaseDownError())


def _unexpected(error: Exception) -> Response:
    """Log the trace without the error's own text (it may hold names); the person gets the request number."""
    trace = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s unexpected %s\n%s", g.get("request_id", ""), error.__class__.__name__, trace)
    return answer(FupanError())
