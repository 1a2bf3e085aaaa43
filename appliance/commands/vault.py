"""`fupan vault`: whether the stored bytes are whole, and whether their keys may be used."""

from __future__ import annotations

import click

from appliance.cli import site_settings


@click.group(short_help="The encrypted recordings of this site.")
def vault() -> None:
    """The encrypted recordings of this site."""


@vault.command()
def lock() -> None:
    """Forget the vault key until it is unlocked again.

    Open replays end within seconds; sealing and analysis wait; interviews go on.
    """
    from appliance.keyholder.client import Keyholder

    Keyholder(site_settings()).lock()
    click.echo("the vault is locked")


@vault.command()
def unlock() -> None:
    """Unlock with the key file of an embedded site; what waited goes on by itself."""
    from appliance.keyholder.client import Keyholder

    Keyholder(site_settings()).unlock()
    click.echo("the vault is unlocked")


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
