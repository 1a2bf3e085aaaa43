"""Whose session a request is: the cookie's token, looked up for every request, never kept."""

from __future__ import annotations

from flask import Flask, Response, current_app, request

from appliance.audit import log
from appliance.config import Settings
from appliance.domain import User
from appliance.errors import AuditUnavailableError
from appliance.people import sessions
from appliance.people.access import OutOfScopeError
from appliance.people.roles import Permission
from webui import errors, words
from webui.auth import current_user


class Identity:
    """Sessions of the staff application, by one cookie that scripts and other sites never see."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secure = settings.staff_url.startswith("https:")
        self.cookie = "__Host-fupan" if self.secure else "fupan"

    @property
    def token(self) -> str:
        """The request's token, or nothing."""
        return request.cookies.get(self.cookie, "")

    def load(self) -> User | None:
        """The person whose live session this is."""
        token = self.token
        return sessions.load(token, address(), self.settings) if token else None

    def begin(self, response: Response, token: str) -> None:
        """Hand a fresh session to the browser; it ends with the browser or at the absolute limit."""
        response.set_cookie(
            self.cookie,
            token,
            max_age=int(self.settings.timing.session_absolute),
            httponly=True,
            secure=self.secure,
            samesite="Lax",
        )

    def end(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(self.cookie, httponly=True, secure=self.secure, samesite="Lax")

    def denied(self, user: User, permission: Permission) -> None:
        """Put a refused page on the log, in a transaction of its own."""
        log.denied(
            log.Action.ACCESS_DENIED,
            log.Actor.of(user),
            "page",
            request.endpoint or "",
            f"{words.NO_PERMISSION}{permission.value}",
            settings=self.settings,
        )


def current() -> Identity:
    """The identity of the application that answers now."""
    found: Identity = current_app.extensions["fupan_identity"]
    return found


def install(app: Flask) -> None:
    """Give the app its identity, and its log the refusals of single objects."""
    app.extensions["fupan_identity"] = Identity(app.extensions["fupan_settings"])
    app.register_error_handler(OutOfScopeError, _refuse_object)


def _refuse_object(error: OutOfScopeError) -> Response:
    """Unknown and forbidden take this same way, after the refused transaction has ended."""
    try:
        log.denied(
            log.Action.ACCESS_DENIED,
            log.Actor.of(current_user()),
            error.object_type,
            error.object_id,
            "not in scope",
            settings=current().settings,
        )
    except AuditUnavailableError as unavailable:
        return errors.answer(unavailable)
    return errors.answer(error)


def address() -> str:
    """Where the request came from."""
    return request.remote_addr or ""
