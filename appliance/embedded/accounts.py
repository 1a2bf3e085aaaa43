"""Which Unix user the product runs as: the one who starts it, or `fupan` when that one is root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

NAME = "fupan"


class ProcessIdentity(TypedDict, total=False):
    """Arguments for subprocess that start a child as another user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """One Unix user."""

    name: str
    uid: int
    gid: int

    @classmethod
    def current(cls) -> Account:
        uid = os.geteuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return cls(name, uid, os.getegid())

    def identity(self) -> ProcessIdentity:
        """For subprocess calls; empty when no change of user is needed."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def unprivileged() -> Account:
    """The user for a start by root: `fupan`, created when missing; `nobody` where none can be created."""
    for name in (NAME, "nobody"):
        if name == NAME and not _exists(name):
            _create(name)
        if _exists(name):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise RuntimeError("neither the user fupan nor nobody exists")


def can_run_product(account: Account, code: Path) -> bool:
    """Whether `account` can execute this Python and read the code (not so below /root)."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", "import appliance.config, psycopg2"],
            cwd=code,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            **account.identity(),
        )
    except OSError:
        return False
    return tried.returncode == 0


def become(account: Account) -> None:
    """Turn this process into `account` for good. Only root may."""
    if account.uid == os.geteuid():
        return
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)


def give(path: Path, account: Account) -> None:
    """Hand a file, or a folder and all below it, to `account`, unless it has it already."""
    if os.geteuid() != 0 or not path.exists() or path.stat().st_uid == account.uid:
        return
    os.chown(path, account.uid, account.gid)
    for folder, _, files in os.walk(path):
        os.chown(folder, account.uid, account.gid)
        for name in files:
            os.chown(Path(folder) / name, account.uid, account.gid, follow_symlinks=False)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _create(name: str) -> None:
    tool = shutil.which("useradd") or "/usr/sbin/useradd"
    if Path(tool).exists():
        arguments = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
        subprocess.run([tool, *arguments], check=False, capture_output=True)
