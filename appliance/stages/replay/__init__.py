"""Replay: a person opens a view of a sealed recording and gets its bytes, as long as the view lives.

Opening is one audit event, committed before the first byte; the view's id is that event's id. Range
requests under a view are no events; the seconds watched follow when it closes. Nobody but the person who
opened a view can use it, and it dies with its lease, with their session, or when they close it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, exists, insert, select, update

from appliance import documents, jobs
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import RecordingState, Role, Tier, User
from appliance.erasing import ErasedError
from appliance.errors import ConflictError, DamagedError, GoneError, NotFoundError, VaultLockedError
from appliance.keyholder.client import Keyholder
from appliance.people import access
from appliance.stages.replay.damage import Met
from appliance.stages.replay.keys import FileKeys
from appliance.stages.replay.watched import checked, merged, total_ms
from appliance.tables import account, recording, replay_view, session, track
from appliance.upkeep import tiers
from appliance.vaults import told, vault_of
from storage.vault import IntegrityError, NotFound, SealedReader, VaultError

PURPOSE = "replay"
PIECE_BYTES = 256 * 1024
RECHECK_SECONDS = 15.0  # how long a running stream may go on after its view or session has ended
LAPSED_SECONDS = 60
LAPSED_BATCH = 50


class NotSealedError(ConflictError):
    """There is nothing to replay yet."""

    code = "not_sealed"
    message = "This recording is not ready to be replayed yet. It is being received or sealed."


class ViewOverError(GoneError):
    """The view was closed or its lease ran out."""

    code = "view_over"
    message = "This replay has ended. Open it again to go on; the new opening is recorded."


@dataclass(frozen=True)
class View:
    """An open view. Its `id` is the id of the audit event that opened it."""

    id: uuid.UUID
    recording_id: uuid.UUID
    account_id: uuid.UUID
    session_id: str
    lease_until: datetime


# --- opening, renewing, closing ----------------------------------------------------------------------------


def open_view(settings: Settings, user: User, recording_id: uuid.UUID) -> View:
    """Open a replay for someone who may see the recording; on the log when this returns.

    Raises NotFoundError, NotSealedError, ErasedError, VaultLockedError, KeyholderDownError,
    AuditUnavailableError.
    """
    Keyholder(settings).require_unlocked()  # a view that could show nothing is not opened
    until = datetime.now(UTC) + timedelta(seconds=settings.timing.replay_lease)
    with transaction("staff", settings) as tx:
        access.get_recording_for(tx, user, recording_id)
        kept = tx.execute(
            select(recording.c.state, recording.c.tier).where(recording.c.id == recording_id)
        ).one()
        if kept.state == RecordingState.ERASED:
            raise ErasedError
        if kept.state != RecordingState.SEALED:
            raise NotSealedError
        if kept.tier == Tier.COLD and settings.vault.recall:
            # Whoever opens it once may do so again. This view reads it where it finds it, move or none.
            tiers.enqueue(tx, recording_id, Tier.HOT, tiers.OPENED)
        event = log.append(
            tx,
            log.Action.REPLAY_OPEN,
            log.Actor.of(user),
            "recording",
            recording_id,
            details=log.key_use(recording_id, PURPOSE, "staff", until),
        )
        # After the event, since the row names it; the event's commit is this row's.
        tx.execute(
            insert(replay_view).values(
                id=event.id,
                recording_id=recording_id,
                account_id=user.account_id,
                event_seq=event.seq,
                lease_until=until,
            )
        )
    return View(event.id, recording_id, user.account_id, user.session_id, until)


def view_for(settings: Settings, user: User, view_id: uuid.UUID) -> View:
    """The person's own open view. Raises NotFoundError for another's and for a recording that is out of
    their scope by now, ViewOverError once the view has ended."""
    with transaction("staff", settings) as tx:
        return _view(tx, view_id, user.account_id, user.session_id)


def _view(tx: Connection, view_id: uuid.UUID, account_id: uuid.UUID, session_id: str) -> View:
    row = tx.execute(
        select(
            replay_view.c.recording_id,
            replay_view.c.lease_until,
            replay_view.c.closed_at,
            account.c.username,
            account.c.display_name,
            account.c.role,
            account.c.department_id,
            account.c.disabled_at,
            exists()
            .where(session.c.id == uuid.UUID(session_id), session.c.expires_at > datetime.now(UTC))
            .label("signed_in"),
        )
        .join(account, account.c.id == replay_view.c.account_id)
        .where(replay_view.c.id == view_id, replay_view.c.account_id == account_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError
    role, department = Role(row.role), row.department_id  # as they are now
    viewer = User(account_id, row.username, row.display_name, role, department, session_id, address="")
    _check_scope(tx, viewer, view_id, row.recording_id)
    over = row.closed_at is not None or row.lease_until <= datetime.now(UTC)
    if over or row.disabled_at is not None or not row.signed_in:
        _keys.forget(view_id)
        raise ViewOverError
    return View(view_id, row.recording_id, account_id, session_id, row.lease_until)


def _check_scope(tx: Connection, viewer: User, view_id: uuid.UUID, recording_id: uuid.UUID) -> None:
    """A role, department or part that was taken away ends an open replay as well."""
    try:
        access.get_recording_for(tx, viewer, recording_id)
    except NotFoundError:
        _keys.forget(view_id)
        raise


def record_watched(settings: Settings, view: View, ranges: Sequence[Sequence[int]]) -> View:
    """Add watched spans (ms, [start, end]) and renew the lease; returns the view with its new lease.

    Raises InvalidInputError for spans that are none, ViewOverError.
    """
    spans = checked(ranges)
    until = datetime.now(UTC) + timedelta(seconds=settings.timing.replay_lease)
    with transaction("staff", settings) as tx:
        _view(tx, view.id, view.account_id, view.session_id)
        kept = tx.execute(
            select(replay_view.c.watched).where(replay_view.c.id == view.id).with_for_update()
        ).scalar_one()
        tx.execute(
            update(replay_view)
            .where(replay_view.c.id == view.id, replay_view.c.closed_at.is_(None))
            .values(watched=merged([*kept, *spans]), lease_until=until)
        )
    return View(view.id, view.recording_id, view.account_id, view.session_id, until)


def vault_locked(settings: Settings) -> bool:
    """Whether nothing more can be shown until the vault is unlocked; learnt within seconds, as by a read."""
    try:
        _keys.require_unlocked(settings)
    except VaultLockedError:
        return True
    return False


def renew(settings: Settings, view: View) -> View:
    """Keep the view alive while nothing plays."""
    return record_watched(settings, view, [])


def close(settings: Settings, user: User, view: View) -> None:
    """End the view and put the watched seconds on the log. Closing twice is closing once."""
    _keys.forget(view.id)
    with transaction("staff", settings) as tx:
        row = tx.execute(
            update(replay_view)
            .where(
                replay_view.c.id == view.id,
                replay_view.c.account_id == user.account_id,
                replay_view.c.closed_at.is_(None),
            )
            .values(closed_at=datetime.now(UTC))
            .returning(replay_view.c.watched)
        ).one_or_none()
        if row is not None:
            _note_closed(tx, log.Actor.of(user), view.recording_id, view.id, row.watched, None)


@jobs.task("close_lapsed_views", retry=False)
def close_lapsed_views(work: jobs.Work) -> None:
    """Close the views whose lease ran out without a word from their page. Run twice it finds none."""
    before = datetime.now(UTC) - timedelta(seconds=LAPSED_SECONDS)
    with transaction("worker", work.settings) as tx:
        lapsed = tx.execute(
            select(replay_view.c.id)
            .where(replay_view.c.closed_at.is_(None), replay_view.c.lease_until < before)
            .limit(LAPSED_BATCH)
            .with_for_update(skip_locked=True)
        ).scalars()
        rows = tx.execute(
            update(replay_view)
            .where(replay_view.c.id.in_(list(lapsed)))
            .values(closed_at=replay_view.c.lease_until)
            .returning(replay_view.c.id, replay_view.c.recording_id, replay_view.c.watched)
        ).all()
        for row in rows:
            _note_closed(tx, log.Actor.unit("worker"), row.recording_id, row.id, row.watched, "lapsed")


def _note_closed(
    tx: Connection,
    actor: log.Actor,
    recording_id: uuid.UUID,
    view_id: uuid.UUID,
    watched: list[list[int]],
    reason: str | None,
) -> None:
    details = {"view": str(view_id), "watched": watched, "watched_ms": total_ms(watched)}
    log.append(tx, log.Action.REPLAY_CLOSE, actor, "recording", recording_id, reason=reason, details=details)


# --- bytes -------------------------------------------------------------------------------------------------

_keys = FileKeys()
_met = Met()


class TrackFile:
    """A sealed track opened for reading under a view. `size` in bytes of plaintext; close it when done."""

    def __init__(
        self, settings: Settings, view: View, file: str, mime: str, header_sha256: bytes | None = None
    ) -> None:
        """`header_sha256`: which writing of the file is meant. Raises DamagedError for an earlier copy that
        was put back."""
        self._settings, self._view, self._file = settings, view, file
        self.mime = mime
        self._reader = _open(settings, view, "track", file)
        try:
            documents.require_meant(self._reader.header, header_sha256)
        except IntegrityError as error:
            self._reader.close()
            raise told(error) from error
        self.size = self._reader.size
        self.etag = self._reader.header.digest.hex()[:32]
        self._checked_at = time.monotonic()

    def read(self, start: int, end: int) -> bytes:
        """Plaintext bytes start … end − 1.

        Raises ViewOverError once the view has ended, VaultLockedError once the vault is locked, DamagedError.
        """
        now = time.monotonic()
        if now - self._checked_at > RECHECK_SECONDS:
            with transaction("staff", self._settings) as tx:
                _view(tx, self._view.id, self._view.account_id, self._view.session_id)
            self._checked_at = now
        _keys.require_unlocked(self._settings)
        try:
            return self._reader.read_range(start, end)
        except VaultError as error:
            if isinstance(error, IntegrityError):
                _met.note(self._settings, self._view.id, self._view.recording_id, self._file, error)
            raise told(error) from error

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The same range in pieces of PIECE_BYTES, so that memory stays bounded; closes at its end.

        Pieces end where segments end: one that did not would open a segment that the next opens again.
        """
        with self:
            while start < end:
                stop = min(end, (start // PIECE_BYTES + 1) * PIECE_BYTES)
                yield self.read(start, stop)
                start = stop

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def __enter__(self) -> TrackFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_track(settings: Settings, view: View, name: str) -> TrackFile:
    """A track of the view's recording.

    Raises NotFoundError, VaultLockedError, KeyholderDownError, KeyRefusedError, BeingRepairedError,
    DamagedError.
    """
    with transaction("staff", settings) as tx:
        found = tx.execute(
            select(track.c.file, track.c.mime, track.c.header_sha256).where(
                track.c.recording_id == view.recording_id, track.c.name == name
            )
        ).one_or_none()
    if found is None:
        raise NotFoundError
    _met.require_settled(settings, view.recording_id, found.file)
    try:
        return TrackFile(settings, view, found.file, found.mime, found.header_sha256)
    except DamagedError as error:
        cause = error.__cause__
        if isinstance(cause, IntegrityError | NotFound):
            _met.note(settings, view.id, view.recording_id, found.file, cause)
            _met.require_settled(settings, view.recording_id, found.file)
        raise


def track_range(settings: Settings, view: View, name: str, start: int, end: int) -> Iterator[bytes]:
    """Bytes start … end − 1 of a track, in pieces. Everything that can be refused is refused at the call."""
    return open_track(settings, view, name).pieces(start, end)


def document(settings: Settings, view: View, name: str) -> bytes:
    """The newest version of a sealed document, as JSON text. Raises NotFoundError and as open_track does."""
    with transaction("staff", settings) as tx:
        version = documents.newest_versions(tx, view.recording_id).get(name)
        known = documents.meant(tx, view.recording_id)
    if version is None:
        raise NotFoundError
    file = documents.file_name(name, version)
    with _open(settings, view, "document", file) as reader:
        try:
            documents.require_meant(reader.header, known.get(("document", file)))
            return reader.read_range(0, reader.size)
        except VaultError as error:
            raise told(error) from error


def _open(settings: Settings, view: View, kind: str, name: str) -> SealedReader:
    try:
        try:
            return _open_once(settings, view, kind, name)
        except IntegrityError as error:
            if error.kind != "replaced":
                raise
            _keys.forget(view.id)  # it was sealed once more since its key was asked for
            return _open_once(settings, view, kind, name)
    except VaultError as error:
        raise told(error) from error


def _open_once(settings: Settings, view: View, kind: str, name: str) -> SealedReader:
    vault = vault_of(settings)
    header, key = _keys.key(settings, vault, view.id, view.recording_id, view.lease_until, kind, name)
    return vault.open_sealed(view.recording_id, kind, name, key, expect=header)
