"""`fupan run`: from nothing, or from what an earlier start left, to a product that answers."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sqlalchemy import URL

from appliance import database
from appliance.config import Settings
from appliance.embedded import accounts, checks, demo, people, processes, site
from appliance.embedded.accounts import Account
from appliance.embedded.address import Address, resolve
from appliance.embedded.certificate import Certificate, ensure
from appliance.embedded.layout import Layout
from appliance.embedded.postgres import PORT, SUPERUSER, EmbeddedPostgres
from appliance.embedded.supervisor import Supervisor, await_previous, configuration
from appliance.errors import ConfigurationError, FupanError
from appliance.keyholder.client import Keyholder
from appliance.transport import transport_of

CODE = Path(__file__).resolve().parents[2]
Say = Callable[[str], None]
WATCH_SECONDS = 2.0


class EndedError(ConfigurationError):
    """It ran, and does not any more."""

    message = "Fupan ended: %(what)s"


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP came while starting."""


@dataclass(frozen=True)
class Options:
    """What `fupan run` was asked. `postgres` is the installation to use instead of the bundled one."""

    data: Path
    host: str
    port: int
    postgres: Path | None = None
    demo: bool = True


@dataclass(frozen=True)
class Running:
    """A product that answers."""

    settings: Settings
    layout: Layout
    address: Address
    account: Account
    certificate: Certificate | None
    first: bool


def run(options: Options, say: Say, announce: Callable[[Running], None]) -> None:
    """Start everything, call `announce`, and stay until a signal or the supervisor's end; then stop
    everything in order. Raises ConfigurationError with one line when something is in the way."""
    address = resolve(options.host, options.port)
    layout = Layout(options.data)
    with _signals_stop():
        checks.check_writable(layout.data)
        database_account = _settle(layout)
        for folder in layout.folders()[1:]:
            folder.mkdir(mode=0o700, exist_ok=True)
        lock = checks.lock_start(layout)
        try:
            await_previous(layout)
            checks.check_disk(layout.data)
            checks.check_port(address.bind, address.port)
            checks.check_port(address.bind, address.intake_port)
            certificate = ensure(layout.secrets, list(address.names)) if address.tls else None
            server = EmbeddedPostgres(layout.postgres, database_account, options.postgres)
            _serve(options, address, certificate, layout, server, say, announce)
        finally:
            os.close(lock)


def _serve(
    options: Options,
    address: Address,
    certificate: Certificate | None,
    layout: Layout,
    server: EmbeddedPostgres,
    say: Say,
    announce: Callable[[Running], None],
) -> None:
    supervisor = Supervisor(layout)
    try:
        first = not server.cluster.exists()
        say("preparing the database" if first else "starting the database")
        settings = _prepare_database(layout, address, server)
        say("starting the processes")
        programs = processes.programs(layout, address, certificate)
        layout.supervisor_configuration.write_text(configuration(layout, programs, CODE), encoding="utf-8")
        supervisor.start(processes.environment(layout, CODE))
        ready: dict[str, Callable[[], bool]] = {
            "keyholder": settings.keyholder_socket.exists,
            "worker": lambda: supervisor.states().get("worker") == "RUNNING",
            "scheduler": lambda: supervisor.states().get("scheduler") == "RUNNING",
            "staff": lambda: processes.serves(address, address.port, certificate),
            "intake": lambda: processes.serves(address, address.intake_port, certificate),
        }
        processes.wait_until_ready(layout, supervisor, ready)
        transport_of(settings).install_service_keys(Keyholder(settings).publics().service_keys)
        people.ensure_first_accounts(settings)
        if options.demo:
            _put_demo_in(settings, certificate, say)
        announce(Running(settings, layout, address, Account.current(), certificate, first))
        _stay(supervisor, server, layout, say)
    except StopRequested:
        pass
    finally:
        with _signals_ignored():
            _stop(supervisor, server, say)
            say("stopped; everything is kept in " + str(layout.data))


