"""Where a slot key comes from: one module for each kind of slot, behind one interface.

`file` and `credential` give it by themselves; `shares` and `token` give it once people have given what they
hold (ceremony.py).
"""

from __future__ import annotations

from typing import Protocol

from appliance.keyholder.memory import SecretBytes
from storage.vault import Slot


class Provider(Protocol):
    """Produces the slot key of slots of one kind."""

    def ready(self, slot: Slot) -> bool:
        """Whether `slot_key` would give it now, without anybody's doing."""

    def slot_key(self, slot: Slot) -> SecretBytes:
        """The slot key, 32 bytes, in a buffer that the caller wipes. Raises UnlockError."""
