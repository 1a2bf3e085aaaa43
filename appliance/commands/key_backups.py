"""`fupan vault backup-keys` and `restore-keys`: the key records apart from everything else."""

from __future__ import annotations

import click

from appliance.cli import site_settings
from appliance.commands.terminal import me


@click.command("backup-keys", short_help="Back up the key records now.")
def backup_keys() -> None:
    """Back up the key records now, in the place of today's generation.

    Seven daily generations are kept, in the folder that `[vault] key_backup` names. What is in them is
    wrapped; it opens nothing without the vault key. Needs a running keyholder, locked or not.
    """
    from appliance.errors import KeyBackupError
    from appliance.keyholder.client import Keyholder

    settings = site_settings()
    made = Keyholder(settings).backup_keys(again=True)
    if made is None:
        raise KeyBackupError(what="no folder is set for them; write [vault] key_backup into fupan.toml")
    click.echo(f"{settings.key_backup_folder}: generation {made.day}, {made.records} records, read back")
    for day in made.removed:
        click.echo(f"generation {day} was destroyed")
    for name in made.damaged:
        click.echo(f"DAMAGE  the record {name} is gone or damaged; restore-keys may put it back", err=True)
    click.get_current_context().exit(1 if made.damaged else 0)


@click.command("restore-keys")
@click.argument("generation")
def restore_keys(generation: str) -> None:
    """Put back key records that are missing or damaged.

    GENERATION is a day (YYYY-MM-DD), or the path of its file. Stop the site first. Records that are there
    and whole stay, and a longer erase ledger stays; what was erased since is left out, and the next unlock
    destroys again what it finds of it.
    """
    from appliance.upkeep import key_backup

    who = me().name  # before root becomes the user who owns the data
    settings = site_settings()
    done = key_backup.restore(settings, key_backup.find(settings, generation), who)
    click.echo(f"{done.records} records put back, {done.kept} were there and whole")
    if done.erased:
        click.echo(f"{done.erased} were erased since, and stay away")
    if done.ledger:
        click.echo("the erase ledger beside the keys was put back as well")
