"""The vault's description as a file, `keyholder/vault.json`: read, made once, replaced durably."""

from __future__ import annotations

from pathlib import Path

from appliance.config import Settings
from appliance.errors import ConfigurationError
from storage.vault import (
    SUITES,
    Description,
    IntegrityError,
    KeyStore,
    parse_description,
    replace,
    write_once,
)

MAX_BYTES = 1 << 18


def own_folder(settings: Settings) -> Path:
    """What the keyholder keeps beside the key records: vault.json, its journal, published day keys."""
    return settings.data / "keyholder"


def path_of(settings: Settings) -> Path:
    """The file. A site without it has no vault."""
    return own_folder(settings) / "vault.json"


def describe(settings: Settings) -> Description:
    """What vault this is. Raises ConfigurationError, also for a description that a newer Fupan made."""
    path = path_of(settings)
    try:
        with path.open("rb") as file:
            return parse_description(file.read(MAX_BYTES))
    except (OSError, IntegrityError) as error:
        raise ConfigurationError(what=f"{path}: {error}") from error


def create(settings: Settings, description: Description) -> None:
    """Write the description of a new vault. Raises ConfigurationError where there is one already."""
    try:
        write_once(path_of(settings), description.encode())
    except FileExistsError as error:
        raise ConfigurationError(what=f"{path_of(settings)} is there already") from error


def change(settings: Settings, description: Description) -> None:
    """Put a description in the place of the present one; a crash leaves either, whole."""
    replace(path_of(settings), description.encode())


def suite_not_obeyed(settings: Settings) -> str:
    """What to say where the settings ask for another suite than the vault was made in; "" otherwise."""
    asked = settings.vault.suite
    if asked is None or not path_of(settings).exists() or asked == (made := describe(settings).suite):
        return ""
    return f"vault.suite = {asked} is not obeyed: this vault was made in suite {made} ({SUITES[made].name})"


def require_empty(settings: Settings) -> None:
    """A new key beside old recordings would hide that the old key is lost. Raises ConfigurationError."""
    store = KeyStore(settings.keys_folder)
    records = any(store.list(kind) for kind in ("day", "department-year", "recording", "person"))
    if records or any(settings.vault_folder.glob("*/*")):
        raise ConfigurationError(
            what=f"{path_of(settings)} is missing although recordings exist; restore the keys"
        )
