"""Accounts, for security administrators: make, change, disable, issue a one-time link."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy import Row

from appliance.audit.log import Actor
from appliance.database import transaction
from appliance.domain import Role
from appliance.errors import ConflictError, FupanError, InvalidInputError, NotFoundError
from appliance.people import accounts, sessions
from appliance.people.roles import ADMINISTRATORS, Permission
from appliance.reading import interviews
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")

ROLES = [role for role in Role if role is not Role.CANDIDATE]


@blueprint.get("")
@requires(Permission.ACCOUNT_MANAGE)
def index() -> Response:
    """Everyone who may sign in, and the form for one more."""
    return show()


@blueprint.post("")
@requires(Permission.ACCOUNT_MANAGE)
def create() -> Response:
    """Make an account and show its first sign-in link, once."""
    form = request.form
    actor = Actor.of(current_user())
    try:
        with transaction("staff", desk.settings()) as tx:
            made = accounts.create(
                tx,
                actor,
                form.get("username", ""),
                form.get("display_name", ""),
                _role(form.get("role")),
                _department(form.get("department_id")),
                locale=form.get("locale", "zh") if form.get("locale") in ("zh", "en") else "zh",
            )
            token = sessions.issue_link(tx, made, actor)
    except (InvalidInputError, ConflictError) as error:
        return show(error=error)
    return show(link=(made, _address(token)))


@blueprint.get("/<uuid:account_id>")
@requires(Permission.ACCOUNT_MANAGE)
def page(account_id: uuid.UUID) -> Response:
    """One account with its form."""
    return show(chosen=account_id)


@blueprint.post("/<uuid:account_id>")
@requires(Permission.ACCOUNT_MANAGE)
def change(account_id: uuid.UUID) -> Response:
    """Save name, role and department."""
    form = request.form
    try:
        with transaction("staff", desk.settings()) as tx:
            accounts.change(
                tx,
                Actor.of(current_user()),
                account_id,
                form.get("display_name", ""),
                _role(form.get("role")),
                _department(form.get("department_id")),
            )
    except (InvalidInputError, ConflictError) as error:
        return show(chosen=account_id, error=error)
    return desk.go("accounts.index", done="account-saved")


@blueprint.post("/<uuid:account_id>/<any(disable, enable):what>")
@requires(Permission.ACCOUNT_MANAGE)
def switch(account_id: uuid.UUID, what: str) -> Response:
    """Disable, which ends all sessions, or enable."""
    try:
        with transaction("staff", desk.settings()) as tx:
            accounts.set_disabled(tx, Actor.of(current_user()), account_id, what == "disable")
    except ConflictError as error:
        return show(chosen=account_id, error=error)
    return desk.go("accounts.index", done=f"account-{what}d")


@blueprint.post("/<uuid:account_id>/remove-password")
@requires(Permission.ACCOUNT_MANAGE)
def remove_password(account_id: uuid.UUID) -> Response:
    """Take a forgotten password away; a link is made next."""
    actor = Actor.of(current_user())
    return desk.change(
        lambda tx: accounts.remove_password(tx, actor, account_id),
        "accounts.page",
        "password-removed",
        account_id=account_id,
    )


@blueprint.post("/<uuid:account_id>/link")
@requires(Permission.ACCOUNT_MANAGE)
def link(account_id: uuid.UUID) -> Response:
    """A one-time sign-in link, shown once and never stored."""
    with transaction("staff", desk.settings()) as tx:
        _one(accounts.list_all(tx), account_id)
        token = sessions.issue_link(tx, account_id, Actor.of(current_user()))
    return show(chosen=account_id, link=(account_id, _address(token)))


def show(
    *,
    chosen: uuid.UUID | None = None,
    error: FupanError | None = None,
    link: tuple[uuid.UUID, str] | None = None,
) -> Response:
    """The page, with one account opened, a reason why not, or a fresh link."""
    with transaction("staff", desk.settings()) as tx:
        found = accounts.list_all(tx)
        departments = interviews.all_departments(tx)
    one = _one(found, chosen) if chosen else None
    linked = _one(found, link[0]) if link else None
    return desk.page(
        "staff/accounts.html",
        422 if error else 200,
        accounts=found,
        departments=departments,
        roles=ROLES,
        administrators=ADMINISTRATORS,
        chosen=one,
        error=message_of(error) if error else None,
        link=link[1] if link else None,
        linked=linked,
        minutes=int(sessions.LINK_LIFETIME.total_seconds() // 60),
        typed=request.form if error and not chosen else {},
    )


def _one(found: Sequence[Row[Any]], account_id: uuid.UUID) -> Row[Any]:
    for row in found:
        if row.id == account_id:
            return row
    raise NotFoundError


def _address(token: str) -> str:
    return desk.settings().staff_url.rstrip("/") + url_for("session.link", token=token)


def _role(text: str | None) -> Role:
    try:
        return Role(text or "")
    except ValueError:
        raise InvalidInputError("Choose a role.") from None


def _department(text: str | None) -> uuid.UUID | None:
    return desk.as_uuid(text) if text else None
