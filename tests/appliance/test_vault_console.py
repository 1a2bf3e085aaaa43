"""The whole ceremony as people have it: a keyholder of its own, and commands at a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from appliance.keyholder.vault_client import VaultKeyholder
from appliance.vault_errors import NoVaultError
from tests.appliance.test_keyholder_process import await_status
from tests.support.terminal import Terminal, terminal

ROOT = Path(__file__).parents[2]
FUPAN = [sys.executable, "-m", "appliance.cli"]
# As `fupan keyholder`, with keys for fewer days ahead: each of them waits four times for the disk.
KEYHOLDER = (
    "from appliance import config; from appliance.keyholder import day_keys, process;"
    "day_keys.DAYS_AHEAD = 1; process.run(config.load())"
)
SHARE = re.compile(r"FUPAN-\s+((?:[0-9A-Z]{4}[-\s]*){24})")


@pytest.fixture
def site(settings: Settings) -> Iterator[Settings]:
    """An installed site whose keyholder is a process of its own, without a vault."""
    path = settings.data / "fupan.toml"
    path.write_text('profile = "installed"\n' + path.read_text())
    with keyholder_of(settings):
        yield settings


@contextlib.contextmanager
def keyholder_of(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", KEYHOLDER], cwd=ROOT, env=dict(os.environ))
    try:
        with contextlib.suppress(NoVaultError):
            await_status(settings, process)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def at_terminal(*arguments: str) -> AbstractContextManager[Terminal]:
    return terminal([*FUPAN, "vault", *arguments], ROOT)


def piped(*arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FUPAN, "vault", *arguments], cwd=ROOT, input=lines, capture_output=True, text=True, check=False
    )


def shown(screen: str) -> str:
    """The share on a screen that was shown, as it is typed back."""
    found = SHARE.search(screen.replace("\r", ""))
    assert found is not None, screen
    return "FUPAN-" + "-".join(re.split(r"[-\s]+", found.group(1).strip()))


def made(threshold: int, shares: int, command: str = "init") -> tuple[list[str], str]:
    """Sit through init or reshare; the shares, and all that the terminal wrote."""
    kept = []
    with at_terminal(command, "--threshold", str(threshold), "--shares", str(shares)) as screen:
        for index in range(1, shares + 1):
            screen.expect(f"Custodian {index} of {shares}: come alone")
            screen.type("")
            kept.append(shown(screen.expect(r"\x1b\[\?1049h(.*)Press Enter once").group(1)))
            screen.type("")
            screen.expect(r"\x1b\[3J\x1b\[\?1049l")
            screen.expect("type it back")
            if index == 1:
                screen.type(kept[0][:-1])
                screen.expect("mistyped")
                screen.expect("come alone")
                screen.type("")
                screen.expect("Press Enter once")
                screen.type("")
                screen.expect("type it back")
            screen.type(kept[-1].lower())
            screen.expect(f"share {index} was read back")
    assert screen.end() == 0, screen.all
    return kept, screen.all


def test_two_of_three_make_lock_and_unlock_a_vault_at_the_console(site: Settings) -> None:
    before = piped("status")
    assert before.returncode == 1
    assert "fupan vault init" in before.stderr
    shares, screens = made(2, 3)
    assert "█" not in screens  # on 24 lines a code would push the share out of sight
    again = piped("init", "--threshold", "2", "--shares", "3")
    assert again.returncode == 1
    assert "has a vault already" in again.stderr
    assert piped("status").returncode == 0
    assert piped("lock").returncode == 0
    locked = piped("status", "--json")
    assert locked.returncode == 3
    assert json.loads(locked.stdout)["locked"] is True
    with at_terminal("unlock") as screen:
        fingerprint = screen.expect(r"one-time key: ((?:[0-9a-f]{4} ?){4})").group(1).strip()
        assert fingerprint in piped("status").stdout
        screen.expect("unseen")
        screen.type(shares[2])
        screen.expect(r"1 of 2 shares: 3")
        screen.type(shares[2])
        screen.expect("given already")
        screen.type(shares[0])
        screen.expect(r"2 of 2 shares: 1, 3")
        screen.expect("the vault is unlocked")
    assert screen.end() == 0
    assert all(share[30:60] not in screen.all for share in shares)  # typed unseen, also too early
    assert not Keyholder(site).status().locked


def test_each_custodian_may_come_alone_and_a_restart_locks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "50")
    path = settings.data / "fupan.toml"
    path.write_text('profile = "installed"\n' + path.read_text())
    with keyholder_of(settings):
        shares, screens = made(2, 2)
        assert "█" in screens
    with keyholder_of(settings):
        assert Keyholder(settings).status().locked
        with at_terminal("unlock") as screen:
            screen.expect("unseen")
            screen.type(shares[0])
            screen.expect("1 of 2")
            screen.type("")
            screen.expect("stays locked until the others")
        assert screen.end() == 0
        assert "1 of 2 given (1)" in piped("status").stdout
        done = piped("unlock", "--stdin", lines=f"{shares[1]}\n")
        assert done.returncode == 0
        assert done.stdout.endswith("the vault is unlocked\n")
        with at_terminal("unlock") as screen:
            screen.expect("unseen")
            screen.type("")
            screen.expect("unlocked already")


def test_scripts_give_shares_on_standard_input_and_wrong_ones_fail(site: Settings) -> None:
    shares, _ = made(2, 3)
    assert piped("lock").returncode == 0
    for lines, said in ((f"{shares[0]}\n", "Too few"), ("nonsense\n", "mistyped"), ("", "Too few")):
        done = piped("unlock", "--stdin", lines=lines)
        assert done.returncode == 1
        assert said in done.stderr
    assert piped("unlock", "--stdin", lines=shares[1]).returncode == 0


def test_paper_holds_what_the_terminal_would_show_and_is_for_this_user_alone(
    site: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "paper"
    folder.mkdir(mode=0o700)
    (folder / "fupan-share-1.html").touch(mode=0o600)  # of a try that was refused
    done = piped("init", "--threshold", "2", "--shares", "3", "--paper", str(folder), "--no-read-back")
    assert done.returncode == 0, done.stderr
    assert "destroy them" in done.stdout
    pages = sorted(folder.iterdir())
    assert [page.name for page in pages] == [f"fupan-share-{index}.html" for index in (1, 2, 3)]
    assert {page.stat().st_mode & 0o777 for page in pages} == {0o600}
    texts = [page.read_text() for page in pages]
    assert all("<svg" in page and "保险库份额" in page and "Vault share" in page for page in texts)
    assert piped("lock").returncode == 0
    lines = "\n".join(shown(page) for page in texts[:2])
    assert piped("unlock", "--stdin", lines=lines).returncode == 0
    again = piped("reshare", "--threshold", "2", "--shares", "3", "--paper", str(folder))
    assert again.returncode == 1
    assert "fupan-share-1.html" in again.stderr
    assert VaultKeyholder(site).vault().pending is None


def test_a_new_set_replaces_the_old_one_by_name(site: Settings) -> None:
    old, _ = made(2, 2)
    new, _ = made(2, 3, "reshare")
    assert piped("lock").returncode == 0
    done = piped("unlock", "--stdin", lines=old[0])
    assert "older set" in done.stderr
    assert piped("unlock", "--stdin", lines=f"{new[0]}\n{new[1]}").returncode == 0


def test_without_a_terminal_no_share_is_shown(site: Settings) -> None:
    done = piped("init", "--threshold", "2", "--shares", "2")
    assert done.returncode == 1
    assert "shown on a terminal only" in done.stderr
    assert "FUPAN-" not in done.stdout
    with pytest.raises(NoVaultError):
        VaultKeyholder(site).vault()
