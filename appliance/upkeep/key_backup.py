"""Backups of the key records: made by the keyholder each day, restored at the console while it is down."""

from __future__ import annotations

import logging
from pathlib import Path

from appliance import jobs
from appliance.config import Settings
from appliance.errors import KeyBackupError, KeyholderDownError
from appliance.keyholder import vault_file
from appliance.keyholder.client import Keyholder
from appliance.keyholder.journal import Journal
from storage.vault import (
    LEDGER_NAME,
    KeyStore,
    Restored,
    VaultError,
    generations,
    parse_description,
    prove_generation,
    restore_generation,
    write_once,
)

logger = logging.getLogger(__name__)


@jobs.task("backup_keys", retry=False)
def backup_keys(work: jobs.Work) -> None:
    """Have today's generation made. Once it is there, a second run makes none."""
    try:
        made = Keyholder(work.settings).backup_keys()
    except KeyholderDownError:
        return  # the next turn is an hour away
    if made is not None:
        logger.info("key backup of %s: %s records", made.day, made.records)


def find(settings: Settings, named: str) -> Path:
    """The generation of a day (YYYY-MM-DD), or the file of this name. Raises KeyBackupError with those there
    are."""
    if "/" in named:
        return Path(named).resolve()
    folder = settings.key_backup_folder
    if folder is None:
        raise KeyBackupError(what="no folder for key backups is set; give the generation's whole path")
    found = generations(folder)
    for each in found:
        if str(each.day) == named:
            return each.path
    days = ", ".join(str(each.day) for each in found) or "none"
    raise KeyBackupError(what=f"there is no generation {named} in {folder}; there are: {days}")


def restore(settings: Settings, path: Path, by: str) -> Restored:
    """Put back the key records that are missing or damaged. The keyholder must not run; its journal says who
    did it, and the next unlock destroys again what was erased since.

    Raises KeyBackupError, ConfigurationError when a keyholder runs or the generation is of another vault.
    """
    journal = Journal(vault_file.own_folder(settings) / "journal")
    try:
        proven = prove_generation(path)
        description = vault_file.path_of(settings)
        if not description.exists():
            write_once(description, proven.description)
        present = vault_file.describe(settings)
        vault_id = present.vault_id
        then = parse_description(proven.description)
        if then.vault_id == vault_id and then.check != present.check:
            raise KeyBackupError(
                what=f"{path}: it was made before the vault key was changed (rekey); its records open only "
                "with the vault.json inside it. To go back to that, move the present vault.json away first"
            )
        copies = [folder / LEDGER_NAME for folder in (settings.keys_folder, settings.vault_folder)]
        restored = restore_generation(path, KeyStore(settings.keys_folder), copies, vault_id)
        journal.append({"op": "restore_keys", "generation": path.name, "records": restored.records, "by": by})
        return restored
    except (VaultError, OSError) as error:
        raise KeyBackupError(what=f"{path}: {error}") from error
    finally:
        journal.close()
