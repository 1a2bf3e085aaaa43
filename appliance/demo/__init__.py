"""The demo of a first start: people, two positions, and one interview that was really recorded.

The clip goes the way of every recording: sealed chunk by chunk by a browser key, finished by a signed list,
then pulled, sealed and analysed by the worker that runs. A second start finds it and does nothing. Demo
accounts have no password; they sign in by one-time links.
"""

from __future__ import annotations

import importlib.util
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from appliance.audit.log import Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.demo.browser import DemoBrowser
from appliance.domain import AttemptState, Competency, Question, Role, User
from appliance.errors import FupanError
from appliance.intake_folder import IntakeFolder
from appliance.people import accounts
from appliance.stages import invite, position
from appliance.tables import account, assignment, attempt, candidate
from appliance.tables import position as position_table

DEPARTMENT = "研发部"
CANDIDATE = invite.Invitee("Alex Demo", "alex.demo@example.com")
DAYS = 30
CHUNK_MS = 2000
ACCOUNTS = (
    ("recruiter", "招聘专员", Role.RECRUITER, False),
    ("head", "部门负责人", Role.DEPARTMENT_HEAD, True),
    ("interviewer", "面试官", Role.INTERVIEWER, True),
    ("sysadmin", "系统管理员", Role.SYSTEM_ADMIN, False),
    ("secadmin", "安全管理员", Role.SECURITY_ADMIN, False),
    ("auditor", "审计员", Role.AUDITOR, False),
)
COMPETENCIES_ZH = (
    Competency("delivery", "交付能力", 40),
    Competency("communication", "沟通表达", 30),
    Competency("learning", "学习反思", 30),
)
COMPETENCIES_EN = (
    Competency("delivery", "Delivery", 40),
    Competency("communication", "Communication", 30),
    Competency("learning", "Learning", 30),
)
QUESTIONS_ZH = (
    Question(1, "请介绍一次计划临时变化的经历，您是怎样应对的？", 30, 180, "请面向摄像头", "delivery"),
    Question(2, "结果如何？您用什么来衡量？", 30, 120, "可以举出具体数字", "communication"),
    Question(3, "如果再来一次，您会有哪些不同的做法？", 30, 120, "", "learning"),
)


class DemoError(FupanError):
    """The demo could not be put in; the product works without it."""

    code = "demo"
    message = "The demo interview could not be put in: %(what)s"


@dataclass(frozen=True)
class Clip:
    """A finished clip: bytes, the recorder's MIME type, length, and when each question was answered."""

    media: bytes
    mime: str
    duration_ms: int
    questions: tuple[dict[str, Any], ...]


def seed(settings: Settings) -> uuid.UUID | None:
    """Put the demo in, unless it is there; returns the id of the recording that was made, or None.

    The keyholder must be running. Returns once everything is uploaded; sealing and analysing is the worker's.
    Raises DemoError when the clip cannot be read.
    """
    clip = load_clip(clip_folder())
    with transaction("staff", settings) as tx:
        people = _ensure_accounts(tx)
        recruiter = people["recruiter"]
        attempt_id = _ensure_interview(tx, recruiter, people["interviewer"], clip)
        state = tx.scalar(select(attempt.c.state).where(attempt.c.id == attempt_id))
    folder = IntakeFolder(settings.intake_folder)
    if state != AttemptState.INVITED or folder.records(attempt_id):
        return None
    link = invite.link_in_hand(settings, attempt_id)
    _record(folder, attempt_id, link.partition("#")[2], clip)
    return attempt_id


def clip_folder() -> Path:
    """Where the clip lies: with the static files of the pages. It is found, not imported."""
    spec = importlib.util.find_spec("webui")
    if spec is None or spec.origin is None:
        raise DemoError(what="the package `webui` is not installed")
    return Path(spec.origin).parent / "static" / "demo"


