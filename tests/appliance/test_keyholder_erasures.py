"""The keyholder's erase ledger: what an unlock demands of it, and what a restore cannot bring back."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance import cli, packet
from appliance.config import Settings
from appliance.errors import InvalidInputError, KeyRefusedError, LedgerRefusedError, VaultLockedError
from appliance.intake_folder import IntakeFolder
from appliance.keyholder.client import Keyholder
from appliance.keyholder.custody import Custody
from appliance.keyholder.server import Server
from storage import disk
from storage.vault import EMPTY, Entry, Head, IntegrityError, KeyStore, NotFound
from tests.support.keyholder import running_keyholder, unlock

YEAR = 2026


def custody_of(server: Server) -> Custody:
    return server.service.custody


def made_key(settings: Settings, server: Server) -> uuid.UUID:
    recording, department = uuid.uuid4(), uuid.uuid4()
    custody_of(server).tree.create_recording_key(recording, department, YEAR)
    return recording


def erased(server: Server, *recordings: uuid.UUID, person: uuid.UUID | None = None) -> Entry:
    return custody_of(server).erasures.erase(uuid.uuid4(), uuid.uuid4(), person, recordings, [])


def copies(settings: Settings) -> tuple[Path, Path]:
    return settings.keys_folder / "ledger", settings.vault_folder / "ledger"


@contextlib.contextmanager
def restarted(settings: Settings) -> Iterator[Keyholder]:
    with running_keyholder(settings):
        yield Keyholder(settings)


def fupan(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, [*arguments], prog_name="fupan")


def test_an_erased_key_is_gone_and_never_made_again(settings: Settings, server: Server) -> None:
    custody, department = custody_of(server), uuid.uuid4()
    recording = uuid.uuid4()
    custody.tree.create_recording_key(recording, department, YEAR)
    custody.tree.new_file_key(recording, "track", "camera")
    entry = erased(server, recording)
    assert KeyStore(settings.keys_folder).list("recording") == []
    with pytest.raises(KeyRefusedError):
        custody.tree.new_file_key(recording, "track", "camera")
    with pytest.raises(Exception, match="was erased"):
        custody.tree.create_recording_key(recording, department, YEAR)
    assert custody.erasures.head.count == entry.seq == 1
    first, second = (path.read_bytes() for path in copies(settings))
    assert first == second == entry.line + b"\n"


def test_one_mark_is_one_entry(settings: Settings, server: Server) -> None:
    erasures, recording = custody_of(server).erasures, made_key(settings, server)
    mark, event = uuid.uuid4(), uuid.uuid4()
    first = erasures.erase(mark, event, None, [recording], [])
    assert erasures.erase(mark, event, None, [recording], []) == first
    assert erasures.head.count == 1


def test_the_ledger_names_what_a_crash_left(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the entry and the record: nothing is given any more, and the next unlock destroys it."""
    recording = made_key(settings, server)
    with monkeypatch.context() as patched:
        patched.setattr(KeyStore, "destroy", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            erased(server, recording)
    assert KeyStore(settings.keys_folder).list("recording") == [str(recording)]
    with pytest.raises(KeyRefusedError):
        custody_of(server).tree.new_file_key(recording, "track", "camera")
    custody_of(server).lock()
    unlock(settings)
    assert KeyStore(settings.keys_folder).list("recording") == []


def test_a_restored_key_is_destroyed_again_before_the_unlock(settings: Settings, tmp_path: Path) -> None:
    with running_keyholder(settings) as server:
        recording, other = made_key(settings, server), made_key(settings, server)
        shutil.copytree(settings.keys_folder, tmp_path / "backup")
        erased(server, recording)
    shutil.rmtree(settings.keys_folder)
    shutil.copytree(tmp_path / "backup", settings.keys_folder)  # with a ledger from before, or none
    store = KeyStore(settings.keys_folder)
    assert store.get("recording", str(recording))
    with restarted(settings) as keyholder:
        assert not keyholder.status().locked
    assert store.list("recording") == [str(other)]
    assert copies(settings)[0].read_bytes() == copies(settings)[1].read_bytes() != b""


def test_a_link_in_a_records_place_stops_no_erasure(settings: Settings, server: Server) -> None:
    recording, custody = made_key(settings, server), custody_of(server)
    path = custody.store.path("recording", str(recording))
    path.symlink_to(path.rename(path.with_name("real")))
    with pytest.raises(IntegrityError, match="no plain file"):
        custody.tree.new_file_key(recording, "track", "camera")
    assert erased(server, recording).seq == 1
    assert custody.store.list("recording") == []
    custody.lock()
    unlock(settings)
    assert not custody.locked


class TestRefused:
    """Each time: it stays locked, says what is missing, and goes on once that is brought back."""

    @pytest.fixture
    def kept(self, settings: Settings) -> bytes:
        """A site, stopped, that has erased three recordings; the ledger."""
        with running_keyholder(settings) as server:
            for _ in range(3):
                erased(server, made_key(settings, server))
        return copies(settings)[0].read_bytes()

    @staticmethod
    def write(settings: Settings, data: bytes) -> None:
        for path in copies(settings):
            path.write_bytes(data)

    def test_cut(self, settings: Settings, kept: bytes) -> None:
        self.write(settings, b"".join(kept.splitlines(keepends=True)[:2]))
        with restarted(settings) as keyholder:
            status = keyholder.status()
            assert status.locked
            assert "entries 3 to 3 are missing, which this keyholder's journal knows" in status.ledger_problem
            with pytest.raises(LedgerRefusedError, match="entries 3 to 3"):
                unlock(settings)
            assert keyholder.status().locked
            self.write(settings, kept)
            unlock(settings)
            assert not keyholder.status().locked
            assert keyholder.status().ledger_problem == ""

    def test_removed(self, settings: Settings, kept: bytes) -> None:
        for path in copies(settings):
            path.unlink()
        with restarted(settings), pytest.raises(LedgerRefusedError, match="entries 1 to 3"):
            unlock(settings)

    def test_removed_with_its_key(self, settings: Settings, kept: bytes) -> None:
        KeyStore(settings.keys_folder).path("service", "ledger-1").unlink()
        with (
            restarted(settings),
            pytest.raises(LedgerRefusedError, match="is missing although entries exist"),
        ):
            unlock(settings)

    def test_swapped_and_changed(self, settings: Settings, kept: bytes) -> None:
        lines = kept.splitlines(keepends=True)
        for data, why in (
            (lines[1] + lines[0] + lines[2], "gap"),
            (lines[0] + lines[2], "gap"),
            (kept.replace(b'"kept":[]', b'"kept": []'), "line"),
            (kept.replace(b"2026-", b"2025-").replace(b"2027-", b"2025-"), "forged"),
        ):
            self.write(settings, data)
            with restarted(settings), pytest.raises(LedgerRefusedError, match=why):
                unlock(settings)

    def test_unsigned_entries_erase_nothing(self, settings: Settings, kept: bytes, tmp_path: Path) -> None:
        """A ledger of another site, put in this one's place."""
        with running_keyholder(settings) as server:
            alive = made_key(settings, server)
            record = KeyStore(settings.keys_folder).get("recording", str(alive)).encode()
        foreign = kept.splitlines(keepends=True)[0].replace(
            b'"kept":[]', b'"kept":["%s"]' % str(alive).encode()
        )
        self.write(settings, kept + foreign)
        with restarted(settings), pytest.raises(LedgerRefusedError, match="forged"):
            unlock(settings)
        assert KeyStore(settings.keys_folder).get("recording", str(alive)).encode() == record

    def test_the_keyholders_journal_was_restored_as_well(self, settings: Settings, kept: bytes) -> None:
        """Then a tombstone at intake, or a person with a printed page, knows better."""
        journal = settings.data / "keyholder" / "journal"
        with running_keyholder(settings) as server:
            head = custody_of(server).erasures.head
        whole = journal.read_bytes()
        journal.unlink()
        short = b"".join(kept.splitlines(keepends=True)[:1])
        self.write(settings, short)
        with restarted(settings) as keyholder:
            assert not keyholder.status().locked  # nothing knows better
            with pytest.raises(LedgerRefusedError, match="entries 2 to 3 are missing, which the page knows"):
                keyholder.expect_ledger(str(head))
            assert keyholder.status().locked
            with pytest.raises(LedgerRefusedError, match="which the page knows"):
                unlock(settings)
        self.write(settings, kept)
        journal.write_bytes(whole)
        with restarted(settings) as keyholder:
            assert not keyholder.status().locked
            keyholder.expect_ledger(str(head))
            keyholder.expect_ledger("1:" + custody_head(kept, 1))

    def test_a_tombstone_knows(self, settings: Settings, kept: bytes) -> None:
        folder, recording = IntakeFolder(settings.intake_folder), uuid.uuid4()
        with running_keyholder(settings):
            keyholder = Keyholder(settings)
            folder.install_service_keys(keyholder.publics().service_keys)
            statement = packet.tombstone_statement(keyholder.status().vault_id, recording, "sealed")
            folder.put_tombstone(keyholder.sign("tombstone", statement))
        assert folder.tombstone(recording)["ledger"]["count"] == 3  # type: ignore[index]
        (settings.intake_folder / "tombstones" / f"{uuid.uuid4()}.tombstone").write_bytes(b"{}")
        forged = {"statement": '{"ledger":{"count":9,"head":"%s"},"type":"tombstone"}' % ("ab" * 32)}
        (settings.intake_folder / "tombstones" / "x.tombstone").write_bytes(packet.canonical(forged))
        (settings.data / "keyholder" / "journal").unlink()
        self.write(settings, b"")
        with (
            restarted(settings),
            pytest.raises(LedgerRefusedError, match="which a tombstone at intake knows"),
        ):
            unlock(settings)
        self.write(settings, kept)
        with restarted(settings) as keyholder:
            assert not keyholder.status().locked

    def test_a_signed_checkpoint_from_a_file(self, settings: Settings, kept: bytes, tmp_path: Path) -> None:
        paper = tmp_path / "checkpoint.json"
        with running_keyholder(settings):
            keyholder = Keyholder(settings)
            statement = {"type": "checkpoint", "version": 1, "vault": str(keyholder.status().vault_id)}
            paper.write_bytes(keyholder.sign("checkpoint", statement))
        (settings.data / "keyholder" / "journal").unlink()
        self.write(settings, b"")
        with restarted(settings) as keyholder:
            keyholder.lock()
            told = fupan("vault", "unlock", "--checkpoint", str(paper))
            assert told.exit_code == 1
            assert "entries 1 to 3 are missing, which the checkpoint knows" in told.output
            assert keyholder.status().locked
            self.write(settings, kept)
            told = fupan("vault", "unlock", "--checkpoint", str(paper))
            assert (told.exit_code, told.output) == (0, "the vault is unlocked\n")
            forged = paper.read_text().replace('\\"count\\":3', '\\"count\\":1')
            for text in (forged, "{}", "3:abc", "nonsense"):
                with pytest.raises(InvalidInputError):
                    keyholder.expect_ledger(text)

    def test_a_pipe_in_a_copys_place_is_not_waited_for(self, settings: Settings, kept: bytes) -> None:
        """Neither at the start, nor at an unlock, nor by a check."""
        path = copies(settings)[1]
        path.unlink()
        os.mkfifo(path)
        with restarted(settings) as keyholder:
            assert f"{path} is no plain file" in keyholder.status().ledger_problem
            with pytest.raises(LedgerRefusedError, match="is no plain file"):
                unlock(settings)
            told = fupan("vault", "check")
            assert f"DAMAGE  stranger  {path}" in told.output
            path.unlink()
            unlock(settings)
        assert path.read_bytes() == kept

    def test_a_check_names_it_without_a_key(self, settings: Settings, kept: bytes) -> None:
        assert fupan("vault", "check").exit_code == 0
        copies(settings)[1].write_bytes(kept.replace(b'"seq":2', b'"seq":3'))
        told = fupan("vault", "check")
        assert told.exit_code == 1
        assert f"DAMAGE  forged  {copies(settings)[1]}" in told.output


def custody_head(data: bytes, count: int) -> str:
    return hashlib.sha256(data.splitlines()[count - 1]).hexdigest()


def test_a_day_key_is_noted_once(settings: Settings, server: Server) -> None:
    erasures, today = custody_of(server).erasures, dt.datetime.now(dt.UTC).date().isoformat()
    erasures.note_day_key(today)
    erasures.note_day_key(today)
    assert erasures.head.count == 1
    with pytest.raises(NotFound):
        custody_of(server).store.get("day", today)
    custody_of(server).lock()
    unlock(settings)
    assert today not in KeyStore(settings.keys_folder).list("day")


def test_nothing_is_erased_while_locked(settings: Settings, server: Server) -> None:
    recording = made_key(settings, server)
    custody_of(server).lock()
    with pytest.raises(VaultLockedError):
        erased(server, recording)
    assert custody_of(server).erasures.head == EMPTY
    assert KeyStore(settings.keys_folder).list("recording") == [str(recording)]


def test_a_full_disk_erases_nothing(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = made_key(settings, server)

    def full(_fd: int) -> None:
        raise disk.VaultFull("disk")

    with monkeypatch.context() as patched:
        patched.setattr(disk, "sync_data", full)
        with pytest.raises(disk.VaultFull):
            erased(server, recording)
    assert custody_of(server).erasures.head == EMPTY
    assert custody_of(server).tree.new_file_key(recording, "track", "camera")


def test_the_status_says_how_far_it_goes(settings: Settings, server: Server) -> None:
    keyholder = Keyholder(settings)
    assert keyholder.status().ledger == str(EMPTY)
    erased(server, made_key(settings, server))
    head = Head.parse(keyholder.status().ledger)
    assert head.count == 1
    assert head == custody_of(server).erasures.head


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("which", [0, 1])
def test_a_disk_that_takes_no_entry_stops_erasing_and_nothing_else(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch, which: int, code: int
) -> None:
    goes, stays, went = (made_key(settings, server) for _ in range(3))
    erased(server, went)
    custody, mark, path = custody_of(server), uuid.uuid4(), copies(settings)[which]
    locked_file = disk.locked_file

    def refuses(wanted: Path, *, create: bool, exclusive: bool) -> Any:
        if wanted == path:
            raise OSError(code, os.strerror(code), str(path))
        return locked_file(wanted, create=create, exclusive=exclusive)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "locked_file", refuses)
        for _ in range(2):
            with pytest.raises(OSError, match=os.strerror(code)):
                custody.erasures.erase(mark, uuid.uuid4(), None, [goes], [])
            custody.tree.new_file_key(stays, "track", "camera")
            assert Keyholder(settings).publics().vault_id
        custody.lock()
        unlock(settings)
        assert not Keyholder(settings).status().locked
    assert KeyStore(settings.keys_folder).list("recording") == sorted([str(goes), str(stays)])
    custody.erasures.erase(mark, uuid.uuid4(), None, [goes], [])
    assert KeyStore(settings.keys_folder).list("recording") == [str(stays)]
    assert custody.erasures.head.count == 2
    first, second = (copy.read_bytes() for copy in copies(settings))
    assert first == second


def test_an_unlock_waits_where_what_was_erased_cannot_be_destroyed_again(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, custody = made_key(settings, server), custody_of(server)
    record = custody.store.path("recording", str(recording)).read_bytes()
    erased(server, recording)
    custody.store.path("recording", str(recording)).write_bytes(record)  # as a restore does
    custody.lock()

    def fails(_path: Path) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "destroy", fails)
        with pytest.raises(LedgerRefusedError):
            unlock(settings)
    unlock(settings)
    assert KeyStore(settings.keys_folder).list("recording") == []
