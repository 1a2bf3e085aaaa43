"""Legal holds: what is under one is not erased, also when it is set during the days of a mark.

The security administrator sets and lifts them, by number alone: nothing is told of whom it is about.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update

from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import HoldReason, MarkState, User
from appliance.errors import (
    ConflictError,
    InvalidInputError,
    KeyholderDownError,
    NotFoundError,
    VaultLockedError,
)
from appliance.keyholder.erase_client import ErasingKeyholder
from appliance.people.roles import Permission, allowed
from appliance.stages.erase import case_reference, tell_keyholder
from appliance.tables import attempt, candidate, erasure, legal_hold


class LiftedError(ConflictError):
    """There is nothing to lift."""

    code = "lifted"
    message = "This hold was lifted before. Nothing was changed."


class LateHoldError(ConflictError):
    """Keys went before the hold could keep them."""

    code = "hold_late"
    message = "Its keys were destroyed before the hold was set. Nothing is held."


def place(settings: Settings, user: User, number: str, reason: str, case: str = "") -> None:
    """Set a hold as `set_hold` does, and see that it came before the keys of what it names went.

    Whoever orders an erasure writes on the log, as this does. So an order either stands there before the hold
    is on it, and its mark is asked for, or comes after its commit, and the keyholder reads of it first.
    Raises LateHoldError as well.
    """
    with transaction("staff", settings) as tx:
        made = set_hold(tx, user, number, reason, case)
        held = tx.execute(select(legal_hold).where(legal_hold.c.id == made)).one()
        begun = _begun(tx, held.person_id, held.recording_id)
    tell_keyholder(settings)
    if not any(_is_late(settings, mark, held.recording_id) for mark in begun):
        return
    if held.recording_id is None:
        raise LateHoldError(
            "Some of what this names was erased before the hold was set. What is left is held."
        )
    with transaction("staff", settings) as tx:
        lift(tx, user, made)
    raise LateHoldError


def set_hold(tx: Connection, user: User, number: str, reason: str, case: str = "") -> uuid.UUID:
    """Hold a candidate with everything, or one interview, by the number that its page shows; returns the
    hold's id. `reason` is a HoldReason. Raises NotFoundError, InvalidInputError with `field`."""
    _require(user)
    if reason not in set(HoldReason):
        raise InvalidInputError("Choose why it must be kept.", field="reason")
    reference = case_reference(case)
    about = _found(tx, number)
    made = uuid.uuid4()
    columns = {f"{kind}_id": which for kind, which in about.items()}
    tx.execute(
        insert(legal_hold).values(
            id=made, reason=reason, case_ref=reference, set_by=user.account_id, **columns
        )
    )
    details = {kind: str(which) for kind, which in about.items()}
    details |= {"reason": str(reason), "case": reference}
    log.append(tx, log.Action.ERASE_HOLD, log.Actor.of(user), "hold", made, details=details)
    return made


def lift(tx: Connection, user: User, hold_id: uuid.UUID) -> None:
    """Let what is under a hold be erased again. Raises NotFoundError, LiftedError."""
    _require(user)
    if tx.scalar(select(legal_hold.c.id).where(legal_hold.c.id == hold_id)) is None:
        raise NotFoundError
    lifted = tx.execute(
        update(legal_hold)
        .where(legal_hold.c.id == hold_id, legal_hold.c.lifted_at.is_(None))
        .values(lifted_by=user.account_id, lifted_at=datetime.now(UTC))
    )
    if lifted.rowcount != 1:
        raise LiftedError
    log.append(tx, log.Action.ERASE_LIFT, log.Actor.of(user), "hold", hold_id)


def lift_lost(settings: Settings, actor: log.Actor, hold_id: uuid.UUID) -> None:
    """Lift a hold that only the keyholder knows, since a restore of the database took its row.

    Raises LiftedError, KeyholderDownError, DatabaseDownError, DatabaseDoubtfulError.
    """
    keyholder = ErasingKeyholder(settings)
    if hold_id not in keyholder.lost_holds():
        raise LiftedError("No hold with this number lacks its row. Others are lifted on the page Erasures.")
    with transaction("staff", settings) as tx:
        log.append(tx, log.Action.ERASE_LIFT, actor, "hold", hold_id)
    keyholder.heed_erasures()


def _require(user: User) -> None:
    if not allowed(user.role, Permission.HOLD_WRITE):
        raise NotFoundError


def _begun(tx: Connection, person: uuid.UUID | None, recording: uuid.UUID | None) -> list[uuid.UUID]:
    """Marks whose erasure of it is ordered or done. Of a person's, those of one interview that are done were
    done before."""
    mark = erasure.c
    if person is None:
        which = mark.recordings.contains([recording]) & mark.state.in_([MarkState.ERASING, MarkState.ERASED])
    else:
        gone = (mark.state == MarkState.ERASING) | ((mark.state == MarkState.ERASED) & mark.whole)
        which = (mark.person_id == person) & gone
    return list(tx.scalars(select(mark.id).where(which)))


def _is_late(settings: Settings, mark: uuid.UUID, recording: uuid.UUID | None) -> bool:
    """Whether the ledger has the erasure of a mark, with this recording or, for None, whatever it names."""
    try:
        entry = ErasingKeyholder(settings).erasure(mark)
    except (KeyholderDownError, VaultLockedError) as error:
        raise LateHoldError(
            "The hold is set, but what it names is being erased. Once the vault is unlocked the page "
            "Erasures shows which was first."
        ) from error
    return entry is not None and (recording is None or recording in entry.recordings)


def _found(tx: Connection, number: str) -> dict[str, uuid.UUID]:
    """`person` or `recording`. Raises InvalidInputError."""
    try:
        wanted = uuid.UUID(number.strip())
    except ValueError:
        wanted = uuid.UUID(int=0)
    if tx.scalar(select(attempt.c.id).where(attempt.c.id == wanted)) is not None:
        return {"recording": wanted}
    if tx.scalar(select(candidate.c.id).where(candidate.c.id == wanted)) is not None:
        return {"person": wanted}
    raise InvalidInputError(
        "There is no candidate and no interview with this number. Copy it from “Erase…” on the candidate’s "
        "page.",
        field="number",
    )
