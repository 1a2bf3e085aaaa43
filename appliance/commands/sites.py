"""Which site a command is about, and whether it runs."""

from __future__ import annotations

import os
from pathlib import Path

from appliance import config
from appliance.config import Settings
from appliance.embedded import accounts
from appliance.embedded.accounts import Account
from appliance.embedded.checks import start_is_held
from appliance.embedded.layout import Layout
from appliance.errors import ConfigurationError, FupanError


class NoSiteError(ConfigurationError):
    """There is nothing where the command looked."""

    message = "There is no site at %(folder)s. Name its folder with --data, or start one with make run."


class NotRunningError(FupanError):
    """The command needs a process of a site that was stopped."""

    message = "The site at %(folder)s is not running. Start it with make run DATA=%(folder)s."


class PartDownError(FupanError):
    """The site runs, and the part that the command needs does not answer."""

    message = "A part of the site at %(folder)s does not answer: %(what)s. Look at its messages in %(logs)s."


def find(data: Path | None, default: Path) -> Settings:
    """Settings by data folder, else by FUPAN_CONFIG, else of the default data folder."""
    named = os.environ.get("FUPAN_CONFIG")
    path = Path(named) if named and data is None else (data or default).resolve() / "run" / "fupan.toml"
    if not path.exists():
        raise NoSiteError(folder=path.parent.parent)
    _become_owner(path)
    os.environ["FUPAN_CONFIG"] = str(path)
    return config.load(path)


def why_down(settings: Settings, part: str) -> FupanError:
    """What to say at a terminal when `part` of this site does not answer: pages say what a visitor needs."""
    if settings.profile == "embedded" and not start_is_held(Layout(settings.data)):
        return NotRunningError(folder=settings.data)
    logs = settings.data / "logs" if settings.profile == "embedded" else "the system's journal"
    return PartDownError(folder=settings.data, what=part, logs=logs)


def _become_owner(path: Path) -> None:
    found = path.stat()
    if os.geteuid() == 0 and found.st_uid != 0:
        accounts.become(Account(str(found.st_uid), found.st_uid, found.st_gid))
