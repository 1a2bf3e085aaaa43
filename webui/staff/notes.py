"""Notes about a recording: a page of their own, and the same part beside the player.

Opening them is on the access log, as is each that is kept. A text that could not be kept stays in its field.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, render_template, request

from appliance.database import transaction
from appliance.errors import FupanError, NotFoundError, VaultLockedError
from appliance.people import access
from appliance.people.roles import Permission
from appliance.reading import one_attempt
from appliance.stages.decide import notes as stage
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk

blueprint = Blueprint("notes", __name__)


@dataclass(frozen=True)
class Form:
    """What was typed and could not be kept, and why. `note_id`: None for a new note."""

    note_id: uuid.UUID | None
    version: int
    text: str
    error: str


@blueprint.get("/attempts/<uuid:attempt_id>/notes")
@requires(Permission.NOTE_READ)
def page(attempt_id: uuid.UUID) -> Response:
    """Every note with its words, and a field for a new one."""
    return _show(attempt_id)


@blueprint.post("/attempts/<uuid:attempt_id>/notes")
@requires(Permission.NOTE_WRITE)
def write(attempt_id: uuid.UUID) -> Response:
    """Keep a new note."""
    text = request.form.get("text", "")
    return _keep(
        attempt_id, None, 0, text, lambda: stage.write(desk.settings(), current_user(), attempt_id, text)
    )


@blueprint.post("/attempts/<uuid:attempt_id>/notes/<uuid:note_id>")
@requires(Permission.NOTE_WRITE)
def change(attempt_id: uuid.UUID, note_id: uuid.UUID) -> Response:
    """Keep a changed text of one's own note."""
    text, typed = request.form.get("text", ""), request.form.get("version", "")
    version = int(typed) if typed.isdecimal() and len(typed) < 7 else 0
    return _keep(
        attempt_id,
        note_id,
        version,
        text,
        lambda: stage.change(desk.settings(), current_user(), attempt_id, note_id, text, version),
    )


def _keep(
    attempt_id: uuid.UUID, note_id: uuid.UUID | None, version: int, text: str, act: Callable[[], object]
) -> Response:
    try:
        act()
    except NotFoundError:
        raise
    except FupanError as error:
        refused = Form(note_id, version, text, message_of(error))
        if not _beside_the_player():
            return _show(attempt_id, refused, error.status)
        response = Response(
            render_template("staff/note_form.html", attempt_id=attempt_id, form=refused, most=stage.MAX_TEXT)
        )
        response.status_code = error.status
        response.headers["HX-Retarget"] = f"#note-form-{note_id or 'new'}"
        return response
    if _beside_the_player():
        return _show(attempt_id, kept=True)
    return desk.go("notes.page", "note-kept", attempt_id=attempt_id)


def _show(
    attempt_id: uuid.UUID, refused: Form | None = None, status: int = 200, kept: bool = False
) -> Response:
    settings, user = desk.settings(), current_user()
    with transaction("staff", settings) as tx:
        known = access.get_recording_for(tx, user, attempt_id, Permission.NOTE_READ)
        heads = stage.heads(tx, attempt_id)
        found = None if _beside_the_player() else one_attempt.page(tx, attempt_id)
    opened, closed, locked = [], "", False
    try:
        opened = stage.opened(settings, user, attempt_id)
    except NotFoundError:
        raise
    except FupanError as error:
        closed, status = message_of(error), max(status, error.status)
        locked = isinstance(error, VaultLockedError)
    return desk.page(
        "staff/notes_part.html" if found is None else "staff/notes.html",
        status,
        attempt=found,
        attempt_id=attempt_id,
        notes=opened,
        heads=heads,
        closed=closed,
        locked=locked,
        refused=refused,
        kept=kept,
        sealed=known.state == "sealed",
        most=stage.MAX_TEXT,
        me=user.account_id,
    )


def _beside_the_player() -> bool:
    """Whether a part of a page asks, by htmx."""
    return request.headers.get("HX-Request") == "true"
