"""Who may call what: each endpoint states its permission, each change comes from our own pages.

An endpoint is marked by exactly one of `@public` (anyone), `@by_token` (a candidate; the view proves the
bearer token itself) or `@requires(Permission.X)` (a signed-in person whose role holds X).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request

from appliance.domain import User
from appliance.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from appliance.people.roles import Permission, allowed

View = TypeVar("View", bound=Callable[..., Any])
MARK = "fupan_permission"
OPEN = frozenset({Permission.PUBLIC, Permission.RECORD_OWN, Permission.CHECK_IN_OWN})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossSiteError(ForbiddenError):
    """A change was asked for by another site's page."""

    code = "cross_site"
    message = "This request did not come from a page of Fupan, so nothing was changed. Open the page again."


class UnstatedPermissionError(RuntimeError):
    """The build is wrong: an endpoint does not say who may call it."""


def public(view: View) -> View:
    """Anyone may call this."""
    setattr(view, MARK, Permission.PUBLIC)
    return view


def by_token(view: View) -> View:
    """Called with a candidate's token, which the view itself proves."""
    setattr(view, MARK, Permission.RECORD_OWN)
    return view


def requires(permission: Permission) -> Callable[[View], View]:
    """Only signed-in people whose role holds `permission`; for all others the address does not exist."""

    def mark(view: View) -> View:
        setattr(view, MARK, permission)
        return view

    return mark


def permission_of(app: Flask, endpoint: str) -> Permission | None:
    """What an endpoint demands, or None when it does not say."""
    return getattr(app.view_functions[endpoint], MARK, None)


def check_every_endpoint(app: Flask) -> None:
    """Refuse to start an app with an endpoint that does not state its permission."""
    silent = sorted(name for name in app.view_functions if permission_of(app, name) is None)
    if silent:
        raise UnstatedPermissionError(f"no permission stated: {', '.join(silent)}")


def install(app: Flask) -> None:
    """Check origin, then session and role, before any view runs.

    An app with sessions sets `app.extensions["fupan_identity"]`, an object with `load() -> User | None`
    (whose session this is) and `denied(user, permission)` (which records the refusal).
    """
    app.before_request(_check_origin)
    app.before_request(_check_permission)


def current_user() -> User:
    """The signed-in person. Raises UnauthenticatedError."""
    user: User | None = g.get("user")
    if user is None:
        raise UnauthenticatedError()
    return user


def _check_origin() -> None:
    """Fetch metadata where the browser sends it, else Origin; without both, no cookie is believed."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site != "same-origin":
            raise CrossSiteError()
        return
    origin = request.headers.get("Origin")
    if origin is not None:
        if urlsplit(origin).netloc != request.host:
            raise CrossSiteError()
    elif request.cookies:
        raise CrossSiteError()


def _check_permission() -> None:
    if request.endpoint is None:
        return
    needed = permission_of(current_app, request.endpoint)
    if needed in OPEN:
        return
    identity = current_app.extensions.get("fupan_identity")
    if identity is None or needed is None:
        raise NotFoundError()
    user = identity.load()
    g.user = user
    if user is None:
        raise UnauthenticatedError()
    if not allowed(user.role, needed):
        identity.denied(user, needed)
        raise NotFoundError()
