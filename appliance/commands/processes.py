"""The long-running processes, each one command, and the migration of the database."""

from __future__ import annotations

import logging

import click

from appliance.cli import site_settings

# Each of them tells of every job, every two seconds.
CHATTY = ("procrastinate", "apscheduler", "alembic")


def _log() -> None:
    """Plain lines on standard error: the supervisor or systemd keeps them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


@click.command(short_help="Bring the database's tables to this release.")
def migrate() -> None:
    """Bring the database's tables to this release.

    Runs as the database role fupan_owner, does nothing when there is nothing to do, and is safe to repeat.
    `fupan run` does it at each start; an installed site does it once for each release.
    """
    from appliance import database

    settings = site_settings()
    database.migrate(settings)
    click.echo(f"the database is at {database.version(settings)}")


@click.command(short_help="The process that holds the keys.")
def keyholder() -> None:
    """The process that holds the unlocked vault key.

    It listens on a Unix socket, gives the key of one recording for one committed audit event, and keeps a
    journal of its own. It never answers the network. Stops on SIGTERM.
    """
    from appliance.keyholder import process

    _log()
    process.run(site_settings())


@click.command(short_help="The process that does the jobs.")
def worker() -> None:
    """The process that does the jobs: pull from intake, seal, analyse, send mail.

    Start as many as the machine has room for; a job that dies with its worker is taken up by another.
    Stops on SIGTERM; a job that cannot end in time goes back to the queue.
    """
    from appliance import jobs

    _log()
    jobs.run_worker(site_settings())


@click.command(short_help="The process that decides when jobs run.")
def scheduler() -> None:
    """The process that decides when recurring jobs run; it only puts them into the queue.

    Several may run: one leads, the others wait. Stops on SIGTERM.
    """
    from appliance.upkeep import schedule

    _log()
    schedule.main(site_settings())
