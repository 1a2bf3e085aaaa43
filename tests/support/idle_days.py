"""A vault with keys of past days that nothing needs any more, and what would need them."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from sqlalchemy import update

from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.keyholder import day_keys
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.tables import attempt, recording
from appliance.transport import transport_of
from appliance.upkeep import day_keys as upkeep
from storage.vault import KeyStore
from tests.support import factory
from tests.support.keyholder import running_keyholder

NOW = dt.datetime.now(dt.UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
PAST = 10  # so many past days have keys
DAY = dt.timedelta(days=1)


def day(offset: int) -> str:
    return (NOW.date() + offset * DAY).isoformat()


# What is out of use: neither today's, nor yesterday's for a clock that is late, nor what is to come.
IDLE = [day(offset) for offset in range(-PAST, -1)]


@dataclass
class Vault:
    settings: Settings
    server: Server
    keyholder: Keyholder
    department: uuid.UUID

    @property
    def custody(self) -> Any:
        return self.server.service.desk.custody

    @property
    def kept(self) -> list[str]:
        return KeyStore(self.settings.keys_folder).list("day")

    def interview(self, begins: float, ends: float, state: str, kept: str, **more: Any) -> uuid.UUID:
        """Invited and closed so many days from the last midnight, the upload grace included."""
        times = {"created_at": MIDNIGHT + begins * DAY, "deadline": MIDNIGHT + (ends - 3) * DAY}
        made = factory.make_attempt(self.settings, self.department, state=kept, **times)
        with transaction("worker", self.settings) as tx:
            tx.execute(update(attempt).where(attempt.c.id == made).values(state=state))
            if more:
                tx.execute(update(recording).where(recording.c.id == made).values(**more))
        if kept == "sealed":
            self.custody.tree.create_recording_key(made, self.department, 2026)
        return made

    def order(self, *days: str, role: Any = "worker", **changes: Any) -> uuid.UUID:
        about = changes.get("vault", self.keyholder.status().vault_id)
        action = changes.get("action", Action.KEYS_DESTROY)
        outcome = changes.get("outcome", "ok")
        details = changes.get("details", {"days": list(days)})
        with transaction(role, self.settings) as tx:
            return log.append(tx, action, Actor.unit("worker"), "vault", about, outcome, details=details).id

    def destroy(self) -> list[str]:
        return upkeep.destroy(self.settings, transport_of(self.settings))

    def alarms(self) -> list[str]:
        return [alarm.kind for alarm in self.keyholder.alarms()]


@contextlib.contextmanager
def with_idle_days(settings: Settings) -> Iterator[Vault]:
    """Keys of past days, and one interview that is long over and cleared."""
    with running_keyholder(settings) as server:
        made = Vault(settings, server, Keyholder(settings), factory.make_department(settings))
        with mock.patch.object(day_keys, "DAYS_AHEAD", PAST):
            made.custody.days.publish(NOW.date() - PAST * DAY)
        made.interview(-30, -20, "finished", "sealed", journals_removed_at=NOW)
        yield made
