"""The staff's desk with people and interviews in every state, and one recording that went the whole way."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import insert, update
from werkzeug.test import TestResponse

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.keyholder.client import Keyholder
from appliance.people import sessions
from appliance.tables import account, analysis, attempt, candidate, document, recording, sign_in_link
from storage.vault import Clock, Vault
from tests.analysis.recorder import pieces, webm
from tests.support import factory
from tests.support.candidate import Candidate, Epoch
from tests.support.site import Site
from webui.staff.app import create_app

Moment = tuple[float, float]  # a page's monotonic clock and the wall clock, both in ms
SECONDS = 12.0
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
SENTENCES = (
    (300, 2600, "我最自豪的项目是重新设计的数据导入流程。", 1, 0.93),
    (2700, 5200, "我们把导入拆成三个队列,并且分别测量每一个。", 1, 0.88),
    (5400, 6900, "结果比原来快了四倍。", 1, 0.41),
    (7100, 9300, "First I write down what I know about the problem.", 2, 0.95),
    (9400, 11800, "Then I measure, and change one thing at a time.", 2, 0.9),
)


@dataclass
class Desk:
    """A site with its staff application and one account of every role (`people`)."""

    settings: Settings
    keyholder: Keyholder
    people: dict[Role, User] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.site = Site(self.settings, self.keyholder)
        self.department = self.site.department
        self.app = create_app(self.settings)
        for role in Role:
            if role is not Role.CANDIDATE:
                department = self.department if role is Role.DEPARTMENT_HEAD else None
                self.people[role] = factory.make_user(
                    self.settings, role, department, username=role.value.replace("_", "-")
                )
        with transaction("staff", self.settings) as tx:
            tx.execute(
                update(account)
                .where(account.c.id == self.people[Role.RECRUITER].account_id)
                .values(display_name="陈晓 Chen Xiao")
            )

    def token(self, role: Role) -> str:
        """A session token of the person with this role."""
        person, link = self.people[role], secrets.token_urlsafe(16)
        with transaction("staff", self.settings) as tx:
            digest = hashlib.sha256(link.encode()).digest()
            until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
            tx.execute(
                insert(sign_in_link).values(
                    token_sha256=digest, account_id=person.account_id, expires_at=until
                )
            )
        return sessions.sign_in_by_link(link, "127.0.0.1", self.settings).token

    def client(self, role: Role | None = None, lang: str = "en") -> FlaskClient:
        """A browser of the person with this role, or of nobody."""
        made = self.app.test_client()
        if role is not None:
            made.set_cookie("fupan", self.token(role), domain="localhost")
        made.set_cookie("fupan_lang", lang, domain="localhost")
        return made

    def people_in_every_state(self) -> dict[str, uuid.UUID]:
        """One attempt for each state that a table may show; keys name the state."""
        position = self.site.position(screen="optional")
        now = dt.datetime.now(dt.UTC)
        states: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any] | None]] = {
            "invited": ("李雷", {}, {}, None),
            "checked_in": ("韩梅梅", {"state": "checked_in"}, {}, None),
            "recording": ("赵云", {"state": "recording"}, {}, None),
            "sealing": (
                "Ada Lovelace",
                {"state": "finished", "finished_at": now},
                {"state": "sealing"},
                None,
            ),
            "running": ("孙丽", *_sealed(now), {"state": "running", "progress": 40}),
            "no_pack": ("周杰", *_sealed(now), {"state": "skipped", "reason": "no_model_pack"}),
            "declined": ("吴敏", *_sealed(now), {"state": "skipped", "reason": "declined"}),
            "analysis_failed": ("Grace Hopper", *_sealed(now), {"state": "failed", "reason": "timeout"}),
            "failed": ("郑爽", {"state": "finished"}, {"state": "failed", "problem": "no_tracks"}, None),
            "expired": ("王芳", {"state": "expired", "deadline": now - dt.timedelta(days=1)}, {}, None),
        }
        made = {}
        for state, (name, of_attempt, of_recording, of_analysis) in states.items():
            one = factory.make_attempt(self.settings, self.department, position, "collecting")
            made[state] = one
            with transaction("worker", self.settings) as tx:
                tx.execute(update(attempt).where(attempt.c.id == one).values(invited_at=now, **of_attempt))
                if of_recording:
                    tx.execute(update(recording).where(recording.c.id == one).values(**of_recording))
                if of_analysis:
                    tx.execute(insert(analysis).values(recording_id=one, **of_analysis))
            with transaction("staff", self.settings) as tx:
                person = tx.execute(attempt.select().where(attempt.c.id == one)).one().candidate_id
                tx.execute(update(candidate).where(candidate.c.id == person).values(name=name))
        return made

    def sealed(self, seconds: float = SECONDS, *, screen: bool = True, analysed: bool = True) -> uuid.UUID:
        """A real recording: sealed in the browser's way, ingested, remuxed, in the vault; with documents."""
        site = self.site
        position = site.position(screen="optional")
        [made] = site.invite("xiaoming", position_id=position)
        site.run_jobs()
        browser = site.begun(made, analysis=False)
        start = (time.monotonic() * 1000, time.time() * 1000)
        camera = pieces(webm(seconds, fps=25, size=(320, 180)), max(2, round(seconds / 2)))
        epochs = [self._recorded(browser, start, "camera", camera, 0, seconds)]
        if screen:
            picture = pieces(webm(seconds - 2, size=(320, 180), sound=False, colour=90), 3)
            epochs.append(self._recorded(browser, start, "screen", picture, 1, seconds - 2))
        epochs.append(self._events(browser, start))
        assert browser.finish(*epochs)[0] == 200
        site.pull()
        site.run_jobs()
        with transaction("staff", self.settings) as tx:
            person = tx.execute(attempt.select().where(attempt.c.id == made)).one().candidate_id
            tx.execute(update(candidate).where(candidate.c.id == person).values(name="王小明"))
        if analysed:
            self.analysed(made)
        return made

    def analysed(self, made: uuid.UUID, contents: dict[str, Any] | None = None) -> None:
        """Sealed documents as an analysis leaves them."""
        contents = contents or CONTENTS
        factory.set_analysis(self.settings, made, "running")
        event = factory.worker_event(self.settings, made, "analyse")
        names = [("document", name) for name in contents]
        keys = self.keyholder.new_file_keys(made, event.id, "analyse", names)
        vault = Vault(self.settings.vault_folder)
        with transaction("worker", self.settings) as tx:
            for (name, content), (header, key) in zip(contents.items(), keys, strict=True):
                data = json.dumps(content, ensure_ascii=False).encode()
                vault.write_document(made, name, header, key, data)
                tx.execute(insert(document).values(recording_id=made, name=name, kind=name, bytes=len(data)))
            tx.execute(
                update(analysis)
                .where(analysis.c.recording_id == made)
                .values(state="done", progress=100, reason=None, pack_version="2026.11-test")
            )

    def _recorded(
        self, browser: Candidate, start: Moment, track: str, chunks: list[bytes], after: float, seconds: float
    ) -> Epoch:
        """One epoch that began `after` seconds, by clocks that do not depend on how busy this machine is."""
        begin = [at + after * 1000 for at in start]
        epoch = browser.epoch(track, clock=Clock(browser.page.bytes, *begin))
        bodies = [epoch.chunk(chunk) for chunk in chunks]
        number, end = epoch.writer.finish(*(at + seconds * 1000 for at in begin))
        epoch.bodies.append((number, 1, end))
        for body in (*bodies, epoch.bodies[-1]):
            assert browser.put(epoch, body)[0] == 201
        return epoch

    def _events(self, browser: Candidate, start: Moment) -> Epoch:
        epoch = browser.epoch("events", mime="application/x-fupan-events+json")
        t, wall = start
        happened = [
            (0, "question_shown", {"question": 1}),
            (200, "answer_started", {"question": 1}),
            (3100, "mark", {"text": "这里讲到难点"}),
            (6900, "answer_ended", {"question": 1}),
            (7000, "question_shown", {"question": 2}),
            (7050, "answer_started", {"question": 2}),
            (8000, "tab_hidden", {}),
            (8600, "tab_visible", {}),
            (11900, "answer_ended", {"question": 2}),
        ]
        listed = [{"t": t + at, "wall": wall + at, "kind": kind, **more} for at, kind, more in happened]
        for body in (epoch.chunk(json.dumps(listed).encode()), epoch.end()):
            assert browser.put(epoch, body)[0] == 201
        return epoch


