"""The public halves of the day keys, in one signed list that lies before intake, and which of them is due.

Pure. The list is an envelope of type `day_keys`, by the service key that signs packets. A key's id is its day
(UTC, YYYY-MM-DD). docs/decisions/0011 says what the list states and what a packet does.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appliance.packet import VERSION, DayKey, Packet, PacketError

TYPE = "day_keys"
POINT_BYTES = 65
MAX_KEYS = 400
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class DayList:
    """The day keys of one vault, oldest first."""

    vault: uuid.UUID
    keys: tuple[DayKey, ...]


def day_list_statement(vault: uuid.UUID, keys: Iterable[DayKey]) -> dict[str, Any]:
    """What a service key says about several day keys at once."""
    listed = [{"id": key.id, "public": base64.b64encode(key.public).decode()} for key in keys]
    return {"version": VERSION, "type": TYPE, "vault": str(vault), "keys": listed}


def parse_day_list(statement: Mapping[str, Any]) -> DayList:
    """A list from its proven statement. Raises PacketError("fields")."""
    try:
        keys = tuple(
            DayKey(key["id"], base64.b64decode(key["public"], validate=True)) for key in statement["keys"]
        )
        vault = uuid.UUID(statement["vault"])
        days = [key.id for key in keys]
        sound = (
            1 <= len(keys) <= MAX_KEYS
            and all(_DAY.fullmatch(day) for day in days)
            and days == sorted(set(days))
            and all(len(key.public) == POINT_BYTES for key in keys)
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PacketError("fields") from error
    if not sound:
        raise PacketError("fields")
    return DayList(vault, keys)


def day_of(moment: datetime) -> str:
    """The id of the day key that is made for this moment."""
    return moment.astimezone(UTC).date().isoformat()


def due(packet: Packet, published: DayList | None, now: datetime) -> DayKey:
    """The day key for a link that is bound now: the newest one whose day has come.

    Past the last one that is the last one: an interview is never refused for want of a key. Without a list,
    or with one of another vault, the packet's own key serves; by a clock before them all, the first.
    """
    if published is None or published.vault != packet.vault:
        return packet.day_key
    known = {key.id: key for key in (packet.day_key, *published.keys)}
    come = [day for day in known if day <= day_of(now)]
    return known[max(come) if come else min(known)]
