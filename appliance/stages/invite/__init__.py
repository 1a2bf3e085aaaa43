"""Invite: candidates get an attempt, a signed packet lies before intake, a link goes out by mail.

Here is what staff do; the worker issues the links (`issue.py`). All of it works while the vault is locked:
packets are signed by a service key, and the key of a recording is made when it is sealed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, func, insert, select, update

from appliance import notify, texts
from appliance.audit import log
from appliance.domain import OPEN_STATES, AttemptState, Limits, MarkState, RecordingState, User
from appliance.erasing import is_marked
from appliance.errors import ConflictError, InvalidInputError
from appliance.people import access
from appliance.people.roles import Permission
from appliance.stages.invite.issue import link_in_hand
from appliance.tables import attempt, candidate, department, erasure, position, question, recording

__all__ = ["Invitee", "invite", "invite_again", "link_in_hand", "snapshot_of"]

MAX_PEOPLE = 1000
MAX_NAME = 100
MAX_EMAIL = 254
MAX_DAYS = 366


@dataclass(frozen=True)
class Invitee:
    """One row of an invitation, as staff enter it."""

    name: str
    email: str


def invite(
    tx: Connection,
    user: User,
    position_id: uuid.UUID,
    people: Sequence[Invitee],
    deadline: datetime,
    mail: bool = True,
) -> list[uuid.UUID]:
    """Invite people to a position, all or none; returns their attempts' ids in the same order.

    Without `mail` nothing is sent: `link_in_hand` gives the link. `deadline` is when recording ends
    (aware). Someone known in the department by the same address gets a further attempt, unless one of
    theirs at this position is still open. Raises InvalidInputError naming the row, ConflictError for a
    closed position.
    """
    known = access.get_position_for(tx, user, position_id, Permission.INVITATION_SEND)
    if known.closed_at is not None:
        raise ConflictError("This position is closed. Nobody was invited.")
    _check_deadline(deadline)
    tidy = _checked(people)
    snapshot = snapshot_of(tx, position_id)
    made = [
        _make_attempt(tx, known.department_id, position_id, row, each, deadline, snapshot)
        for row, each in enumerate(tidy, start=1)
    ]
    for attempt_id in made if mail else ():
        notify.queue_invitation(tx, attempt_id, "invite")
    for attempt_id in made:
        log.append(tx, log.Action.INVITE_CREATE, log.Actor.of(user), "attempt", attempt_id)
    return made


def invite_again(tx: Connection, user: User, attempt_id: uuid.UUID, deadline: datetime | None = None) -> None:
    """Mail a fresh link, which ends the earlier one; a later `deadline` may be given.

    Raises ConflictError once the interview is finished.
    """
    known = access.get_attempt_for(tx, user, attempt_id, Permission.INVITATION_SEND)
    if known.state == AttemptState.FINISHED:
        raise ConflictError("This interview is finished, so no further link was sent.")
    state = tx.scalar(select(recording.c.state).where(recording.c.id == attempt_id))
    if state == RecordingState.ERASED or is_marked(tx, known.candidate_id):
        raise ConflictError("This person is marked for erasure, so no further link was sent.")
    if deadline is not None:
        _check_deadline(deadline)
    elif known.deadline <= datetime.now(UTC):
        raise InvalidInputError("The deadline has passed. Choose a later one.")
    reopened = AttemptState.INVITED if known.state == AttemptState.EXPIRED else known.state
    tx.execute(
        update(attempt)
        .where(attempt.c.id == attempt_id)
        .values(deadline=deadline or known.deadline, state=reopened)
    )
    notify.queue_invitation(tx, attempt_id, "again")
    log.append(tx, log.Action.INVITE_REPLACE, log.Actor.of(user), "attempt", attempt_id)


def snapshot_of(tx: Connection, position_id: uuid.UUID) -> dict[str, Any]:
    """What an attempt keeps of its position: everything the candidate is asked, and how it will be judged."""
    row = tx.execute(
        select(position, department.c.name.label("department"))
        .join(department, department.c.id == position.c.department_id)
        .where(position.c.id == position_id)
    ).one()
    asked = tx.execute(
        select(
            question.c.ordinal,
            question.c.text,
            question.c.prep_seconds,
            question.c.answer_seconds,
            question.c.hint,
            question.c.competency,
        )
        .where(question.c.position_id == position_id)
        .order_by(question.c.ordinal)
    )
    return {
        "title": row.title,
        "language": row.language,
        "department": row.department,
        "department_id": str(row.department_id),
        "policy": row.policy,
        "questions": [dict(each._mapping) for each in asked],
        "competency_model": row.competency_model,
        "model_version": row.model_version,
        "limits": asdict(Limits()),
        "consent_version": texts.consent_texts()["version"],
    }


def _check_deadline(deadline: datetime) -> None:
    now = datetime.now(UTC)
    if not now < deadline <= now + timedelta(days=MAX_DAYS):
        raise InvalidInputError("Choose a deadline in the future, at most a year from now.")


def _checked(people: Sequence[Invitee]) -> list[Invitee]:
    """Tidy rows. Raises InvalidInputError naming the first row that cannot be invited."""
    if not 1 <= len(people) <= MAX_PEOPLE:
        raise InvalidInputError("Enter between 1 and %(limit)s people.", limit=MAX_PEOPLE)
    seen: set[str] = set()
    tidy = []
    for row, each in enumerate(people, start=1):
        name, email = " ".join(each.name.split()), each.email.strip()
        if not name:
            raise InvalidInputError("Row %(row)s: %(email)s has no name.", row=row, email=email or "–")
        if len(name) > MAX_NAME:
            raise InvalidInputError("Row %(row)s: the name %(name)s … is too long.", row=row, name=name[:20])
        if not email:
            raise InvalidInputError("Row %(row)s: %(name)s has no mail address.", row=row, name=name)
        try:
            notify.to_address(name, email)
        except InvalidInputError as error:
            raise InvalidInputError(
                "Row %(row)s: %(email)s is no mail address.", row=row, email=email
            ) from error
        if len(email) > MAX_EMAIL:
            raise InvalidInputError("Row %(row)s: %(email)s … is too long.", row=row, email=email[:40])
        if email.lower() in seen:
            raise InvalidInputError("Row %(row)s: %(email)s is there twice.", row=row, email=email)
        seen.add(email.lower())
        tidy.append(Invitee(name, email))
    return tidy


def _make_attempt(
    tx: Connection,
    department_id: uuid.UUID,
    position_id: uuid.UUID,
    row: int,
    person: Invitee,
    deadline: datetime,
    snapshot: Mapping[str, Any],
) -> uuid.UUID:
    candidate_id = _known_as(tx, department_id, person.email)
    number = 1
    if candidate_id is None:
        candidate_id = uuid.uuid4()
        tx.execute(
            insert(candidate).values(
                id=candidate_id, name=person.name, email=person.email, department_id=department_id
            )
        )
    elif is_marked(tx, candidate_id):
        raise InvalidInputError("Row %(row)s: %(email)s is marked for erasure.", row=row, email=person.email)
    else:
        number = _next_number(tx, position_id, candidate_id, row, person.email)
    attempt_id = uuid.uuid4()
    tx.execute(
        insert(attempt).values(
            id=attempt_id,
            position_id=position_id,
            candidate_id=candidate_id,
            number=number,
            generation=0,  # each link that is sent takes the next
            deadline=deadline,
            snapshot=dict(snapshot),
        )
    )
    tx.execute(insert(recording).values(id=attempt_id, state=RecordingState.COLLECTING))
    return attempt_id


def _known_as(tx: Connection, department_id: uuid.UUID, email: str) -> uuid.UUID | None:
    """The candidate of this address; whoever was erased with everything begins anew."""
    erased = exists().where(
        erasure.c.person_id == candidate.c.id, erasure.c.whole, erasure.c.state == MarkState.ERASED
    )
    same = func.lower(candidate.c.email) == email.lower()
    found = select(candidate.c.id).where(candidate.c.department_id == department_id, same, ~erased)
    return tx.scalar(found)


def _next_number(
    tx: Connection, position_id: uuid.UUID, candidate_id: uuid.UUID, row: int, email: str
) -> int:
    earlier = tx.execute(
        select(attempt.c.number, attempt.c.state).where(
            attempt.c.position_id == position_id, attempt.c.candidate_id == candidate_id
        )
    ).all()
    if any(each.state in OPEN_STATES for each in earlier):
        raise InvalidInputError(
            "Row %(row)s: %(email)s is already invited to this position.", row=row, email=email
        )
    return max((each.number for each in earlier), default=0) + 1
