"""Invite: candidates get an attempt, a signed packet lies before intake, a link goes out by mail.

All of it works while the vault is locked: packets are signed by a service key, and the key of a recording
is made when it is sealed. A link's secret exists in the job that mails it and in the mail; everything
else holds its SHA-256.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from appliance import jobs, notify, packet, texts
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import OPEN_STATES, AttemptState, Limits, Question, RecordingState, ScreenPolicy, User
from appliance.errors import ConflictError, InvalidInputError
from appliance.keyholder.client import Keyholder, Publics
from appliance.people import access
from appliance.people.roles import Permission
from appliance.tables import attempt, candidate, department, outgoing_mail, position, question, recording
from appliance.transport import transport_of

MAX_PEOPLE = 1000
MAX_NAME = 100
MAX_EMAIL = 254
MAX_DAYS = 366


@dataclass(frozen=True)
class Invitee:
    """One row of an invitation, as staff enter it."""

    name: str
    email: str


# --- by staff ----------------------------------------------------------------------------------------------


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
    candidate_id = tx.scalar(
        select(candidate.c.id).where(
            candidate.c.department_id == department_id, func.lower(candidate.c.email) == person.email.lower()
        )
    )
    number = 1
    if candidate_id is None:
        candidate_id = uuid.uuid4()
        tx.execute(
            insert(candidate).values(
                id=candidate_id, name=person.name, email=person.email, department_id=department_id
            )
        )
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


# --- by the worker -----------------------------------------------------------------------------------------


@jobs.task("send_invitation")
def send_invitation(work: jobs.Work, mail: str) -> None:
    """Mint a link, put its packet before intake, mail it.

    Run twice, it does nothing once the mail is noted as sent; before that, the next run takes a new
    generation and secret, and the last mail that arrives holds the link that works.
    """
    mail_id = uuid.UUID(mail)
    prepared = _prepare(work.settings, mail_id)
    if prepared is None:
        return
    issued, link = _issue(work.settings, prepared)
    message = notify.compose_invitation(
        work.settings,
        notify.Invitation(
            name=prepared.name,
            email=prepared.email,
            language=issued.language,
            title=issued.title,
            link=link,
            deadline=issued.deadline,
            guide=issued.guide,
            reason=prepared.reason,
            contact=issued.contact,
        ),
    )
    try:
        notify.send(work.settings, message)
    except notify.MailError as error:
        _note_failed(work.settings, mail_id, error, last=work.last)
        raise
    _note_sent(work.settings, mail_id, prepared)


def link_in_hand(settings: Settings, attempt_id: uuid.UUID, deadline: datetime | None = None) -> str:
    """A fresh link to show instead of mailing it, on the command line; ends every earlier link.

    `deadline` moves that of an interview that is still open. Raises ConflictError when it is over.
    """
    with transaction("worker", settings) as tx:
        row = tx.execute(_one_attempt().where(attempt.c.id == attempt_id).with_for_update(of=attempt)).one()
        if row.state not in OPEN_STATES or (deadline or row.deadline) <= datetime.now(UTC):
            raise ConflictError("This interview is over, so there is no link to it any more.")
        if deadline is not None:
            tx.execute(update(attempt).where(attempt.c.id == attempt_id).values(deadline=deadline))
        prepared = replace(_take_generation(tx, row, "shown"), deadline=deadline or row.deadline)
        _note_invited(tx, prepared)
    return _issue(settings, prepared)[1]


@dataclass(frozen=True)
class _Prepared:
    """A link to be issued, with the generation it takes and why."""

    reason: str
    attempt_id: uuid.UUID
    generation: int
    deadline: datetime
    snapshot: Mapping[str, Any]
    name: str
    email: str


def _prepare(settings: Settings, mail_id: uuid.UUID) -> _Prepared | None:
    """Take the attempt's next generation; None when there is nothing to send any more."""
    with transaction("worker", settings) as tx:
        row = tx.execute(
            _one_attempt()
            .add_columns(outgoing_mail.c.state.label("mail_state"), outgoing_mail.c.kind)
            .join(outgoing_mail, outgoing_mail.c.attempt_id == attempt.c.id)
            .where(outgoing_mail.c.id == mail_id)
            .with_for_update(of=[outgoing_mail, attempt])
        ).one()
        if row.mail_state != "queued":
            return None
        if row.state not in OPEN_STATES or row.deadline <= datetime.now(UTC):
            _set_mail(tx, mail_id, state="failed", reason="over")
            return None
        _set_mail(tx, mail_id, tries=outgoing_mail.c.tries + 1)
        return _take_generation(tx, row, row.kind)


