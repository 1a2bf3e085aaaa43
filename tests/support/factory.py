"""Rows that tests need before they can begin, made with as few words as possible."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.dialects.postgresql import insert as upsert

from appliance.audit import log
from appliance.audit.log import Action, Actor, AuditEvent
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.keyholder.client import Keyholder
from appliance.tables import (
    account,
    analysis,
    attempt,
    browser_key,
    candidate,
    department,
    position,
    recording,
    replay_view,
)

_numbers = itertools.count(1)


def make_department(settings: Settings, name: str | None = None) -> uuid.UUID:
    made = uuid.uuid4()
    with transaction("staff", settings) as tx:
        tx.execute(insert(department).values(id=made, name=name or f"Department {next(_numbers)}"))
    return made


def make_user(settings: Settings, role: Role, department_id: uuid.UUID | None = None, **values: Any) -> User:
    """An account of this role and its signed-in person."""
    username = values.pop("username", f"{role.value}{next(_numbers)}")
    made = uuid.uuid4()
    with transaction("staff", settings) as tx:
        tx.execute(
            insert(account).values(
                id=made,
                username=username,
                display_name=username.title(),
                role=role.value,
                department_id=department_id,
                **values,
            )
        )
    return User(made, username, username.title(), role, department_id, str(uuid.uuid4()), "127.0.0.1")


def make_position(settings: Settings, department_id: uuid.UUID) -> uuid.UUID:
    made = uuid.uuid4()
    with transaction("staff", settings) as tx:
        tx.execute(
            insert(position).values(
                id=made,
                department_id=department_id,
                title="后端工程师",
                language="zh",
                policy={"screen": "off"},
                competency_model=[],
            )
        )
    return made


def make_attempt(
    settings: Settings,
    department_id: uuid.UUID,
    position_id: uuid.UUID | None = None,
    state: str | None = "sealed",
    **values: Any,
) -> uuid.UUID:
    """An attempt of a new candidate, with its recording in `state` (None: no recording yet)."""
    values = {"deadline": dt.datetime.now(dt.UTC) + dt.timedelta(days=7), **values}
    position_id = position_id or make_position(settings, department_id)
    made, person = uuid.uuid4(), uuid.uuid4()
    with transaction("staff", settings) as tx:
        tx.execute(
            insert(candidate).values(
                id=person, name="王小明", email="ming@example.com", department_id=department_id
            )
        )
        tx.execute(insert(attempt).values(id=made, position_id=position_id, candidate_id=person, **values))
        if state:
            tx.execute(insert(recording).values(id=made, state=state))
    return made


def pin_browser_key(settings: Settings, attempt_id: uuid.UUID, public: bytes, generation: int = 1) -> None:
    with transaction("worker", settings) as tx:
        tx.execute(
            insert(browser_key).values(attempt_id=attempt_id, generation=generation, public_key=public)
        )


def set_state(settings: Settings, recording_id: uuid.UUID, state: str) -> None:
    """Put a recording into a state, as the job that leads there does."""
    with transaction("worker", settings) as tx:
        tx.execute(update(recording).where(recording.c.id == recording_id).values(state=state))


def set_analysis(settings: Settings, recording_id: uuid.UUID, state: str) -> None:
    """Put a recording's analysis into a state; the first time its row is made."""
    with transaction("worker", settings) as tx:
        tx.execute(
            upsert(analysis)
            .values(recording_id=recording_id, state=state)
            .on_conflict_do_update(index_elements=["recording_id"], set_={"state": state})
        )


def worker_event(
    settings: Settings,
    recording_id: uuid.UUID,
    purpose: str,
    /,
    seconds: float = 600,
    **changes: Any,
) -> AuditEvent:
    """A committed event that lets the worker use keys for `purpose`."""
    actions = {
        "seal": Action.SEAL_RUN,
        "analyse": Action.ANALYSE_RUN,
        "check": Action.SEAL_CHECK,
        "check-vault": Action.VAULT_CHECK,
        "repair": Action.VAULT_REPAIR,
        "rebuild": Action.VAULT_REBUILD,
    }
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    details = log.key_use(recording_id, purpose, "worker", expires) | changes
    with transaction("worker", settings) as tx:
        return log.append(
            tx, actions[purpose], Actor.unit("worker"), "recording", recording_id, details=details
        )


def give_recording_key(settings: Settings, recording_id: uuid.UUID, department_id: uuid.UUID) -> None:
    """The key that a sealed recording has, as its seal makes it."""
    set_state(settings, recording_id, "sealing")
    event = worker_event(settings, recording_id, "seal")
    year = dt.datetime.now(dt.UTC).year
    Keyholder(settings).create_recording_key(recording_id, department_id, year, event.id)
    set_state(settings, recording_id, "sealed")


def open_view(
    settings: Settings, user: User, recording_id: uuid.UUID, seconds: float = 120
) -> tuple[uuid.UUID, AuditEvent]:
    """A committed replay view with its event: (view id, event)."""
    view = uuid.uuid4()
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    with transaction("staff", settings) as tx:
        event = log.append(
            tx,
            Action.REPLAY_OPEN,
            Actor.of(user),
            "recording",
            recording_id,
            details=log.key_use(recording_id, "replay", "staff", until),
        )
        tx.execute(
            insert(replay_view).values(
                id=view,
                recording_id=recording_id,
                account_id=user.account_id,
                event_seq=event.seq,
                lease_until=until,
            )
        )
    return view, event
