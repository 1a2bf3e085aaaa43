"""Who may call which route, read off the url maps of both applications: docs/access_matrix.csv.

python -m tests.support.access_matrix      writes the file anew
"""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from flask import Flask
from werkzeug.routing import Rule

from appliance.config import Database, Settings
from appliance.domain import Role
from appliance.people.roles import Permission, allowed
from webui.auth import permission_of
from webui.intake.app import create_app as create_intake
from webui.staff.app import create_app as create_staff

FILE = Path(__file__).parents[2] / "docs" / "access_matrix.csv"
HEADING = ("application", "method", "route", "permission", "anyone", *(role.value for role in Role))


def methods(rule: Rule) -> list[str]:
    """What a rule answers to; HEAD and OPTIONS follow from the rest."""
    return sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})


def rows(name: str, app: Flask) -> list[tuple[str, ...]]:
    """One line for each method of each route, sorted."""
    found = []
    for rule in app.url_map.iter_rules():
        permission = permission_of(app, rule.endpoint)
        assert permission is not None
        for method in methods(rule):
            found.append((name, method, rule.rule, permission.value, *_who(permission)))
    return sorted(found, key=lambda row: (row[0], row[2], row[1]))


def text(apps: dict[str, Flask]) -> str:
    """The file's text."""
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(HEADING)
    for name, app in apps.items():
        writer.writerows(rows(name, app))
    return sheet.getvalue()


def _who(permission: Permission) -> list[str]:
    if permission is Permission.PUBLIC:
        return ["yes"] * (len(Role) + 1)
    return ["no", *("yes" if allowed(role, permission) else "no" for role in Role)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder), "http://staff.test", "http://intake.test", Database("/nowhere"))
        apps = {"intake": create_intake(settings), "staff": create_staff(settings)}
        FILE.write_text(text(apps), encoding="utf-8")


if __name__ == "__main__":
    main()
