"""Locking and unlocking the vault: who did it is on the log before it happens; nobody else is answered."""

from __future__ import annotations

import json
import os
import pwd
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, text

from appliance import cli
from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import DatabaseRole, transaction
from appliance.errors import AuditUnavailableError, FupanError, KeyRefusedError
from appliance.keyholder import gate, orders
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.tables import audit_event
from appliance.vault_errors import UnlockError
from tests.support.keyholder import full_disk, journal_lines, key_file, running_keyholder

ME = Actor.unit("test")


def fupan(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, [*arguments], prog_name="fupan")


def events(settings: Settings) -> list[dict[str, Any]]:
    """What the audit log says of the vault, oldest first."""
    with transaction("auditor", settings) as tx:
        bodies = tx.scalars(
            select(audit_event.c.body).where(audit_event.c.object_type == "vault").order_by(audit_event.c.seq)
        )
        return [json.loads(body)["event"] for body in bodies]


def journal(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal_lines(settings)]


def order(
    settings: Settings,
    action: Action = Action.VAULT_UNLOCK,
    vault: uuid.UUID | str = "",
    outcome: str = "ok",
    role: DatabaseRole = "staff",
) -> uuid.UUID:
    """A committed order as nobody should write it."""
    about = vault or Keyholder(settings).status().vault_id
    with transaction(role, settings) as tx:
        return log.append(tx, action, ME, "vault", about, outcome).id


@pytest.fixture
def unwritable(settings: Settings) -> Iterator[None]:
    """An audit log that takes nothing."""
    with transaction("owner", settings) as tx:
        tx.execute(text("REVOKE EXECUTE ON FUNCTION audit_append(text) FROM fupan_staff"))
    yield
    with transaction("owner", settings) as tx:
        tx.execute(text("GRANT EXECUTE ON FUNCTION audit_append(text) TO fupan_staff"))


def test_who_locks_and_unlocks_is_on_the_log(settings: Settings, keyholder: Keyholder) -> None:
    me, vault = pwd.getpwuid(os.getuid()).pw_name, str(keyholder.status().vault_id)
    done = fupan("vault", "lock")
    assert (done.exit_code, done.output) == (0, "the vault is locked\n")
    assert keyholder.status().locked
    assert fupan("vault", "unlock").exit_code == 0
    assert not keyholder.status().locked
    found = events(settings)
    assert [each["action"] for each in found] == ["vault:lock", "vault:unlock"]
    assert {(each["actor"]["name"], each["object"]["id"], each["outcome"]) for each in found} == {
        (me, vault, "ok")
    }
    assert [entry["event"] for entry in journal(settings)] == [each["id"] for each in found]


def test_what_cannot_be_recorded_is_locked_all_the_same_and_never_unlocked(
    settings: Settings, keyholder: Keyholder, unwritable: None
) -> None:
    done = fupan("vault", "lock")
    assert done.exit_code == 0
    assert "the keyholder's own journal" in done.output
    assert keyholder.status().locked
    assert journal(settings)[-1]["op"] == "lock"
    assert journal(settings)[-1]["unrecorded"] is True
    with pytest.raises(AuditUnavailableError):
        orders.unlock(settings, ME)
    assert keyholder.status().locked
    assert events(settings) == []


def test_an_order_that_fails_says_so_on_the_log(settings: Settings, keyholder: Keyholder) -> None:
    keyholder.lock()
    key_file(settings).unlink()
    with pytest.raises(UnlockError):
        orders.unlock(settings, ME)
    assert [(each["outcome"], each.get("reason")) for each in events(settings)] == [
        ("ok", None),
        ("failed", UnlockError.code),
    ]


def test_only_a_fresh_order_for_this_vault_unlocks_and_only_once(
    settings: Settings, keyholder: Keyholder, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [
        uuid.uuid4(),
        order(settings, action=Action.VAULT_LOCK),
        order(settings, vault=uuid.uuid4()),
        order(settings, outcome="failed"),
        order(settings, role="worker"),
    ]
    used = order(settings)
    keyholder.lock()
    keyholder.unlock(used)
    keyholder.lock()
    for event in (*refused, used):
        with pytest.raises(KeyRefusedError):
            keyholder.unlock(event)
    monkeypatch.setattr(gate, "ORDER_SECONDS", -1)
    with pytest.raises(KeyRefusedError, match="key"):
        keyholder.unlock(order(settings))
    assert keyholder.status().locked


# Another user ----------------------------------------------------------------------------------------


def asked_by(uid: int, path: Path, request: bytes) -> str:
    """What a process of this user gets from a socket, or the error that keeps it away."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(str(path))
                connection.sendall(request)
                told = connection.makefile("rb").readline()
        except OSError as error:
            told = type(error).__name__.encode()
        os.write(writing, told)
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as answer:
        return answer.read().decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_kept_away_by_the_mode_and_by_the_kernels_word(settings: Settings) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    with running_keyholder(settings) as usual, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        open_to_all = Server(Path(folder) / "socket", usual.service)
        thread = threading.Thread(target=open_to_all.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert asked_by(nobody, Path(folder) / "socket", b'{"op":"status"}\n') == "PermissionError"
            (Path(folder) / "socket").chmod(0o666)
            before = len(journal(settings))
            for request in (b'{"op":"status"}\n', b'{"op":"lock"}\n', b"junk\n"):
                answer = json.loads(asked_by(nobody, Path(folder) / "socket", request))
                assert answer["error"]["code"] == KeyRefusedError.code
            assert "ok" in json.loads(asked_by(0, Path(folder) / "socket", b'{"op":"status"}\n'))
        finally:
            open_to_all.shutdown()
            thread.join()
            open_to_all.server_close()
        written = journal(settings)[before:]
        assert [(each["op"], each["uid"]) for each in written] == [("connect", nobody)] * 3
        assert all(each["refused"] == "this user is not answered" for each in written)
        assert not Keyholder(settings).status().locked


def test_a_foreign_user_is_not_answered_when_that_cannot_be_written_down(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_keyholder(settings) as server:
        server.allowed = frozenset({os.geteuid() + 1})
        monkeypatch.setattr("appliance.keyholder.journal.os.fdatasync", full_disk)
        with pytest.raises(FupanError):
            Keyholder(settings).status()
