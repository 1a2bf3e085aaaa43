"""`fupan vault`: whether the stored bytes are whole, and whether their keys may be used."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import click

from appliance.cli import site_settings
from appliance.commands.key_backups import backup_keys, restore_keys
from appliance.commands.terminal import me
from appliance.commands.vault_keys import rekey, rotate, slots, tamper
from appliance.commands.vault_shares import init, reshare
from appliance.commands.vault_unlock import status, unlock
from appliance.config import Settings
from appliance.errors import ConfigurationError

if TYPE_CHECKING:
    from storage.vault import Finding


@click.group(short_help="The encrypted recordings of this site.")
def vault() -> None:
    """The encrypted recordings of this site."""


for command in (init, unlock, status, reshare, rekey, rotate, slots, tamper, backup_keys, restore_keys):
    vault.add_command(command)


@vault.command()
def lock() -> None:
    """Forget the vault key until it is unlocked again.

    Open replays stop within seconds and go on after an unlock; sealing and analysis wait; interviews go on.
    Who did it is on the audit log; when the database is down the vault is locked all the same, and the
    keyholder's own journal has it.
    """
    from appliance.keyholder import orders

    who = me()  # before root becomes the user who owns the data
    recorded = orders.lock(site_settings(), who)
    click.echo("the vault is locked")
    if not recorded:
        click.echo(
            "the audit log could not be written: only the keyholder's own journal has this lock", err=True
        )


@vault.command()
@click.option("--to", required=True, type=click.Choice(["hot", "cold"]), help="Which tier it shall lie on.")
@click.argument("recording", type=click.UUID)
def move(to: str, recording: uuid.UUID) -> None:
    """Move the sealed files of a recording to the other tier.

    They are copied and read back first, and removed only then; replay works all the while. The order is on
    the audit log, and so is the move, with the digest of each file.
    """
    from appliance.domain import Tier
    from appliance.upkeep import tiers

    who = me()  # before root becomes the user who owns the data
    tiers.order(site_settings(), who, recording, Tier(to))
    click.echo("the move is ordered; the audit log says when it is done")


@vault.command()
@click.option("--full", is_flag=True, help="Read every byte, not only headers, lengths and the index.")
@click.pass_context
def check(context: click.Context, full: bool) -> None:
    """Check the vault, the key records and the uploads on their way, and list all damage.

    Needs no key and changes nothing. What a crash may leave and the next write tidies is listed as
    harmless. Exit code 1 when anything else was found.
    """
    from appliance.vaults import vault_of
    from storage import vault as stored

    settings = site_settings()
    findings = [
        *stored.check(vault_of(settings), full=full),
        *stored.check_keys(settings.keys_folder),
        *_check_ledger(settings),
    ]
    for path in sorted(settings.intake_folder.glob("recordings/*/tracks/*.journal")):
        findings += stored.check_journal(path, full=full)
    for finding in findings:
        word = "harmless" if finding.harmless else "DAMAGE"
        click.echo(f"{word}  {finding.kind}  {finding.path}  {finding.detail}".rstrip())
    damage = sum(not finding.harmless for finding in findings)
    click.echo(f"{damage} damaged" if damage else "no damage found")
    context.exit(1 if damage else 0)


def _check_ledger(settings: Settings) -> list[Finding]:
    """What is wrong with the erase ledger, by the ledger key's public half as it is kept."""
    from appliance.keyholder import vault_file
    from storage import vault as stored

    copies = [folder / stored.LEDGER_NAME for folder in (settings.keys_folder, settings.vault_folder)]
    if not stored.ledger_exists(copies):
        return []
    try:
        public = stored.KeyStore(settings.keys_folder).get("service", stored.KEY_ID).public
        vault_id = vault_file.describe(settings).vault_id
    except (stored.VaultError, ConfigurationError) as error:
        return [stored.Finding(copies[0], "key", f"its entries cannot be proven: {error}")]
    return stored.check_ledger(copies, vault_id, public or bytes(32))
