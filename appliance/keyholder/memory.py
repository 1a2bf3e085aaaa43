"""Keys in memory: kept out of swap and core dumps, overwritten when they are no longer wanted.

A key is held in one buffer and passed on as that buffer. What a library hands out as `bytes` is copied into a
buffer and overwritten where it lies.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PR_SET_DUMPABLE = 4
_MCL_CURRENT, _MCL_FUTURE = 1, 2
# Where the bytes of a `bytes` object begin: behind its head, and before the zero that ends it.
_BYTES_HEAD = bytes.__basicsize__ - 1

_kept: set[str] = set()
_libc = ctypes.CDLL(None, use_errno=True)


def harden() -> None:
    """No core dump, and no other process of this user may read the memory or attach a debugger."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def bind_now() -> None:
    """Start this process over, once, with every name of its libraries resolved before any key is there.

    A name that is resolved at its first use makes the dynamic linker save the processor's vector registers on
    the stack, and with them the key that was copied last; nobody could overwrite that.
    """
    if "LD_BIND_NOW" not in os.environ:
        os.environ["LD_BIND_NOW"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def lock_all() -> None:
    """Keep this whole process, now and later, out of swap, where the system's limit allows it.

    With a finite limit the call would succeed now and the process fail later, in the middle of anything: then
    only the buffers of keys are locked, each by itself.
    """
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY and _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0:
        _kept.add("process")


def kept_out_of_swap() -> str:
    """`process`: all of this process; `keys`: the buffers of keys; `nothing`: the system refuses both."""
    if "process" in _kept:
        return "process"
    probe = SecretBytes(bytearray(32))
    return "keys" if probe.locked else "nothing"


def overwrite(value: bytes) -> None:
    """Overwrite a `bytes` object where it lies. Only for what nobody else holds: it is immutable to all."""
    if len(value) > 1:  # the interpreter shares the empty one and those of one byte
        ctypes.memset(id(value) + _BYTES_HEAD, 0, len(value))


class SecretBytes:
    """A key in one buffer of its own. `wipe` overwrites it; it is empty of meaning from then on."""

    def __init__(self, value: bytes | bytearray) -> None:
        """Takes the key over: `value` is overwritten, also where it is `bytes`."""
        self.buffer = bytearray(len(value))
        self.locked = _lock(self.buffer)
        self.buffer[:] = value
        if isinstance(value, bytearray):
            value[:] = bytes(len(value))
        else:
            overwrite(value)

    def wipe(self) -> None:
        """Overwrite it. Safe to repeat."""
        self.buffer[:] = bytes(len(self.buffer))

    def __enter__(self) -> bytearray:
        return self.buffer

    def __exit__(self, *_: object) -> None:
        self.wipe()


@contextmanager
def passing(value: bytes) -> Iterator[bytes]:
    """A secret that a library made, for the length of a block; it is overwritten at its end."""
    try:
        yield value
    finally:
        overwrite(value)


def _lock(buffer: bytearray) -> bool:
    address = ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
    return bool(_libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(buffer))) == 0)
