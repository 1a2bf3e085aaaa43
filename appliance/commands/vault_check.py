"""`fupan vault check`: whether what is kept is whole."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from appliance.cli import site_settings
from appliance.commands.terminal import me
from appliance.config import Settings

if TYPE_CHECKING:
    from appliance.audit.log import Actor
    from appliance.upkeep.check import Report
    from storage.vault import Depth

WITHOUT_KEYS = {
    "vault_locked": "the vault is locked",
    "no_vault": "there is no vault yet",
    "keyholder_down": "the keyholder does not answer",
    "too_many_keys": "the hour's number of keys is used up; check again later",
}
DEPTHS = "Choose one of --quick, --full and --part."


@click.command(short_help="Look over what is kept, and list all damage.")
@click.option("--quick", is_flag=True, help="Names, lengths and the newest headers. The default.")
@click.option("--full", is_flag=True, help="Read every byte of every file.")
@click.option(
    "--part", metavar="N/T", help="As --quick, and read the N-th of T parts whole: all T are everything."
)
@click.option(
    "--repair",
    is_flag=True,
    help="Order the repair of damaged recordings, and make rows that are lost anew from the files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/check.md).")
@click.pass_context
def check(
    context: click.Context, quick: bool, full: bool, part: str | None, repair: bool, as_json: bool
) -> None:
    """Check the vault, the key records and the uploads on their way, and list all damage.

    Changes nothing, unless --repair is given. What looks wrong is read a second time, from the disk itself,
    before it is listed. What a crash may leave and the next write tidies is listed as harmless. Exit code 1
    when anything else was found.
    """
    from appliance.upkeep.check import look_over

    depth = _depth(quick, full, part)
    who = me()  # before root becomes the user who owns the data
    settings = site_settings()
    with _told(settings, depth) as told:
        report = look_over(settings, depth, told, who)
    if as_json:
        click.echo(report.as_json())
    else:
        _print(report)
    failed = _repair(settings, who, report, quiet=as_json) if repair else 0
    context.exit(1 if report.damage or failed else 0)


def _repair(settings: Settings, who: Actor, report: Report, *, quiet: bool) -> int:
    """Returns how many recordings' rows could not be made anew."""
    from appliance.upkeep import damage, rebuild

    marked = damage.mark(settings, report.damage, who)
    failed = rebuild.rebuild_all(settings, who, lambda line: click.echo(line, err=quiet))
    click.echo(
        f"the repair of {len(marked)} recordings is ordered; the audit log says how it ends", err=quiet
    )
    return failed


def _depth(quick: bool, full: bool, part: str | None) -> Depth:
    from appliance.upkeep.check import parse_part

    if quick + full + (part is not None) > 1:
        raise click.UsageError(DEPTHS)
    try:
        return parse_part(part) if part is not None else full
    except ValueError:
        raise click.UsageError("--part takes two numbers, as in 3/28: the 3rd of 28 parts.") from None


def _watched() -> bool:
    return sys.stderr.isatty()


@contextlib.contextmanager
def _told(settings: Settings, depth: Depth) -> Iterator[Callable[[int], None] | None]:
    """How far it is, on the terminal of whoever waits for it."""
    if not depth or not _watched():
        yield None
        return
    from appliance.upkeep.check import bytes_to_read
    from storage.vault import StoreDown

    try:
        length = bytes_to_read(settings, depth)
    except StoreDown:  # the report names it
        length = 0
    with click.progressbar(length=length, label="reading", file=sys.stderr) as bar:
        yield bar.update


def _print(report: Report) -> None:
    for finding in report.findings:
        word = "harmless" if finding.harmless else "DAMAGE"
        click.echo(f"{word}  {finding.kind}  {finding.path}  {finding.detail}".rstrip())
    files = report.files
    click.echo(
        f"looked at {files.files} sealed files, {report.keys.files} key records, {report.journals} uploads"
    )
    if report.depth:
        ways = (
            (files.by_tags, "proven under their keys"),
            (files.by_digest, "proven by their digests"),
            (files.only_read, "readable, proven by neither key nor digest"),
        )
        said = ", ".join(f"{count} {how}" for count, how in ways if count) or "none"
        click.echo(f"read whole: {said}")
        if report.without_keys:
            why = WITHOUT_KEYS.get(report.without_keys, report.without_keys)
            click.echo(f"not proven under their keys: {why}")
    damage = len(report.damage)
    click.echo(f"{damage} damaged" if damage else "no damage found")
