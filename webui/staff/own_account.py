"""The signed-in person's own account: who they are here, and their password."""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask_babel import gettext as _

from appliance.database import transaction
from appliance.errors import FupanError, InvalidInputError
from appliance.people import accounts
from appliance.people.roles import Permission
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk, identity

blueprint = Blueprint("own_account", __name__, url_prefix="/account")


@blueprint.get("")
@requires(Permission.ACCOUNT_OWN)
def page() -> Response:
    """What the site knows of this person, and the form for their password."""
    return _show({})


@blueprint.post("")
@requires(Permission.ACCOUNT_OWN)
def set_password() -> Response:
    """Set or change the password. Every other session ends; this browser goes on with a fresh one."""
    user = current_user()
    form = request.form
    with transaction("staff", desk.settings()) as tx:
        has_password = accounts.get(tx, user.account_id).has_password
    current, password = form.get("current", ""), form.get("password", "")
    problems = _problems(current if has_password else None, password, form.get("again", ""))
    if problems:
        return _show(problems)
    try:
        found = accounts.set_own_password(user, current, password, desk.settings())
    except InvalidInputError as error:
        return _show({str(error.params["field"]): message_of(error)})
    response = desk.go("own_account.page", done="password-set")
    identity.current().begin(response, found.token)
    return response


def _problems(current: str | None, password: str, again: str) -> dict[str, str]:
    """What can be said without trying the current password (None: there is none), by field."""
    found = {}
    if current == "":
        found["current"] = _("Enter your current password.")
    try:
        accounts.check_password(password)
    except FupanError as error:
        found["password"] = message_of(error)
    else:
        if again != password:
            found["again"] = _("This is not the same as the new password. Enter it once more.")
    return found


def _show(problems: dict[str, str]) -> Response:
    """The page. Passwords are never sent back, so all of them are entered again."""
    with transaction("staff", desk.settings()) as tx:
        own = accounts.get(tx, current_user().account_id)
    return desk.page(
        "staff/own_account.html",
        422 if problems else 200,
        own=own,
        problems=problems,
        least=accounts.MIN_PASSWORD,
    )
