"""`fupan vault init` and `reshare`: shares are made, shown to one custodian at a time, and read back."""

from __future__ import annotations

import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.audit.log import Action, Actor
from appliance.cli import site_settings
from appliance.commands.share_paper import Paper
from appliance.commands.terminal import ask, me, unseen
from appliance.commands.vault_keys import asked_token
from appliance.commands.vault_unlock import collect, given, typed
from appliance.config import Settings
from appliance.vault_errors import NoVaultError, UnlockError, VaultChangeError

if TYPE_CHECKING:
    from appliance.keyholder.vault_client import CeremonyView, VaultKeyholder

GROUPS_A_LINE = 6
ROWS_OF_WORDS = 7  # around a share on the screen, and the prompt
# The terminal's other screen, and clearing it with what can be scrolled back to.
OTHER_SCREEN, CLEARED, USUAL_SCREEN = "\x1b[?1049h\x1b[H\x1b[2J", "\x1b[H\x1b[2J\x1b[3J", "\x1b[?1049l"


def _shares_options(command: Any) -> Any:
    """How shares leave and come back, for both commands."""
    for option in (
        click.option("--threshold", type=click.IntRange(2, 16), help="How many shares unlock."),
        click.option("--shares", type=click.IntRange(2, 16), help="How many shares are made."),
        click.option(
            "--paper",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="FOLDER",
            help="Write a page for each custodian there (HTML, readable by this user alone) instead of "
            "showing them. The pages hold the shares in clear: print them and destroy them.",
        ),
        click.option("--no-read-back", is_flag=True, help="Do not have each share typed back first."),
        click.option("--stdin", is_flag=True, help="Take PINs and read-back shares from standard input."),
    ):
        command = option(command)
    return command


@click.command(short_help="Make the vault of an installed site.")
@_shares_options
@click.option("--token", metavar="LABEL", help="Unlock with this PKCS#11 token instead of shares.")
@click.option("--key", help="With --token: the label of the RSA key pair on it.")
@click.option("--credential", is_flag=True, help="Unlock with systemd's credential fupan.vault instead.")
@click.option("--suite", type=click.IntRange(1, 2), help="1: AES and SHA-256; 2: SM4 and SM3.")
def init(
    threshold: int | None,
    shares: int | None,
    paper: Path | None,
    no_read_back: bool,
    stdin: bool,
    token: str | None,
    key: str | None,
    credential: bool,
    suite: int | None,
) -> None:
    """Make the vault of an installed site, which begins without one.

    With --threshold m and --shares n, n people get a share each and any m of them unlock it. Each sees their
    own alone, copies it, and types it back; the vault is made once all were read back. What is cut short
    before that leaves nothing. Further ways to unlock are added by `fupan vault slots add`.
    """
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    who = me()
    kind = _kind(threshold, shares, token, credential)
    pages = Paper(paper, shares or 0) if paper and kind == "shares" else None
    settings = site_settings()
    keyholder, vault_id = VaultKeyholder(settings), uuid.uuid4()
    _require_none(keyholder)
    order: dict[str, Any] = {"kind": kind, "suite": suite or settings.vault.suite or 1}
    more: dict[str, Any] = {"needed": threshold, "count": shares} if kind == "shares" else {}
    if kind == "token":
        more["ceremony"] = str(asked_token(settings, who, vault_id, token, key, stdin))
    begun = orders.carry_out(
        settings,
        Action.VAULT_INIT,
        who,
        lambda event: keyholder.init(event, vault_id, **order, **more),
        vault_id,
        **order,
    )
    if begun is not None:
        _hand_out(settings, who, vault_id, begun, pages, stdin, read_back=not no_read_back)
    click.echo(f"the vault {vault_id} is made and unlocked")


@click.command(short_help="Make a new set of shares for the same vault.")
@_shares_options
@click.option("--read-back", is_flag=True, help="Go on with a set that still waits to be read back.")
def reshare(
    threshold: int | None,
    shares: int | None,
    paper: Path | None,
    no_read_back: bool,
    stdin: bool,
    read_back: bool,
) -> None:
    """Make a new set of shares for the same vault: other people, or other numbers.

    The vault must be unlocked. The present set works until each share of the new one was typed back; then it
    is refused by name. An older vault.json together with old shares still gives the vault key: where shares
    may be in wrong hands, call `fupan vault rekey` as well.
    """
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    who = me()
    if not read_back:
        _kind(threshold, shares, None, False)
    pages = Paper(paper, shares or 0) if paper else None
    settings = site_settings()
    keyholder = VaultKeyholder(settings)
    view = keyholder.vault()
    replaced = view.slot_of_kind("shares") is not None
    keyholder.require_unlocked()
    if read_back:
        if view.pending is None or view.pending.kind != "reshare":
            raise VaultChangeError(why="no new shares wait to be read back")
        if not no_read_back and not collect(settings, who, view.vault_id, "read_back", "shares", stdin=stdin):
            raise UnlockError(problem="unread")
        _activate(settings, who, view.vault_id, view.pending.set, unread=no_read_back)
    else:
        begun = orders.carry_out(
            settings,
            Action.VAULT_RESHARE,
            who,
            lambda event: keyholder.reshare(event, threshold or 0, shares or 0),
            needed=threshold,
            count=shares,
        )
        _hand_out(settings, who, view.vault_id, begun, pages, stdin, read_back=not no_read_back)
    click.echo("the new shares are in force" + ("; have the old ones destroyed" if replaced else ""))


def _require_none(keyholder: VaultKeyholder) -> None:
    """Before anything is ordered. Raises VaultChangeError where there is a vault."""
    try:
        made = keyholder.vault().vault_id
    except NoVaultError:
        return
    raise VaultChangeError(why=f"this site has a vault already, {made}")


def _kind(threshold: int | None, shares: int | None, token: str | None, credential: bool) -> str:
    if token or credential:
        if threshold or shares or (token and credential):
            raise click.UsageError("choose one of shares, --token and --credential; add others later.")
        return "token" if token else "credential"
    if threshold is None or shares is None:
        raise click.UsageError("say how many shares are made (--shares) and how many unlock (--threshold).")
    if threshold > shares:
        raise click.UsageError("more shares would be needed (--threshold) than there are (--shares).")
    return "shares"


def _hand_out(
    settings: Settings,
    who: Actor,
    vault_id: uuid.UUID,
    begun: CeremonyView,
    pages: Paper | None,
    stdin: bool,
    *,
    read_back: bool,
) -> None:
    """Show or print each share, have each typed back, and put the set into force."""
    from appliance.keyholder.vault_client import VaultKeyholder

    keyholder = VaultKeyholder(settings)
    for index in range(1, begun.count + 1):
        if pages is not None:
            pages.write(index, keyholder.show(vault_id, begun.id, index), begun, settings.site, vault_id)
    if pages is None and not sys.stdout.isatty():
        raise VaultChangeError(why="shares are shown on a terminal only; use one, or --paper")
    if read_back and stdin:
        for text in typed("shares", stdin):
            begun = given(settings, who, vault_id, begun, text)
    elif pages is None or read_back:
        with unseen():
            for index in range(1, begun.count + 1):
                begun = _one_custodian(settings, who, vault_id, begun, index, pages, read_back)
    _activate(settings, who, vault_id, begun.set, unread=not read_back)
    if pages is not None:
        click.echo(f"{begun.count} pages are in {pages.folder}: print them, hand them out, then destroy them")


def _one_custodian(
    settings: Settings,
    who: Actor,
    vault_id: uuid.UUID,
    begun: CeremonyView,
    index: int,
    pages: Paper | None,
    read_back: bool,
) -> CeremonyView:
    from appliance.keyholder.vault_client import VaultKeyholder

    while True:
        if pages is None:
            ask(f"Custodian {index} of {begun.count}: come alone, then press Enter")
            _shown(VaultKeyholder(settings).show(vault_id, begun.id, index), index, begun)
        if not read_back:
            return begun
        text = ask(f"Custodian {index}, type it back (unseen; Enter alone shows it again)")
        if text is None:
            raise UnlockError(problem="unread")
        try:
            if text:
                begun = given(settings, who, vault_id, begun, text)
        except UnlockError as error:
            click.echo(f"✗ {error}", err=True)
        if index in begun.given:
            click.echo(f"✓ share {index} was read back")
            return begun


def _shown(text: str, index: int, begun: CeremonyView) -> None:
    """On the terminal's other screen, cleared before anybody else looks."""
    import segno

    groups = text.split("-")
    rows = ["-".join(groups[1:][at : at + GROUPS_A_LINE]) for at in range(0, len(groups) - 1, GROUPS_A_LINE)]
    click.echo(OTHER_SCREEN, nl=False)
    try:
        click.echo(
            f"Share {index} of {begun.count}, set {begun.set}: {begun.needed} of them unlock the vault."
        )
        click.echo("Copy it on paper. Keep it from the others and from any computer.\n")
        click.echo(f"  {groups[0]}-")
        for row in rows:
            click.echo(f"  {row}")
        click.echo("")
        code = segno.make_qr(text, error="m")
        # A code that does not fit would push the text out of what a small console shows.
        if shutil.get_terminal_size().lines > len(rows) + ROWS_OF_WORDS + code.symbol_size(border=4)[1] // 2:
            code.terminal(out=sys.stdout, compact=True)
        ask("Press Enter once it is copied; the screen is cleared then")
    finally:
        click.echo(CLEARED + USUAL_SCREEN, nl=False)


def _activate(settings: Settings, who: Actor, vault_id: uuid.UUID, number: int, *, unread: bool) -> None:
    from appliance.keyholder import orders
    from appliance.keyholder.vault_client import VaultKeyholder

    orders.carry_out(
        settings,
        Action.VAULT_ACTIVATE,
        who,
        lambda event: VaultKeyholder(settings).activate(event, unread=unread),
        vault_id,
        set=number,
        unread=unread,
    )
