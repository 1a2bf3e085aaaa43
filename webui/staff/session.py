"""Signing in and out. A one-time link is used by pressing a button, never by merely opening it."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, request, url_for

from appliance.errors import UnauthenticatedError
from appliance.people import sessions
from webui.answers import see_other
from webui.auth import public
from webui.errors import message_of
from webui.staff import desk, identity
from webui.staff.identity import address

blueprint = Blueprint("session", __name__)


@blueprint.get("/sign-in")
@public
def sign_in() -> Response:
    """The form; someone who is signed in goes on."""
    if identity.current().load() is not None:
        return _go_on()
    return desk.page("staff/sign_in.html", next=_next(), username="", error=None)


@blueprint.post("/sign-in")
@public
def sign_in_by_password() -> Response:
    """Check name and password."""
    username = request.form.get("username", "")
    password = request.form.get("password", "")
    try:
        found = sessions.sign_in_by_password(username, password, address(), desk.settings())
    except UnauthenticatedError as error:
        message = message_of(error)
        return desk.page("staff/sign_in.html", 401, next=_next(), username=username, error=message)
    return _begin(found)


@blueprint.get("/sign-in/<token>")
@public
def link(token: str) -> Response:
    """What a one-time link opens: a page with a button. Nothing is used up by looking."""
    return desk.page("staff/sign_in_link.html", token=token, error=None)


@blueprint.post("/sign-in/<token>")
@public
def sign_in_by_link(token: str) -> Response:
    """Use the link."""
    try:
        found = sessions.sign_in_by_link(token, address(), desk.settings())
    except UnauthenticatedError as error:
        return desk.page("staff/sign_in_link.html", 401, token=token, error=message_of(error))
    return _begin(found, "/" if found.has_password else url_for("today.page", hint="password"))


@blueprint.post("/sign-out")
@public
def sign_out() -> Response:
    """End this session. Pressed twice, or after the session has ended by itself, it says the same."""
    own = identity.current()
    sessions.sign_out(own.token, address(), desk.settings())
    response = desk.go("session.sign_in", done="signed-out")
    own.end(response)
    return response


def _begin(found: sessions.SignedIn, landing: str = "/") -> Response:
    response = _go_on(landing)
    identity.current().begin(response, found.token)
    return response


def _go_on(landing: str = "/") -> Response:
    return see_other(_next() or landing)


def _next() -> str:
    """Where they wanted to go: a path of ours or nothing."""
    wanted = request.values.get("next", "")
    return wanted if _is_own_path(wanted) else ""


def _is_own_path(wanted: str) -> bool:
    """Browsers drop tabs and line ends, and take a backslash for a slash: neither may reach Location."""
    if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or not wanted.isprintable():
        return False
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc
