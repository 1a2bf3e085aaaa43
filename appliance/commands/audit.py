"""`fupan audit`: whether the record of who did what is whole."""

from __future__ import annotations

import click

from appliance.cli import site_settings


@click.group(short_help="The record of who did what.")
def audit() -> None:
    """The record of who did what, to which object, when and from where."""


@audit.command(short_help="Recompute the hash chain; name the first bad event.")
@click.pass_context
def verify(context: click.Context) -> None:
    """Recompute the hash chain over every event and name the first that does not fit.

    Reads as the database role fupan_auditor and changes nothing. Exit code 1 when an event was altered,
    removed or put in.
    """
    from appliance import database
    from appliance.audit import log

    with database.transaction("auditor", site_settings()) as tx:
        found = log.verify(tx)
    if found.bad_seq is None:
        click.echo(f"{found.count} events, the chain is whole; head {found.head.hex()}")
        return
    click.echo(f"event {found.bad_seq}: {found.problem}", err=True)
    context.exit(1)
