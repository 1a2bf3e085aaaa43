"""`fupan vault unlock` and `status`: people give their shares or a PIN, each alone, and see how far it is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.audit.log import Actor
from appliance.cli import site_settings
from appliance.commands.terminal import ask, me, unseen
from appliance.config import Settings
from appliance.vault_errors import UnlockError

if TYPE_CHECKING:
    from appliance.keyholder.vault_client import CeremonyView, Pending, VaultView

BY_THEMSELVES = ("file", "credential")
WORDS = {
    "file": "key file of this machine",
    "shares": "shares of several people",
    "token": "token (PKCS#11)",
    "credential": "credential from systemd",
}


@click.command()
@click.option(
    "--checkpoint",
    metavar="FILE|COUNT:HEAD",
    help="Demand an erase ledger no shorter than this signed checkpoint, or than a printed page says.",
)
@click.option("--token", is_flag=True, help="With a token's PIN, where there are shares too.")
@click.option("--stdin", is_flag=True, help="Take shares or the PIN from standard input, one a line.")
def unlock(checkpoint: str | None, token: bool, stdin: bool) -> None:
    """Unlock the vault; what waited goes on by itself.

    With a key file or a credential of systemd it needs nobody else. With shares, each custodian types their
    own, unseen: one after another here, or each in a call of their own within a quarter of an hour. With a
    token, its PIN is asked for.

    Who did it is on the audit log before it is done; without the log the vault stays locked. What was erased
    is destroyed again first, should a restore have brought it back; an erase ledger that is shorter than the
    newest one known is refused.
    """
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    who = me()  # before root becomes the user who owns the data
    known = _text_of(checkpoint) if checkpoint else None  # root may read what the site's user may not
    settings = site_settings()
    keyholder = VaultKeyholder(settings)
    if known is not None:
        keyholder.expect_ledger(known)
    view = keyholder.vault()
    at_hand = not token and any(slot.ready and slot.kind in BY_THEMSELVES for slot in view.slots)
    kind = "" if at_hand else wanted_kind(view, token)
    if kind and not collect(settings, who, view.vault_id, "unlock", kind, stdin=stdin):
        waits = "the vault stays locked until the others have given theirs"
        click.echo(waits if view.locked else "the vault was unlocked already")
        return
    orders.unlock(settings, who, kind)
    click.echo("the vault is unlocked")


def wanted_kind(view: VaultView, token: bool) -> str:
    """Which kind of slot people are asked for; "" where none of them needs people."""
    kinds = ("token",) if token else ("shares", "token")
    found = next((slot for kind in kinds if (slot := view.slot_of_kind(kind))), None)
    if found is None:
        if token:
            raise UnlockError(problem="no_slot")
        return ""
    return "" if found.kind == "token" and found.ready else found.kind


def collect(
    settings: Settings, who: Actor, vault_id: uuid.UUID, purpose: str, kind: str, *, stdin: bool = False
) -> bool:
    """Ask for shares, or a PIN, until there are enough; False when whoever sits here leaves before that."""
    from appliance.keyholder.vault_client import VaultKeyholder

    ceremony = VaultKeyholder(settings).begin(purpose, kind)
    if not stdin:
        click.echo(f"the keyholder's one-time key: {ceremony.fingerprint}")
    with contextlib.closing(typed(kind, stdin)) as secrets:
        for secret in secrets:
            try:
                ceremony = given(settings, who, vault_id, ceremony, secret)
            except UnlockError as error:
                if stdin or error.params["problem"] in ("no_ceremony", "last_pin_try", "pin_locked"):
                    raise
                click.echo(f"✗ {error}", err=True)
                continue
            if kind == "shares":
                said = f"{len(ceremony.given)} of {ceremony.needed} shares: {_numbers(ceremony.given)}"
                click.echo(f"✓ {said}")
            if ceremony.complete:
                return True
    if stdin:
        raise UnlockError(problem="too_few")
    return ceremony.complete


def given(
    settings: Settings, who: Actor, vault_id: uuid.UUID, ceremony: CeremonyView, secret: str
) -> CeremonyView:
    """Give one share or PIN. Raises UnlockError."""
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import encrypted

    sealed = encrypted(vault_id, ceremony, secret)
    return orders.give(settings, who, vault_id, ceremony, sealed, "console")[0]


def typed(kind: str, stdin: bool) -> Generator[str]:
    """What people type, unseen, or the lines of standard input."""
    if stdin:
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    asked = "Share (unseen; Enter alone leaves)" if kind == "shares" else "PIN of the token (unseen)"
    with unseen():
        while line := ask(asked):
            yield line


@click.command(short_help="Whether the vault is locked, and what unlocks it.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Whether the vault is locked, what can unlock it, and how far the shares are.

    The fingerprint is that of the key to which a page encrypts a share: compare it with the one that the page
    shows before you give yours there. Exit code 3 while the vault is locked.
    """
    from appliance.keyholder.vault_client import VaultKeyholder

    view = VaultKeyholder(site_settings()).vault()
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(view), default=_plain, ensure_ascii=False))
    else:
        for line in lines(view):
            click.echo(line)
    context.exit(3 if view.locked else 0)


def lines(view: VaultView) -> Iterator[str]:
    """The status for people."""
    yield f"vault     {view.vault_id}, suite {view.suite}, made {view.created}"
    yield f"state     {'locked' if view.locked else 'unlocked'}"
    for slot in view.slots:
        about = WORDS.get(slot.kind, slot.kind)
        if slot.kind == "shares":
            about += f": {slot.needed} of {slot.count}, set {slot.set}"
        if slot.kind == "token":
            about += f": {slot.label}, key {slot.key}"
        yield f"slot      {slot.id}  {about}{', at hand' if slot.ready else ''}"
    for each in view.ceremonies:
        yield (
            f"{each.purpose:<10}{len(each.given)} of {each.needed} given"
            f"{f' ({_numbers(each.given)})' if each.given else ''}, "
            f"{each.seconds // 60} min {each.seconds % 60} s left, one-time key {each.fingerprint}"
        )
    if view.ledger_key:
        yield f"erasures  ledger {view.ledger}"
        yield f"          its key {view.ledger_key}"
    if view.pending is not None:
        yield f"begun     {pending_line(view.pending)}"
    kept = {"process": "all of the keyholder's memory", "keys": "the buffers of keys"}
    refused = "nothing, as the system refuses it: turn swap off"
    yield f"memory    kept out of swap: {kept.get(view.memory, refused)}"


def pending_line(pending: Pending) -> str:
    """A change that was begun, and what ends it."""
    if pending.kind == "reshare":
        return (
            f"set {pending.set} ({pending.needed} of {pending.count}) waits to be read back: "
            "fupan vault reshare --read-back"
        )
    what = "a new vault key" if pending.kind == "rekey" else f"a new key of {pending.name}"
    how = f"{pending.done} of {pending.total} records" if pending.running else "goes on at the next unlock"
    return f"{what}: {how}{f', {pending.damaged} damaged' if pending.damaged else ''}"


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def _numbers(given: tuple[int, ...]) -> str:
    return ", ".join(map(str, given))


def _text_of(checkpoint: str) -> str:
    """A checkpoint's text from its file, or the head as it was typed."""
    path = Path(checkpoint)
    return path.read_text(encoding="utf-8") if path.is_file() else checkpoint
