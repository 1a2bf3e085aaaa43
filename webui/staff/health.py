"""Health: what each part of the site says of itself, for administrators; /healthz for machines."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from flask import Blueprint, Response, jsonify

from appliance import database
from appliance.config import Settings
from appliance.errors import DatabaseDownError
from appliance.people.roles import Permission
from appliance.reading import health
from webui.auth import public, requires
from webui.staff import desk

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@requires(Permission.HEALTH_READ)
def page() -> Response:
    """Processes, vault, queue, disk and model pack, each with a word and a next step."""
    settings = desk.settings()
    return desk.page("staff/health.html", health=health.health(settings), unlock=unlock_command(settings))


def unlock_command(settings: Settings) -> str:
    """The command that unlocks this site's vault, wherever it is pasted into a shell of the server."""
    program = Path(sys.executable).with_name("fupan")
    called = str(program) if program.exists() else "fupan"
    return shlex.join([called, "vault", "unlock", "--data", str(settings.data)])


@blueprint.get("/healthz")
@public
def machines() -> Response:
    """200 when pages can be served, 503 when the database does not answer. Says nothing else."""
    try:
        schema = database.version(desk.settings())
    except DatabaseDownError:
        schema = None
    response = jsonify({"ok": schema is not None})
    response.status_code = 200 if schema is not None else 503
    return response
