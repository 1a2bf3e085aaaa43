"""No process serves on a machine that computes wrongly."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from appliance import jobs, selftest
from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.keyholder import process
from storage.vault import SelfTestFailed
from webui.intake.app import create_app as create_intake
from webui.staff.app import create_app as create_staff


@pytest.mark.parametrize("start", [process.run, jobs.run_worker, create_staff, create_intake])
def test_a_wrong_answer_stops_each_start_before_it_does_anything(
    start: Callable[[Settings], object], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise SelfTestFailed("SM3", "another answer")

    monkeypatch.setattr(selftest, "self_test", fail)
    for over in ("bind_now", "harden", "lock_all"):  # they are about a process of its own
        monkeypatch.setattr(process.memory, over, lambda: None)
    before = sorted(settings.data.rglob("*"))
    with pytest.raises(ConfigurationError, match="cannot start: the self-test of SM3 failed"):
        start(settings)
    assert sorted(settings.data.rglob("*")) == before


def test_right_answers_are_counted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        selftest.require_known_answers()
    assert "self-test: 19 known answers are right" in caplog.text
