"""The command `fupan`: what it says, and how it refuses."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance import cli
from appliance.audit.log import Actor
from appliance.commands import run
from appliance.config import Settings, Smtp
from appliance.database import transaction
from appliance.embedded import people
from appliance.embedded.accounts import Account
from appliance.embedded.address import resolve
from appliance.embedded.checks import lock_start
from appliance.embedded.layout import Layout
from appliance.embedded.start import Running
from appliance.keyholder.client import Keyholder
from appliance.people import accounts


def fupan(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, [*arguments], prog_name="fupan")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = fupan(command, "--help")
    assert done.exit_code == 0
    assert len(done.output.splitlines()) > 4
    assert command in fupan("--help").output


def test_no_site_is_one_line_and_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUPAN_CONFIG", raising=False)
    done = fupan("--data", str(tmp_path), "link", "recruiter")
    assert done.exit_code == 1
    said = f"There is no site at {tmp_path}. Name its folder with --data, or start one with make run."
    assert done.stderr == f"fupan: {said}\n"
    for arguments in (("link", "recruiter"), ("vault", "check"), ("audit", "verify"), ("models", "status")):
        assert fupan(*arguments, "--data", str(tmp_path)).stderr == f"fupan: {said}\n", arguments


def test_an_unknown_account_is_named_with_those_there_are(settings: Settings) -> None:
    people.ensure_first_accounts(settings)
    done = fupan("link", "nobody")
    assert done.exit_code == 1
    assert "auditor, head, interviewer, recruiter, security, system" in done.stderr


def test_a_disabled_account_is_said_to_be_disabled(settings: Settings) -> None:
    people.ensure_first_accounts(settings)
    with transaction("staff", settings) as tx:
        [made] = [row.id for row in accounts.list_all(tx) if row.username == "interviewer"]
        accounts.set_disabled(tx, Actor.unit("cli"), made, True)
    for command in (("link", "interviewer"), ("link", "Interviewer")):
        done = fupan(*command)
        assert done.exit_code == 1
        assert "the account interviewer is disabled" in done.stderr
    others = fupan("link", "nobody").stderr
    assert "auditor, head, recruiter, security, system" in others


def test_a_link_signs_its_account_in(settings: Settings) -> None:
    from appliance.people import sessions

    people.ensure_first_accounts(settings)
    people.ensure_first_accounts(settings)
    done = fupan("link", "auditor")
    assert done.exit_code == 0
    token = done.output.strip().removeprefix(f"{settings.staff_url}/sign-in/")
    assert sessions.sign_in_by_link(token, "127.0.0.1", settings).user.username == "auditor"


def test_the_audit_chain_is_verified(settings: Settings) -> None:
    people.ensure_first_accounts(settings)
    done = fupan("audit", "verify")
    assert done.exit_code == 0
    assert "6 events, the chain is whole" in done.output


def test_the_vault_is_locked_and_unlocked(keyholder: Keyholder) -> None:
    assert fupan("vault", "lock").output == "the vault is locked\n"
    assert keyholder.status().locked
    assert fupan("vault", "unlock").output == "the vault is unlocked\n"
    assert not keyholder.status().locked


def test_a_stopped_site_is_said_to_be_stopped(settings: Settings) -> None:
    done = fupan("vault", "lock")
    assert done.exit_code == 1
    folder = settings.data
    assert (
        done.stderr == f"fupan: The site at {folder} is not running. Start it with make run DATA={folder}.\n"
    )


def test_a_part_that_does_not_answer_is_named(settings: Settings) -> None:
    holds = lock_start(Layout(settings.data))
    try:
        done = fupan("vault", "lock")
    finally:
        os.close(holds)
    assert done.exit_code == 1
    assert "does not answer: keyholder" in done.stderr
    assert str(settings.data / "logs") in done.stderr


def test_the_start_prints_commands_that_work(settings: Settings, tmp_path: Path) -> None:
    usual = run.command(settings, settings.data, "link", "auditor")
    assert "--data" not in usual
    elsewhere = run.command(settings, tmp_path, "link", "auditor")
    assert elsewhere == f"{usual} --data {settings.data}"
    assert Path(shlex.split(usual)[0]).is_absolute()


def test_a_damaged_vault_is_told_and_fails(settings: Settings) -> None:
    assert fupan("vault", "check").exit_code == 0
    folder = settings.vault_folder / "ab0"
    folder.mkdir(parents=True)
    (folder / "ab000000-0000-4000-8000-000000000000.track.camera.fps").write_bytes(b"not a sealed file")
    done = fupan("vault", "check", "--full")
    assert done.exit_code == 1
    assert "DAMAGE" in done.output
    assert "track.camera.fps" in done.output


def test_models_says_when_there_is_none(settings: Settings) -> None:
    done = fupan("models", "status")
    assert done.exit_code == 0
    assert done.output.startswith("no model pack")


class TestWhatTheStartSays:
    """The lines under the addresses: what weakens a site is said where its owner looks."""

    @staticmethod
    def said(
        settings: Settings, monkeypatch: pytest.MonkeyPatch, *, uid: int = 1000, held: str = "whole"
    ) -> str:
        monkeypatch.setattr(run.health, "confinement", lambda: held)
        running = Running(
            settings,
            Layout(settings.data),
            resolve("localhost", 8000),
            Account("someone", uid, uid),
            certificate=None,
            first=True,
        )
        return "\n".join(" ".join(line) for line in run._warnings(running))

    def test_letters_in_clear(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        said = self.said(replace(settings, smtp=Smtp()), monkeypatch)
        assert f"letters with whole links lie in {settings.spool_folder}" in said
        assert "Warning" not in said
        relay = replace(settings, smtp=Smtp(host="mail.example"))
        assert self.said(relay, monkeypatch) == ""

    def test_everything_as_root(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "that user is root" in self.said(settings, monkeypatch, uid=0)
        assert "Warning" not in self.said(settings, monkeypatch)

    @pytest.mark.parametrize(
        ("held", "words"), [("files_readable", "no Landlock"), ("impossible", "neither sealed nor analysed")]
    )
    def test_a_child_that_is_not_wholly_confined(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch, held: str, words: str
    ) -> None:
        assert words in self.said(settings, monkeypatch, held=held)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--port", "abc"), "'abc' is not a valid integer"),
        (("run", "--colour", "red"), "No such option"),
        (("link",), "Missing argument 'USERNAME'"),
        (("walk",), "No such command 'walk'"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = fupan(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stderr.startswith("fupan: ")
    assert done.stderr.count("\n") == 1


def test_what_the_system_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/srv/fupan/run/fupan.toml")

    monkeypatch.setattr(run.start, "run", full)
    done = fupan("run", "--data", str(tmp_path))
    assert done.exit_code == 1
    assert done.stderr == "fupan: [Errno 28] No space left on device: '/srv/fupan/run/fupan.toml'\n"
