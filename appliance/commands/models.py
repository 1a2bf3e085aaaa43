"""`fupan models`: which model pack analyses recordings here."""

from __future__ import annotations

import json
from pathlib import Path

import click

from appliance.cli import site_settings


@click.group(short_help="The model packs of this site.")
def models() -> None:
    """The model packs of this site.

    A pack holds the models that analyse recordings, with the hash, licence and source of each file. Without
    one, recordings are kept, replayed and scored by hand. `make models` builds the default pack.
    """


@models.command()
def status() -> None:
    """Say which pack is active, and which others are there."""
    folder = site_settings().models_folder
    active = folder / "active"
    if not (active / "manifest.json").exists():
        click.echo("no model pack: recordings are replayed, not analysed. `make models` builds one.")
        return
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not (path / "manifest.json").exists():
            continue
        click.echo(f"{_line(path)}{'  active' if path.resolve() == active.resolve() else ''}")


def _line(pack: Path) -> str:
    manifest = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    megabytes = sum(entry["bytes"] for entry in manifest["files"]) / 1e6
    return f"{manifest['version']}  {megabytes:.0f} MB  {', '.join(manifest['languages'])}"
