from __future__ import annotations

import datetime as dt
import threading
import tracemalloc
import uuid
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, update

from appliance.audit.log import Action
from appliance.config import Settings, Timing
from appliance.database import transaction
from appliance.domain import Role
from appliance.errors import (
    DamagedError,
    InvalidInputError,
    KeyholderDownError,
    KeyRefusedError,
    NewerFormatError,
    NotFoundError,
    VaultLockedError,
)
from appliance.keyholder.client import Keyholder
from appliance.stages import replay
from appliance.stages.replay import watched
from appliance.stages.replay.damage import BeingRepairedError
from appliance.tables import assignment, recording, replay_view, session
from storage.vault import Vault
from tests.appliance.upkeep.test_repair import journals_gone
from tests.support import factory
from tests.support.keyholder import running_keyholder, unlock
from tests.support.media import recorded
from tests.support.site import Site


@pytest.fixture
def made(site: Site) -> uuid.UUID:
    return site.sealed(list(recorded()))


@pytest.fixture
def view(site: Site, made: uuid.UUID) -> replay.View:
    return replay.open_view(site.settings, site.recruiter, made)


def whole(settings: Settings, view: replay.View) -> bytes:
    with replay.open_track(settings, view, "camera") as file:
        return b"".join(file.pieces(0, file.size))


def test_any_range_equals_the_same_slice(site: Site, view: replay.View) -> None:
    plain = whole(site.settings, view)
    for start, end in ((0, 1), (0, 65536), (65535, 65537), (1000, len(plain)), (len(plain) - 1, len(plain))):
        got = b"".join(replay.track_range(site.settings, view, "camera", start, end))
        assert got == plain[start:end]


def test_opening_is_one_event_before_the_first_byte_and_ranges_are_none(site: Site, made: uuid.UUID) -> None:
    opened = replay.open_view(site.settings, site.recruiter, made)
    before = site.actions("recording", made)
    assert before[-1] == Action.REPLAY_OPEN
    for _ in range(5):
        whole(site.settings, opened)
    assert site.actions("recording", made) == before


def test_watched_seconds_are_merged_and_follow_on_the_log(site: Site, view: replay.View) -> None:
    later = replay.record_watched(site.settings, view, [[0, 2000], [1000, 2500]])
    assert later.lease_until > view.lease_until
    replay.record_watched(site.settings, view, [[2500, 3000], [3500, 3600]])
    replay.close(site.settings, site.recruiter, view)
    replay.close(site.settings, site.recruiter, view)
    assert site.actions("recording", view.recording_id).count(Action.REPLAY_CLOSE) == 1
    details = site.last_details("recording", view.recording_id)
    assert details["watched"] == [[0, 3000], [3500, 3600]]
    assert details["watched_ms"] == 3100
    with pytest.raises(replay.ViewOverError):
        replay.record_watched(site.settings, view, [[0, 1]])


@pytest.mark.parametrize(
    "ranges",
    [[[1]], [[5, 1]], [[-1, 5]], [["a", "b"]], [[0, 1.5]], [[0, True]], "00", [[0, 10**12]], [[0, 1]] * 1001],
)
def test_watched_spans_that_are_none_are_refused(ranges: list[list[int]]) -> None:
    with pytest.raises(InvalidInputError):
        watched.checked(ranges)


def test_many_spans_stay_few_and_lose_no_second() -> None:
    spans = [[n * 1000, n * 1000 + 500 + n % 7] for n in range(2000)]
    joined = watched.merged(spans)
    assert len(joined) <= watched.MAX_SPANS
    assert watched.total_ms(joined) >= watched.total_ms(spans)
    assert all(any(start <= s[0] and s[1] <= end for start, end in joined) for s in spans)


def test_nobody_else_can_use_a_view(site: Site, view: replay.View) -> None:
    other = factory.make_user(site.settings, Role.RECRUITER)
    site.sign_in(other)
    with pytest.raises(NotFoundError):
        replay.view_for(site.settings, other, view.id)
    assert replay.view_for(site.settings, site.recruiter, view.id) == view


def test_who_may_not_see_it_opens_nothing(site: Site, made: uuid.UUID) -> None:
    head = factory.make_user(site.settings, Role.DEPARTMENT_HEAD, factory.make_department(site.settings))
    interviewer = factory.make_user(site.settings, Role.INTERVIEWER, site.department)
    auditor = factory.make_user(site.settings, Role.AUDITOR)
    for user in (head, interviewer, auditor):
        with pytest.raises(NotFoundError):
            replay.open_view(site.settings, user, made)
    assert Action.REPLAY_OPEN not in site.actions("recording", made)
    site.sign_in(interviewer)
    with transaction("staff", site.settings) as tx:
        tx.execute(assignment.insert().values(attempt_id=made, account_id=interviewer.account_id))
    assert whole(site.settings, replay.open_view(site.settings, interviewer, made))


