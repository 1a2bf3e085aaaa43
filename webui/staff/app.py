"""The staff application: pages for recruiters, department heads, interviewers, administrators, auditors.

Start it with `gunicorn 'webui.staff.app:create_app()'`.
"""

from __future__ import annotations

from flask import Flask

from appliance import config
from appliance.config import Settings
from webui import auth
from webui.app import base_app
from webui.staff import (
    access_log,
    accounts,
    candidates,
    desk,
    erasures,
    health,
    identity,
    notes,
    own_account,
    positions,
    replay,
    resume,
    session,
    styleguide,
    today,
    vault,
)

PAGES = (
    session,
    today,
    positions,
    candidates,
    resume,
    notes,
    replay,
    erasures,
    access_log,
    accounts,
    own_account,
    health,
    styleguide,
    vault,
)


def create_app(settings: Settings | None = None) -> Flask:
    """A WSGI application for the site that FUPAN_CONFIG names.

    Raises UnstatedPermissionError when an endpoint does not say who may call it.
    """
    settings = settings or config.load()
    app = base_app("fupan-staff", settings, language_cookie=True)
    identity.install(app)
    desk.install(app)
    for module in PAGES:
        app.register_blueprint(module.blueprint)
    auth.check_every_endpoint(app)
    return app
