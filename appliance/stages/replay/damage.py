"""A replay meets a damaged place: it goes on the log, once, and the track is repaired while the page waits.

What this process has met it remembers, so that a player that asks again and again is no second event. Where
the repair gave nothing, the track is given as far as it is whole.
"""

from __future__ import annotations

import logging
import threading
import uuid

from sqlalchemy import text

from appliance import jobs
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import FupanError
from storage.vault import IntegrityError, NotFound

logger = logging.getLogger(__name__)

REPAIRING = text(
    "SELECT count(*) FROM procrastinate_jobs"
    " WHERE task_name IN ('repair', 'seal') AND status IN ('todo', 'doing')"
    " AND args ->> 'recording' = :recording"
)


class BeingRepairedError(FupanError):
    """A damaged track has no repaired one in its place yet."""

    status, code = 503, "being_repaired"
    message = (
        "A stored piece of this recording is damaged. It is being repaired: only the damaged seconds will be "
        "missing, the rest stays as it is."
    )


class Met:
    """Which tracks were met damaged. Safe across threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._files: set[tuple[uuid.UUID, str]] = set()

    def note(
        self,
        settings: Settings,
        view_id: uuid.UUID,
        recording_id: uuid.UUID,
        file: str,
        error: IntegrityError | NotFound,
    ) -> None:
        """Put it on the log and order the repair, the first time. A newer release's file is no damage."""
        if error.kind == "version":
            return
        with self._guard:
            if (recording_id, file) in self._files:
                return
            self._files.add((recording_id, file))
        logger.error("recording %s: %s is damaged: %s", recording_id, file, error)
        details = {"view": str(view_id), "files": {f"track/{file}": error.kind}}
        try:
            with transaction("staff", settings) as tx:
                lock = f"recording:{recording_id}"
                jobs.enqueue(tx, "repair", lock=lock, recording=str(recording_id), suspected=True)
                actor = log.Actor.unit("staff")
                log.append(
                    tx,
                    log.Action.VAULT_DAMAGE,
                    actor,
                    "recording",
                    recording_id,
                    "failed",
                    error.kind,
                    details=details,
                )
        except FupanError:
            with self._guard:
                self._files.discard((recording_id, file))
            raise

    def require_settled(self, settings: Settings, recording_id: uuid.UUID, file: str) -> None:
        """Raises BeingRepairedError while the repair of a track that was met damaged has not ended."""
        with self._guard:
            if (recording_id, file) not in self._files:
                return
        with transaction("staff", settings) as tx:
            if tx.scalar(REPAIRING, {"recording": str(recording_id)}):
                raise BeingRepairedError
