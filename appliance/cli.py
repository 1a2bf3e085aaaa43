"""The command `fupan`. Each command lives in `appliance/commands/`, loaded only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from appliance.config import Settings
from appliance.errors import DatabaseDownError, FupanError, KeyholderDownError

# Command → (module below appliance.commands, name there). The order is the order of --help.
COMMANDS = {
    "run": ("run", "run"),
    "link": ("people", "link"),
    "invite": ("people", "invite"),
    "demo": ("people", "demo"),
    "vault": ("vault", "vault"),
    "erase": ("erase", "erase"),
    "audit": ("audit", "audit"),
    "models": ("models", "models"),
    "migrate": ("processes", "migrate"),
    "keyholder": ("processes", "keyholder"),
    "worker": ("processes", "worker"),
    "scheduler": ("processes", "scheduler"),
}

SITE = "fupan.site"  # where a context keeps the settings of the site that was found


def _remember_data(context: click.Context, _option: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.find_root().obj = value


def data_option() -> click.Option:
    """`--data`, the same before and after every command; the last one said holds."""
    return click.Option(
        ["--data"],
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        expose_value=False,
        callback=_remember_data,
        help="The data folder of an embedded Fupan. Default: that of FUPAN_CONFIG, else /var/lib/fupan for "
        "root and ~/.local/share/fupan for others.",
    )


def _with_data(command: click.Command) -> click.Command:
    """The command, and each below it, taking `--data`."""
    if not any(option.name == "data" for option in command.params):
        command.params.append(data_option())
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _with_data(each)
    return command


class LazyGroup(click.Group):
    """Imports a command when it is asked for, and turns an expected failure into one line."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(f"appliance.commands.{module}"), attribute)
        return _with_data(command)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except FupanError as error:
            click.echo(f"fupan: {_at_a_terminal(context, error)}", err=True)
            context.exit(1)
        except click.UsageError as error:
            where = (error.ctx or context).command_path
            click.echo(f"fupan: {error.format_message()} See `{where} --help`.", err=True)
            context.exit(error.exit_code)
        except OSError as error:
            # a full disk, a file of somebody else's: what the system says is what a person can act on
            click.echo(f"fupan: {error}", err=True)
            context.exit(1)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="fupan", message="fupan %(version)s")
def main() -> None:
    """Fupan records job interviews, seals them on your own servers, analyses them offline and replays them.

    `fupan run` starts everything on this machine. The other commands act on a site that is running, or was;
    they find it by --data (before or after the command), or by the settings file that the variable
    FUPAN_CONFIG names.
    """


main.params.insert(0, data_option())


def _at_a_terminal(context: click.Context, error: FupanError) -> FupanError:
    """What a page says to its visitor is not true for whoever sits at the terminal of a stopped site."""
    from appliance.commands import sites

    settings = context.find_root().meta.get(SITE)
    if settings is not None and isinstance(error, DatabaseDownError):
        return sites.why_down(settings, "database")
    if settings is not None and type(error) is KeyholderDownError:
        return sites.why_down(settings, "keyholder")
    return error


def default_data() -> Path:
    """The data folder when nobody names one."""
    if os.geteuid() == 0:
        return Path("/var/lib/fupan")
    share = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(share) / "fupan"


def site_settings() -> Settings:
    """Settings of the site that the current command is about.

    Started by root, the process becomes the user who owns the data, so that no file of the site ever ends
    up as root's. Raises ConfigurationError when there is no such site.
    """
    from appliance.commands import sites

    root = click.get_current_context().find_root()
    root.meta[SITE] = settings = sites.find(root.obj, default_data())
    return settings


if __name__ == "__main__":
    sys.exit(main(prog_name="fupan"))
