"""Landlock: take from this process, for good, every file but those it is shown to need.

The kernel judges each later `open` by where the file lies, whatever its owner and mode say; descriptors that
are open already go on working. Since Linux 5.13; newer kernels ("ABI" numbers) also take TCP, signals and
abstract sockets. Names and sizes can still be asked for (`stat`), contents and lists of folders cannot.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

# The same numbers on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
PATH_BENEATH = 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3

# ABI → how many file rights it knows, counted from bit 0 (execute, write, read, list, remove, make, …).
# A right that is handled and granted nowhere is refused everywhere.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
TCP_SINCE, TCP = 4, 0b11  # bind, connect
SCOPES_SINCE, SCOPES = 6, 0b11  # abstract Unix sockets, signals


class LandlockError(Exception):
    """The kernel has Landlock and did not take the rules."""


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none, or where it was left out at boot."""
    try:
        return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise LandlockError(f"asking for Landlock: {error.strerror}") from error


def ruleset(abi: int) -> bytes:
    """`struct landlock_ruleset_attr` for this ABI: everything that it can refuse."""
    rights = FILE_RIGHTS[max(known for known in FILE_RIGHTS if known <= abi)]
    words = [(1 << rights) - 1]
    if abi >= TCP_SINCE:
        words.append(TCP)
    if abi >= SCOPES_SINCE:
        words.append(SCOPES)
    return struct.pack(f"={len(words)}Q", *words)


def restrict(readable: Iterable[str]) -> int:
    """Leave this thread, and those it will start, only reading of the `readable` files and folders.

    Returns the ABI, 0 when the kernel has none and nothing was done. Call it before any other thread exists
    and after PR_SET_NO_NEW_PRIVS. A path that is not there is left out. Raises LandlockError.
    """
    abi = version()
    if not abi:
        return 0
    handled = ruleset(abi)
    try:
        rules = _call(CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), ctypes.c_uint32(0))
        try:
            for path in dict.fromkeys(readable):
                _allow(rules, path)
            _call(RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
        finally:
            os.close(rules)
    except OSError as error:
        raise LandlockError(f"confining to a few files: {error.strerror}") from error
    return abi


def _allow(rules: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        folder = stat.S_ISDIR(os.fstat(place).st_mode)
        beneath = struct.pack("=Qi", READ_FILE | (READ_DIR if folder else 0), place)
        _call(ADD_RULE, ctypes.c_int(rules), ctypes.c_int(PATH_BENEATH), beneath, ctypes.c_uint32(0))
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    answer = int(libc.syscall(ctypes.c_long(number), *arguments))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
