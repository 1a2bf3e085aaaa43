"""Who sits at the terminal."""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
import termios
from collections.abc import Iterator

import click

from appliance.audit.log import Actor


def me() -> Actor:
    """Whoever gave the command, by their Unix user."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a user that this machine has no name for
        name = str(number)
    return Actor("unit", "cli", name=name, address="command line")


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Nothing that is typed shows in this block, also what is typed while nobody asks. Without a terminal it
    changes nothing."""
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    usual = termios.tcgetattr(terminal)
    silent = [*usual[:3], usual[3] & ~termios.ECHO, *usual[4:]]
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, usual)


def ask(text: str) -> str | None:
    """A line from whoever sits there; None at the end of input."""
    click.echo(f"{text}: ", nl=False)
    sys.stdout.flush()
    line = sys.stdin.readline()
    click.echo("")
    return line.strip() if line else None
