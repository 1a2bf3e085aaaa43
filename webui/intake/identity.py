"""The candidate behind a request: a bound browser, known by the token in its Authorization header."""

from __future__ import annotations

from flask import current_app, g, request

from appliance.intake_folder import IntakeFolder
from appliance.intake_session import IntakeSession, authorise
from appliance.people.roles import Permission
from webui.auth import permission_of

SCHEME = "Fupan "


def prove_token() -> None:
    """Before every view of the API but the public ones: the token must fit the recording in the address.

    Raises LinkUnknownError, TokenMissingError, TokenUnknownError.
    """
    if request.endpoint is None or permission_of(current_app, request.endpoint) == Permission.PUBLIC:
        return
    folder: IntakeFolder = current_app.extensions["fupan_intake"]
    header = request.headers.get("Authorization", "")
    token = header.removeprefix(SCHEME) if header.startswith(SCHEME) else ""
    g.intake_session = authorise(folder, (request.view_args or {})["recording"], token)


def session() -> IntakeSession:
    """The session that prove_token found for this request."""
    proven: IntakeSession = g.intake_session
    return proven
