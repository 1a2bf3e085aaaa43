"""The face of storage for the appliance: journals and openings at intake, sealed files and keys inside.

What is imported here is the whole of what the appliance may use; docs/vault_format.md has the bytes.
"""

from __future__ import annotations

from pathlib import Path

from storage.certificate_format import make_certificate, unrecoverable_from
from storage.check import check, check_journal, check_keys, check_ledger, to_read
from storage.check_erased import missing_keys, name_erased, without_key
from storage.check_store import Depth, Finding, Part, Seen, in_full
from storage.disk import remove, replace, sync_folder, write_once
from storage.errors import (
    BadOpening,
    Destroyed,
    IntegrityError,
    JournalConflict,
    LedgerError,
    NotFound,
    SegmentEmitted,
    SelfTestFailed,
    ShareError,
    StoreDown,
    VaultError,
    VaultFull,
)
from storage.files import Draft, SealedFile, Tier, Vault
from storage.generations import (
    Generation,
    Proven,
    Restored,
    generations,
    prove_generation,
    prune_generations,
    restore_generation,
    thin_generations,
    write_generation,
)
from storage.handover import OneTimePair, fingerprint, seal_to
from storage.handover import info as handover_info
from storage.head_format import head_name
from storage.journal import ChunkState, EpochState, Journal
from storage.keys import (
    Key,
    KeyRecord,
    canonical_json,
    derive_file_key,
    new_day_key,
    new_key,
    parse_record,
    rewrap,
    unwrap,
    wrap,
)
from storage.keystore import KeyStore
from storage.layout import Place, adopt_first_layout
from storage.ledger import LEDGER_NAME, Ledger, ledger_exists, newest_chain
from storage.ledger_format import (
    DAY_KEY,
    EMPTY,
    ERASE,
    KEY_ID,
    MAX_RECORDINGS,
    Chain,
    Entry,
    Head,
    Known,
    erase_body,
)
from storage.objects import DiskObjects, Objects
from storage.opening import (
    DATA,
    END,
    EVENTS_MIME,
    MAX_OPENING_BYTES,
    Clock,
    EpochWriter,
    Opening,
    Recipient,
    build_opening,
    encrypt_chunk,
    new_browser_key,
    open_epoch_key,
    parse_opening,
    sign_by_browser,
    verify_by_browser,
    verify_opening,
    wire_digest,
)
from storage.sealed import SealedReader, SealedWriter
from storage.segment_format import SealedHeader, new_header, parse_header
from storage.selftest import run as self_test
from storage.shares import Collector, Share, ShareSet, require_policy
from storage.shares import parse as parse_share
from storage.shares import split as split_key
from storage.slots import (
    Description,
    Pending,
    Rekey,
    Reshare,
    Rotate,
    Slot,
    TokenKey,
    new_slot,
    new_slot_id,
    parse_description,
    vault_check,
)
from storage.suites import SUITES
from storage.tiers import Copied, claim_cold, copy_files, drop_files

__all__ = [
    "DATA",
    "DAY_KEY",
    "EMPTY",
    "END",
    "ERASE",
    "EVENTS_MIME",
    "KEY_ID",
    "LEDGER_NAME",
    "MAX_OPENING_BYTES",
    "MAX_RECORDINGS",
    "SUITES",
    "BadOpening",
    "Chain",
    "ChunkState",
    "Clock",
    "Collector",
    "Copied",
    "Depth",
    "Description",
    "Destroyed",
    "DiskObjects",
    "Draft",
    "Entry",
    "EpochState",
    "EpochWriter",
    "Finding",
    "Generation",
    "Head",
    "IntegrityError",
    "Journal",
    "JournalConflict",
    "Key",
    "KeyRecord",
    "KeyStore",
    "Known",
    "Ledger",
    "LedgerError",
    "NotFound",
    "Objects",
    "OneTimePair",
    "Opening",
    "Part",
    "Pending",
    "Place",
    "Proven",
    "Recipient",
    "Rekey",
    "Reshare",
    "Restored",
    "Rotate",
    "SealedFile",
    "SealedHeader",
    "SealedReader",
    "SealedWriter",
    "Seen",
    "SegmentEmitted",
    "SelfTestFailed",
    "Share",
    "ShareError",
    "ShareSet",
    "Slot",
    "StoreDown",
    "Tier",
    "TokenKey",
    "Vault",
    "VaultError",
    "VaultFull",
    "adopt_first_layout",
    "build_opening",
    "canonical_json",
    "check",
    "check_journal",
    "check_keys",
    "check_ledger",
    "claim_cold",
    "copy_files",
    "derive_file_key",
    "drop_files",
    "encrypt_chunk",
    "erase_body",
    "fingerprint",
    "generations",
    "handover_info",
    "head_name",
    "in_full",
    "ledger_exists",
    "make_certificate",
    "missing_keys",
    "name_erased",
    "new_browser_key",
    "new_day_key",
    "new_header",
    "new_key",
    "new_slot",
    "new_slot_id",
    "newest_chain",
    "open_epoch_key",
    "parse_description",
    "parse_header",
    "parse_opening",
    "parse_record",
    "parse_share",
    "prove_generation",
    "prune_generations",
    "remove",
    "replace",
    "require_policy",
    "restore_generation",
    "rewrap",
    "s3_objects",
    "seal_to",
    "self_test",
    "sign_by_browser",
    "split_key",
    "sync_folder",
    "thin_generations",
    "to_read",
    "unrecoverable_from",
    "unwrap",
    "vault_check",
    "verify_by_browser",
    "verify_opening",
    "wire_digest",
    "without_key",
    "wrap",
    "write_generation",
    "write_once",
]


def s3_objects(
    endpoint: str,
    bucket: str,
    prefix: str,
    *,
    access_key: str,
    secret_key: str,
    scratch: Path,
    region: str,
    ca_file: str,
) -> Objects:
    """Objects in an S3-compatible store; see S3Objects. Only where a site has one is its client loaded."""
    from storage.s3 import S3Objects

    return S3Objects(
        endpoint,
        bucket,
        prefix,
        access_key=access_key,
        secret_key=secret_key,
        scratch=scratch,
        region=region,
        ca_file=ca_file,
    )
