"""What each setting may be. A wrong one is refused in one line that names it and says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from appliance.errors import ConfigurationError

SHOWN = 60  # characters of a wrong value that the message repeats
HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:-]{0,252}[A-Za-z0-9_])?")
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
REGION = re.compile(r"[a-z0-9-]{1,32}")
BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[a-z0-9][a-z0-9._-]*)*)/?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Folders of the data folder that hold something else.
OWN_FOLDERS = (
    "intake",
    "keys",
    "keyholder",
    "secrets",
    "models",
    "postgres",
    "run",
    "logs",
    "mail",
    "drafts",
)
MAILBOX = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]{1,250}")


@dataclass(frozen=True)
class Rule:
    """One setting: whether a value from TOML fits, what is allowed in words, and how it is kept."""

    allowed: str
    fits: Callable[[Any], bool]
    kept: Callable[[Any], Any] = lambda value: value


def _text(fits: Callable[[str], bool], allowed: str) -> Rule:
    return Rule(allowed, lambda value: isinstance(value, str) and value.isprintable() and fits(value))


def _choice(*words: str) -> Rule:
    return _text(words.__contains__, " or ".join(f'"{word}"' for word in words))


def _whole(low: int, high: int) -> Rule:
    return Rule(
        f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high
    )


def _seconds(low: float, high: float) -> Rule:
    allowed = f"a number of seconds from {low:g} to {high:g}"
    return Rule(allowed, lambda value: type(value) in (int, float) and low <= value <= high, float)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    bare = not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and bare and port != 0 and " " not in text
    )


_PATH = _text(lambda text: text.startswith("/"), "an absolute path")
_ADDRESS = _text(
    _is_address, 'an address as browsers write it, without a path, like "https://hr.example:8000"'
)
_PORT = _whole(1, 65535)
_TRUTH = Rule("true or false", lambda value: isinstance(value, bool))
_CLOCK_OR_NEVER = _text(
    lambda text: not text or bool(CLOCK.fullmatch(text)), 'a time like "22:30", or "" for never'
)
_FILE = _text(lambda text: not text or text.startswith("/"), 'an absolute path, or "" for none')
_STORE = _text(
    lambda text: not text or text.startswith("/") or bool(BUCKET.fullmatch(text)),
    "an absolute path, or s3://bucket or s3://bucket/prefix in small letters",
)

TABLES: dict[str, dict[str, Rule]] = {
    "": {
        "data": _PATH,
        "staff_url": _ADDRESS,
        "intake_url": _ADDRESS,
        "profile": _choice("embedded", "installed"),
        "deployment": _choice("cn", "eu"),
        "site": _text(lambda text: 0 < len(text.strip()) <= 80, "a name of 1 to 80 characters"),
        "language": _choice("zh", "en"),
        "contact": _text(lambda text: len(text) <= 200, "one line of at most 200 characters"),
        "disk_floor_bytes": _whole(0, 2**50),
        "analysis_memory_bytes": _whole(256 * 1024**2, 2**50),
        "trusted_proxies": _whole(0, 8),
        "journal_days": _whole(0, 365),
    },
    "database": {
        "host": _text(
            lambda text: text.startswith("/") or bool(HOST_NAME.fullmatch(text)),
            "a host name, or the absolute path of a socket's folder",
        ),
        "port": _PORT,
        "name": _text(lambda text: bool(IDENTIFIER.fullmatch(text)), "a name of small letters, digits and _"),
    },
    "smtp": {
        "host": _text(
            lambda text: not text or bool(HOST_NAME.fullmatch(text)), 'a host name, or "" for none'
        ),
        "port": _PORT,
        "starttls": _TRUTH,
        "username": _text(lambda text: len(text) <= 256, "a text of at most 256 characters"),
        "sender": _text(lambda text: bool(MAILBOX.fullmatch(text)), 'a bare address, like "hr@example.com"'),
        "ca_file": _FILE,
    },
    "vault": {
        "key_backup": _text(
            lambda text: not text or text.startswith("/"), 'an absolute path, or "" for no backup'
        ),
        "suite": Rule("1 or 2", lambda value: value is None or (type(value) is int and value in (1, 2))),
        "token_module": _text(
            lambda text: not text or text.startswith("/"), 'an absolute path, or "" for none'
        ),
        "lock_after_hours": _whole(0, 8760),
        "lock_at": _CLOCK_OR_NEVER,
        "check_at": _CLOCK_OR_NEVER,
        "tamper_paths": Rule(
            "a list of at most 32 absolute paths",
            lambda value: (
                isinstance(value, list | tuple) and len(value) <= 32 and all(map(_PATH.fits, value))
            ),
            tuple,
        ),
        "hot": _STORE,
        "cold": _STORE,
        "cold_after_days": _whole(0, 36500),
        "recall": _TRUTH,
        "endpoint": Rule(_ADDRESS.allowed, lambda value: value == "" or _ADDRESS.fits(value)),
        "region": _text(lambda text: bool(REGION.fullmatch(text)), 'a name like "us-east-1"'),
        "ca_file": _FILE,
        "plain_http": _TRUTH,
    },
    "keyholder": {
        "replay_recordings_per_hour": _whole(1, 10**6),
        "staff_recordings_per_hour": _whole(1, 10**6),
        "worker_recordings_per_hour": _whole(1, 10**6),
    },
    "erase": {
        "grace_days": _whole(0, 365),
        "daily_percent": _whole(1, 100),
    },
    "timing": {
        "pull": _seconds(0.05, 3600),
        "replay_lease": _seconds(10, 3600),
        "session_idle": _seconds(60, 86400),
        "session_absolute": _seconds(60, 30 * 86400),
    },
}
REQUIRED = {"": ("data", "staff_url", "intake_url", "database"), "database": ("host",)}


def check(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of a parsed settings file, each as it is kept; `where` names the file in messages.

    Raises ConfigurationError for the first that is unknown, missing or not allowed.
    """
    return _table(raw, "", where)


