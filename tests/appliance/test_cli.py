"""The command `fupan`: what it says, and how it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance import cli
from appliance.config import Settings
from appliance.embedded import people


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
    assert done.stderr.count("\n") == 1
    assert "fupan run" in done.stderr


def test_an_unknown_account_is_named_with_those_there_are(settings: Settings) -> None:
    people.ensure_first_accounts(settings)
    done = fupan("link", "nobody")
    assert done.exit_code == 1
    assert "auditor, head, recruiter, security, system" in done.stderr


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
    assert "5 events, the chain is whole" in done.output


def test_a_damaged_vault_is_told_and_fails(settings: Settings) -> None:
    assert fupan("vault", "check").exit_code == 0
    folder = settings.vault_folder / "ab" / "ab000000-0000-4000-8000-000000000000" / "track"
    folder.mkdir(parents=True)
    (folder / "camera.fps").write_bytes(b"not a sealed file")
    done = fupan("vault", "check", "--full")
    assert done.exit_code == 1
    assert "DAMAGE" in done.output
    assert "camera.fps" in done.output


def test_models_says_when_there_is_none(settings: Settings) -> None:
    done = fupan("models", "status")
    assert done.exit_code == 0
    assert done.output.startswith("no model pack")
