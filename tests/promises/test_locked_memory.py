"""Promise: once the vault is locked, its key is no longer in the keyholder's memory, nor any slot's."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from appliance.audit.log import Action
from appliance.config import Settings
from appliance.keyholder import orders, vault_file
from appliance.keyholder.providers.file import read_key
from appliance.keyholder.vault_client import VaultKeyholder
from appliance.vault_errors import NoVaultError
from storage.shares import combine
from storage.vault import SUITES, parse_share, unwrap
from tests.appliance.test_keyholder_process import await_status
from tests.support import custodians
from tests.support.custodians import ME, give_all
from tests.support.keyholder import key_file, unlock, vault_key

pytestmark = [
    pytest.mark.promise,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of a hardened process"),
]

KEYHOLDER = (
    "from appliance import config; from appliance.keyholder import day_keys, process;"
    "day_keys.DAYS_AHEAD = 1; process.run(config.load())"
)
PIECE = 1 << 20
REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r\S*)")


@contextlib.contextmanager
def keyholder_of(settings: Settings) -> Iterator[int]:
    """A keyholder of its own; its process id."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", KEYHOLDER], cwd=root, env=dict(os.environ))
    try:
        with contextlib.suppress(NoVaultError):
            await_status(settings, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def found_in(pid: int, *wanted: bytes) -> list[int]:
    """How often each of these bytes is in a process' memory, and as the interpreter writes numbers."""
    counts = [0] * len(wanted)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            region = REGION.match(line)
            if region is None or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = (int(region.group(at), 16) for at in (1, 2))
            for at in range(start, end, PIECE):
                with contextlib.suppress(OSError):
                    memory.seek(at)
                    data = memory.read(min(PIECE + 64, end - at))
                    for number, secret in enumerate(wanted):
                        counts[number] += data.count(secret)
    return counts


def forms(key: bytes) -> tuple[bytes, ...]:
    """A key as bytes, as text, and its halves as the digits of whole numbers, which Shamir's scheme uses."""
    halves = (int.from_bytes(key[at : at + 16], "big") for at in (0, 16))
    return (key, key.hex().encode(), *map(_digits, halves))


def _digits(number: int) -> bytes:
    return b"".join((number >> 30 * place & (1 << 30) - 1).to_bytes(4, "little") for place in range(5))


def derived(key: bytes) -> tuple[bytes, bytes]:
    """What suite 2 makes of a key that wraps others: the extract of HKDF-SM3, and the key for SM4."""
    made = SUITES[2].derive(key, b"", b"fupan wrapping key v2\2")
    extract = HMAC(bytes(32), hashes.SM3())
    extract.update(key)
    between = extract.finalize()
    assert HKDFExpand(hashes.SM3(), 16, b"fupan wrapping key v2\2").derive(between) == made
    return between, made


@pytest.mark.parametrize("suite", SUITES)
def test_nothing_of_the_keys_is_left_after_a_lock(
    settings: Settings, suite: int, record_property: Callable[[str, object], None]
) -> None:
    with (settings.data / "fupan.toml").open("a", encoding="utf-8") as file:
        file.write(f"[vault]\nsuite = {suite}\n")
    with keyholder_of(settings) as pid:
        assert vault_file.describe(settings).suite == suite
        slot_key, key = bytes(read_key(key_file(settings)).buffer), vault_key(settings)
        assert found_in(pid, key)[0] >= 1  # the negative control: unlocked, it is there
        orders.lock(settings, ME)
        unlock(settings)
        orders.lock(settings, ME)
        left = found_in(pid, *forms(key), *forms(slot_key), *derived(key), *derived(slot_key))
    record_property(
        "figure", f"key file, suite {suite}: {sum(left)} copies of vault key and slot key left after a lock"
    )
    assert sum(left) == 0


def test_nothing_of_shares_is_left_after_an_unlock_and_a_lock(
    settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    path = settings.data / "fupan.toml"
    path.write_text('profile = "installed"\n' + path.read_text())
    site = custodians.installed(settings)
    with keyholder_of(site) as pid:
        shares = custodians.init(site)
        orders.lock(site, ME)
        give_all(site, shares[:2])
        orders.unlock(site, ME, "shares")
        (slot,) = vault_file.describe(site).slots
        slot_key = combine([parse_share(text) for text in shares[:2]])
        key = unwrap(slot_key, slot.record)
        assert found_in(pid, key)[0] >= 1
        give_all(site, shares[1:])
        orders.carry_out(site, Action.VAULT_REKEY, ME, VaultKeyholder(site).rekey)
        while VaultKeyholder(site).rewrap_wait() is not None:
            pass
        new = unwrap(slot_key, vault_file.describe(site).slots[0].record)
        orders.lock(site, ME)
        secret = [form for each in (key, new, slot_key) for form in forms(each)]
        secret += [form for text in shares for form in (text.encode(), parse_share(text).points)]
        left = found_in(pid, *secret)
    record_property(
        "figure", f"shares: {sum(left)} copies of {len(secret)} secrets left after rekey and lock"
    )
    assert sum(left) == 0
