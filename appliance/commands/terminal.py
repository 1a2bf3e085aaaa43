"""Who sits at the terminal."""

from __future__ import annotations

import os
import pwd

from appliance.audit.log import Actor


def me() -> Actor:
    """Whoever gave the command, by their Unix user."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a user that this machine has no name for
        name = str(number)
    return Actor("unit", "cli", name=name, address="command line")