def _stop(supervisor: Supervisor, server: EmbeddedPostgres, say: Say) -> None:
    """End everything in order; each step that may take seconds is told before it begins."""
    say("stopping")
    supervisor.stop(
        lambda left: say(f"waiting for {', '.join(left) or 'the supervisor'} to end what it does")
    )
    if server.is_running():
        say("stopping the database")
        server.stop()


def _settle(layout: Layout) -> Account:
    """Decide who runs what; the answer is PostgreSQL's user, which must not be root.

    Started by root, everything runs as the user `fupan`, and this process becomes it for good. Only where
    that user cannot read the code (a checkout below /root) the rest stays with root.
    """
    if os.geteuid() != 0:
        with contextlib.suppress(PermissionError):  # a shared folder of somebody else's
            layout.data.chmod(0o700)
        return Account.current()
    account = accounts.unprivileged()
    if accounts.can_run_product(account, CODE):
        accounts.give(layout.data, account)
        for folder in (layout.models, *layout.models.glob("*")):  # a pack that root built since
            accounts.give(folder, account)
        layout.data.chmod(0o700)
        accounts.become(account)
    else:
        accounts.give(layout.data, Account.current())
        layout.data.chmod(0o711)
    return account


def _prepare_database(layout: Layout, address: Address, server: EmbeddedPostgres) -> Settings:
    passwords = site.database_passwords(layout)
    settings = site.write_settings(layout, address, str(server.socket), PORT)
    server.start(passwords["superuser"])
    superuser = URL.create(
        "postgresql+psycopg2",
        username=SUPERUSER,
        password=passwords["superuser"],
        database="postgres",
        query={"host": str(server.socket), "port": str(PORT)},
    )
    database.prepare_cluster(
        superuser.render_as_string(hide_password=False), passwords, settings.database.name
    )
    database.migrate(settings)
    return settings


def _put_demo_in(settings: Settings, certificate: Certificate | None, say: Say) -> None:
    """The product works without its demo, so a failure here is told and not more."""
    try:
        if demo.put_in(settings, certificate.certificate if certificate else None):
            say("the demo interview is in; sealing and analysing it goes on by itself")
    except FupanError as error:
        say(f"the demo interview could not be put in: {error}")


def _stay(supervisor: Supervisor, server: EmbeddedPostgres, layout: Layout, say: Say) -> None:
    """Until a signal (which raises StopRequested) or the supervisor's own end. Meanwhile PostgreSQL is
    started again when it died, and a program that supervisord gave up is told once."""
    password = site.database_passwords(layout)["superuser"]
    told: set[str] = set()
    trouble = ""
    while (code := supervisor.wait(WATCH_SECONDS)) is None:
        before, trouble = trouble, _keep_database(server, password, say)
        if trouble and not before:
            say(
                f"PostgreSQL ended by itself and is tried again until it starts; recording goes on. {trouble}"
            )
        given_up = {name for name, state in supervisor.states().items() if state == "FATAL"}
        for name in sorted(given_up - told):
            say(f"{name} does not start any more; see {layout.logs / name}.log")
        told = given_up
    raise EndedError(what=f"the supervisor ended by itself (exit code {code}); see {layout.logs}")


def _keep_database(server: EmbeddedPostgres, password: str, say: Say) -> str:
    """Start PostgreSQL again when it is gone; it recovers by itself and nothing committed is lost. Why it
    cannot be, or nothing."""
    try:
        if not server.is_running():
            server.start(password)
            say("PostgreSQL had ended by itself and was started again")
    except ConfigurationError as error:
        return str(error.params["what"])
    except OSError as error:  # as when the disk is full
        return str(error)
    return ""


@contextlib.contextmanager
def _signals_stop() -> Iterator[None]:
    """Within, a request to end raises StopRequested instead of killing this process."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise StopRequested

    with _handlers(stop):
        yield


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """Within, an impatient second Ctrl-C does not leave half of the processes behind."""
    with _handlers(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handlers(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, earlier in zip(numbers, before, strict=True):
            signal.signal(number, earlier)