def _sealed(now: dt.datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {"state": "finished", "finished_at": now, "end_proven": True},
        {"state": "sealed", "sealed_at": now, "duration_ms": 583_000, "bytes": 61_000_000},
    )


def post(client: FlaskClient, path: str, **more: Any) -> TestResponse:
    """A POST as a browser sends it from one of our pages."""
    return client.post(path, headers={**SAME_ORIGIN, **more.pop("headers", {})}, **more)


def _signal(
    kind: str, start: int, end: int, value: Any, unit: str, confidence: float = 0.9
) -> dict[str, Any]:
    return {
        "kind": kind,
        "start_ms": start,
        "end_ms": end,
        "value": value,
        "unit": unit,
        "confidence": confidence,
    }


CONTENTS: dict[str, Any] = {
    "transcript": {
        "version": 1,
        "language": "zh",
        "segments": [
            {"start_ms": a, "end_ms": b, "text": text, "question": question, "confidence": sure}
            for a, b, text, question, sure in SENTENCES
        ],
    },
    "signals": {
        "version": 1,
        "signals": [
            *(_signal("speech_activity", a, b, 1.0, "share") for a, b, *_ in SENTENCES),
            _signal("pause", 6900, 7100, 0.2, "s"),
            _signal("speech_rate", 300, 6900, 236, "characters_per_minute"),
            _signal("face_present", 0, 12000, 0.98, "share"),
            _signal("fps", 0, 12000, 24.9, "fps"),
            _signal("snr", 0, 12000, 28.4, "db"),
        ],
    },
    "peaks": {
        "version": 1,
        "rate_hz": 50,
        "peaks": [v for n in range(600) for v in (-((n * 37) % 90) - 5, ((n * 53) % 90) + 5)],
    },
    "report": {"version": 1, "statements": []},
}
