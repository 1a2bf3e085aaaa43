"""The vault of a site: where its sealed files lie, as the settings say, and what their errors mean."""

from __future__ import annotations

import functools
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings, VaultSettings
from appliance.errors import ConfigurationError, FupanError, StorageDownError, damaged
from appliance.settings_rules import BUCKET
from storage.vault import (
    LEDGER_NAME,
    DiskObjects,
    NotFound,
    Objects,
    StoreDown,
    Vault,
    VaultError,
    s3_objects,
)

logger = logging.getLogger(__name__)

STATE_SECONDS = 15


def vault_of(settings: Settings) -> Vault:
    """The vault, its connections kept from call to call. Raises ConfigurationError."""
    return _vault(settings.data, settings.vault_folder, settings.drafts_folder, settings.vault)


@dataclass(frozen=True)
class StoreState:
    """One tier: where it is, and `answers` or the kind of StoreDown."""

    tier: str
    place: str
    state: str


def states(settings: Settings) -> list[StoreState]:
    """How the tiers of a site are that has others than its own disk; found out anew after STATE_SECONDS."""
    if not settings.vault.cold and not settings.vault.hot:
        return []
    return _states(settings.data, settings.vault, int(time.monotonic() / STATE_SECONDS))


@functools.lru_cache(maxsize=4)
def _states(data: Path, places: VaultSettings, _turn: int) -> list[StoreState]:
    vault, found = _vault(data, data / "vault", data / "drafts", places), []
    for tier, store in vault.tiers.items():
        state = "answers"
        try:
            store.exists(LEDGER_NAME)  # any name will do
            if tier == "cold":
                vault.require_cold()
        except StoreDown as error:
            logger.warning("the %s tier is down: %s", tier, error.detail)
            state = error.kind
        found.append(StoreState(tier, str(store.place("")), state))
    return found


def told(error: VaultError) -> FupanError:
    """What a person is told when a sealed file could not be read."""
    if isinstance(error, StoreDown):
        logger.warning("a store of sealed files is down: %s", error)
        return StorageDownError()
    return damaged("missing" if isinstance(error, NotFound) else error.kind)


@functools.lru_cache(maxsize=16)
def _vault(data: Path, folder: Path, drafts: Path, places: VaultSettings) -> Vault:
    def store(place: str) -> Objects:
        found = BUCKET.fullmatch(place)
        if found is None:
            return DiskObjects(place)
        key = _access_key(data / "secrets" / "s3.json")
        prefix = f"{found[2]}/".lstrip("/")
        return s3_objects(
            places.endpoint,
            found[1],
            prefix,
            access_key=key["access_key"],
            secret_key=key["secret_key"],
            scratch=drafts,
            region=places.region,
            ca_file=places.ca_file,
        )

    return Vault(store(places.hot or str(folder)), store(places.cold) if places.cold else None)


def _access_key(path: Path) -> dict[str, str]:
    wanted = '{"access_key": "…", "secret_key": "…"}'
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        return {name: key[name] + "" for name in ("access_key", "secret_key")}
    except OSError as error:
        raise ConfigurationError(what=f"{path}: {error.strerror}; it must hold {wanted}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(what=f"{path} must hold {wanted}") from error
