"""What every part must know of erasures: who is being erased, and that nothing more is kept of them."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, and_, exists, func, or_, select

from appliance.domain import OPEN_MARKS, MarkState, Owner, OwnerKind, RecordingState
from appliance.errors import GoneError
from appliance.tables import candidate, erasure, recording

# What stands in place of a name and an address that were erased.
NOBODY = "—"


class ErasedError(GoneError):
    """The keys of it were destroyed."""

    code = "erased"
    message = "This was erased. Its keys are destroyed, so nobody can bring it back."


def is_marked(tx: Connection, person_id: uuid.UUID) -> bool:
    """Whether somebody is marked to be erased with everything, and not erased yet. Nobody is marked between
    this answer and the end of the transaction: a mark names every interview that there is."""
    lock(tx, person_id, shared=True)
    whole = (erasure.c.person_id == person_id) & erasure.c.whole & erasure.c.state.in_(OPEN_MARKS)
    return bool(tx.scalar(select(exists().where(whole))))


def is_erased(tx: Connection, recording_id: uuid.UUID) -> bool:
    """Whether a recording's keys were destroyed."""
    gone = (recording.c.id == recording_id) & (recording.c.state == RecordingState.ERASED)
    return bool(tx.scalar(select(exists().where(gone))))


def lock(tx: Connection, owner_id: uuid.UUID, *, shared: bool = False) -> None:
    """Until the transaction ends, either many keep something for an owner, or one removes what is kept."""
    key = func.hashtextextended(f"erase {owner_id}", 0)
    tx.execute(select((func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock)(key)))


def require_kept(tx: Connection, owner: Owner) -> None:
    """Before a document is kept, in the transaction that notes it: what is erased, or is being erased, takes
    none; what was faster is removed by the erasure, which waits for the end of this transaction.

    Raises ErasedError.
    """
    lock(tx, owner.id, shared=True)
    if owner.kind is OwnerKind.PERSON:
        going = (erasure.c.person_id == owner.id) & erasure.c.whole
        over = or_(
            exists().where(going, erasure.c.state.in_((MarkState.ERASING, MarkState.ERASED))),
            exists().where(candidate.c.id == owner.id, candidate.c.erased_at.is_not(None)),
        )
    else:
        going = erasure.c.recordings.contains([owner.id]) & (erasure.c.state == MarkState.ERASING)
        over = or_(
            exists().where(going),
            exists().where(and_(recording.c.id == owner.id, recording.c.state == RecordingState.ERASED)),
        )
    if tx.scalar(select(over)):
        raise ErasedError
