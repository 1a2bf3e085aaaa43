"""`fupan run`: the whole product on this machine."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from appliance.cli import default_data
from appliance.config import Settings
from appliance.embedded import people, start
from appliance.embedded.start import Options, Running
from appliance.keyholder import vault_file
from appliance.reading import health

CONFINEMENT: dict[str, list[tuple[str, str]]] = {
    "whole": [],
    "files_readable": [
        ("Warning", "this kernel has no Landlock: the process that parses candidates' media has no network,"),
        ("", "but could read other files of this user"),
    ],
    "impossible": [
        ("Warning", "this machine cannot confine the process that parses candidates' media: interviews are"),
        ("", "recorded, but neither sealed nor analysed"),
    ],
}


@click.command(short_help="Start everything on this machine and say where to go.")
@click.option(
    "--host",
    default="localhost",
    show_default=True,
    metavar="NAME",
    help="The name or address browsers use. Another than localhost switches to TLS with an own "
    "certificate, since browsers open cameras on https only.",
)
@click.option(
    "--port",
    default=8000,
    show_default=True,
    metavar="NUMBER",
    help="Port of the staff's pages; candidates get the next one.",
)
@click.option(
    "--demo/--no-demo",
    default=True,
    show_default=True,
    help="Put one finished interview in at the first start.",
)
@click.option(
    "--postgres",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Use the PostgreSQL installed in FOLDER (with bin/ below) instead of the bundled one.",
)
@click.pass_context
def run(context: click.Context, host: str, port: int, demo: bool, postgres: Path | None) -> None:
    """Start everything on this machine and say where to go.

    Prepares a private PostgreSQL below the data folder, brings its tables to this release, starts keyholder,
    worker, scheduler, staff pages and candidates' pages under one supervisor, waits until each answers, and
    prints where to go with a fresh one-time sign-in link. No default password exists.

    Ctrl-C stops everything in order. What was recorded stays; the next start goes on with it.

    All processes share one Unix user here, so the boundaries between them are not enforced by the system;
    they are in an installed site.
    """
    usual = default_data().absolute()  # before root becomes another user, who has another one
    folder = (context.find_root().obj or usual).expanduser().absolute()
    options = Options(folder, host, port, postgres.absolute() if postgres else None, demo)
    start.run(options, lambda line: click.echo(f"· {line}"), lambda running: announce(running, usual))


def announce(running: Running, usual: Path) -> None:
    """Where to go, on the terminal; commands name the data folder when it is not the usual one."""
    click.echo("")
    for label, text in _lines(running, usual):
        click.echo(f"  {label:<12} {text}")
    click.echo("")
    click.echo("  Ctrl-C stops everything; what was recorded stays.")


def _lines(running: Running, usual: Path) -> list[tuple[str, str]]:
    settings = running.settings
    lines = [
        ("Staff", settings.staff_url),
        ("Sign in", people.sign_in_link(settings, people.RECRUITER)),
        ("", "works once, within 15 minutes, as the recruiter; another account:"),
        ("", command(settings, usual, "link", "auditor")),
        ("Candidates", settings.intake_url),
    ]
    own = people.self_invitation(settings)
    if own:
        lines.append(("Be recorded", own))
        lines.append(("", "an interview for yourself; a fresh link:"))
        lines.append(("", command(settings, usual, "invite")))
    if running.certificate:
        lines.append(("Certificate", f"own, SHA-256 {running.certificate.fingerprint}"))
        lines.append(("", "your browser warns once; compare the fingerprint before you go on"))
    if not (settings.models_folder / "active" / "manifest.json").exists():
        lines.append(("Models", "no model pack: recordings are replayed, not analysed"))
    lines.append(("Data", str(settings.data)))
    lines.append(("Embedded", f"all processes share one Unix user ({running.account.name})"))
    return [*lines, *_warnings(running)]


def command(settings: Settings, usual: Path, *arguments: str) -> str:
    """A command about this site that works wherever it is pasted into a shell."""
    found = shutil.which(sys.argv[0])  # none when started by `python -m`
    called = [str(Path(found).absolute())] if found else [sys.executable, "-m", "appliance.cli"]
    named = [] if settings.data == usual else ["--data", str(settings.data)]
    return shlex.join([*called, *arguments, *named])


def _warnings(running: Running) -> list[tuple[str, str]]:
    """What weakens this site, each in one plain line."""
    settings = running.settings
    lines = []
    if running.account.uid == 0:
        lines.append(("Warning", f"that user is root, as no other can use {Path(sys.executable).resolve()}"))
        lines.append(("", f"with {start.CODE}; put both where everyone may read them, not below /root"))
    if not settings.smtp.host:
        lines.append(("Mail", f"no relay is set: letters with whole links lie in {settings.spool_folder}"))
        lines.append(("", "unencrypted, readable by this user alone"))
    if unheeded := vault_file.suite_not_obeyed(settings):
        lines.append(("Suite", unheeded))
    lines += CONFINEMENT[health.confinement()]
    return lines
