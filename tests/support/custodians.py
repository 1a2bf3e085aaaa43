"""People with shares of an installed site's vault, as a test has them."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence

from appliance.audit.log import Action, Actor
from appliance.config import Settings, VaultSettings
from appliance.keyholder import orders
from appliance.keyholder.vault_client import CeremonyView, VaultKeyholder, encrypted

ME = Actor.unit("test")


def installed(settings: Settings, **vault: object) -> Settings:
    """The same site as an installed one."""
    return dataclasses.replace(settings, profile="installed", vault=VaultSettings(**vault))  # type: ignore[arg-type]


def init(settings: Settings, needed: int = 2, count: int = 3, *, suite: int = 1) -> list[str]:
    """Make the site's vault; the texts of its shares. It is unlocked afterwards."""
    vault, keyholder = uuid.uuid4(), VaultKeyholder(settings)
    wanted = {"kind": "shares", "suite": suite}
    begun = orders.carry_out(
        settings,
        Action.VAULT_INIT,
        ME,
        lambda event: keyholder.init(event, vault, needed=needed, count=count, **wanted),
        vault,
        **wanted,
    )
    assert begun is not None
    return shown_and_activated(settings, vault, begun)


def reshare(settings: Settings, needed: int = 2, count: int = 3) -> list[str]:
    """A new set of shares, read back and in force."""
    keyholder = VaultKeyholder(settings)
    begun = orders.carry_out(
        settings,
        Action.VAULT_RESHARE,
        ME,
        lambda event: keyholder.reshare(event, needed, count),
        needed=needed,
        count=count,
    )
    return shown_and_activated(settings, keyholder.vault().vault_id, begun)


def shown_and_activated(settings: Settings, vault: uuid.UUID, begun: CeremonyView) -> list[str]:
    """Look at each share, read it back, and put the set into force."""
    keyholder = VaultKeyholder(settings)
    texts = [keyholder.show(vault, begun.id, index) for index in range(1, begun.count + 1)]
    for text in texts:
        give(settings, begun, text, vault)
    activate(settings, vault, begun.set)
    return texts


def activate(settings: Settings, vault: uuid.UUID, number: int, *, unread: bool = False) -> None:
    """Put a new set into force."""
    orders.carry_out(
        settings,
        Action.VAULT_ACTIVATE,
        ME,
        lambda event: VaultKeyholder(settings).activate(event, unread=unread),
        vault,
        set=number,
        unread=unread,
    )


def give(
    settings: Settings, ceremony: CeremonyView, text: str, vault: uuid.UUID | None = None
) -> CeremonyView:
    """One share, or a PIN. Raises UnlockError."""
    vault = vault or VaultKeyholder(settings).vault().vault_id
    return orders.give(settings, ME, vault, ceremony, encrypted(vault, ceremony, text), "console")[0]


def give_all(settings: Settings, texts: Sequence[str]) -> CeremonyView:
    """These shares, one after another, for an unlock."""
    ceremony = VaultKeyholder(settings).begin("unlock", "shares")
    for text in texts:
        ceremony = give(settings, ceremony, text)
    return ceremony


def unlock(settings: Settings, texts: Sequence[str]) -> None:
    """Unlock with these shares. Raises UnlockError."""
    give_all(settings, texts)
    orders.unlock(settings, ME, "shares")
