"""`fupan vault`: whether the stored bytes are whole, and whether their keys may be used."""

from __future__ import annotations

import os
import pwd

import click

from appliance.audit.log import Actor
from appliance.cli import site_settings


@click.group(short_help="The encrypted recordings of this site.")
def vault() -> None:
    """The encrypted recordings of this site."""


@vault.command()
def lock() -> None:
    """Forget the vault key until it is unlocked again.

    Open replays stop within seconds and go on after an unlock; sealing and analysis wait; interviews go on.
    Who did it is on the audit log; when the database is down the vault is locked all the same, and the
    keyholder's own journal has it.
    """
    from appliance.keyholder import orders

    me = _me()  # before root becomes the user who owns the data
    recorded = orders.lock(site_settings(), me)
    click.echo("the vault is locked")
    if not recorded:
        click.echo(
            "the audit log could not be written: only the keyholder's own journal has this lock", err=True
        )


@vault.command()
def unlock() -> None:
    """Unlock with the key file of an embedded site; what waited goes on by itself.

    Who did it is on the audit log before it is done; without the log the vault stays locked.
    """
    from appliance.keyholder import orders

    me = _me()  # before root becomes the user who owns the data
    orders.unlock(site_settings(), me)
    click.echo("the vault is unlocked")


def _me() -> Actor:
    """Whoever sits at the terminal, by their Unix user."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a user that this machine has no name for
        name = str(number)
    return Actor("unit", "cli", name=name, address="command line")


@vault.command()
@click.option("--full", is_flag=True, help="Read every byte, not only headers, lengths and the index.")
@click.pass_context
def check(context: click.Context, full: bool) -> None:
    """Check the vault, the key records and the uploads on their way, and list all damage.

    Needs no key and changes nothing. What a crash may leave and the next write tidies is listed as
    harmless. Exit code 1 when anything else was found.
    """
    from storage import vault as stored

    settings = site_settings()
    findings = [
        *stored.check(settings.vault_folder, full=full),
        *stored.check_keys(settings.keys_folder),
    ]
    for path in sorted(settings.intake_folder.glob("recordings/*/tracks/*.journal")):
        findings += stored.check_journal(path, full=full)
    for finding in findings:
        word = "harmless" if finding.harmless else "DAMAGE"
        click.echo(f"{word}  {finding.kind}  {finding.path}  {finding.detail}".rstrip())
    damage = sum(not finding.harmless for finding in findings)
    click.echo(f"{damage} damaged" if damage else "no damage found")
    context.exit(1 if damage else 0)
