"""New slots out of a ceremony: a set of shares that was issued, a token that wrapped a new key."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Any

from appliance.keyholder.ceremony import Asked, Ceremony
from appliance.vault_errors import UnlockError, VaultChangeError
from storage.vault import Key, ShareError, ShareSet, Slot, TokenKey, new_slot, require_policy


def issue_task(vault_id: uuid.UUID, number: int, needed: int, count: int) -> tuple[Asked, Mapping[str, Any]]:
    """What a ceremony is asked for that makes a new set of shares. Raises VaultChangeError."""
    try:
        require_policy(needed, count)
    except ShareError as error:
        raise VaultChangeError(why="2 to 16 shares are possible, and 2 to all of them needed") from error
    asked = Asked("issue", "", "shares", number, needed, count)
    return asked, {"task": "issue", "set": number, "needed": needed, "count": count}


def share_slot(ceremony: Ceremony, vault_id: uuid.UUID, slot_key: Key, vault_key: Key, suite: int) -> Slot:
    """The slot of the shares that a ceremony issued."""
    issued = tuple(bytes.fromhex(digest) for digest in ceremony.hello["issued"])
    shares = ShareSet(ceremony.asked.set, ceremony.asked.needed, issued)
    return new_slot("shares", vault_id, slot_key, vault_key, suite, shares=shares)


def token_slot(ceremony: Ceremony, vault_id: uuid.UUID, slot_key: Key, vault_key: Key, suite: int) -> Slot:
    """The slot of the token that a ceremony asked. Raises UnlockError("too_few") before its PIN was given."""
    made = ceremony.extra.get("token")
    if made is None:
        raise UnlockError(problem="too_few")
    token = TokenKey(**{**made, "wrapped": base64.b64decode(made["wrapped"])})
    return new_slot("token", vault_id, slot_key, vault_key, suite, token=token)
