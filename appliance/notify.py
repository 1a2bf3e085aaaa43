"""Mail to candidates: composed in their language, sent by SMTP or written to the spool folder.

A mail carries the secret of a link, so it is composed and sent in one go and kept nowhere else. The spool
(the embedded default, without a mail relay) is a folder of `.eml` files that only our own user reads.
"""

from __future__ import annotations

import contextlib
import os
import smtplib
import ssl
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, make_msgid

import jinja2
from sqlalchemy import Connection, insert, select

from appliance import jobs, texts
from appliance.config import Settings
from appliance.errors import ConfigurationError, FupanError, InvalidInputError
from appliance.tables import attempt, candidate, outgoing_mail

SMTP_SECONDS = 20.0
WEEKDAYS = "一二三四五六日"

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(texts.FOLDER),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=False,
)


class MailError(FupanError):
    """The relay did not take a mail; it is tried again."""

    status, code = 502, "mail"
    message = "The mail could not be handed to the mail relay (%(what)s). It will be tried again."


@dataclass(frozen=True)
class Invitation:
    """The three parts of an invitation (link, guide, deadline) and whom it is for.

    `reason` is `invite`, `again` (asked for by staff) or `rebind` (a second browser).
    """

    name: str
    email: str
    language: str
    title: str
    link: str
    deadline: datetime
    guide: str
    reason: str = "invite"
    contact: str = ""


def queue_invitation(tx: Connection, attempt_id: uuid.UUID, reason: str) -> uuid.UUID:
    """Order the mail with a fresh link for an attempt; returns the mail's id. The job `send_invitation` mints
    the link's secret, so that nothing in the queue or the database is one."""
    row = tx.execute(
        select(candidate.c.email, attempt.c.snapshot)
        .join(candidate, candidate.c.id == attempt.c.candidate_id)
        .where(attempt.c.id == attempt_id)
    ).one()
    mail_id = uuid.uuid4()
    tx.execute(
        insert(outgoing_mail).values(
            id=mail_id, attempt_id=attempt_id, kind=reason, recipient=row.email, subject=row.snapshot["title"]
        )
    )
    jobs.enqueue(tx, "send_invitation", lock=f"invite:{attempt_id}", mail=str(mail_id))
    return mail_id


def compose_invitation(settings: Settings, invitation: Invitation) -> EmailMessage:
    """The mail as plain text and as HTML. Raises InvalidInputError for an address that cannot be one."""
    language = invitation.language if invitation.language in texts.LANGUAGES else "en"
    subject = _subject(settings.site, invitation.title, language)
    text = _templates.get_template(f"invitation.{language}.txt").render(
        name=invitation.name,
        site=settings.site,
        title=invitation.title,
        link=invitation.link,
        deadline=format_deadline(invitation.deadline, language),
        guide=invitation.guide.splitlines(),
        reason=invitation.reason,
        contact=invitation.contact,
    )
    paragraphs = [block.splitlines() for block in text.split("\n\n") if block.strip()]
    html = _templates.get_template("invitation.html").render(
        language=language, subject=subject, paragraphs=paragraphs, link=invitation.link
    )
    message = EmailMessage(policy=SMTP_POLICY)
    message["Subject"] = subject
    message["From"] = settings.smtp.sender
    message["To"] = to_address(invitation.name, invitation.email)
    message["Date"] = format_datetime(datetime.now().astimezone())
    message["Message-ID"] = make_msgid(domain=settings.smtp.sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    # A relay may break long lines and high bytes; a letter in the folder is read there, with its link whole.
    encoding = "quoted-printable" if settings.smtp.host else "8bit"
    message.set_content(text, cte=encoding)
    message.add_alternative(html, subtype="html", cte=encoding)
    message["Content-Language"] = "zh-CN" if language == "zh" else "en"
    return message


def to_address(name: str, email: str) -> Address:
    """A mail address with its display name. Raises InvalidInputError when it cannot be one."""
    try:
        address = Address(display_name=name, addr_spec=email)
    except (ValueError, IndexError, MessageError) as error:
        raise InvalidInputError(what=email) from error
    if not address.username or not address.domain or any(ord(letter) < 32 for letter in name + email):
        raise InvalidInputError(what=email)
    return address


def format_deadline(moment: datetime, language: str) -> str:
    """A moment in the server's own time zone, with the weekday and the offset from UTC."""
    local = moment.astimezone()
    offset = local.strftime("%z")
    zone = f"UTC{offset[:3]}:{offset[3:5]}"
    if language == "zh":
        day = f"{local.year}年{local.month}月{local.day}日（星期{WEEKDAYS[local.weekday()]}）"
        return f"{day} {local:%H:%M}（{zone}）"
    return f"{local:%A, %d %B %Y, %H:%M} ({zone})"


def _subject(site: str, title: str, language: str) -> str:
    words = f"面试邀请：{title}（{site}）" if language == "zh" else f"Your interview: {title} ({site})"
    return " ".join(words.split())  # a header is one line


def send(settings: Settings, message: EmailMessage) -> None:
    """Hand one mail to the relay, or write it to the spool when no relay is configured. Raises MailError."""
    try:
        if settings.smtp.host:
            _send_by_smtp(settings, message)
        else:
            _write_to_spool(settings, message)
    except (OSError, smtplib.SMTPException) as error:
        raise MailError(what=type(error).__name__) from error


def _send_by_smtp(settings: Settings, message: EmailMessage) -> None:
    relay = settings.smtp
    with smtplib.SMTP(relay.host, relay.port, timeout=SMTP_SECONDS) as connection:
        if relay.starttls:
            connection.starttls(context=ssl.create_default_context(cafile=relay.ca_file or None))
        if relay.username:
            connection.login(relay.username, _relay_password(settings))
        connection.send_message(message)


def _relay_password(settings: Settings) -> str:
    path = settings.secrets_folder / "smtp_password"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(
            what=f"the mail relay wants a password, and {path} cannot be read"
        ) from error


def remove_spooled(settings: Settings, attempts: Iterable[uuid.UUID]) -> int:
    """Remove the letters in the spool folder with a link of one of these attempts; returns how many."""
    marks = [f"/i/{attempt_id}#".encode() for attempt_id in attempts]
    removed = 0
    for path in settings.spool_folder.glob("[!.]*.eml"):
        with contextlib.suppress(FileNotFoundError):
            letter = path.read_bytes()
            if any(mark in letter for mark in marks):
                path.unlink()
                removed += 1
    return removed


def _write_to_spool(settings: Settings, message: EmailMessage) -> None:
    """One file a mail, complete or absent; named so that a listing is in the order of sending."""
    folder = settings.spool_folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{datetime.now().astimezone():%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}.eml"
    temporary = folder / f".{name}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(message.as_bytes())
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / name)
