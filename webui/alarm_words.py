"""What the alarms about the vault and its keys are called to people, by their kind (upkeep/alarms.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext


def alarm(kind: str, about: Mapping[str, Any]) -> str:
    """One alarm in a sentence or two; one of another release stays as it is written."""
    count = about.get("count", 0)
    told = {
        "bulk_use": _(
            "The keys of more than %(limit)s recordings were asked for within an hour, by %(who)s. Further "
            "ones were refused; the access log has each.",
            limit=about.get("limit", ""),
            who=about.get("person") or about.get("unit", ""),
        ),
        "day_keys_kept": _(
            "No day key was destroyed, since the database does not fit the vault: %(what)s.",
            what=about.get("what", ""),
        ),
        "nothing_erased": _(
            "Nothing was erased, since the database does not fit the vault: %(what)s.",
            what=about.get("what", ""),
        ),
        "erasures_wait": ngettext(
            "%(num)s erasure waits, since so much would go in one day. Look at them, then let them go with "
            "“fupan erase confirm” on the server.",
            "%(num)s erasures wait, since so much would go in one day. Look at them, then let them go with "
            "“fupan erase confirm” on the server.",
            count,
        ),
        "day_keys_end": _(
            "The last day key is that of %(day)s. Unlock the vault, so that further ones are made; until "
            "then the last one stays in use.",
            day=about.get("last", ""),
        ),
        "damage": ngettext(
            "%(num)s stored file is damaged: %(places)s.",
            "%(num)s stored files are damaged, among them %(places)s.",
            count,
            places=", ".join(str(each) for each in about.get("places", [])[:3]),
        ),
        "events_missing": ngettext(
            "Keys were given for %(num)s event that the access log does not have, as after a restore.",
            "Keys were given for %(num)s events that the access log does not have, as after a restore.",
            count,
        ),
        "intake_knows_more": ngettext(
            "Intake holds %(num)s interview that the database does not know, as after a restore.",
            "Intake holds %(num)s interviews that the database does not know, as after a restore.",
            count,
        ),
    }
    return told.get(kind, kind)
