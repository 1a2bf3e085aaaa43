"""Promise: a full disk is survivable. New recordings are refused before it is full, running ones keep what
is acknowledged, and room alone mends everything."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.intake_folder import IntakeFolder
from storage.check import check_journal
from storage.errors import StoreDown, VaultFull
from storage.keys import derive_file_key
from storage.segment_format import new_header
from storage.vault import Vault, check
from tests.storage import builders
from tests.support.candidate import Candidate, Epoch, flask_call
from tests.support.intake_site import IntakeSite
from tests.support.small_disk import mounted, remount
from webui.intake.app import create_app

pytestmark = pytest.mark.promise
Record = Callable[[str, object], None]

MIB = 1 << 20
FLOOR = 16 * MIB  # new recordings stop here, running ones at an eighth of it
ROUNDS = 10


@dataclass
class Sitting:
    """A candidate who records, and what was acknowledged."""

    browser: Candidate
    epoch: Epoch
    acknowledged: dict[int, bytes] = field(default_factory=dict)
    waiting: list[tuple[int, int, bytes]] = field(default_factory=list)

    def send(self, plaintext: bytes) -> bool:
        """Record a piece and send what waits, in order; False once one is refused for want of room."""
        self.waiting.append(self.epoch.chunk(plaintext))
        return self.send_waiting()

    def send_waiting(self) -> bool:
        while self.waiting:
            piece = self.waiting[0]
            status, answer = self.browser.put(self.epoch, piece)
            if status == 507:
                assert answer["code"] == "full"
                return False
            assert status in (200, 201), answer
            self.acknowledged[piece[0]] = piece[2]
            self.waiting.pop(0)
        return True


def _begin(site: IntakeSite, call: Callable[..., tuple[int, dict[str, object]]]) -> Sitting | None:
    """A candidate who has begun; None when there was no room to."""
    packet, secret = site.invite()
    browser = Candidate(call, packet.recording, secret)
    if browser.begin()[0] == 507:
        return None
    assert browser.consent()[0] == 200
    return Sitting(browser, browser.epoch())


def _require_all_kept(site: IntakeSite, sittings: list[Sitting]) -> int:
    """Every acknowledged piece, as a process that has just started reads it."""
    folder, kept = IntakeFolder(site.settings.intake_folder), 0
    for sitting in sittings:
        if not sitting.acknowledged:
            continue
        journal = folder.journal(sitting.browser.recording, "camera", 1 << 40)
        assert [f for f in check_journal(journal.path, full=True) if not f.harmless] == []
        for n, body in sitting.acknowledged.items():
            opening = sitting.epoch.writer.opening.raw
            assert opening + journal.read(bytes.fromhex(sitting.epoch.id), n) == body
            kept += 1
    return kept


def test_ten_rounds_on_a_disk_of_64_mib(tmp_path: Path, record_property: Record) -> None:
    rng = random.Random(64)
    kept = refused = 0
    with mounted(tmp_path / "small", "size=64m") as disk:
        site = IntakeSite(disk / "data", disk_floor_bytes=FLOOR)
        for _ in range(ROUNDS):
            call = flask_call(create_app(site.settings).test_client(use_cookies=False))
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(rng.randrange(12 * MIB, 28 * MIB)))
            sittings = [s for _ in range(rng.randrange(2, 5)) if (s := _begin(site, call)) is not None]
            running, before = list(sittings), 0
            assert running
            while running:
                free = site.folder.free_bytes()
                if free < FLOOR:
                    assert _begin(site, call) is None, "somebody new began below the floor"
                    before += 1
                sitting = rng.choice(running)
                if not sitting.send(rng.randbytes(rng.randrange(50_000, 600_000))):
                    refused += 1
                    running.remove(sitting)
                    assert site.folder.free_bytes() > MIB, "refused only once the disk was full"
            assert before, "nobody new was refused while others went on"
            kept += _require_all_kept(site, sittings)
            ballast.unlink()
            for sitting in sittings:
                assert sitting.send_waiting(), "room alone did not mend it"
                piece = sitting.epoch.end()
                assert sitting.browser.put(sitting.epoch, piece)[0] == 201
                assert sitting.browser.finish(sitting.epoch)[0] == 200
            _require_all_kept(site, sittings)
            for sitting in sittings:  # as sealing and retention do, so that the next round has room
                shutil.rmtree(site.settings.intake_folder / "recordings" / str(sitting.browser.recording))
    record_property(
        "figure",
        f"{ROUNDS} rounds: {refused} recorders refused before full, {kept} acknowledged chunks, 0 lost",
    )


def test_a_vault_without_room_keeps_what_it_has(tmp_path: Path, record_property: Record) -> None:
    """Here nothing stops before the disk is really full."""
    rng, sealed, full = random.Random(7), {}, 0
    with mounted(tmp_path / "small", "size=8m") as disk:
        vault = Vault(disk / "vault")
        for i in range(60):
            name, plain = f"note.v{i}", rng.randbytes(rng.randrange(1, 900_000))
            header = new_header(builders.VAULT, builders.RECORDING, "document", name)
            key = derive_file_key(builders.RECORDING_KEY, header)
            try:
                vault.write_document(builders.RECORDING, name, header, key, plain)
                sealed[name] = (key, plain)
            except VaultFull:
                full += 1
                if rng.random() < 0.3 and sealed:  # somebody makes room
                    gone = rng.choice(sorted(sealed))
                    vault.path(builders.RECORDING, "document", gone).unlink()
                    del sealed[gone]
        vault.tidy(builders.RECORDING)
        assert full > 5
        assert list(check(vault, full=True)) == []
        assert {file.name for file in vault.list(builders.RECORDING)} == set(sealed)
        for name, (key, plain) in sealed.items():
            assert vault.read_document(builders.RECORDING, name, key) == plain
    record_property("figure", f"{full} writes found no room; {len(sealed)} sealed files whole, 0 leftovers")


def test_a_disk_that_became_read_only_gives_what_it_has_and_loses_nothing(tmp_path: Path) -> None:
    """As a kernel leaves a disk that it no longer trusts; the candidate's pieces wait in the browser."""
    with mounted(tmp_path / "small", "size=64m") as disk:
        site, vault = IntakeSite(disk / "data", disk_floor_bytes=FLOOR), Vault(disk / "vault")
        header = new_header(builders.VAULT, builders.RECORDING, "document", "note")
        key = derive_file_key(builders.RECORDING_KEY, header)
        vault.write_document(builders.RECORDING, "note", header, key, b"kept")
        call = flask_call(create_app(site.settings).test_client(use_cookies=False))
        sitting = _begin(site, call)
        assert sitting is not None
        assert sitting.send(b"first")
        remount(disk, "ro")
        assert not sitting.send(b"second")
        other = new_header(builders.VAULT, builders.RECORDING, "document", "other")
        with pytest.raises(StoreDown) as refused:
            vault.write_document(builders.RECORDING, "other", other, key, b"never")
        assert refused.value.kind == "read_only"
        assert vault.read_document(builders.RECORDING, "note", key) == b"kept"
        assert list(check(vault, full=True)) == []
        assert _require_all_kept(site, [sitting]) == 1
        remount(disk, "rw")
        assert sitting.send_waiting()
        assert _require_all_kept(site, [sitting]) == 2
