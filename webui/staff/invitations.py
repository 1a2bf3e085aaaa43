"""Invitations from pasted lines or CSV: each row is read, invited or explained on its own."""

from __future__ import annotations

import csv
import re
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import User
from appliance.errors import InvalidInputError
from appliance.stages.invite import Invitee, invite
from webui.errors import message_of

MAX_ROWS = 1000
# Comma, semicolon and tab, and the full-width comma and semicolon and the enumeration comma of Chinese.
SEPARATORS = r",;\t\uff0c\uff1b\u3001"
ADDRESS = re.compile(rf"<?([^\s<>{SEPARATORS}]+@[^\s<>{SEPARATORS}]+)>?")
HEADER_WORDS = frozenset({"name", "email", "e-mail", "mail", "姓名", "邮箱", "电子邮箱", "电子邮件"})


@dataclass(frozen=True)
class RowResult:
    """What became of one pasted line: an attempt, or why not."""

    line: str
    name: str
    email: str
    attempt_id: uuid.UUID | None = None
    error: str | None = None


def read_rows(text: str) -> list[tuple[str, Invitee]]:
    """(line, person) of each line: `name, address`, `address, name`, tabs or `name <address>`.

    A heading line is skipped. Raises InvalidInputError when there are no rows, or too many.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and _is_heading(lines[0]):
        lines = lines[1:]
    if not lines:
        raise InvalidInputError("Enter at least one name and mail address.")
    if len(lines) > MAX_ROWS:
        raise InvalidInputError("Enter at most %(limit)s people at a time.", limit=MAX_ROWS)
    return [(line, _person(line)) for line in lines]


def end_of_day(text: str) -> datetime:
    """The last second of a day typed as YYYY-MM-DD, in the site's time zone."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError("Choose the day by which the interview must be recorded.") from None
    return datetime.combine(day, time(23, 59, 59)).astimezone()


def send(
    settings: Settings, user: User, position_id: uuid.UUID, text: str, deadline: datetime
) -> list[RowResult]:
    """Invite row by row in one transaction; a row that cannot be invited does not stop the others.

    Raises InvalidInputError when nothing can be read or the deadline is wrong, and what access raises.
    """
    rows = read_rows(text)
    results = []
    with transaction("staff", settings) as tx:
        for row, (line, person) in enumerate(rows, start=1):
            try:
                with tx.begin_nested():
                    made = invite(tx, user, position_id, [person], deadline)
            except InvalidInputError as error:
                if "row" not in error.params:
                    raise
                error.params["row"] = row  # the stage saw one person; the page shows where they stand
                results.append(RowResult(line, person.name, person.email, error=message_of(error)))
            else:
                results.append(RowResult(line, person.name, person.email, attempt_id=made[0]))
    return results


def _is_heading(line: str) -> bool:
    return any(part.strip().lower() in HEADER_WORDS for part in re.split(rf"[{SEPARATORS}]", line))


def _person(line: str) -> Invitee:
    found = ADDRESS.search(line)
    email = found.group(1) if found else ""
    rest = line.replace(found.group(0), " ") if found else line
    parts = next(csv.reader([re.sub(rf"[{SEPARATORS}]", ",", rest)]), [])
    name = " ".join(part.strip().strip('"') for part in parts if part.strip().strip('"'))
    return Invitee(name, email)
