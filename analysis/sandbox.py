"""Give up, for good, what a process that parses strangers' media never needs.

After `enter()` this process and its threads can read files and the descriptors they were given, write to
those descriptors, and compute. They cannot open a socket, start a program or another process, look into
another process, or open, rename or remove a file for writing. It works without privileges and cannot be
undone. A kernel or a machine where it cannot be done is an error, never a silent pass.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2

# Classic BPF instructions and the offsets in `struct seccomp_data`.
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16
ALLOW, KILL_PROCESS, FAIL = 0x7FFF0000, 0x80000000, 0x00050000

CLONE_THREAD = 0x00010000
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
X32_BIT = 0x40000000

# Numbers shared by every 64-bit Linux since they were added.
_RECENT = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "pidfd_open": 434,
    "clone3": 435,
    "openat2": 437,
    "pidfd_getfd": 438,
}
# fmt: off
_X86_64 = {
    "open": 2, "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "socketpair": 53,
    "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "truncate": 76, "rename": 82,
    "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "chmod": 90,
    "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "ptrace": 101, "mknod": 133,
    "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "init_module": 175,
    "delete_module": 176, "setxattr": 188, "kexec_load": 246, "add_key": 248, "request_key": 249,
    "keyctl": 250, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "unlinkat": 263,
    "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268, "unshare": 272,
    "accept4": 288, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313, "renameat2": 316,
    "bpf": 321, "execveat": 322, "userfaultfd": 323,
}
_AARCH64 = {
    "setxattr": 5, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37,
    "renameat": 38, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45, "chroot": 51,
    "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56, "unshare": 97,
    "kexec_load": 104, "init_module": 105, "delete_module": 106, "ptrace": 117, "kill": 129,
    "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203,
    "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221,
    "perf_event_open": 241, "accept4": 242, "open_by_handle_at": 265, "setns": 268,
    "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "renameat2": 276,
    "bpf": 280, "execveat": 281, "userfaultfd": 282,
}
# fmt: on
# machine name → (AUDIT_ARCH constant, call numbers)
MACHINES = {"x86_64": (0xC000003E, _X86_64 | _RECENT), "aarch64": (0xC00000B7, _AARCH64 | _RECENT)}
# Calls that are judged by an argument, or that must look absent so that libc takes the older way.
_CONDITIONAL = {"clone", "clone3", "open", "openat", "openat2"}


class SandboxError(Exception):
    """The process could not be confined; nothing may be parsed in it."""


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(number: int, error: int) -> bytes:
    return _instruction(JUMP_EQUAL, number, 0, 1) + _instruction(RETURN, FAIL | error)


def _judge(number: int, argument: int, bits: int, *, allowed_with_bits: bool, error: int) -> bytes:
    """For one call: allow it, or not, by whether the low word of an argument has any of `bits`."""
    with_bits, without = (ALLOW, FAIL | error) if allowed_with_bits else (FAIL | error, ALLOW)
    return (
        _instruction(JUMP_EQUAL, number, 0, 4)
        + _instruction(LOAD, ARGUMENTS_AT + 8 * argument)
        + _instruction(JUMP_ANY_BIT, bits, 0, 1)
        + _instruction(RETURN, with_bits)
        + _instruction(RETURN, without)
    )


def build_filter(machine: str) -> bytes:
    """The BPF program for `machine` (`x86_64` or `aarch64`), 8 bytes an instruction."""
    if machine not in MACHINES:
        raise SandboxError(f"no list of system calls for {machine}")
    architecture, calls = MACHINES[machine]
    program = (
        _instruction(LOAD, MACHINE_AT)
        + _instruction(JUMP_EQUAL, architecture, 1, 0)
        + _instruction(RETURN, KILL_PROCESS)
        + _instruction(LOAD, NUMBER_AT)
    )
    if machine == "x86_64":
        program += _instruction(JUMP_AT_LEAST, X32_BIT, 0, 1) + _instruction(RETURN, FAIL | errno.EPERM)
    for name, number in calls.items():
        if name not in _CONDITIONAL:
            program += _refuse(number, errno.EPERM)
    program += _refuse(calls["clone3"], errno.ENOSYS) + _refuse(calls["openat2"], errno.ENOSYS)
    program += _judge(calls["clone"], 0, CLONE_THREAD, allowed_with_bits=True, error=errno.EPERM)
    if "open" in calls:
        program += _judge(calls["open"], 1, WRITING, allowed_with_bits=False, error=errno.EACCES)
    program += _judge(calls["openat"], 2, WRITING, allowed_with_bits=False, error=errno.EACCES)
    return program + _instruction(RETURN, ALLOW)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def enter() -> None:
    """Confine this process. Call it first, before any thread exists. Raises SandboxError."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, value: int, pointer: ctypes.c_void_p | None = None) -> None:
        arguments = (ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0))
        if libc.prctl(ctypes.c_int(option), *arguments) != 0:
            raise SandboxError(f"prctl {option}: {os.strerror(ctypes.get_errno())}")

    # A killed worker's work is begun anew; what is left of the old run must not go on beside it.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    code = build_filter(platform.machine())
    instructions = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(instructions, ctypes.c_void_p))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.cast(ctypes.byref(program), ctypes.c_void_p))
