"""`fupan erase`: what is to be erased, letting much of it go in one day, and holds that a restore lost."""

from __future__ import annotations

import uuid

import click

from appliance.cli import site_settings
from appliance.commands.terminal import me


@click.group(short_help="Erasures that are due.")
def erase() -> None:
    """Erasures that are due; who is marked is on the page Erasures."""


@erase.command(short_help="Let more be erased in a day than the limit allows.")
def confirm() -> None:
    """Let everything that is due be erased within a day, however much it is.

    More than erase.daily_percent of all recordings, and more than ten, wait for this: a mistake must not
    empty the vault over a night. Who confirmed it is on the audit log.
    """
    from appliance.keyholder.erase_client import ErasingKeyholder
    from appliance.stages import erase as stage

    who = me()  # before root becomes the user who owns the data
    settings = site_settings()
    keyholder = ErasingKeyholder(settings)
    waiting = keyholder.due_erasures().waiting
    if not waiting:
        click.echo("nothing waits to be confirmed")
        return
    stage.confirm_many(settings, who)
    click.echo(f"{waiting} erasures are let go; they are carried out within minutes")


@erase.command(short_help="Lift a legal hold that a restore took from the page.")
@click.argument("hold", type=click.UUID, required=False)
def lift(hold: uuid.UUID | None) -> None:
    """Lift a legal hold whose row a restore of the database lost; without HOLD, list those.

    The keyholder wrote each hold down and goes by it until it is lifted. Every other hold is lifted on the
    page Erasures. Who did it is on the audit log.
    """
    from appliance.keyholder.erase_client import ErasingKeyholder
    from appliance.stages.erase import holds

    who = me()  # before root becomes the user who owns the data
    settings = site_settings()
    if hold is not None:
        holds.lift_lost(settings, who, hold)
        click.echo("the hold is lifted")
        return
    lost = ErasingKeyholder(settings).lost_holds()
    for each, kept in lost.items():
        click.echo(f"{each} keeps {kept}")
    if not lost:
        click.echo("no hold lacks its row")
