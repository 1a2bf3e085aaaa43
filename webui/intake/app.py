"""The intake application: the candidate's page and the API behind it. No database, no cookie, no secret.

Start it with `gunicorn 'webui.intake.app:create_app()'`.
"""

from __future__ import annotations

from flask import Flask

from appliance import config
from appliance.config import Settings
from appliance.domain import Limits
from appliance.intake_folder import IntakeFolder
from appliance.stages.record import BODY_OVERHEAD
from webui import auth
from webui.app import ROOM_DEVICES, base_app
from webui.intake import api, page

# A packet may state a smaller chunk, never a larger one: a body is held in memory. What is a little over is
# still read, so that the page learns why it was refused: a connection that is cut looks like a lost network.
MAX_BODY_BYTES = Limits().chunk_bytes + BODY_OVERHEAD + 1024**2


def create_app(settings: Settings | None = None) -> Flask:
    """A WSGI application for the site that FUPAN_CONFIG names."""
    settings = settings or config.load()
    app = base_app("fupan-intake", settings, devices=ROOM_DEVICES, max_body=MAX_BODY_BYTES)
    folder = IntakeFolder(settings.intake_folder, settings.disk_floor_bytes)
    folder.root.mkdir(parents=True, exist_ok=True)
    app.extensions["fupan_intake"] = folder
    app.register_blueprint(page.blueprint)
    app.register_blueprint(api.blueprint)
    auth.check_every_endpoint(app)
    return app
