"""The demo: one finished interview to replay, and a position to be recorded for oneself.

The clip and its manifest are in webui/static/demo/. It is invited, sealed, sent and finished through the same
doors as any candidate's recording; worker and keyholder cannot tell it from one.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import OPEN_STATES, Competency, Question, Role, User
from appliance.embedded.demo_browser import DemoBrowser
from appliance.embedded.people import DEPARTMENT, INTERVIEWER, TRY_OUT, terminal_user
from appliance.people import accounts, assignments
from appliance.people.directory import LocalDirectory
from appliance.stages import invite
from appliance.stages import position as positions
from appliance.stages.invite import Invitee
from appliance.stages.position import PositionForm
from appliance.tables import attempt, candidate, position

CLIP_FOLDER = Path(__file__).resolve().parents[2] / "webui" / "static" / "demo"
PIECE_MS = 2000
EMAIL = "demo.candidate@fupan.example"


def put_in(settings: Settings, certificate: Path | None = None) -> bool:
    """Put the demo into an empty site, or finish what an interrupted start began; whether anything was done.

    Needs keyholder and intake running. Raises FupanError.
    """
    manifest = json.loads((CLIP_FOLDER / "interview.json").read_text(encoding="utf-8"))
    attempt_id = _attempt(settings, manifest)
    if attempt_id is None:
        return False
    _play(invite.link_in_hand(settings, attempt_id), manifest, certificate)
    return True


def _attempt(settings: Settings, manifest: dict[str, Any]) -> uuid.UUID | None:
    """The demo's attempt when it is still to be recorded; made when the site has no position yet."""
    with transaction("staff", settings) as tx:
        known = tx.execute(
            select(attempt.c.id, attempt.c.state)
            .join(candidate, candidate.c.id == attempt.c.candidate_id)
            .where(candidate.c.email == EMAIL)
        ).first()
        if known is not None:
            return known.id if known.state in OPEN_STATES else None
        if tx.scalar(select(func.count()).select_from(position)):
            return None
        user = terminal_user(settings)
        department_id = accounts.ensure_department(tx, DEPARTMENT[0 if settings.language == "zh" else 1])
        shown = positions.create(tx, user, department_id, _shown_position(manifest))
        deadline = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        made = invite.invite(tx, user, shown, [Invitee("Lin Xia 林夏", EMAIL)], deadline, mail=False)[0]
    _assign(settings, user, made)
    with transaction("staff", settings) as tx:  # a moment later, so that it is the newest
        positions.create(tx, user, department_id, _own_position(settings.language))
    return made


def _assign(settings: Settings, user: User, attempt_id: uuid.UUID) -> None:
    """Let the site's first interviewer, if it has one, see the demo."""
    person = LocalDirectory(settings).find(INTERVIEWER)
    if person is not None and person.role is Role.INTERVIEWER:
        with transaction("staff", settings) as tx:
            assignments.assign(tx, user, attempt_id, person.account_id)


def _play(link: str, manifest: dict[str, Any], certificate: Path | None) -> None:
    """Be the candidate: bind, agree, go through the questions, send the clip, finish."""
    browser = DemoBrowser(link, certificate)
    length = float(manifest["duration_ms"])
    closed = browser.begin()
    for question in manifest["questions"]:
        if question["ordinal"] > closed:  # an interrupted start got this far
            browser.answer(question["ordinal"])
    clip = (CLIP_FOLDER / manifest["clip"]).read_bytes()
    step = -(-len(clip) // max(1, round(length / PIECE_MS)))
    pieces = [clip[at : at + step] for at in range(0, len(clip), step)]
    camera = browser.send("camera", manifest["mime"], pieces, length)
    browser.finish(camera, browser.send_events(_events(manifest), length))


def _events(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    moments = (
        ("question_shown", "shown_ms"),
        ("answer_started", "answer_started_ms"),
        ("answer_ended", "answer_ended_ms"),
    )
    return [
        {"kind": kind, "t": float(question[field]), "question": question["ordinal"]}
        for question in manifest["questions"]
        for kind, field in moments
    ]


def _shown_position(manifest: dict[str, Any]) -> PositionForm:
    asked = [
        Question(question["ordinal"], question["text"], 15, 90, "One example is enough.", competency)
        for question, competency in zip(
            manifest["questions"], ("planning", "results", "learning"), strict=True
        )
    ]
    model = [
        Competency("planning", "Plans and reacts to change", 40),
        Competency("results", "Measures results", 40),
        Competency("learning", "Learns from experience", 20),
    ]
    return PositionForm("Team lead, customer service", manifest["language"], asked, model)


def _own_position(language: str) -> PositionForm:
    """What one is asked when one records oneself, in the site's language."""
    if language == "zh":
        asked = [
            Question(1, "请用一两句话介绍您自己。", 10, 60, "说说您现在做什么工作即可。", "expression"),
            Question(2, "请举一个您解决过的难题，说明您怎么做、结果如何。", 20, 120, "", "problems"),
        ]
        model = [Competency("expression", "表达", 40), Competency("problems", "解决问题", 60)]
        return PositionForm(TRY_OUT[0], language, asked, model)
    asked = [
        Question(1, "Please introduce yourself in a sentence or two.", 10, 60, "", "expression"),
        Question(
            2,
            "Tell us about a problem you solved: what did you do?",
            20,
            120,
            "",
            "problems",
        ),
    ]
    model = [Competency("expression", "Expression", 40), Competency("problems", "Problem solving", 60)]
    return PositionForm(TRY_OUT[1], language, asked, model)
