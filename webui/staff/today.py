"""Today: what runs now, what is new, what needs a person. Administrators land on their own page."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, request

from appliance.database import transaction
from appliance.people.roles import Permission, allowed
from appliance.reading import erasures, today, vault_notice
from webui.auth import current_user, requires
from webui.staff import desk

blueprint = Blueprint("today", __name__)


@blueprint.get("/")
@requires(Permission.SESSION_OWN)
def page() -> Response:
    """The start page of the signed-in person's role."""
    user = current_user()
    for permission, endpoint in (
        (Permission.AUDIT_READ, "access_log.index"),
        (Permission.ACCOUNT_MANAGE, "accounts.index"),
        (Permission.HEALTH_READ, "health.page"),
    ):
        if allowed(user.role, permission):
            return desk.go(endpoint, **_hint())
    with transaction("staff", desk.settings()) as tx:
        found = today.today(tx, user, datetime.now(UTC))
        marked = erasures.open_marks(tx, user)
    vault = vault_notice.notice(desk.settings())
    return desk.page("staff/today.html", today=found, vault=vault, marked=marked)


def _hint() -> dict[str, str]:
    """What the sign-in has to say on the page that they land on, handed on."""
    return {"hint": "password"} if request.args.get("hint") == "password" else {}
