"""The page about the audit log knows every action that can stand in it, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.audit.log import Action

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit_log.md"


def test_every_action_is_in_the_table_once_and_nothing_else_is() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Actions")[1].split("## Writing")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = [action for row in rows for action in re.findall(r"`([^`]+)`", row)]
    assert sorted(listed) == sorted(Action)
