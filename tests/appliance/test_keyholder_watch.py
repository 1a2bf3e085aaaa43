"""The vault locks by itself: after some hours, at a time of day, for tampering; whatever the clock does."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from appliance import jobs
from appliance.config import Settings, VaultSettings
from appliance.database import transaction
from appliance.errors import ConfigurationError
from appliance.keyholder import watch as watching
from appliance.keyholder.client import Keyholder
from appliance.keyholder.watch import Watch
from appliance.tables import audit_event
from appliance.upkeep.locks import record_locks
from tests.support.keyholder import journal_lines, running_keyholder, unlock

MORNING = dt.datetime(2026, 11, 27, 9, 0)  # noqa: DTZ001 - the clock on the wall


class Machine:
    """A watch over a vault, with clocks that a test moves."""

    def __init__(self, settings: Settings, **wishes: object) -> None:
        from dataclasses import replace

        self.seconds, self.wall, self.locked = 1000.0, MORNING, False
        self.reasons: list[str] = []
        self.watch = Watch(
            replace(settings, vault=VaultSettings(**wishes)),  # type: ignore[arg-type]
            lambda: self.locked,
            self.lock,
            lambda: self.seconds,
            lambda: self.wall,
        )
        self.watch.tick()

    def lock(self, reason: str) -> None:
        self.reasons.append(reason)
        self.locked = True

    def after(self, hours: float = 0, wall_hours: float | None = None) -> list[str]:
        """Let time go on; the wall clock may go otherwise. What it locked for."""
        self.seconds += hours * 3600
        self.wall += dt.timedelta(hours=hours if wall_hours is None else wall_hours)
        self.watch.tick()
        return self.reasons


def test_without_a_wish_it_never_locks(settings: Settings) -> None:
    assert Machine(settings).after(10_000) == []


def test_it_locks_after_so_many_hours_of_a_clock_that_nobody_sets(settings: Settings) -> None:
    machine = Machine(settings, lock_after_hours=8)
    assert machine.after(7.9, wall_hours=-300) == []
    assert machine.after(0.2, wall_hours=0)[0].startswith("timer")
    machine.locked = False
    machine.watch.tick()  # unlocked again: the hours begin anew
    assert len(machine.after(7.9, wall_hours=500)) == 1
    assert len(machine.after(0.2)) == 2


@pytest.mark.parametrize(
    ("at", "steps"),
    [
        ("18:30", [(9, 9, False), (0.6, 0.6, True)]),
        ("08:00", [(22, 22, False), (1.1, 1.1, True)]),
        ("18:30", [(1, -200, False), (8.4, 0, False), (0.2, 0, True)]),  # set back: no later than it was due
        ("18:30", [(0.1, 9.6, True)]),  # leaps over it: at once
    ],
)
def test_it_locks_at_a_time_of_day_however_the_clock_leaps(
    settings: Settings, at: str, steps: list[tuple[float, float, bool]]
) -> None:
    machine = Machine(settings, lock_at=at)
    for hours, wall_hours, locks in steps:
        assert bool(machine.after(hours, wall_hours)) is locks


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_sensor_that_changes_or_goes_locks(settings: Settings, tmp_path: Path, change: str) -> None:
    alarm = tmp_path / "intrusion0_alarm"
    alarm.write_text("0\n")
    machine = Machine(settings, tamper_paths=(str(alarm),))
    assert machine.after(1) == []
    if change == "changed":
        alarm.write_text("1\n")
    else:
        alarm.unlink()
    assert machine.after()[0].startswith("tamper")
    assert str(alarm) in machine.reasons[0]
    machine.locked = False  # whoever unlocks has seen it
    assert len(machine.after()) == 1
    assert len(machine.after()) == 1


def test_a_folder_could_never_lock_it_and_is_refused_at_the_start(settings: Settings, tmp_path: Path) -> None:
    missing = str(tmp_path / "not there yet")
    Machine(settings, tamper_paths=(missing,))
    with pytest.raises(ConfigurationError, match=r"vault\.tamper_paths = .*folder.*allowed are"):
        Machine(settings, tamper_paths=(missing, str(tmp_path)))


def test_a_change_far_behind_the_start_of_a_file_locks(settings: Settings, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(bytes(100_000))
    machine = Machine(settings, tamper_paths=(str(program),))
    assert machine.after(1) == []
    with program.open("r+b") as file:
        file.seek(99_999)
        file.write(b"x")
    assert machine.after()[0].startswith("tamper")


@pytest.mark.parametrize("folder", ["keys_folder", "vault_folder"])
def test_a_folder_that_goes_or_is_another_device_locks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    gone = Machine(settings)
    moved = Machine(settings)
    path: Path = getattr(settings, folder)
    path.rename(path.with_name("elsewhere"))
    assert gone.after()[0].startswith("tamper")
    path.with_name("elsewhere").rename(path)
    monkeypatch.setattr(watching, "_device", lambda asked: 7 if asked == path else 8)
    assert "another device" in moved.after()[0]


def test_a_lock_by_itself_is_in_the_journal_and_later_once_on_the_log(settings: Settings) -> None:
    with running_keyholder(settings) as server:
        server.service.lock("tamper: the lid")
        assert Keyholder(settings).status().locked
        entry = json.loads(journal_lines(settings)[-1])
        assert (entry["op"], entry["reason"], entry["unrecorded"]) == ("lock", "tamper: the lid", True)
        for _ in range(2):
            record_locks(jobs.Work(settings, lambda: False))
        with transaction("auditor", settings) as tx:
            bodies = list(tx.scalars(select(audit_event.c.body).where(audit_event.c.object_type == "vault")))
        (event,) = (json.loads(body)["event"] for body in bodies)
        assert (event["action"], event["reason"]) == ("vault:lock", "tamper: the lid")
        assert (event["actor"]["id"], event["details"]["at"]) == ("keyholder", entry["at"])
        unlock(settings)


def test_a_real_watch_locks_a_real_vault(settings: Settings, tmp_path: Path) -> None:
    from dataclasses import replace

    alarm = tmp_path / "alarm"
    alarm.write_text("0")
    made = replace(settings, vault=replace(settings.vault, tamper_paths=(str(alarm),)))
    with running_keyholder(made) as server:
        server.service.watch.stop()
        server.service.watch.tick()
        alarm.write_text("1")
        server.service.watch.tick()
        assert Keyholder(made).status().locked
