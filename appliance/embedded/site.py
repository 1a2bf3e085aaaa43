"""The site's own files: passwords made at the first start, settings written at each."""

from __future__ import annotations

import json
import os
import secrets
from typing import Any

from appliance import config
from appliance.config import DATABASE_ROLES, Settings
from appliance.embedded.address import Address
from appliance.embedded.layout import Layout
from appliance.errors import ConfigurationError
from storage.vault import adopt_first_layout

# What a start decides itself; the administrator's file may not say otherwise.
DECIDED = ("data", "staff_url", "intake_url", "database", "profile")


def database_passwords(layout: Layout) -> dict[str, str]:
    """Role → password, `superuser` too; made once, at the first start."""
    path = layout.secrets / "database.json"
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    made = {role: secrets.token_urlsafe(24) for role in (*DATABASE_ROLES, "superuser")}
    unfinished = path.with_name("database.json.unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(made))
    unfinished.rename(path)
    return made


def write_settings(layout: Layout, address: Address, database_host: str, database_port: int) -> Settings:
    """Settings of this start: what was decided, over what the administrator wrote in <data>/fupan.toml.

    Raises ConfigurationError when that file is wrong.
    """
    values = _administrators(layout)
    values |= {
        "data": str(layout.data),
        "staff_url": address.staff_url,
        "intake_url": address.intake_url,
        "profile": "embedded",
        "database": {"host": database_host, "port": database_port},
    }
    # Apart from database and media would be another disk; which one, only the administrator knows.
    backed_up = {"key_backup": str(layout.data / "key-backups")}
    values["vault"] = backed_up | values.get("vault", {})
    settings = config.from_mapping(values, str(layout.site_settings))
    unfinished = layout.settings.with_name("fupan.toml.unfinished")
    unfinished.write_text(_as_toml(values), encoding="utf-8")
    unfinished.rename(layout.settings)
    os.environ["FUPAN_CONFIG"] = str(layout.settings)
    for folder in (
        settings.intake_folder,
        settings.vault_folder,
        settings.keys_folder,
        settings.models_folder,
        settings.spool_folder,
    ):
        folder.mkdir(mode=0o700, exist_ok=True)
    adopt_first_layout(settings.vault_folder)  # before any process looks into it
    return settings


def _administrators(layout: Layout) -> dict[str, Any]:
    path = layout.site_settings
    if not path.exists():
        return {}
    values = config.read(path)
    taken = sorted(set(values) & set(DECIDED))
    if taken:
        raise ConfigurationError(what=f"{path}: {', '.join(taken)} cannot be set here; a start decides it")
    return values


def _as_toml(values: dict[str, Any]) -> str:
    """Plain tables of checked strings, numbers and truths."""
    lines = ["# Written by `fupan run` at each start; changes here are lost. Yours go in ../fupan.toml."]
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines += [f"{name} = {_literal(value)}" for name, value in values.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_literal(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _literal(value: object) -> str:
    """JSON's form is TOML's, unless characters are escaped by surrogates; checked text is printable."""
    return json.dumps(value, ensure_ascii=False)
