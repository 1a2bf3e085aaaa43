"""Which site a command is about."""

from __future__ import annotations

import os
from pathlib import Path

from appliance import config
from appliance.config import Settings
from appliance.embedded import accounts
from appliance.embedded.accounts import Account
from appliance.errors import ConfigurationError


def find(data: Path | None, default: Path) -> Settings:
    """Settings by data folder, else by FUPAN_CONFIG, else of the default data folder."""
    named = os.environ.get("FUPAN_CONFIG")
    path = Path(named) if named and data is None else (data or default).resolve() / "run" / "fupan.toml"
    if not path.exists():
        raise ConfigurationError(what=f"there is no site at {path.parent.parent}. Start one with `fupan run`")
    _become_owner(path)
    os.environ["FUPAN_CONFIG"] = str(path)
    return config.load(path)


def _become_owner(path: Path) -> None:
    found = path.stat()
    if os.geteuid() == 0 and found.st_uid != 0:
        accounts.become(Account(str(found.st_uid), found.st_uid, found.st_gid))
