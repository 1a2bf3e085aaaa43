"""Issue a link: put the packet that it opens before intake, then mail the link.

A link's secret exists in the job that mails it and in the mail; everything else holds its SHA-256.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from appliance import jobs, notify, packet, texts
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import OPEN_STATES, Limits, Question, ScreenPolicy
from appliance.errors import ConflictError
from appliance.keyholder.client import Keyholder, Publics
from appliance.tables import attempt, candidate, outgoing_mail
from appliance.transport import transport_of


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
    first_at = func.coalesce(attempt.c.invited_at, datetime.now(UTC))
    tx.execute(update(attempt).where(known).values(invited_at=first_at))
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
