"""Health: what each part of the site says of itself, for administrators; /healthz for machines."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from appliance import database
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
    return desk.page("staff/health.html", health=health.health(desk.settings()))


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
