"""One look over everything a site keeps: sealed files, key records, the erase ledger, uploads on their way.

It changes nothing. docs/check.md says what each depth looks at and what the report's fields mean.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.audit import log
from appliance.config import Settings
from appliance.errors import ConfigurationError, DatabaseDownError
from appliance.keyholder import vault_file
from appliance.upkeep import damage
from appliance.upkeep.proofs import Proofs
from appliance.upkeep.rows import unlike_rows
from appliance.vaults import vault_of
from storage.vault import (
    KEY_ID,
    LEDGER_NAME,
    Chain,
    Depth,
    Finding,
    KeyStore,
    Part,
    Seen,
    VaultError,
    check,
    check_journal,
    check_keys,
    check_ledger,
    in_full,
    ledger_exists,
    missing_keys,
    name_erased,
    newest_chain,
    to_read,
    without_key,
)

VERSION = 1


@dataclass
class Report:
    """What one look found. `files`: of sealed files; `keys`: of key records; moments in UTC.
    `without_keys`: why keys proved nothing, by the code of the error, or None."""

    depth: Depth
    began: dt.datetime
    ended: dt.datetime
    files: Seen = field(default_factory=Seen)
    keys: Seen = field(default_factory=Seen)
    journals: int = 0
    without_keys: str | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def damage(self) -> list[Finding]:
        """What needs a person."""
        return [finding for finding in self.findings if not finding.harmless]

    def as_json(self) -> str:
        """The report as docs/check.md describes it."""
        part = self.depth if isinstance(self.depth, Part) else None
        return json.dumps(
            {
                "version": VERSION,
                "depth": "part" if part else "full" if self.depth else "quick",
                "part": [part.number, part.count] if part else None,
                "began": _moment(self.began),
                "ended": _moment(self.ended),
                "sealed_files": self.files.files,
                "key_records": self.keys.files,
                "uploads": self.journals,
                "bytes_read": self.files.bytes,
                "read_whole": {
                    "by_tags": self.files.by_tags,
                    "by_digest": self.files.by_digest,
                    "only_read": self.files.only_read,
                },
                "without_keys": self.without_keys,
                "damaged": len(self.damage),
                "findings": [_as_json(finding) for finding in self.findings],
            },
            ensure_ascii=False,
        )


def parse_part(text: str) -> Part:
    """What `n/t` means. Raises ValueError."""
    number, _, count = text.partition("/")
    part = Part(int(number), int(count))
    if not 1 <= part.number <= part.count:
        raise ValueError(text)
    return part


def look_over(
    settings: Settings,
    depth: Depth,
    told: Callable[[int], None] | None = None,
    actor: log.Actor | None = None,
) -> Report:
    """Look over a site. `told` hears of every count of bytes that was read of sealed files. What `actor` has
    read whole is proven by keys and digests, as far as they are to be had."""
    now = dt.datetime.now(dt.UTC)
    report = Report(depth, now, now)
    if told is not None:
        report.files.told = told
    proofs = Proofs(settings, actor) if actor is not None and depth else None
    report.findings += check(
        vault_of(settings),
        depth,
        proofs.key if proofs else None,
        digest=proofs.digest if proofs else None,
        seen=report.files,
    )
    report.without_keys = proofs.why_not if proofs else None
    if actor is not None:
        report.findings = damage.without_repaired(settings, report.findings)
        report.findings += _unlike_rows(settings, depth, report.findings)
    report.findings += check_keys(settings.keys_folder, depth, report.keys)
    report.findings += _check_ledger(settings)
    report.findings = _by_the_ledger(settings, report.findings)
    for path in sorted(settings.intake_folder.glob("recordings/*/tracks/*.journal")):
        report.journals += 1
        report.findings += check_journal(path, in_full(depth, path.parent.parent.name))
    report.ended = dt.datetime.now(dt.UTC)
    return report


def _unlike_rows(settings: Settings, depth: Depth, known: list[Finding]) -> list[Finding]:
    """What differs from the rows, without the files that are known already; nothing without a database."""
    about = {finding.file for finding in known}
    with contextlib.suppress(DatabaseDownError):
        return [finding for finding in unlike_rows(settings, depth) if finding.file not in about]
    return []


def bytes_to_read(settings: Settings, depth: Depth) -> int:
    """How much a look of this depth reads whole, about. Raises StoreDown."""
    return to_read(vault_of(settings), depth)


def _check_ledger(settings: Settings) -> list[Finding]:
    """What is wrong with the erase ledger, by the ledger key's public half as it is kept."""
    copies = [folder / LEDGER_NAME for folder in (settings.keys_folder, settings.vault_folder)]
    if not ledger_exists(copies):
        return []
    try:
        public = KeyStore(settings.keys_folder).get("service", KEY_ID).public
        vault_id = vault_file.describe(settings).vault_id
    except (VaultError, ConfigurationError) as error:
        return [Finding(copies[0], "key", f"its entries cannot be proven: {error}")]
    return check_ledger(copies, vault_id, public or bytes(32))


def _by_the_ledger(settings: Settings, findings: list[Finding]) -> list[Finding]:
    """What the ledger names as erased is no damage; a key that is gone without it is. Before there is a
    ledger key, nothing was erased."""
    store, chain = KeyStore(settings.keys_folder), Chain()
    keyless = without_key(vault_of(settings), store)
    copies = [folder / LEDGER_NAME for folder in (settings.keys_folder, settings.vault_folder)]
    with contextlib.suppress(VaultError, ConfigurationError):
        public, vault_id = store.get("service", KEY_ID).public, vault_file.describe(settings).vault_id
        chain = newest_chain(copies, vault_id, public or bytes(32))
        findings = name_erased(findings, store, chain)
    return findings + list(missing_keys(keyless, store, chain))


def _as_json(finding: Finding) -> dict[str, Any]:
    about = finding.file
    return {
        "harmless": finding.harmless,
        "kind": finding.kind,
        "path": str(finding.path),
        "detail": finding.detail,
        "owner": str(about.owner) if about else None,
        "file": f"{about.kind}/{about.name}" if about else None,
    }


def _moment(instant: dt.datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
