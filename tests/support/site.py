"""A whole inside for a test: database, keyholder, intake application and people, driven stage by stage."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import re
import secrets
import uuid
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from sqlalchemy import Row, insert, select, text

from appliance import jobs
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Competency, Question, Role, User
from appliance.keyholder.client import Keyholder
from appliance.packet import Policy
from appliance.stages import ingest, invite, position, seal
from appliance.tables import audit_event, session
from storage.vault import Vault
from tests.support import factory
from tests.support.candidate import Candidate, Epoch, flask_call
from tests.support.worker import run_jobs
from webui.intake.app import create_app

QUESTIONS = (
    Question(0, "请介绍一个您最自豪的项目。", 10, 120, "请面向摄像头", "delivery"),
    Question(0, "您怎样解决一个困难的问题?", 5, 90, "", "problem"),
)
COMPETENCIES = (Competency("delivery", "交付能力", 60), Competency("problem", "解决问题", 40))


@dataclass
class Site:
    """What a test needs at hand. `recruiter` sees every department and is signed in."""

    settings: Settings
    keyholder: Keyholder
    department: uuid.UUID = field(init=False)
    recruiter: User = field(init=False)
    last_browser: Candidate = field(init=False)

    def __post_init__(self) -> None:
        self.department = factory.make_department(self.settings)
        self.recruiter = factory.make_user(self.settings, Role.RECRUITER)
        self.sign_in(self.recruiter)
        self.intake = create_app(self.settings).test_client(use_cookies=False)
        self._puller = ingest.Puller(self.settings)

    def sign_in(self, user: User) -> None:
        """A session row for someone, as signing in makes it."""
        with transaction("staff", self.settings) as tx:
            tx.execute(
                insert(session).values(
                    token_sha256=secrets.token_bytes(32),
                    id=uuid.UUID(user.session_id),
                    account_id=user.account_id,
                    address=user.address,
                    expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
                )
            )

    def position(self, language: str = "zh", **policy: Any) -> uuid.UUID:
        form = position.PositionForm(
            "后端工程师", language, QUESTIONS, COMPETENCIES, Policy(**{"analysis": "offered", **policy})
        )
        with transaction("staff", self.settings) as tx:
            return position.create(tx, self.recruiter, self.department, form)

    def invite(self, *people: str, position_id: uuid.UUID | None = None, days: float = 7) -> list[uuid.UUID]:
        invitees = [invite.Invitee(name, f"{name}@example.com") for name in people or ("ming",)]
        deadline = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        position_id = position_id or self.position()
        with transaction("staff", self.settings) as tx:
            return invite.invite(tx, self.recruiter, position_id, invitees, deadline)

    def mails(self) -> list[EmailMessage]:
        """Spooled mails, oldest first."""
        files = sorted(self.settings.spool_folder.glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]

    def link_secret(self, recording: uuid.UUID) -> str:
        """The secret of the newest link that was mailed for a recording."""
        for mail in reversed(self.mails()):
            found = re.search(rf"/i/{recording}#([\w-]+)", mail.get_body(("plain",)).get_content())
            if found:
                return found.group(1)
        raise AssertionError("no link was mailed")

    def browser(self, recording: uuid.UUID) -> Candidate:
        """A browser that opened the newest link; it has not begun."""
        return Candidate(flask_call(self.intake), recording, self.link_secret(recording))

    def begun(self, recording: uuid.UUID, *, analysis: bool = True) -> Candidate:
        browser = self.browser(recording)
        assert browser.begin()[0] == 200
        assert browser.consent(analysis=analysis)[0] == 200
        return browser

    def record(
        self,
        browser: Candidate,
        chunks: list[bytes],
        *,
        track: str = "camera",
        end: bool = True,
        chunk_ms: float = 2100,
    ) -> Epoch:
        """Seal and upload one epoch; each chunk lasts at most `chunk_ms`."""
        epoch = browser.epoch(track)
        bodies = [epoch.chunk(chunk) for chunk in chunks]
        if end:
            bodies.append(epoch.end(len(chunks) * chunk_ms))
        for body in bodies:
            assert browser.put(epoch, body)[0] == 201
        return epoch

    def pull(self) -> None:
        self._puller.pull()

    def run_jobs(self) -> None:
        run_jobs(self.settings)

    def row(self, table: Any, recording: uuid.UUID) -> Row[Any]:
        column = table.c.id if "id" in table.c else table.c.recording_id
        with transaction("worker", self.settings) as tx:
            return tx.execute(select(table).where(column == recording)).one()

    def rows(self, table: Any, **equal: Any) -> list[Row[Any]]:
        with transaction("worker", self.settings) as tx:
            wanted = [table.c[name] == value for name, value in equal.items()]
            return list(tx.execute(select(table).where(*wanted)).all())

    def staff_rows(self, table: Any) -> list[Row[Any]]:
        """Rows of a table that only staff may read."""
        with transaction("staff", self.settings) as tx:
            return list(tx.execute(select(table)).all())

    def actions(self, object_type: str, object_id: uuid.UUID) -> list[str]:
        """What the audit log says of an object, in order."""
        with transaction("auditor", self.settings) as tx:
            return list(
                tx.scalars(
                    select(audit_event.c.action)
                    .where(
                        audit_event.c.object_type == object_type, audit_event.c.object_id == str(object_id)
                    )
                    .order_by(audit_event.c.seq)
                )
            )

    def last_details(self, object_type: str, object_id: uuid.UUID) -> dict[str, Any]:
        """The details of the newest audit event about an object that has any."""
        statement = select(audit_event.c.body).where(
            audit_event.c.object_type == object_type, audit_event.c.object_id == str(object_id)
        )
        with transaction("auditor", self.settings) as tx:
            bodies = tx.scalars(statement.order_by(audit_event.c.seq.desc())).all()
        events = (json.loads(body)["event"] for body in bodies)
        return next(dict(event["details"]) for event in events if "details" in event)

    def waiting_jobs(self, name: str) -> list[dict[str, Any]]:
        """Arguments of the jobs of this name that have not begun."""
        statement = text("SELECT args FROM procrastinate_jobs WHERE task_name = :name AND status = 'todo'")
        with transaction("worker", self.settings) as tx:
            return list(tx.scalars(statement, {"name": name}))

    def finished(self, chunks: list[bytes], *, analysis: bool = True, language: str = "zh") -> uuid.UUID:
        """A recording that was finished and pulled; its seal job waits."""
        where = self.position(language)
        [recording] = self.invite(f"c{uuid.uuid4().hex[:6]}", position_id=where)
        self.run_jobs()
        self.last_browser = self.begun(recording, analysis=analysis)
        epoch = self.record(self.last_browser, chunks)
        assert self.last_browser.finish(epoch)[0] == 200
        self.pull()
        return recording

    def sealed_but_not_analysed(self, chunks: list[bytes], *, analysis: bool = True) -> uuid.UUID:
        """A recording in the vault; its analysis job, if any, waits."""
        recording = self.finished(chunks, analysis=analysis)
        seal.seal(self.work, str(recording))
        with transaction("worker", self.settings) as tx:
            tx.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'seal'"))
        return recording

    def sealed(self, chunks: list[bytes], *, analysis: bool = True) -> uuid.UUID:
        """A recording that went the whole way to the vault, and to analysis where that is possible."""
        recording = self.finished(chunks, analysis=analysis)
        self.run_jobs()
        return recording

    def opened(self, recording: uuid.UUID, kind: str, name: str) -> bytes:
        """The plaintext of a sealed file, opened under a view of the recruiter's."""
        _view, event = factory.open_view(self.settings, self.recruiter, recording)
        vault = Vault(self.settings.vault_folder)
        header = vault.header_of(recording, kind, name)
        [key] = self.keyholder.file_keys(recording, event.id, "replay", [header.raw])
        with vault.open_sealed(recording, kind, name, key) as reader:
            return reader.read()

    @property
    def work(self) -> jobs.Work:
        """What a task gets when a test calls it by itself."""
        return jobs.Work(self.settings, lambda: False)
