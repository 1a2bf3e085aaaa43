"""A candidate's résumé: attached and replaced from the interview's page, opened as a download."""

from __future__ import annotations

import re
import uuid
from urllib.parse import quote

from flask import Blueprint, Response
from flask_babel import gettext as _

from appliance.errors import FupanError, NotFoundError
from appliance.people.roles import Permission
from appliance.stages.talent import resume as stage
from webui.auth import current_user, requires
from webui.staff import candidates, desk
from webui.uploads import file_bytes, takes_file

blueprint = Blueprint("resume", __name__)

# What no file system takes in a name.
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f"*/:<>?\\|]+')


@blueprint.post("/attempts/<uuid:attempt_id>/resume")
@requires(Permission.RESUME_WRITE)
@takes_file(stage.MAX_BYTES)
def keep(attempt_id: uuid.UUID) -> Response:
    """Keep the file as a further version; what cannot be kept is said beside its field."""
    try:
        stage.keep(desk.settings(), current_user(), attempt_id, lambda: file_bytes("resume"))
    except NotFoundError:
        raise
    except FupanError as error:
        return candidates.show(attempt_id, error)
    return desk.go("candidates.page", "resume-kept", attempt_id=attempt_id)


@blueprint.post("/attempts/<uuid:attempt_id>/resume/<int:version>/open")
@requires(Permission.RESUME_READ)
def open_version(attempt_id: uuid.UUID, version: int) -> Response:
    """One version as a file to be saved; it is on the access log before its first byte is sent."""
    try:
        found = stage.opened(desk.settings(), current_user(), attempt_id, version)
    except NotFoundError:
        raise
    except FupanError as error:
        return candidates.show(attempt_id, error)
    response = Response(found.data)
    response.headers["Content-Type"] = stage.MIME_OF[found.format]
    response.headers["Cache-Control"] = "no-store"
    called = " ".join(FORBIDDEN.sub(" ", _("Résumé of %(name)s", name=found.name)).split())
    response.headers["Content-Disposition"] = (
        f"attachment; filename=resume.{found.format}; filename*=UTF-8''{quote(called)}.{found.format}"
    )
    return response
