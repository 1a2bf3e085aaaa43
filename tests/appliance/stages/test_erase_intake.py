"""What lies at intake while somebody is erased, and what is there again afterwards."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.durable import StrangeFileError
from appliance.keyholder.server import Server
from appliance.stages.erase import run
from appliance.transport import transport_of
from tests.support import erasure as support
from tests.support.site import Site


def own_folder(site: Site, made: uuid.UUID) -> Path:
    """Where intake keeps what it has of a recording."""
    return site.settings.intake_folder / "recordings" / str(made)


def test_a_strange_file_at_intake_keeps_no_other_mark_from_its_end(
    site: Site, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    first, marks = support.two_due(site, server)
    planted = own_folder(site, first) / "tracks" / "planted"
    planted.mkdir(parents=True)
    with caplog.at_level(logging.WARNING), pytest.raises(StrangeFileError, match=f"{first}/tracks/planted"):
        support.carry_out(site)
    assert [support.marks_of(site)[mark] for mark in marks] == ["erasing", "erased"]
    assert f"{first}/tracks/planted is a folder" in caplog.text
    planted.rmdir()
    assert support.carry_out(site) == 1
    assert set(support.marks_of(site).values()) == {"erased"}


def test_whatever_fails_of_one_keeps_no_other_mark_from_its_end(
    site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, marks = support.two_due(site, server)
    transport = transport_of(site.settings)
    remove = transport.remove_recording

    def fails(made: uuid.UUID) -> bool:
        if made == first:
            raise RuntimeError("nobody thought of this")
        return remove(made)

    monkeypatch.setattr(transport, "remove_recording", fails)
    with pytest.raises(RuntimeError, match="nobody thought"):
        run.carry_out(site.settings, transport)
    assert [support.marks_of(site)[mark] for mark in marks] == ["erasing", "erased"]


def test_a_pipe_in_place_of_a_tombstone_holds_up_no_erasure(site: Site, server: Server) -> None:
    made = support.recorded(site, resume_too=False)
    support.mark(site, made)
    support.days_pass(server, 8)
    tombstone = site.settings.intake_folder / "tombstones" / f"{made}.tombstone"
    tombstone.parent.mkdir(exist_ok=True)
    os.mkfifo(tombstone)
    assert not transport_of(site.settings).remove_recording(made)
    assert support.carry_out(site) == 1
    assert tombstone.is_file()


def uploaded(folder: Path) -> None:
    (folder / "tracks").mkdir(parents=True)
    (folder / "tracks" / "camera.journal").write_bytes(b"what an upload under way made again")


def recorded(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "records.log").write_bytes(b"{}\n")


@pytest.mark.parametrize("left", [uploaded, recorded])
def test_what_an_upload_under_way_left_at_intake_goes_over_night(
    site: Site, server: Server, left: Callable[[Path], None]
) -> None:
    made, other = (support.recorded(site, name, resume_too=False) for name in ("ming", "hong"))
    support.mark(site, made)
    support.days_pass(server, 8)
    assert support.carry_out(site) == 1
    for each in (made, other):
        left(own_folder(site, each))
    transport = transport_of(site.settings)
    assert run.remove_again(site.settings, transport) == 1
    assert not own_folder(site, made).exists()
    assert own_folder(site, other).exists()
    assert run.remove_again(site.settings, transport) == 0


def test_packets_that_a_restore_of_intake_brought_back_go_over_night(site: Site, server: Server) -> None:
    made = support.recorded(site, resume_too=False)
    support.mark(site, made)
    support.days_pass(server, 8)
    assert support.carry_out(site) == 1
    packets = site.settings.intake_folder / "packets" / str(made)
    packets.mkdir()
    (packets / "1.packet").write_bytes(b"a name, and questions")
    assert run.remove_again(site.settings, transport_of(site.settings)) == 1
    assert not packets.exists()
