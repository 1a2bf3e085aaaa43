"""`fupan vault rekey`, `rotate`, `slots` and `tamper`: changes of keys and of what opens the vault."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import click

from appliance.audit.log import Action, Actor
from appliance.cli import site_settings
from appliance.commands.terminal import me
from appliance.commands.vault_unlock import BY_THEMSELVES, collect, given, status, typed
from appliance.config import Settings
from appliance.vault_errors import DamagedRecordsError, UnlockError, VaultChangeError

if TYPE_CHECKING:
    from appliance.keyholder.vault_client import VaultKeyholder


@click.command(short_help="Put a new vault key in place of the present one.")
@click.option("--stdin", is_flag=True, help="Take shares and the PIN from standard input, one a line.")
def rekey(stdin: bool) -> None:
    """Put a new vault key in the place of the present one.

    Every key under it is wrapped anew, recordings are not touched; the vault stays in use meanwhile. Since
    each slot wraps the new key, its shares or PIN are asked for. Shares stay the same: for new ones see
    `fupan vault reshare`. What is cut short goes on at the next unlock.
    """
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    who = me()
    settings = site_settings()
    keyholder = VaultKeyholder(settings)
    view = keyholder.vault()
    keyholder.require_unlocked()
    for slot in view.slots:
        if slot.ready or slot.kind in BY_THEMSELVES:
            continue
        if not collect(settings, who, view.vault_id, "unlock", slot.kind, stdin=stdin):
            raise UnlockError(problem="too_few")
    orders.carry_out(settings, Action.VAULT_REKEY, who, keyholder.rekey)
    _follow(keyholder)
    click.echo("the vault has a new key")


@click.command(short_help="Put a new key in place of a department and year's.")
@click.argument("name", required=False, metavar="[DEPARTMENT-ID.YEAR]")
@click.option("--all", "every", is_flag=True, help="One after another, for all departments and years.")
def rotate(name: str | None, every: bool) -> None:
    """Put a new key in the place of a department and year's.

    The keys of its recordings are wrapped anew, recordings are not touched. What is cut short goes on at the
    next unlock. Without a name, those there are are listed.
    """
    from appliance.keyholder.vault_client import VaultKeyholder
    from storage.vault import KeyStore

    who = me()
    settings = site_settings()
    keyholder = VaultKeyholder(settings)
    names = KeyStore(settings.keys_folder).list("department-year") if every or not name else [name]
    if not every and not name:
        click.echo("\n".join(names) or "no department has a key yet")
        return
    keyholder.require_unlocked()
    for each in names:
        _rotate(settings, who, keyholder, each)
        click.echo(f"{each} has a new key")


def _rotate(settings: Settings, who: Actor, keyholder: VaultKeyholder, name: str) -> None:
    from appliance.keyholder import orders

    orders.carry_out(
        settings, Action.VAULT_ROTATE, who, lambda event: keyholder.rotate(event, name), name=name
    )
    _follow(keyholder)


def _follow(keyholder: VaultKeyholder) -> None:
    """Until the change has ended, with a bar where somebody watches. Raises VaultChangeError if it stops."""
    with click.progressbar(length=1, label="wrapping keys anew") as bar:
        while (pending := keyholder.rewrap_wait()) is not None:
            bar.length = max(1, pending.total)
            bar.update(pending.done - bar.pos)
            if not pending.running and pending.damaged:
                raise DamagedRecordsError(pending.damaged)
            if not pending.running:
                raise VaultChangeError(why="it was cut short; the next unlock goes on with it")
        bar.update((bar.length or 1) - bar.pos)


@click.group(short_help="What can unlock the vault.")
def slots() -> None:
    """What can unlock the vault: each slot opens the same vault by itself."""


@slots.command("list")
@click.pass_context
def list_slots(context: click.Context) -> None:
    """The slots, as `fupan vault status` shows them."""
    context.invoke(status, as_json=False)


@slots.command("add", short_help="Add a token, systemd's credential or a key file.")
@click.argument("kind", type=click.Choice(["token", "credential", "file"]))
@click.option("--label", help="The token's label.")
@click.option("--key", help="The label of the RSA key pair on the token.")
@click.option("--stdin", is_flag=True, help="Take the PIN from standard input.")
def add(kind: str, label: str | None, key: str | None, stdin: bool) -> None:
    """Add a slot: a token, systemd's credential, or a key file (embedded sites only).

    For shares see `fupan vault reshare`. The vault must be unlocked. docs/keys.md shows how to make the
    token's key pair and the credential.
    """
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    who = me()
    settings = site_settings()
    if kind == "file" and settings.profile == "installed":
        raise VaultChangeError(why="an installed site does not unlock its vault from a file")
    keyholder = VaultKeyholder(settings)
    view = keyholder.vault()
    keyholder.require_unlocked()
    ceremony = None
    if kind == "token":
        ceremony = asked_token(settings, who, view.vault_id, label, key, stdin)
    made = orders.carry_out(
        settings,
        Action.VAULT_ADD_SLOT,
        who,
        lambda event: keyholder.add_slot(event, kind, ceremony),
        kind=kind,
    )
    click.echo(f"slot {made} opens the vault from now on")


def asked_token(
    settings: Settings,
    who: Actor,
    vault_id: uuid.UUID,
    label: str | None,
    key: str | None,
    stdin: bool,
) -> uuid.UUID:
    """Have a token wrap a new slot key, with the PIN that is asked for; the ceremony that has it."""
    from appliance.keyholder.vault_client import VaultKeyholder

    if not label or not key:
        raise click.UsageError("name the token by --label and its key pair by --key.")
    ceremony = VaultKeyholder(settings).begin_token(vault_id, label, key)
    with contextlib.closing(typed("token", stdin)) as pins:
        for pin in pins:
            ceremony = given(settings, who, vault_id, ceremony, pin)
            if ceremony.complete:
                break
    return ceremony.id


@slots.command("remove")
@click.argument("slot")
@click.confirmation_option(prompt="Whoever has only this slot's key opens the vault no more. Remove it?")
def remove(slot: str) -> None:
    """Remove a slot. The vault must be unlocked; its last slot stays.

    A copy of an older vault.json together with this slot's key still gives the vault key: when the key may be
    in wrong hands, call `fupan vault rekey` afterwards.
    """
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    who = me()
    settings = site_settings()
    keyholder = VaultKeyholder(settings)
    orders.carry_out(
        settings,
        Action.VAULT_REMOVE_SLOT,
        who,
        lambda event: keyholder.remove_slot(event, slot),
        slot=slot,
    )
    click.echo(f"slot {slot} is removed")


@click.command(short_help="Lock the vault: something was tampered with.")
@click.argument("reason")
def tamper(reason: str) -> None:
    """Lock the vault at once because something was tampered with: for udev rules and chassis switches.

    The reason is on the audit log, or in the keyholder's own journal where the database is down.
    """
    from appliance.keyholder import orders

    who = me()
    recorded = orders.lock(site_settings(), who, f"tamper: {reason}")
    click.echo("the vault is locked" + ("" if recorded else "; only the keyholder's own journal has it"))