def load_clip(folder: Path) -> Clip:
    """The clip with its manifest. Raises DemoError."""
    try:
        manifest = json.loads((folder / "interview.json").read_text(encoding="utf-8"))
        media = (folder / manifest["clip"]).read_bytes()
        return Clip(media, manifest["mime"], int(manifest["duration_ms"]), tuple(manifest["questions"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DemoError(what=f"the clip in {folder} cannot be read") from error


# --- rows --------------------------------------------------------------------------------------------------


def _ensure_accounts(tx: Connection) -> dict[str, User]:
    """The demo's people by user name; those that exist are left as they are."""
    department_id = accounts.ensure_department(tx, DEPARTMENT)
    people = {}
    for username, name, role, in_department in ACCOUNTS:
        own = department_id if in_department else None
        account_id = tx.scalar(select(account.c.id).where(account.c.username == username))
        if account_id is None:
            account_id = accounts.create(tx, Actor.unit("demo"), username, name, role, own)
        people[username] = User(account_id, username, name, role, own, str(uuid.uuid4()), "127.0.0.1")
    return people


def _ensure_interview(tx: Connection, recruiter: User, interviewer: User, clip: Clip) -> uuid.UUID:
    """The demo candidate's attempt, made with its positions if there is none."""
    known = tx.scalar(
        select(attempt.c.id)
        .join(candidate, candidate.c.id == attempt.c.candidate_id)
        .where(candidate.c.email == CANDIDATE.email)
        .order_by(attempt.c.created_at)
        .limit(1)
    )
    if known is not None:
        return known
    department_id = accounts.ensure_department(tx, DEPARTMENT)
    _ensure_position(tx, recruiter, department_id, "项目经理（示例）", "zh", QUESTIONS_ZH, COMPETENCIES_ZH)
    position_id = _ensure_position(
        tx, recruiter, department_id, "Project manager (demo)", "en", _questions(clip), COMPETENCIES_EN
    )
    deadline = datetime.now(UTC) + timedelta(days=DAYS)
    [attempt_id] = invite.invite(tx, recruiter, position_id, [CANDIDATE], deadline, mail=False)
    tx.execute(insert(assignment).values(attempt_id=attempt_id, account_id=interviewer.account_id))
    return attempt_id


def _ensure_position(
    tx: Connection,
    recruiter: User,
    department_id: uuid.UUID,
    title: str,
    language: str,
    questions: tuple[Question, ...],
    competencies: tuple[Competency, ...],
) -> uuid.UUID:
    known = tx.scalar(
        select(position_table.c.id).where(
            position_table.c.title == title, position_table.c.department_id == department_id
        )
    )
    if known is not None:
        return known
    form = position.PositionForm(title, language, questions, competencies)
    return position.create(tx, recruiter, department_id, form)


def _questions(clip: Clip) -> tuple[Question, ...]:
    competencies = [competency.id for competency in COMPETENCIES_EN]
    return tuple(
        Question(number, str(asked["text"]), 30, 120, "", competencies[(number - 1) % len(competencies)])
        for number, asked in enumerate(clip.questions, start=1)
    )


# --- the recording -----------------------------------------------------------------------------------------


def _record(folder: IntakeFolder, attempt_id: uuid.UUID, secret: str, clip: Clip) -> None:
    started = datetime.now(UTC) - timedelta(milliseconds=clip.duration_ms)
    browser = DemoBrowser(folder, attempt_id, secret, started)
    browser.begin()
    browser.check_and_agree()
    step = max(1, len(clip.media) * CHUNK_MS // clip.duration_ms)
    chunks = [clip.media[at : at + step] for at in range(0, len(clip.media), step)]
    camera = browser.upload("camera", clip.mime, chunks, clip.duration_ms)
    events = browser.upload_events(_events(clip), clip.duration_ms)
    browser.pass_questions(len(clip.questions))
    browser.finish(camera, events)


def _events(clip: Clip) -> list[dict[str, Any]]:
    kinds = (
        ("question_shown", "shown_ms"),
        ("answer_started", "answer_started_ms"),
        ("answer_ended", "answer_ended_ms"),
    )
    return [
        {"kind": kind, "question": asked["ordinal"], "at_ms": asked[moment]}
        for asked in clip.questions
        for kind, moment in kinds
    ]
