"""`fupan vault`: whether the stored bytes are whole, and whether their keys may be used."""

from __future__ import annotations

import uuid

import click

from appliance.cli import site_settings
from appliance.commands.key_backups import backup_keys, restore_keys
from appliance.commands.terminal import me
from appliance.commands.vault_check import check
from appliance.commands.vault_keys import rekey, rotate, slots, tamper
from appliance.commands.vault_shares import init, reshare
from appliance.commands.vault_unlock import status, unlock


@click.group(short_help="The encrypted recordings of this site.")
def vault() -> None:
    """The encrypted recordings of this site."""


for command in (
    init,
    unlock,
    status,
    check,
    reshare,
    rekey,
    rotate,
    slots,
    tamper,
    backup_keys,
    restore_keys,
):
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


@vault.command("accept-database")
def accept_database() -> None:
    """After a restore of an older database: what it lacks is lost, and is not missed any more.

    Until then nothing is erased and no day key destroyed, since this may as well be another database. Restore
    its newest backup first, then say fupan vault check --repair, and this last. It is on the audit log.
    """
    from appliance.audit.log import Action
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    who = me()
    settings = site_settings()
    keyholder = VaultKeyholder(settings)
    events, interviews = keyholder.database_losses()
    if not events and not interviews:
        click.echo("nothing is missing")
        return
    click.echo(f"the database lacks {events} events that keys were given for, and {interviews} interviews")
    click.confirm("Are they lost for good?", abort=True)
    ask, action = keyholder.accept_database, Action.VAULT_ACCEPT
    orders.carry_out(settings, action, who, ask, events=events, interviews=interviews)
    click.echo("they are not missed any more")


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
