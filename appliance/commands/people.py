"""Links for people: to sign in, and to be recorded."""

from __future__ import annotations

import uuid

import click

from appliance.cli import site_settings
from appliance.errors import ConflictError


@click.command(short_help="A one-time sign-in link for an account.")
@click.argument("username")
def link(username: str) -> None:
    """Print a fresh link that signs USERNAME in, once, within 15 minutes.

    The embedded default makes the accounts recruiter, head, interviewer, auditor, security and
    system; none has a password. Issuing a link is on the audit log.
    """
    from appliance.embedded import people

    click.echo(people.sign_in_link(site_settings(), username))


@click.command(short_help="A candidate's link to record oneself.")
@click.option(
    "--position", type=click.UUID, help="The position to apply to. Default: the one for trying out."
)
@click.option("--name", default="", help="The candidate's name as pages show it.")
def invite(position: uuid.UUID | None, name: str) -> None:
    """Print a candidate's link, to record yourself with your own camera.

    Asking again gives a fresh link to the same interview and ends the one before; a finished interview is
    followed by a new attempt.
    """
    from appliance.embedded import people

    found = people.self_invitation(site_settings(), position, name)
    if found is None:
        raise ConflictError(
            "The position for trying out is closed or gone. Name another with --position; "
            "its id is in the address of its page."
        )
    click.echo(found)


@click.command(short_help="Put the demo interview in.")
def demo() -> None:
    """Put one finished interview and a position to try into a site that has no position yet.

    `fupan run` does this at its first start. The site must be running. Sealing and analysis go on after
    the command has ended.
    """
    from appliance.embedded import demo as demo_site
    from appliance.embedded.certificate import existing

    settings = site_settings()
    done = demo_site.put_in(settings, existing(settings.secrets_folder))
    click.echo("the demo interview is in; it is sealed and analysed now" if done else "nothing to do")
