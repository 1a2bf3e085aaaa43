"""The words for what the code writes: none is missing, and none is left over."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.audit.log import Action
from tests.support.desk import Desk
from webui import words

ROOT = Path(__file__).parents[3]


def test_every_action_that_the_code_writes_has_words_and_no_other(desk: Desk) -> None:
    written = {
        Action[name].value
        for folder in ("appliance", "webui")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bAction\.([A-Z_]+)\b", file.read_text(encoding="utf-8"))
        if name in Action.__members__
    }
    assert written == {action.value for action in Action}
    for lang in ("en", "zh_Hans_CN"):
        with desk.app.test_request_context(f"/?lang={lang[:2]}"):
            assert set(words.actions()) == written


def test_what_was_not_done_is_told_in_other_words_than_what_was(desk: Desk) -> None:
    """`seal:fail`, `analyse:fail` and `access:denied` are written for nothing but failures."""
    with desk.app.test_request_context("/?lang=en"):
        undone = words.actions_undone()
        assert set(undone) < set(words.actions())
        for action, done in words.actions().items():
            assert words.action(action) == words.action(action, "ok") == done
            for outcome in ("failed", "denied"):
                assert words.action(action, outcome) == undone.get(action, done)
        assert all(undone[action] != words.action(action) for action in undone)