def test_an_open_replay_ends_with_the_access_it_rests_on(
    site: Site, made: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "RECHECK_SECONDS", -1.0)
    interviewer = factory.make_user(site.settings, Role.INTERVIEWER, site.department)
    site.sign_in(interviewer)
    with transaction("staff", site.settings) as tx:
        tx.execute(assignment.insert().values(attempt_id=made, account_id=interviewer.account_id))
    opened = replay.open_view(site.settings, interviewer, made)
    with replay.open_track(site.settings, opened, "camera") as file:
        assert file.read(0, 1)
        with transaction("staff", site.settings) as tx:
            tx.execute(delete(assignment).where(assignment.c.attempt_id == made))
        with pytest.raises(NotFoundError):
            file.read(0, 1)
    with pytest.raises(NotFoundError):
        replay.view_for(site.settings, interviewer, opened.id)
    with pytest.raises(NotFoundError):
        replay.record_watched(site.settings, opened, [[0, 1000]])


def test_what_is_not_sealed_cannot_be_opened(site: Site) -> None:
    made = site.finished(list(recorded()))
    with pytest.raises(replay.NotSealedError):
        replay.open_view(site.settings, site.recruiter, made)


def test_unknown_tracks_and_documents_are_not_found(site: Site, view: replay.View) -> None:
    with pytest.raises(NotFoundError):
        replay.open_track(site.settings, view, "screen")
    with pytest.raises(NotFoundError):
        replay.document(site.settings, view, "transcript")
    with pytest.raises(NotFoundError):
        replay.open_track(site.settings, view, "../camera")


def test_a_lease_ends_by_itself_and_the_keys_are_gone(site: Site, made: uuid.UUID) -> None:
    brief = replace(site.settings, timing=Timing(replay_lease=2.0))
    opened = replay.open_view(brief, site.recruiter, made)
    whole(brief, opened)
    held = len(replay._keys)
    assert held >= 1
    gone = threading.Event()
    watcher = threading.Thread(target=lambda: _until_empty(opened.id, gone))
    watcher.start()
    assert gone.wait(30)
    watcher.join()
    with pytest.raises(replay.ViewOverError):
        replay.view_for(brief, site.recruiter, opened.id)


def _until_empty(view_id: uuid.UUID, gone: threading.Event) -> None:
    while view_id in replay._keys._held:
        gone.wait(0.02)
    gone.set()


def test_a_page_that_went_away_is_closed_with_what_it_watched(site: Site, made: uuid.UUID) -> None:
    opened = replay.open_view(site.settings, site.recruiter, made)
    replay.record_watched(site.settings, opened, [[0, 1500]])
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    with transaction("staff", site.settings) as tx:
        tx.execute(update(replay_view).values(lease_until=long_ago))
    for _ in range(2):
        replay.close_lapsed_views(site.work)
    assert site.actions("recording", made).count(Action.REPLAY_CLOSE) == 1
    assert site.last_details("recording", made)["watched_ms"] == 1500


def test_a_running_stream_ends_with_the_session(
    site: Site, view: replay.View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "RECHECK_SECONDS", 0.0)
    with replay.open_track(site.settings, view, "camera") as file:
        assert file.read(0, 10)
        with transaction("staff", site.settings) as tx:
            tx.execute(delete(session))
        with pytest.raises(replay.ViewOverError):
            file.read(10, 20)


def test_a_locked_vault_or_an_absent_keyholder_is_said(site: Site, made: uuid.UUID) -> None:
    opened = replay.open_view(site.settings, site.recruiter, made)
    site.keyholder.lock()
    with pytest.raises(VaultLockedError):
        replay.open_track(site.settings, opened, "camera")
    with pytest.raises(VaultLockedError):
        replay.open_view(site.settings, site.recruiter, made)
    away = replace(site.settings, data=site.settings.data / "nowhere")
    with pytest.raises(KeyholderDownError):
        Keyholder(away).status()


def test_locking_the_vault_ends_open_replays_at_once_and_unlocking_brings_them_back(
    site: Site, view: replay.View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay.keys, "LOCK_SECONDS", 0.0)
    with replay.open_track(site.settings, view, "camera") as file:
        stream = file.pieces(0, file.size)
        first = file.read(0, 1000)
        site.keyholder.lock()
        for ask in (
            lambda: file.read(0, 1000),
            lambda: next(stream),
            lambda: replay.open_track(site.settings, view, "camera"),
            lambda: replay.document(site.settings, view, "timeline"),
        ):
            with pytest.raises(VaultLockedError):
                ask()
        assert len(replay._keys) == 0
    unlock(site.settings)
    with replay.open_track(site.settings, view, "camera") as file:
        assert file.read(0, 1000) == first