def _one_attempt() -> Select[Any]:
    """An attempt with whom it is of; the caller adds which."""
    return select(
        attempt.c.id,
        attempt.c.state,
        attempt.c.generation,
        attempt.c.deadline,
        attempt.c.snapshot,
        candidate.c.name,
        candidate.c.email,
    ).join(candidate, candidate.c.id == attempt.c.candidate_id)


def _take_generation(tx: Connection, row: Row[Any], reason: str) -> _Prepared:
    generation = row.generation + 1
    tx.execute(update(attempt).where(attempt.c.id == row.id).values(generation=generation))
    return _Prepared(reason, row.id, generation, row.deadline, row.snapshot, row.name, row.email)


def _issue(settings: Settings, prepared: _Prepared) -> tuple[packet.Packet, str]:
    """Put a packet with a new secret before intake; returns it and the link, the secret's only copy."""
    secret = packet.new_secret()
    keyholder, transport = Keyholder(settings), transport_of(settings)
    publics = keyholder.publics()
    issued = _packet(settings, publics, prepared, secret)
    envelope = keyholder.sign("packet", issued.statement())
    try:
        transport.put_packet(envelope)
    except packet.PacketError as error:
        if error.kind != "unknown_key":
            raise
        # The first packet of a site: intake does not know yet whose signature to trust.
        transport.install_service_keys(publics.service_keys)
        transport.put_packet(envelope)
    return issued, packet.link(settings.intake_url, prepared.attempt_id, secret)


def _packet(settings: Settings, publics: Publics, prepared: _Prepared, secret: str) -> packet.Packet:
    snapshot = prepared.snapshot
    policy = dict(snapshot["policy"])
    policy["screen"] = ScreenPolicy(policy["screen"])
    return packet.Packet(
        vault=publics.vault_id,
        recording=prepared.attempt_id,
        generation=prepared.generation,
        site=settings.site,
        title=snapshot["title"],
        candidate_name=prepared.name,
        language=snapshot["language"],
        questions=tuple(Question(**each) for each in snapshot["questions"]),
        deadline=prepared.deadline,
        issued=datetime.now(UTC),
        secret_sha256=packet.secret_digest(secret),
        day_key=publics.current_day_key,
        consent_texts=texts.consent_texts(),
        guide=texts.guide(snapshot["language"]),
        contact=settings.contact,
        policy=packet.Policy(**policy),
        limits=Limits(**snapshot["limits"]),
    )


def _note_sent(settings: Settings, mail_id: uuid.UUID, prepared: _Prepared) -> None:
    with transaction("worker", settings) as tx:
        written = None if settings.smtp.host else "no_relay"  # then it lies in the spool
        _set_mail(tx, mail_id, state="sent", sent_at=datetime.now(UTC), reason=written)
        _note_invited(tx, prepared)


def _note_invited(tx: Connection, prepared: _Prepared) -> None:
    first = prepared.reason in ("invite", "shown")
    action = log.Action.INVITE_SEND if first else log.Action.INVITE_REPLACE
    known = attempt.c.id == prepared.attempt_id
    tx.execute(update(attempt).where(known).values(invited_at=datetime.now(UTC)))
    log.append(
        tx,
        action,
        log.Actor.unit("worker"),
        "attempt",
        prepared.attempt_id,
        reason=prepared.reason,
        details={"generation": prepared.generation},
    )


def _note_failed(settings: Settings, mail_id: uuid.UUID, error: notify.MailError, *, last: bool) -> None:
    """Say on the mail's row what the relay said, so that staff see it while the job tries again."""
    with transaction("worker", settings) as tx:
        _set_mail(tx, mail_id, reason=str(error.params["what"]), **({"state": "failed"} if last else {}))


def _set_mail(tx: Connection, mail_id: uuid.UUID, **values: Any) -> None:
    tx.execute(update(outgoing_mail).where(outgoing_mail.c.id == mail_id).values(**values))