def require_tiers(data: Path, vault: Mapping[str, Any], where: str) -> None:
    """Raises ConfigurationError where the places of sealed files contradict each other or the data folder."""
    hot, cold = vault["hot"] or str(data / "vault"), vault["cold"]
    places = [("vault.hot", vault["hot"]), ("vault.cold", cold)]
    for name, place in places:
        own = [data / folder for folder in OWN_FOLDERS] if place.startswith("/") else []
        if any(_overlap(place, str(folder)) for folder in own):
            raise _wrong(where, name, place, "that is a folder of the site's own, or holds one")
        if place.startswith("s3:") and not vault["endpoint"]:
            raise _wrong(where, name, place, "say with vault.endpoint which store that is")
    if cold and _overlap(hot, cold):
        raise _wrong(where, "vault.cold", cold, f"it must lie apart from the hot tier, {hot}")
    for name in ("cold_after_days", "recall"):
        if vault[name] and not cold:
            raise _wrong(where, f"vault.{name}", vault[name], "say with vault.cold where to")
    endpoint = urlsplit(vault["endpoint"])
    if endpoint.scheme == "http" and endpoint.hostname not in LOOPBACK and not vault["plain_http"]:
        why = "write https://, or allow an unencrypted line with vault.plain_http = true"
        raise _wrong(where, "vault.endpoint", vault["endpoint"], why)


def _overlap(one: str, other: str) -> bool:
    """Whether two places are the same, or one lies in the other."""
    one, other = one.rstrip("/") + "/", other.rstrip("/") + "/"
    return one.startswith(other) or other.startswith(one)


def _table(raw: Mapping[str, Any], table: str, where: str) -> dict[str, Any]:
    rules = TABLES[table]
    known = [*rules, *(() if table else (f"[{name}]" for name in TABLES if name))]
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if not table and key in TABLES and key:
            if not isinstance(value, dict):
                raise _wrong(where, key, value, f"a table; write [{key}] on a line of its own")
            values[key] = _table(value, key, where)
        elif key not in rules:
            raise _wrong(where, _name(table, key), value, f"no such setting; there are {', '.join(known)}")
        elif not rules[key].fits(value):
            raise _wrong(where, _name(table, key), value, f"allowed is {rules[key].allowed}")
        else:
            values[key] = rules[key].kept(value)
    for key in REQUIRED.get(table, ()):
        if key not in raw:
            raise ConfigurationError(what=f"{where}: {_name(table, key)} is missing")
    return values


def _name(table: str, key: str) -> str:
    shown = key if key.isprintable() and key else repr(key)
    return f"{table}.{shown}" if table else shown


def _wrong(where: str, name: str, value: object, why: str) -> ConfigurationError:
    shown = repr(value)
    if len(shown) > SHOWN:
        shown = shown[:SHOWN] + "…"
    return ConfigurationError(what=f"{where}: {name} = {shown}: {why}")
