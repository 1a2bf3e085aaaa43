"""Erasing: marking somebody, taking it back, legal holds, and the certificates of what was erased."""

from __future__ import annotations

import json
import uuid

from flask import Blueprint, Response, request
from sqlalchemy import Connection

from appliance.database import transaction
from appliance.domain import EraseBasis, HoldReason
from appliance.errors import ConflictError, FupanError, InvalidInputError, NotFoundError
from appliance.people import access
from appliance.people.roles import Permission
from appliance.reading import erasures as reading
from appliance.stages import erase as stage
from appliance.stages.erase import holds
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk

blueprint = Blueprint("erasures", __name__)


@blueprint.get("/attempts/<uuid:attempt_id>/erase")
@requires(Permission.ERASURE_MARK)
def form(attempt_id: uuid.UUID) -> Response:
    """What would go and what would stay, and the form."""
    return _form(attempt_id)


@blueprint.post("/attempts/<uuid:attempt_id>/erase")
@requires(Permission.ERASURE_MARK)
def mark(attempt_id: uuid.UUID) -> Response:
    """Mark the person, or this one interview."""
    typed = request.form
    try:
        with transaction("staff", desk.settings()) as tx:
            made = stage.mark(
                tx,
                desk.settings(),
                current_user(),
                attempt_id,
                whole=typed.get("what") != "interview",
                basis=typed.get("basis", ""),
                case=typed.get("case", ""),
            )
    except (InvalidInputError, ConflictError) as error:
        return _form(attempt_id, error)
    stage.tell_keyholder(desk.settings())
    return desk.go("erasures.page", "marked", mark_id=made)


@blueprint.get("/erasures")
@requires(Permission.ERASURE_READ)
def index() -> Response:
    """All marks that the person may see; for the security administrator with the holds."""
    return _index()


@blueprint.get("/erasures/<uuid:mark_id>")
@requires(Permission.ERASURE_READ)
def page(mark_id: uuid.UUID) -> Response:
    """One mark: what it names, its dates, and what can be done about it."""
    return _page(mark_id)


@blueprint.post("/erasures/<uuid:mark_id>/withdraw")
@requires(Permission.ERASURE_WITHDRAW)
def withdraw(mark_id: uuid.UUID) -> Response:
    """Take a mark back."""

    def act(tx: Connection) -> None:
        stage.withdraw(tx, current_user(), mark_id)

    try:
        done = desk.change(act, "erasures.page", "mark-withdrawn", mark_id=mark_id)
    except ConflictError as error:
        return _page(mark_id, error)
    stage.tell_keyholder(desk.settings())
    return done


@blueprint.get("/erasures/<uuid:mark_id>/certificate")
@requires(Permission.ERASURE_READ)
def certificate(mark_id: uuid.UUID) -> Response:
    """The certificate in words, to be printed."""
    with transaction("staff", desk.settings()) as tx:
        access.get_erasure_for(tx, current_user(), mark_id)
        found = reading.one(tx, current_user(), mark_id)
    if found.statement is None:
        raise NotFoundError
    return desk.page(
        "staff/certificate.html", mark=found, statement=found.statement, fingerprint=found.fingerprint
    )


@blueprint.get("/erasures/<uuid:mark_id>/certificate.json")
@requires(Permission.ERASURE_READ)
def certificate_file(mark_id: uuid.UUID) -> Response:
    """The signed certificate, byte for byte what the verifier takes."""
    with transaction("staff", desk.settings()) as tx:
        row = access.get_erasure_for(tx, current_user(), mark_id)
    if row.certificate is None:
        raise NotFoundError
    text = json.dumps(row.certificate, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    response = Response(text + "\n", mimetype="application/json")
    response.headers["Content-Disposition"] = f"attachment; filename=erasure-{mark_id}.json"
    return response


@blueprint.post("/holds")
@requires(Permission.HOLD_WRITE)
def hold() -> Response:
    """Set a legal hold."""
    typed = request.form

    about = (typed.get("number", ""), typed.get("reason", ""), typed.get("case", ""))
    try:
        holds.place(desk.settings(), current_user(), *about)
    except (InvalidInputError, ConflictError) as error:
        return _index(error)
    return desk.go("erasures.index", "held")


@blueprint.post("/holds/<uuid:hold_id>/lift")
@requires(Permission.HOLD_WRITE)
def lift(hold_id: uuid.UUID) -> Response:
    """Lift one."""

    def act(tx: Connection) -> None:
        holds.lift(tx, current_user(), hold_id)

    try:
        done = desk.change(act, "erasures.index", "hold-lifted")
    except ConflictError as error:
        return _index(error)
    stage.tell_keyholder(desk.settings())
    return done


def _form(attempt_id: uuid.UUID, error: FupanError | None = None) -> Response:
    with transaction("staff", desk.settings()) as tx:
        user = current_user()
        access.get_attempt_for(tx, user, attempt_id, Permission.ERASURE_MARK)
        scope = reading.scope(tx, attempt_id)
        numbers = [scope.person_id, *(each.id for each in scope.interviews)]
        kept = reading.holds_on(tx, numbers)
        marks = reading.of_attempt(tx, user, attempt_id, scope.person_id)
    return desk.page(
        "staff/erase.html",
        error.status if error else 200,
        attempt_id=attempt_id,
        scope=scope,
        holds=kept,
        marks=marks,
        grace_days=desk.settings().erase.grace_days,
        bases=list(EraseBasis),
        typed=request.form,
        error=message_of(error) if error else None,
        field=error.params.get("field") if error else None,
    )


def _index(error: FupanError | None = None) -> Response:
    query = desk.ListQuery.from_request("marked")
    with transaction("staff", desk.settings()) as tx:
        found = reading.marks(tx, current_user(), query.page)
        kept = reading.holds(tx) if desk.may("erasures.hold") else []
    return desk.page(
        "staff/erasures.html",
        error.status if error else 200,
        marks=found,
        query=query,
        holds=kept,
        reasons=list(HoldReason),
        typed=request.form if error else request.args,
        error=message_of(error) if error else None,
        field=error.params.get("field") if error else None,
    )


def _page(mark_id: uuid.UUID, error: FupanError | None = None) -> Response:
    with transaction("staff", desk.settings()) as tx:
        access.get_erasure_for(tx, current_user(), mark_id)
        found = reading.one(tx, current_user(), mark_id)
        kept = reading.holds_on(tx, [found.person_id, *found.recordings])
    return desk.page(
        "staff/erasure.html",
        error.status if error else 200,
        mark=found,
        holds=kept,
        error=message_of(error) if error else None,
    )
