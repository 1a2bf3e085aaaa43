"""Erase: somebody is marked, the days run in which that can be taken back, then the keys are destroyed.

Step one is a mark, here. Step two needs nobody: once its time is over the job in `run.py` asks the keyholder,
which decides by what it wrote down itself. A legal hold (`holds.py`) beats it at any moment.

1. the mark with its event            withdrawn until step 2, by whoever may
2. the order commits, state erasing   a further run writes a further order
3. the ledger's entry                 from here on nothing is given under these keys
4. the key records go                 the next run, or the next unlock, removes what is left of them
5. files and rows go                  the next run goes on; each removal can be repeated
6. the certificate, state erased      done
"""

from __future__ import annotations

import logging
import re
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import OPEN_MARKS, EraseBasis, MarkState, RecordingState, User
from appliance.erasing import ErasedError, lock
from appliance.errors import ConflictError, FupanError, InvalidInputError
from appliance.keyholder.erase_client import ErasingKeyholder
from appliance.people import access
from appliance.people.roles import Permission
from appliance.tables import attempt, erasure, recording
from storage.vault import MAX_RECORDINGS

__all__ = ["case_reference", "confirm_many", "mark", "recordings_of", "tell_keyholder", "withdraw"]

CASE = re.compile(r"[A-Za-z0-9./_-]{0,40}")

logger = logging.getLogger(__name__)


class MarkedAlreadyError(ConflictError):
    """What is to be marked is marked."""

    code = "marked_already"
    message = "This is marked for erasure already. Nothing was changed."


class TooLateError(ConflictError):
    """The mark cannot be taken back any more."""

    code = "too_late"
    message = "This mark was withdrawn before, or it is being carried out. Nothing was changed."


def mark(
    tx: Connection,
    settings: Settings,
    user: User,
    attempt_id: uuid.UUID,
    *,
    whole: bool,
    basis: str,
    case: str = "",
) -> uuid.UUID:
    """Mark the person of an attempt with everything (`whole`), or this one interview; returns the mark's id.

    `basis` is an EraseBasis, `case` a reference number. Raises NotFoundError, InvalidInputError with `field`,
    ConflictError, ErasedError.
    """
    known = access.get_attempt_for(tx, user, attempt_id, Permission.ERASURE_MARK)
    if basis not in set(EraseBasis):
        raise InvalidInputError("Choose why it is erased.", field="basis")
    reference = case_reference(case)
    person = known.candidate_id
    lock(tx, person)  # whoever is being invited at this moment is named too
    named = recordings_of(tx, person) if whole else [attempt_id]
    for each in named:
        access.get_attempt_for(tx, user, each, Permission.ERASURE_MARK)
    _require_something(tx, person, named, whole=whole)
    made, now = uuid.uuid4(), datetime.now(UTC)
    tx.execute(
        insert(erasure).values(
            id=made,
            person_id=person,
            whole=whole,
            recordings=named,
            basis=basis,
            case_ref=reference,
            marked_by=user.account_id,
            marked_at=now,
            due_at=now + timedelta(days=settings.erase.grace_days),
        )
    )
    details = {
        "person": str(person),
        "whole": whole,
        "recordings": [str(each) for each in named],
        "basis": str(basis),
        "case": reference,
    }
    log.append(tx, log.Action.ERASE_MARK, log.Actor.of(user), "erasure", made, details=details)
    return made


def withdraw(tx: Connection, user: User, mark_id: uuid.UUID) -> None:
    """Take a mark back. Raises NotFoundError, TooLateError."""
    access.get_erasure_for(tx, user, mark_id, Permission.ERASURE_WITHDRAW)
    taken = tx.execute(
        update(erasure)
        .where(erasure.c.id == mark_id, erasure.c.state == MarkState.MARKED)
        .values(state=MarkState.WITHDRAWN, withdrawn_by=user.account_id, withdrawn_at=datetime.now(UTC))
    )
    if taken.rowcount != 1:
        raise TooLateError
    log.append(tx, log.Action.ERASE_WITHDRAW, log.Actor.of(user), "erasure", mark_id)


def confirm_many(settings: Settings, actor: log.Actor) -> None:
    """Let what is due be erased within the next day, however much it is. Raises KeyholderDownError,
    DatabaseDoubtfulError."""
    keyholder = ErasingKeyholder(settings)
    vault_id = keyholder.status().vault_id
    with transaction("staff", settings) as tx:
        log.append(tx, log.Action.ERASE_CONFIRM, actor, "vault", vault_id)
    keyholder.heed_erasures()


def recordings_of(tx: Connection, person_id: uuid.UUID) -> list[uuid.UUID]:
    """A person's recordings that are not erased, whatever state they are in."""
    rows = (
        select(attempt.c.id)
        .outerjoin(recording, recording.c.id == attempt.c.id)
        .where(attempt.c.candidate_id == person_id)
        .where(recording.c.state.is_distinct_from(RecordingState.ERASED))
    )
    return list(tx.scalars(rows.order_by(attempt.c.created_at, attempt.c.id)))


def case_reference(text: str) -> str:
    """A reference number, tidy. Raises InvalidInputError: words about a person have no place here."""
    tidy = text.strip()
    if not CASE.fullmatch(tidy):
        raise InvalidInputError(
            "A case reference has at most 40 letters, digits and . / _ -, and says nothing about a person.",
            field="case",
        )
    return tidy


def tell_keyholder(settings: Settings) -> None:
    """Have the keyholder read what is new at once, after the commit. Where it does not answer, the next job
    tells it within a minute, and the days of a mark begin then."""
    try:
        ErasingKeyholder(settings).heed_erasures()
    except FupanError as error:
        logger.warning("the keyholder will hear later of what is marked and held: %s", error.code)


def _require_something(tx: Connection, person: uuid.UUID, named: list[uuid.UUID], *, whole: bool) -> None:
    earlier = select(erasure.c.whole, erasure.c.recordings, erasure.c.state).where(
        erasure.c.person_id == person
    )
    for each in tx.execute(earlier):
        if each.state in OPEN_MARKS and (each.whole or not set(named) - set(each.recordings)):
            raise MarkedAlreadyError
        if each.state == MarkState.ERASED and each.whole and not named:
            raise ErasedError
    if not whole and set(named) - set(recordings_of(tx, person)):
        raise ErasedError
    if len(named) > MAX_RECORDINGS:
        raise InvalidInputError("At most %(limit)s recordings are erased at once.", limit=MAX_RECORDINGS)
