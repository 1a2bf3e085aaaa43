"""A whole site to measure on: PostgreSQL that waits for its disk, keyholder, people of every role."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance import database
from appliance.config import Settings
from appliance.domain import Role
from appliance.keyholder.client import Keyholder
from tests.support import postgres
from tests.support.desk import Desk
from tests.support.keyholder import running_keyholder


@dataclass(frozen=True)
class Stand:
    """The site, and the cluster that its database is in."""

    cluster: postgres.Cluster
    settings: Settings
    desk: Desk

    @property
    def settings_file(self) -> Path:
        """What FUPAN_CONFIG names."""
        return self.settings.data / "fupan.toml"

    def cookie(self, role: Role) -> str:
        """The Cookie header of a freshly signed-in person."""
        return f"fupan={self.desk.token(role)}; fupan_lang=en"


def available() -> bool:
    """Whether the PostgreSQL of the installed product is here."""
    return postgres.DEBIAN_BIN.exists()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Stand]:
    """A fresh site whose data lies in `folder`."""
    with postgres.running_cluster(lasting=True) as cluster:
        name = postgres.new_name()
        cluster.create(name, postgres.TEMPLATE)
        settings = postgres.site(folder, cluster, name)
        before = os.environ.get("FUPAN_CONFIG")
        os.environ["FUPAN_CONFIG"] = str(settings.data / "fupan.toml")
        try:
            with running_keyholder(settings):
                yield Stand(cluster, settings, Desk(settings, Keyholder(settings)))
        finally:
            database.dispose(settings)
            if before is None:
                del os.environ["FUPAN_CONFIG"]
            else:
                os.environ["FUPAN_CONFIG"] = before
