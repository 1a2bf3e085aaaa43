"""What proves a sealed file whole: its key, while the vault is unlocked, and else the digest in its row.

The keyholder gives the keys of one recording at a time for an audit event `vault:check` of its own; they are
used in this process and forgotten with the recording. What people keep about a person, and what is not sealed
yet, has neither.
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from appliance import documents, outages
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import RecordingState
from appliance.errors import DamagedError, FupanError, KeyholderDownError, KeyRefusedError
from appliance.keyholder.client import Keyholder
from appliance.tables import recording, track
from storage.vault import IntegrityError, Place, SealedHeader

logger = logging.getLogger(__name__)

PURPOSE = "check-vault"
LONGEST = timedelta(hours=6)


class Proofs:
    """Keys and digests for one check. `why_not` says what stood against keys, in a word, or is None."""

    def __init__(self, settings: Settings, actor: log.Actor) -> None:
        """`actor`: who checks, as the events say."""
        self._settings, self._keyholder, self._actor = settings, Keyholder(settings), actor
        self._owner: uuid.UUID | None = None
        self._event: uuid.UUID | None = None
        self._digests: dict[str, bytes | None] = {}
        self._meant: dict[tuple[str, str], bytes | None] = {}
        self.why_not: str | None = None

    def key(self, header: SealedHeader) -> bytes | None:
        """The file's key; None for one that it is not given for. Raises IntegrityError when the recording's
        key record does not open, and for another copy of a document than its row means, also without keys."""
        try:
            event = self._event_for(header.owner)
            if header.kind == "document":  # a track is told by its digest
                documents.require_meant(header, self._meant.get((header.kind, header.name)))
            if event is None:
                return None
            [key] = self._keyholder.file_keys(header.owner, event, PURPOSE, [header.raw])
            return key
        except DamagedError as error:
            raise IntegrityError("key", f"the key record of {header.owner} does not open") from error
        except KeyRefusedError:
            return None  # erased since
        except FupanError as error:
            self._give_up(error)
            return None

    def digest(self, place: Place) -> bytes | None:
        """SHA-256 of a sealed track's bytes, as the seal wrote it down."""
        try:
            self._turn_to(place.owner)
        except FupanError as error:
            self._give_up(error)
        return self._digests.get(place.name) if place.kind == "track" else None

    def _event_for(self, owner: uuid.UUID) -> uuid.UUID | None:
        self._turn_to(owner)
        return self._event

    def _turn_to(self, owner: uuid.UUID) -> None:
        """Begin with a recording: its digests, and an event for its keys unless they are not to be had."""
        if owner == self._owner:
            return
        self._owner, self._event, self._digests, self._meant = owner, None, {}, {}
        if self.why_not in outages.DATABASE:
            return
        if self.why_not is None:
            self._keyholder.require_unlocked()
        with transaction("worker", self._settings) as tx:
            state = tx.scalar(select(recording.c.state).where(recording.c.id == owner))
            if state in (None, RecordingState.SEALED):  # None: a person
                self._meant = documents.meant(tx, owner)
            if state != RecordingState.SEALED:
                return
            rows = tx.execute(select(track.c.file, track.c.sha256).where(track.c.recording_id == owner))
            self._digests = {row.file: row.sha256 for row in rows}
            if self.why_not is None:
                details = log.key_use(owner, PURPOSE, "worker", datetime.now(UTC) + LONGEST)
                action = log.Action.VAULT_CHECK
                event = log.append(tx, action, self._actor, "recording", owner, details=details)
        if self.why_not is None:
            self._event = event.id

    def _give_up(self, error: FupanError) -> None:
        """No more keys in this check: it goes on by digests. The recording it was at is begun anew."""
        if outages.reason(error) is None and not isinstance(error, KeyholderDownError):  # as without a vault
            raise error
        logger.info("the check goes on without keys: %s", error.code)
        self._owner, self.why_not = None, error.code
