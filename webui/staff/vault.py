"""The vault: its state for administrators, and for everybody a form to give their share.

The share never reaches this process: the page encrypts it in the browser to the keyholder's one-time key, and
what is posted here is ciphertext. The form's field has no name, so that no browser would send it by itself.
"""

from __future__ import annotations

import base64
import binascii
import uuid

from flask import Blueprint, Response, request
from flask_babel import gettext as _

from appliance.audit.log import Actor
from appliance.errors import FupanError
from appliance.keyholder import orders
from appliance.keyholder.vault_client import CeremonyView, VaultKeyholder, VaultView
from appliance.people.roles import Permission
from appliance.vault_errors import NoVaultError, UnlockError
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk

blueprint = Blueprint("vault", __name__, url_prefix="/vault")

MAX_SEALED_BYTES = 2048


@blueprint.get("")
@requires(Permission.VAULT_GIVE_SHARE)
def page() -> Response:
    """State, shares given so far, and the form while shares are wanted."""
    return _show("")


@blueprint.post("/ceremony")
@requires(Permission.VAULT_GIVE_SHARE)
def begin() -> Response:
    """Begin to collect shares; where others did already, join them."""
    try:
        VaultKeyholder(desk.settings()).begin("unlock", "shares")
    except UnlockError as error:
        return _show(message_of(error))
    return desk.go("vault.page")


@blueprint.post("")
@requires(Permission.VAULT_GIVE_SHARE)
def give() -> Response:
    """Pass one encrypted share on; with the last one that is needed, order the unlock."""
    settings = desk.settings()
    actor = Actor.of(current_user())
    keyholder = VaultKeyholder(settings)
    try:
        view = keyholder.vault()
        ceremony = _asked(view)
        after, _index = orders.give(settings, actor, view.vault_id, ceremony, _sealed(), "page")
        if after.complete:
            orders.unlock(settings, actor, "shares")
    except UnlockError as error:
        return _show(message_of(error))
    return desk.go("vault.page", done="vault-unlocked" if after.complete else "share-given")


def _asked(view: VaultView) -> CeremonyView:
    """The ceremony that the page was about. Raises UnlockError when it is over."""
    try:
        wanted = uuid.UUID(request.form.get("ceremony", ""))
    except ValueError:
        raise UnlockError(problem="no_ceremony") from None
    for ceremony in view.ceremonies:
        if ceremony.id == wanted and ceremony.purpose == "unlock":
            return ceremony
    raise UnlockError(problem="no_ceremony")


def _sealed() -> bytes:
    try:
        sealed = base64.b64decode(request.form.get("sealed", ""), validate=True)
    except binascii.Error:
        sealed = b""
    if not 0 < len(sealed) <= MAX_SEALED_BYTES:
        raise UnlockError(_("The share was not encrypted by this page. Load it again."), problem="not_for_me")
    return sealed


def _show(problem: str) -> Response:
    """`problem` stands beside the field; the share has to be typed again, as it is kept nowhere."""
    state, view = "down", None
    try:
        view = VaultKeyholder(desk.settings()).vault()
        state = "locked" if view.locked else "unlocked"
    except NoVaultError:
        state = "none"
    except FupanError:
        state = "down"
    ceremony = view.ceremony("unlock") if view else None
    return desk.page(
        "staff/vault.html",
        422 if problem else 200,
        state=state,
        vault=view,
        shares=view.slot_of_kind("shares") if view else None,
        ceremony=ceremony if ceremony and ceremony.kind == "shares" else None,
        public=base64.b64encode(ceremony.public).decode() if ceremony else "",
        may_see=desk.may("health.page"),
        problem=problem,
    )
