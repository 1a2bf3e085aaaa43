"""A recording's records.log as it is read: JSON lines, whoever may have written them.

Bounded in bytes, in lines and in the length of a line, so that reading it ends soon whatever is in it.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

from appliance.durable import StrangeFileError, read_plain
from appliance.intake_state import IntakeRecord, NoRecordError, parse_record

logger = logging.getLogger(__name__)

# An interview leaves some hundred records of under 1 KB; a consent holds up to 64 KB of signed text.
MAX_RECORDS = 5000
MAX_RECORD_BYTES = 8 * 1024**2
# A finish and a withdrawal are taken past those limits.
MAX_LOG_LINES = MAX_RECORDS + 100
MAX_LOG_BYTES = MAX_RECORD_BYTES + 1024**2
MAX_LINE_BYTES = 1024**2


def read_records(path: Path, recording: uuid.UUID, after: int = 0) -> list[IntakeRecord]:
    """Records with seq > after, in order.

    A torn last line is not a record yet; a whole one that is no record is passed over, so that it holds up
    none of the others. Raises StrangeFileError for what is no log, or a longer one than intake ever writes.
    """
    try:
        raw = read_plain(path, MAX_LOG_BYTES)
    except FileNotFoundError:
        return []
    if raw.count(b"\n") > MAX_LOG_LINES:
        raise StrangeFileError(f"{path.name} has more than {MAX_LOG_LINES} lines")
    records: list[IntakeRecord] = []
    no_records = 0
    for line in _whole_lines(raw):
        try:
            record = _parse(line)
        except NoRecordError:
            no_records += 1
            continue
        if record.seq > after:
            records.append(record)
            after = record.seq
    if no_records:
        logger.warning("recording %s: %d lines are no records", recording, no_records)
    return records


def parse_lines(raw: bytes) -> tuple[list[IntakeRecord], int]:
    """The records in the whole lines of a log and how many bytes they take. Raises NoRecordError."""
    lines = _whole_lines(raw)
    return [parse_record(line) for line in lines], sum(len(line) + 1 for line in lines)


def _whole_lines(raw: bytes) -> list[bytes]:
    """Lines without their end. Only a line feed ends one: `splitlines` would know further signs."""
    return raw.split(b"\n")[:-1]


def _parse(line: bytes) -> IntakeRecord:
    if len(line) > MAX_LINE_BYTES:
        raise NoRecordError
    return parse_record(line)
