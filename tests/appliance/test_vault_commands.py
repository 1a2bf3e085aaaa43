"""`fupan vault`: who gave an order, and what the check says of an intake that somebody tampered with."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.audit.log import Actor
from appliance.commands import vault, vault_check, vault_keys, vault_unlock
from appliance.config import Settings
from appliance.keyholder import orders, vault_client
from appliance.upkeep import tiers
from storage.vault import Vault, new_header


def test_the_vault_check_names_a_strange_journal_and_looks_at_the_others(settings: Settings) -> None:
    for number, put in enumerate((os.mkfifo, Path.mkdir, Path.touch)):
        path = settings.intake_folder / f"recordings/{number}/tracks/camera.journal"
        path.parent.mkdir(parents=True)
        put(path)
    done = CliRunner().invoke(cli.main, ["vault", "check"])
    assert done.exit_code == 1
    said = done.output.splitlines()
    assert [line.split()[:2] for line in said[:-2]] == [["DAMAGE", "stranger"]] * 2
    assert said[-2:] == ["looked at 0 sealed files, 0 key records, 3 uploads", "2 damaged"]


@pytest.mark.parametrize(("order", "arguments"), [("lock", []), ("unlock", []), ("tamper", ["lid"])])
def test_a_vault_order_is_that_of_whoever_gave_it_not_of_the_sites_user(
    monkeypatch: pytest.MonkeyPatch, order: str, arguments: list[str]
) -> None:
    """`sites.find` gives root's rights up for those of the user who owns the data."""
    users = [0]
    given: list[Actor] = []
    monkeypatch.setattr(os, "getuid", lambda: users[-1])
    for module in (vault, vault_unlock, vault_keys):
        monkeypatch.setattr(module, "site_settings", lambda: users.append(65534))
    at_hand = SimpleNamespace(slots=[SimpleNamespace(kind="file", ready=True)])
    monkeypatch.setattr(
        vault_client, "VaultKeyholder", lambda _settings: SimpleNamespace(vault=lambda: at_hand)
    )
    for name in ("lock", "unlock"):
        monkeypatch.setattr(orders, name, lambda _settings, actor, *_: given.append(actor) or True)
    assert CliRunner().invoke(cli.main, ["vault", order, *arguments]).exit_code == 0
    assert [actor.name for actor in given] == ["root"]


def test_a_move_is_ordered_by_whoever_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    users, given = [0], []
    monkeypatch.setattr(os, "getuid", lambda: users[-1])
    monkeypatch.setattr(vault, "site_settings", lambda: users.append(65534))
    monkeypatch.setattr(tiers, "order", lambda _settings, *order: given.append(order))
    recording = "22222222-2222-4222-8222-222222222222"
    done = CliRunner().invoke(cli.main, ["vault", "move", "--to", "cold", recording])
    assert (done.exit_code, done.output) == (0, "the move is ordered; the audit log says when it is done\n")
    [(actor, which, to)] = given
    assert (actor.name, str(which), to) == ("root", recording, "cold")
    for wrong in (["--to", "warm", recording], ["--to", "cold", "x"], [recording]):
        assert CliRunner().invoke(cli.main, ["vault", "move", *wrong]).exit_code == 2


def test_the_vault_check_prints_what_it_looked_at_and_takes_one_depth(settings: Settings) -> None:
    settings.vault_folder.mkdir(parents=True, exist_ok=True)

    def run(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.main, ["vault", "check", *options])
        return done.exit_code, done.output

    assert run() == run("--quick")
    assert run("--quick")[1].splitlines()[-1] == "no damage found"
    assert "read whole: none" in run("--full")[1]
    strange = settings.vault_folder / "notes.txt"
    strange.write_text("x")
    code, said = run("--part", "3/28", "--json")
    report = json.loads(said)
    assert (code, report["damaged"], report["depth"], report["part"]) == (1, 1, "part", [3, 28])
    assert report["findings"][0] == {
        "harmless": False,
        "kind": "stranger",
        "path": str(strange),
        "detail": "nothing here is called so",
        "owner": None,
        "file": None,
    }
    described = Path("docs/check.md").read_text(encoding="utf-8")
    for field in [*report, *report["read_whole"], *report["findings"][0]]:
        assert f"`{field}`" in described, field
    for wrong in (["--part", "0/28"], ["--part", "29/28"], ["--part", "x"], ["--quick", "--full"]):
        assert run(*wrong)[0] == 2


def test_how_far_a_long_check_is_stands_on_a_terminal_and_nowhere_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    owner = uuid.uuid4()
    header = new_header(uuid.uuid4(), owner, "track", "camera")
    with Vault(settings.vault_folder).begin(owner, "track", "camera") as draft:
        with draft.writer(header, bytes(32)) as writer:
            writer.write(bytes(200_000))
        draft.commit()
    for terminal in (False, True):
        monkeypatch.setattr(vault_check, "_watched", lambda terminal=terminal: terminal)
        for options in (["--quick"], ["--full"]):
            cli.main(["vault", "check", *options], standalone_mode=False)
            shown = capfd.readouterr()
            assert ("reading" in shown.err) is (terminal and options == ["--full"])
            assert "reading" not in shown.out