@pytest.mark.parametrize("way", ["close", "lock"])
def test_keys_that_arrive_after_the_view_was_closed_or_the_vault_locked_are_not_kept(
    site: Site, view: replay.View, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    real = Keyholder.file_keys

    def meanwhile(*arguments: Any) -> list[bytes]:
        keys = real(*arguments)
        if way == "close":
            replay.close(site.settings, site.recruiter, view)
        else:
            site.keyholder.lock()
            with pytest.raises(VaultLockedError):
                replay._keys.require_unlocked(site.settings)
        return keys

    monkeypatch.setattr(replay.keys, "LOCK_SECONDS", 0.0)
    monkeypatch.setattr(Keyholder, "file_keys", meanwhile)
    replay._keys.forget(view.id)
    with pytest.raises(KeyRefusedError):
        replay.open_track(site.settings, view, "camera")
    assert view.id not in replay._keys._held
    assert not replay._keys._asking


def test_a_keyholder_that_is_away_for_a_moment_stops_no_open_replay(
    site: Site, view: replay.View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay.keys, "LOCK_SECONDS", 0.0)
    with replay.open_track(site.settings, view, "camera") as file:
        site.settings.keyholder_socket.rename(site.settings.keyholder_socket.with_suffix(".away"))
        try:
            assert len(file.read(0, 1000)) == 1000
        finally:
            site.settings.keyholder_socket.with_suffix(".away").rename(site.settings.keyholder_socket)


def test_a_damaged_file_is_named_and_not_served(site: Site, view: replay.View) -> None:
    path = Vault(site.settings.vault_folder).path(view.recording_id, "track", "camera")
    journals_gone(site, view.recording_id)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with replay.open_track(site.settings, view, "camera") as file, pytest.raises(DamagedError):
        file.read(0, file.size)
    path.unlink()
    with pytest.raises(BeingRepairedError):
        replay.open_track(site.settings, view, "camera")
    site.run_jobs()
    with pytest.raises(DamagedError):
        replay.open_track(site.settings, view, "camera")


@pytest.mark.parametrize("place", [4, 5], ids=["version", "suite"])
def test_what_a_newer_release_stored_is_said_to_be_so(site: Site, view: replay.View, place: int) -> None:
    path = Vault(site.settings.vault_folder).path(view.recording_id, "track", "camera")
    data = bytearray(path.read_bytes())
    data[place] = 9
    path.write_bytes(data)
    with pytest.raises(NewerFormatError, match="a newer release of Fupan"):
        replay.open_track(site.settings, view, "camera")


def test_an_earlier_copy_that_was_put_back_is_refused(settings: Settings) -> None:
    """It opens under the recording's key, as what was sealed at another time does too."""
    with running_keyholder(settings) as server:
        site = Site(settings, Keyholder(settings))
        made = site.sealed_but_not_analysed(list(recorded()), analysis=False)
        header, key = server.service.custody.tree.new_file_key(made, "track", "camera")
        vault = Vault(settings.vault_folder)
        whole = vault.path(made, "track", "camera").read_bytes()
        with vault.begin(made, "track", "camera") as draft:
            with draft.writer(header, key) as writer:
                writer.write(b"what was sealed before")
            draft.commit()
        view = replay.open_view(settings, site.recruiter, made)
        journals_gone(site, made)
        with pytest.raises(BeingRepairedError):
            replay.open_track(settings, view, "camera")
        assert site.actions("recording", made)[-1] == Action.VAULT_DAMAGE
        site.run_jobs()  # which gives nothing: it is whole, yet not what was sealed
        assert site.rows(recording, id=made)[0].problem == "damaged"
        with pytest.raises(DamagedError, match="replaced"):
            replay.open_track(settings, view, "camera")
        vault.path(made, "track", "camera").write_bytes(whole)
        with replay.open_track(settings, view, "camera") as file:
            assert len(file.read(0, file.size)) == file.size


def test_streaming_holds_a_piece_at_a_time(site: Site) -> None:
    chunks = list(recorded(20.0))
    made = site.sealed(chunks)
    opened = replay.open_view(site.settings, site.recruiter, made)
    with replay.open_track(site.settings, opened, "camera") as file:
        size = file.size
        tracemalloc.start()
        for _ in file.pieces(0, size):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * replay.PIECE_BYTES


def test_eight_readers_at_once_all_get_the_same(site: Site, view: replay.View) -> None:
    plain = whole(site.settings, view)
    results: list[bytes] = []
    readers = [threading.Thread(target=lambda: results.append(whole(site.settings, view))) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert results == [plain] * 8
