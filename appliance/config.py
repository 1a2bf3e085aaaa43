"""Settings: one TOML file, found by FUPAN_CONFIG, read once at start-up.

Secrets lie in files beside it, never in it.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError
from appliance.settings_rules import check, require_tiers

DATABASE_ROLES = ("owner", "staff", "worker", "keyholder", "auditor")


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL is. `host` is a host name or the folder of its Unix socket."""

    host: str
    port: int = 5432
    name: str = "fupan"


@dataclass(frozen=True)
class Smtp:
    """The company's mail relay; without a host, mail is written to the spool folder."""

    host: str = ""
    port: int = 25
    starttls: bool = False
    username: str = ""
    sender: str = "fupan@localhost"
    ca_file: str = ""


@dataclass(frozen=True)
class VaultSettings:
    """`key_backup`: the folder for backups of the key records, or "" for none. `suite`: that of a vault that
    is yet to be made; None where nothing was said. `token_module`: the PKCS#11 library of a token. The vault
    is locked `lock_after_hours` after its unlock (0: never), each day at `lock_at` ("HH:MM" by the machine's
    clock, "" for never), and when a file of `tamper_paths` changes. A part of it is read whole each night
    from `check_at` on.

    `hot` and `cold`: a folder or `s3://bucket/prefix` at `endpoint`; an empty `hot` is in the data folder.
    `cold_after_days`: 0 where only people move recordings.
    """

    key_backup: str = ""
    suite: int | None = None
    token_module: str = ""
    lock_after_hours: int = 0
    lock_at: str = ""
    check_at: str = "02:30"
    tamper_paths: tuple[str, ...] = ()
    hot: str = ""
    cold: str = ""
    cold_after_days: int = 0
    recall: bool = False
    endpoint: str = ""
    region: str = "us-east-1"
    ca_file: str = ""
    plain_http: bool = False


@dataclass(frozen=True)
class Erase:
    """How long a mark waits, and how much of all recordings may be erased in one day without being asked."""

    grace_days: int = 7
    daily_percent: int = 5


@dataclass(frozen=True)
class Timing:
    """Rhythms in seconds."""

    pull: float = 2.0
    replay_lease: float = 120.0
    session_idle: float = 1800.0
    session_absolute: float = 43200.0


@dataclass(frozen=True)
class UseLimitSettings:
    """For how many recordings the keyholder gives keys within an hour: to one person who opens them, and to
    all that a unit does."""

    replay_recordings_per_hour: int = 120
    staff_recordings_per_hour: int = 3000
    worker_recordings_per_hour: int = 30000


@dataclass(frozen=True)
class Settings:
    """Everything a process needs to know about its site. Paths are absolute.

    `trusted_proxies` is how many reverse proxies of ours stand before the web processes: only so many
    entries of X-Forwarded-For are believed. `contact` is whom candidates ask; empty for whoever invited them.
    """

    data: Path
    staff_url: str
    intake_url: str
    database: Database
    smtp: Smtp = field(default_factory=Smtp)
    timing: Timing = field(default_factory=Timing)
    vault: VaultSettings = field(default_factory=VaultSettings)
    keyholder: UseLimitSettings = field(default_factory=UseLimitSettings)
    erase: Erase = field(default_factory=Erase)
    profile: str = "embedded"
    deployment: str = "cn"
    site: str = "Fupan"
    language: str = "zh"
    contact: str = ""
    disk_floor_bytes: int = 1024**3
    analysis_memory_bytes: int = 3 * 1024**3
    trusted_proxies: int = 0
    journal_days: int = 3

    @property
    def intake_folder(self) -> Path:
        return self.data / "intake"

    @property
    def vault_folder(self) -> Path:
        return self.data / "vault"

    @property
    def keys_folder(self) -> Path:
        return self.data / "keys"

    @property
    def key_backup_folder(self) -> Path | None:
        """Where backups of the key records go; None for nowhere."""
        return Path(self.vault.key_backup) if self.vault.key_backup else None

    @property
    def models_folder(self) -> Path:
        return self.data / "models"

    @property
    def run_folder(self) -> Path:
        return self.data / "run"

    @property
    def spool_folder(self) -> Path:
        return self.data / "mail"

    @property
    def drafts_folder(self) -> Path:
        """Where files without a name take their room on the way to a store, or from it to a child."""
        return self.data / "drafts"

    @property
    def secrets_folder(self) -> Path:
        return self.data / "secrets"

    @property
    def keyholder_socket(self) -> Path:
        return self.run_folder / "keyholder.sock"

    def database_url(self, role: str, driver: str = "postgresql+psycopg2") -> str:
        """SQLAlchemy URL of one database role; its password comes from secrets/database.json."""
        from sqlalchemy import URL

        if role not in DATABASE_ROLES:
            raise ValueError(role)
        passwords = json.loads((self.secrets_folder / "database.json").read_text())
        db = self.database
        socket = db.host.startswith("/")
        url = URL.create(
            driver,
            username=f"fupan_{role}",
            password=passwords[role],
            host=None if socket else db.host,
            port=None if socket else db.port,
            database=db.name,
            query={"host": db.host, "port": str(db.port)} if socket else {},
        )
        return url.render_as_string(hide_password=False)


def load(path: str | os.PathLike[str] | None = None) -> Settings:
    """Read the settings file (default: the one FUPAN_CONFIG names). Raises ConfigurationError."""
    where = path or os.environ.get("FUPAN_CONFIG")
    if not where:
        raise ConfigurationError(what="set FUPAN_CONFIG to the path of fupan.toml, or start with `fupan run`")
    return from_mapping(read(Path(where)), str(where))


def read(path: Path) -> dict[str, Any]:
    """What a TOML file says, unchecked. Raises ConfigurationError for one that cannot be read as TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(what=f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(what=f"{path}: byte {error.start} is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(what=f"{path}: {error}") from error


def from_mapping(raw: Mapping[str, Any], where: str = "settings") -> Settings:
    """Settings from parsed TOML; `where` names the file in messages.

    Unknown names, wrong types and values that are not allowed raise ConfigurationError, in one line that
    says which and what is allowed.
    """
    values = check(raw, where)
    values["data"] = Path(values["data"])
    values["database"] = Database(**values["database"])
    values["smtp"] = Smtp(**values.get("smtp", {}))
    values["vault"] = VaultSettings(**values.get("vault", {}))
    values["keyholder"] = UseLimitSettings(**values.get("keyholder", {}))
    require_tiers(values["data"], vars(values["vault"]), where)
    values["erase"] = Erase(**values.get("erase", {}))
    values["timing"] = Timing(**values.get("timing", {}))
    return Settings(**values)
