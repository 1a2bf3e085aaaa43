"""A token of SoftHSM2 with an RSA key pair, in a folder of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
LABEL, KEY, PIN = "people", "vault", "24681357"
# A process of its own: this one must be able to see another configuration later.
MAKE_PAIR = """
import sys, pkcs11
token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])
with token.open(rw=True, user_pin=sys.argv[4]) as session:
    session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label=sys.argv[3])
"""


def make_token(folder: Path, monkeypatch: pytest.MonkeyPatch, label: str = LABEL, key: str = KEY) -> None:
    """Initialise a token; processes that start from now on find it."""
    if not MODULE.exists():
        pytest.skip("SoftHSM2 is not installed (apt-get install softhsm2)")
    tokens = folder / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    made = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "87654321"]
    subprocess.run(made, check=True, capture_output=True)
    import sys

    subprocess.run([sys.executable, "-c", MAKE_PAIR, str(MODULE), label, key, PIN], check=True)
