"""What goes once keys are destroyed: sealed files on both tiers, what intake holds, letters, rows and names.

The log stays, and with it who watched what and when: it names nobody but by number.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, update
from sqlalchemy.dialects import postgresql

from appliance import erasing, jobs, notify, packet
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import OPEN_STATES, AttemptState, MarkState, RecordingState
from appliance.keyholder.erase_client import Erased, ErasingKeyholder
from appliance.tables import (
    analysis,
    assignment,
    attempt,
    browser_key,
    candidate,
    consent,
    document,
    erasure,
    intake_record,
    note,
    outgoing_mail,
    person_document,
    recording,
    replay_view,
    track,
)
from appliance.transport import Transport
from appliance.vaults import vault_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removal:
    """One erasure of the ledger. Each step can be repeated; the rows of a recording go last."""

    settings: Settings
    transport: Transport
    keyholder: ErasingKeyholder
    entry: Erased

    def run(self) -> None:
        """Remove it all, and note that it is done with the certificate. Raises VaultError, OSError, what the
        keyholder and intake raise."""
        vault_id = self.keyholder.status().vault_id
        for each in self.entry.recordings:
            self._close_at_intake(vault_id, each)
            self._remove_files(each)
        notify.remove_spooled(self.settings, self.entry.recordings)
        for each in self.entry.recordings:
            self._remove_rows(each)
        if self.entry.person:
            self._remove_files(self.entry.person)
        certificate = self.keyholder.erasure_certificate(self.entry.mark)
        with transaction("worker", self.settings) as tx:
            if self.entry.person:
                self._remove_person(tx, self.entry.person)
            self._note_done(tx, certificate)

    def _close_at_intake(self, vault_id: uuid.UUID, recording_id: uuid.UUID) -> None:
        """A tombstone first: from then on intake takes nothing more that would have to be removed again."""
        statement = packet.tombstone_statement(vault_id, recording_id, "erased")
        tombstone = self.keyholder.sign("tombstone", statement)
        try:
            self.transport.put_tombstone(tombstone)
        except packet.PacketError as error:
            if error.kind != "unknown_key":  # an intake that never had a packet of ours
                raise
            self.transport.install_service_keys(self.keyholder.publics().service_keys)
            self.transport.put_tombstone(tombstone)
        self.transport.remove_recording(recording_id)

    def _remove_files(self, owner: uuid.UUID) -> None:
        removed = vault_of(self.settings).remove(owner)
        logger.info("%s sealed files of %s were removed", removed, owner)

    def _remove_rows(self, recording_id: uuid.UUID) -> None:
        """And then the files once more: whoever was keeping a document a moment ago has ended by now, and
        nobody finds a row to keep one for."""
        with transaction("worker", self.settings) as tx:
            erasing.lock(tx, recording_id)
            for table in (note, document, track, analysis):
                tx.execute(delete(table).where(table.c.recording_id == recording_id))
            for of_attempt in (browser_key, intake_record, assignment):
                tx.execute(delete(of_attempt).where(of_attempt.c.attempt_id == recording_id))
            self._reduce_rows(tx, recording_id)
            for task in ("seal", "analyse", "move"):
                jobs.cancel(tx, task, recording=str(recording_id))
            self._remove_files(recording_id)

    @staticmethod
    def _reduce_rows(tx: Connection, recording_id: uuid.UUID) -> None:
        """What stays says that there was an interview, what was agreed to, and who watched it."""
        tx.execute(update(consent).where(consent.c.attempt_id == recording_id).values(receipt={}))
        mails = outgoing_mail.c.attempt_id == recording_id
        tx.execute(update(outgoing_mail).where(mails).values(recipient=erasing.NOBODY))
        waiting = mails & (outgoing_mail.c.state == "queued")
        tx.execute(update(outgoing_mail).where(waiting).values(state="failed", reason="over"))
        open_views = (replay_view.c.recording_id == recording_id) & replay_view.c.closed_at.is_(None)
        tx.execute(update(replay_view).where(open_views).values(lease_until=func.now()))
        unfinished = (attempt.c.id == recording_id) & attempt.c.state.in_(OPEN_STATES)
        tx.execute(update(attempt).where(unfinished).values(state=AttemptState.EXPIRED))
        erased: dict[str, Any] = {
            "state": RecordingState.ERASED,
            "duration_ms": None,
            "bytes": None,
            "problem": None,
            "gaps": [],
            "failures": 0,
            "journals_removed_at": func.now(),
        }
        tx.execute(
            postgresql.insert(recording)
            .values(id=recording_id, **erased)
            .on_conflict_do_update(index_elements=["id"], set_=erased)
        )

    def _remove_person(self, tx: Connection, person: uuid.UUID) -> None:
        """The name stays while a hold keeps a recording, which would else be nobody's."""
        erasing.lock(tx, person)
        tx.execute(delete(person_document).where(person_document.c.person_id == person))
        if not self.entry.kept:
            tx.execute(
                update(candidate)
                .where(candidate.c.id == person)
                .values(name=erasing.NOBODY, email=erasing.NOBODY, erased_at=self.entry.at)
            )
        self._remove_files(person)

    def _note_done(self, tx: Connection, certificate: dict[str, str]) -> None:
        done = tx.execute(
            update(erasure)
            .where(erasure.c.id == self.entry.mark, erasure.c.state != MarkState.ERASED)
            .values(
                state=MarkState.ERASED,
                erased_at=self.entry.at,
                ledger_seq=self.entry.seq,
                certificate=certificate,
            )
        )
        if done.rowcount != 1:  # a restore brought files back, or took the mark's row
            return
        details = {
            "entry": self.entry.seq,
            "person": str(self.entry.person) if self.entry.person else None,
            "recordings": [str(each) for each in self.entry.recordings],
            "kept": [str(each) for each in self.entry.kept],
        }
        actor = log.Actor.unit("worker")
        log.append(tx, log.Action.ERASE_DONE, actor, "erasure", self.entry.mark, details=details)
