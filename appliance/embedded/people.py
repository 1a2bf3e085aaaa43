"""The first accounts of an embedded site, and links for whoever sits at its terminal."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import uuid

from sqlalchemy import func, select

from appliance.audit.log import Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AttemptState, Role, User
from appliance.errors import InvalidInputError
from appliance.people import accounts, sessions
from appliance.people.directory import LocalDirectory, Person
from appliance.stages import invite
from appliance.stages.invite import Invitee
from appliance.tables import account, attempt, candidate, position

ADDRESS = "command line"
RECRUITER = "recruiter"
INTERVIEWER = "interviewer"
# Username → role, and the name shown in Chinese and English. Nobody has a password.
FIRST = {
    RECRUITER: (Role.RECRUITER, "招聘专员", "Recruiter"),
    "head": (Role.DEPARTMENT_HEAD, "部门负责人", "Department head"),
    INTERVIEWER: (Role.INTERVIEWER, "面试官", "Interviewer"),
    "auditor": (Role.AUDITOR, "审计员", "Auditor"),
    "security": (Role.SECURITY_ADMIN, "安全管理员", "Security administrator"),
    "system": (Role.SYSTEM_ADMIN, "系统管理员", "System administrator"),
}
DEPARTMENT = ("客户服务部", "Customer service")
TRY_OUT = ("体验面试", "Try an interview")
SELF = ("我自己", "Myself")
SELF_DAYS = 7


def ensure_first_accounts(settings: Settings) -> None:
    """One department and one account for each role, when there is no account at all."""
    with transaction("staff", settings) as tx:
        if tx.scalar(select(func.count()).select_from(account)):
            return
        chinese = settings.language == "zh"
        department_id = accounts.ensure_department(tx, DEPARTMENT[0 if chinese else 1])
        for username, (role, in_chinese, in_english) in FIRST.items():
            accounts.create(
                tx,
                Actor.unit("cli"),
                username,
                in_chinese if chinese else in_english,
                role,
                department_id if role is Role.DEPARTMENT_HEAD else None,
                locale="",  # the browser's language, until the person chooses
            )


def _account(settings: Settings, username: str) -> Person:
    person = LocalDirectory(settings).find(username)
    if person is None:
        raise InvalidInputError(what=_why_nobody(settings, username.lower()))
    return person


def _why_nobody(settings: Settings, username: str) -> str:
    """Why no one signs in by this name, and who does."""
    with transaction("staff", settings) as tx:
        found = accounts.list_all(tx)
    if any(row.username == username for row in found):
        return f"the account {username} is disabled. A security administrator enables it again under Accounts"
    names = ", ".join(row.username for row in found if row.disabled_at is None)
    return f"there is no account {username}. There are: {names}"


def sign_in_link(settings: Settings, username: str) -> str:
    """A fresh address that signs this account in once. Raises InvalidInputError for an unknown one."""
    person = _account(settings, username)
    with transaction("staff", settings) as tx:
        token = sessions.issue_link(tx, person.account_id, Actor.unit("cli"))
    return f"{settings.staff_url}/sign-in/{token}"


def terminal_user(settings: Settings, username: str = RECRUITER) -> User:
    """The person in whose name the terminal acts. Raises InvalidInputError."""
    return sessions.user_of(_account(settings, username), "", ADDRESS)


def self_invitation(settings: Settings, position_id: uuid.UUID | None = None, name: str = "") -> str | None:
    """A candidate's link for whoever sits here: to the given position, else to the one for trying out. Never
    to another by itself, since whoever hires for that would find a candidate there who is none.

    One of theirs that nobody began gets the link, so repeating this makes no second one; a further link
    would end the running one of an interview that was begun, so then there is a fresh attempt. None when
    no position is given and the one for trying out is closed or gone.
    """
    user = terminal_user(settings)
    deadline = dt.datetime.now(dt.UTC) + dt.timedelta(days=SELF_DAYS)
    shown = name or SELF[0 if settings.language == "zh" else 1]
    # nobody reads these addresses; they tell one name's interviews from another's
    whose = hashlib.sha256(shown.encode()).hexdigest()[:8]
    mailbox = f"myself+{whose}"
    with transaction("staff", settings) as tx:
        if position_id is None:
            position_id = tx.scalar(
                select(position.c.id)
                .where(position.c.title.in_(TRY_OUT), position.c.closed_at.is_(None))
                .order_by(position.c.created_at)
                .limit(1)
            )
        if position_id is None:
            return None
        attempt_id = tx.scalar(
            select(attempt.c.id)
            .join(candidate, candidate.c.id == attempt.c.candidate_id)
            .where(
                attempt.c.position_id == position_id,
                candidate.c.email.startswith(mailbox),
                attempt.c.state == AttemptState.INVITED,
            )
        )
        if attempt_id is None:
            # an address of its own: one address has one open interview at a position
            person = Invitee(shown, f"{mailbox}.{secrets.token_hex(4)}@fupan.example")
            attempt_id = invite.invite(tx, user, position_id, [person], deadline, mail=False)[0]
    return invite.link_in_hand(settings, attempt_id, deadline)
