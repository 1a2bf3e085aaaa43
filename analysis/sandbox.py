"""Give up, for good, what a process that parses strangers' media never needs.

After `enter()` this process and its threads can read the Python installation, the system's libraries, the
folders named to it and the descriptors they were given, write to those descriptors, and compute. They cannot
open any other file, open a socket, start a program or another process, signal, trace or read the memory of
another process, share memory with it, or open, rename or remove a file for writing. They may still learn that
a file or a process exists. It works without privileges and cannot be undone. A machine where system calls
cannot be refused is an error, never a silent pass; a kernel without Landlock leaves files readable, and the
answer of `enter()` says so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import landlock

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

# A descriptor can be made to signal whoever is named as its owner: F_SETOWN, F_SETSIG, F_SETOWN_EX,
# F_SETLEASE, F_NOTIFY. A terminal names its foreground by itself, so O_ASYNC is refused too.
SIGNALLING_FCNTLS = (8, 10, 15, 1024, 1026)
F_SETFL, O_ASYNC = 4, 0x2000
# What libraries ask of descriptors: terminal or not and how wide (TCGETS, TCGETS2, TIOCGWINSZ), bytes
# waiting (FIONREAD), blocking (FIONBIO), closed on exec (FIONCLEX, FIOCLEX). All else is a device's own
# language: it can name an owner to be signalled (FIOSETOWN, SIOCSPGRP) or type into a terminal (TIOCSTI).
HARMLESS_IOCTLS = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)

# Numbers shared by every 64-bit Linux since they were added.
_RECENT = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "openat2": 437,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "process_mrelease": 448,
    "fchmodat2": 452,
    "setxattrat": 463,
    "removexattrat": 466,
}
# fmt: off
_X86_64 = {
    "ioctl": 16, "fcntl": 72,
    "open": 2, "shmget": 29, "shmat": 30, "shmctl": 31, "socket": 41, "connect": 42, "accept": 43,
    "bind": 49, "listen": 50, "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59,
    "kill": 62, "semget": 64, "semop": 65, "semctl": 66, "msgget": 68, "msgsnd": 69, "msgrcv": 70,
    "msgctl": 71, "truncate": 76, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86,
    "unlink": 87, "symlink": 88, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
    "ptrace": 101, "rt_sigqueueinfo": 129, "utime": 132, "mknod": 133, "pivot_root": 155, "chroot": 161,
    "mount": 165, "umount2": 166, "init_module": 175, "delete_module": 176, "setxattr": 188,
    "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
    "tkill": 200, "semtimedop": 220, "tgkill": 234, "utimes": 235, "mq_open": 240, "mq_unlink": 241,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "openat": 257, "mkdirat": 258,
    "mknodat": 259, "fchownat": 260, "futimesat": 261, "unlinkat": 263, "renameat": 264, "linkat": 265,
    "symlinkat": 266, "fchmodat": 268, "unshare": 272, "utimensat": 280, "accept4": 288,
    "rt_tgsigqueueinfo": 297, "perf_event_open": 298, "prlimit64": 302, "open_by_handle_at": 304,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "renameat2": 316, "bpf": 321, "execveat": 322, "userfaultfd": 323,
}
_AARCH64 = {
    "fcntl": 25, "ioctl": 29,
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
    "fremovexattr": 16, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37,
    "renameat": 38, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45, "chroot": 51,
    "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56, "utimensat": 88,
    "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106, "ptrace": 117,
    "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "mq_open": 180, "mq_unlink": 181,
    "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "semget": 190, "semctl": 191,
    "semtimedop": 192, "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196, "socket": 198,
    "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "add_key": 217,
    "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221, "rt_tgsigqueueinfo": 240,
    "perf_event_open": 241, "accept4": 242, "prlimit64": 261, "open_by_handle_at": 265, "setns": 268,
    "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
    "renameat2": 276, "bpf": 280, "execveat": 281, "userfaultfd": 282,
}
# fmt: on
# machine name → (AUDIT_ARCH constant, call numbers)
MACHINES = {"x86_64": (0xC000003E, _X86_64 | _RECENT), "aarch64": (0xC00000B7, _AARCH64 | _RECENT)}
# Calls that are judged by an argument, or that must look absent so that libc takes the older way.
_CONDITIONAL = {"clone", "clone3", "open", "openat", "openat2", "tgkill", "prlimit64", "fcntl", "ioctl"}


class SandboxError(Exception):
    """The process could not be confined; nothing may be parsed in it."""


class OrphanedError(Exception):
    """Whoever started this process is gone already: nobody waits for its work."""


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


def _judge_process(number: int, own: int) -> bytes:
    """For one call whose first argument is a process: allow it for this one (0 also means it) only."""
    return (
        _instruction(JUMP_EQUAL, number, 0, 5)
        + _instruction(LOAD, ARGUMENTS_AT)
        + _instruction(JUMP_EQUAL, own, 1, 0)
        + _instruction(JUMP_EQUAL, 0, 0, 1)
        + _instruction(RETURN, ALLOW)
        + _instruction(RETURN, FAIL | errno.EPERM)
    )


def _judge_ioctl(number: int) -> bytes:
    """Allow only HARMLESS_IOCTLS. The kernel reads the low word of the request, and so does this."""
    count = len(HARMLESS_IOCTLS)
    program = _instruction(JUMP_EQUAL, number, 0, count + 3) + _instruction(LOAD, ARGUMENTS_AT + 8)
    for left, request in zip(range(count, 0, -1), HARMLESS_IOCTLS, strict=True):
        program += _instruction(JUMP_EQUAL, request, left, 0)
    return program + _instruction(RETURN, FAIL | errno.EPERM) + _instruction(RETURN, ALLOW)


def _judge_fcntl(number: int) -> bytes:
    """Refuse SIGNALLING_FCNTLS, and F_SETFL with O_ASYNC."""
    count = len(SIGNALLING_FCNTLS)
    program = _instruction(JUMP_EQUAL, number, 0, count + 6) + _instruction(LOAD, ARGUMENTS_AT + 8)
    for left, command in zip(range(count, 0, -1), SIGNALLING_FCNTLS, strict=True):
        program += _instruction(JUMP_EQUAL, command, left + 2, 0)
    return (
        program
        + _instruction(JUMP_EQUAL, F_SETFL, 0, 3)
        + _instruction(LOAD, ARGUMENTS_AT + 16)
        + _instruction(JUMP_ANY_BIT, O_ASYNC, 0, 1)
        + _instruction(RETURN, FAIL | errno.EPERM)
        + _instruction(RETURN, ALLOW)
    )


def build_filter(machine: str, own: int) -> bytes:
    """The BPF program for `machine` (`x86_64` or `aarch64`), 8 bytes an instruction. `own` is the process
    that it is for: it may signal its own threads, as `abort` does, and set its own limits."""
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
    program += _judge_process(calls["tgkill"], own) + _judge_process(calls["prlimit64"], own)
    program += _judge_fcntl(calls["fcntl"]) + _judge_ioctl(calls["ioctl"])
    if "open" in calls:
        program += _judge(calls["open"], 1, WRITING, allowed_with_bits=False, error=errno.EACCES)
    program += _judge(calls["openat"], 2, WRITING, allowed_with_bits=False, error=errno.EACCES)
    return program + _instruction(RETURN, ALLOW)


# What libraries ask of the system when they are loaded: themselves, the processors, the time zone. Values
# that every user of the machine may read anyway.
SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/os-release",
    "/etc/ssl/openssl.cnf",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys",
    "/sys/bus/pci",
    "/sys/devices",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
)


def readable_paths() -> Iterator[str]:
    """Files and folders that this program itself needs, wherever its Python is installed."""
    # Found now: the folder that holds both may hold much else, and its list is not granted.
    import analysis
    import storage

    code = Path(analysis.__path__[0]).parent
    yield from SYSTEM
    yield from analysis.__path__
    yield from storage.__path__
    for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix):
        yield from (f"{prefix}/{name}" for name in ("lib", "lib64", "pyvenv.cfg"))
    for entry in sys.path:
        if entry and Path(entry) not in (Path.cwd(), code):
            yield entry
            yield from _linked(Path(entry))


def _linked(packages: Path) -> Iterator[str]:
    """Folders that the entries of a folder of packages are links into, as in an environment that uv made
    with --link-mode=symlink. Of a package its first file tells, since all of it is linked or none."""
    if not packages.is_dir():
        return
    for entry in os.scandir(packages):
        if entry.is_symlink():
            yield str(Path(entry.path).resolve())
        elif entry.is_dir():
            with os.scandir(entry.path) as inside:
                first = next((found for found in inside if found.is_file()), None)
            if first is not None and first.is_symlink():
                yield str(Path(first.path).resolve().parent)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def enter(readable: Iterable[str] = (), parent: int | None = None) -> int:
    """Confine this process; `readable` are further files and folders that it may read, and `parent` is the
    process that started it and with which it is to end.

    Call it first, before any thread exists. Returns the kernel's Landlock ABI; 0 means that this kernel has
    none and files of the same Unix user can still be read. Raises SandboxError, OrphanedError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, value: int, pointer: ctypes.c_void_p | None = None) -> None:
        arguments = (ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0))
        if libc.prctl(ctypes.c_int(option), *arguments) != 0:
            raise SandboxError(f"prctl {option}: {os.strerror(ctypes.get_errno())}")

    # A killed worker's work is begun anew; what is left of the old run must not go on beside it.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The kernel tells of a death to come only. One before that line gave this process another parent.
    if parent is not None and os.getppid() != parent:
        raise OrphanedError
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    try:
        files_hidden_by = landlock.restrict((*readable_paths(), *readable))
    except landlock.LandlockError as error:
        raise SandboxError(str(error)) from error
    code = build_filter(platform.machine(), os.getpid())
    instructions = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(instructions, ctypes.c_void_p))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.cast(ctypes.byref(program), ctypes.c_void_p))
    return files_hidden_by
