"""People with something sealed about them, and the days of a mark passing, for the tests of erasing."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from typing import Any

from sqlalchemy import insert, select, update

from appliance.database import transaction
from appliance.domain import Role, User
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.stages import erase
from appliance.stages.decide import notes
from appliance.stages.erase import holds, run
from appliance.stages.talent import resume
from appliance.tables import attempt, document, erasure, recording, track
from appliance.transport import transport_of
from storage.vault import KeyStore, Vault
from tests.support import factory, papers
from tests.support.site import Site

WORDS = b"spoken in the interview"


def recorded(site: Site, name: str = "ming", *, resume_too: bool = True) -> uuid.UUID:
    """An invited candidate with a letter, a sealed track, a transcript, a note and a résumé."""
    [made] = site.invite(name)
    site.run_jobs()
    sealed(site, made)
    notes.write(site.settings, site.recruiter, made, f"a note about {name}")
    if resume_too:
        resume.keep(site.settings, site.recruiter, made, lambda: papers.PDF)
    return made


def sealed(site: Site, made: uuid.UUID) -> None:
    """Give an attempt its key, and a file of each kind under it, as a seal and an analysis leave them."""
    factory.give_recording_key(site.settings, made, site.department)
    factory.set_state(site.settings, made, "sealing")
    event = factory.worker_event(site.settings, made, "seal")
    names = [("track", "camera"), ("document", "timeline"), ("document", "transcript")]
    keyholder, vault = Keyholder(site.settings), Vault(site.settings.vault_folder)
    for (kind, name), (header, key) in zip(
        names, keyholder.new_file_keys(made, event.id, "seal", names), strict=True
    ):
        with vault.begin(made, kind, name) as draft:
            with draft.writer(header, key) as writer:
                writer.write(WORDS)
            draft.commit()
    row = {"kind": "camera", "file": "camera", "mime": "video/webm", "container": "webm"}
    with transaction("worker", site.settings) as tx:
        tx.execute(
            insert(track).values(recording_id=made, name="camera", duration_ms=1, bytes=len(WORDS), **row)
        )
        for _, name in names[1:]:
            tx.execute(insert(document).values(recording_id=made, name=name, kind=name, bytes=len(WORDS)))
        tx.execute(update(attempt).where(attempt.c.id == made).values(state="finished"))
        tx.execute(
            update(recording)
            .where(recording.c.id == made)
            .values(state="sealed", sealed_at=dt.datetime.now(dt.UTC))
        )


def person_of(site: Site, made: uuid.UUID) -> uuid.UUID:
    """Whose attempt it is."""
    return uuid.UUID(str(site.row(attempt, made).candidate_id))


def mark(site: Site, made: uuid.UUID, *, whole: bool = True, user: User | None = None) -> uuid.UUID:
    """Mark, and have the keyholder hear of it."""
    with transaction("staff", site.settings) as tx:
        found = erase.mark(
            tx, site.settings, user or site.recruiter, made, whole=whole, basis="request", case="DSR-7"
        )
    erase.tell_keyholder(site.settings)
    return found


def two_due(site: Site, server: Server) -> tuple[uuid.UUID, list[uuid.UUID]]:
    """Two interviews that are marked, their days over; the first of them, and the marks of both."""
    made = [recorded(site, name, resume_too=False) for name in ("ming", "hong")]
    marks = [mark(site, each) for each in made]
    days_pass(server, 8)
    return made[0], marks


def hold(site: Site, number: uuid.UUID) -> tuple[User, uuid.UUID]:
    """Set a hold as the security administrator; who that is, and the hold."""
    officer = factory.make_user(site.settings, Role.SECURITY_ADMIN)
    with transaction("staff", site.settings) as tx:
        made = holds.set_hold(tx, officer, str(number), "dispute", "C-1")
    erase.tell_keyholder(site.settings)
    return officer, made


def days_pass(server: Server, days: float) -> None:
    """Let the keyholder's clock be so many days on, and the database's for it, without a leap that it would
    notice."""
    wrong_at_boot(server, days)
    erasing: Any = server.service._operations["erase"]
    erasing.__self__._now = lambda _tx: server.service.desk.clock.now()


def wrong_at_boot(server: Server, days: float) -> None:
    """Let the keyholder alone have started with a clock that is so many days ahead."""
    clock: Any = server.service.desk.clock
    clock._wall = lambda: time.time() + days * 86400
    clock._ahead = clock._wall() - clock._steady()


def carry_out(site: Site) -> int:
    """One turn of the job."""
    return run.carry_out(site.settings, transport_of(site.settings))


def keys(site: Site, kind: str) -> list[str]:
    """Whose key records of a kind there are."""
    return KeyStore(site.settings.keys_folder).list(kind)


def marks_of(site: Site) -> dict[uuid.UUID, str]:
    """Each mark and its state."""
    with transaction("worker", site.settings) as tx:
        return {row.id: row.state for row in tx.execute(select(erasure.c.id, erasure.c.state))}
