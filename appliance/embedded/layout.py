"""Where the embedded default keeps its things below the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ConfigurationError

# A Unix socket's address holds 107 bytes; the longest name below the data folder is PostgreSQL's.
LONGEST_SOCKET = "postgres/socket/.s.PGSQL.5432"
SOCKET_LIMIT = 107


@dataclass(frozen=True)
class Layout:
    """Names of files and folders. `data` is absolute."""

    data: Path

    def __post_init__(self) -> None:
        if len(str(self.data / LONGEST_SOCKET).encode()) > SOCKET_LIMIT:
            longest = SOCKET_LIMIT - len(LONGEST_SOCKET) - 1
            raise ConfigurationError(
                what=f"the data folder's path is too long for Unix sockets (at most {longest} bytes): "
                f"{self.data}. Choose a shorter one with DATA=."
            )

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def secrets(self) -> Path:
        return self.data / "secrets"

    @property
    def temporary(self) -> Path:
        return self.run / "tmp"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def settings(self) -> Path:
        """What every process reads (FUPAN_CONFIG); written anew at each start."""
        return self.run / "fupan.toml"

    @property
    def site_settings(self) -> Path:
        """What the site's administrator may write: mail relay, site name, rhythms."""
        return self.data / "fupan.toml"

    @property
    def lock(self) -> Path:
        return self.run / "start.lock"

    @property
    def alive(self) -> Path:
        """Every process of a start holds a shared lock on it."""
        return self.run / "alive.lock"

    @property
    def supervisor_configuration(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def supervisor_pid(self) -> Path:
        return self.run / "supervisord.pid"

    def folders(self) -> list[Path]:
        """Every folder a start needs, parents first."""
        return [self.data, self.run, self.temporary, self.logs, self.secrets]
