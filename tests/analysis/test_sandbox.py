"""The sandbox, each refusal beside the same act in a process that has not entered it."""

import struct
import subprocess
import sys

import pytest

from analysis.sandbox import MACHINES, SandboxError, build_filter

ACTS = {
    "internet socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "socket pair": "import socket; socket.socketpair()",
    "new process": "import os; pid = os.fork(); os._exit(0) if pid == 0 else os.waitpid(pid, 0)",
    "new program": "import os; os.execv('/bin/true', ['/bin/true'])",
    "signal": "import os; os.kill(os.getpid(), 0)",
    "write a file": "open(FOLDER + '/new', 'w')",
    "append to a file": "open(FOLDER + '/there', 'a')",
    "remove a file": "import os; os.unlink(FOLDER + '/there')",
    "rename a file": "import os; os.rename(FOLDER + '/there', FOLDER + '/elsewhere')",
    "make a folder": "import os; os.mkdir(FOLDER + '/folder')",
    "trace": "import ctypes; refused(ctypes.CDLL(None, use_errno=True).ptrace(0, 0, None, None))",
}
PRELUDE = """
import ctypes, os
def refused(answer):
    if answer == -1:
        raise PermissionError(ctypes.get_errno(), "refused")
"""


def attempt(act: str, folder: str, *, confined: bool) -> subprocess.CompletedProcess:
    enter = "from analysis.sandbox import enter\nenter()\n" if confined else ""
    program = f"FOLDER = {folder!r}\n{PRELUDE}\n{enter}{act}\n"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_what_a_parser_never_needs_is_refused_inside_and_works_outside(act, tmp_path):
    (tmp_path / "there").write_text("kept")
    confined = attempt(act, str(tmp_path), confined=True)
    assert confined.returncode != 0
    assert "PermissionError" in confined.stderr
    assert (tmp_path / "there").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert attempt(act, str(tmp_path), confined=False).returncode == 0


def test_threads_reading_and_the_libraries_still_work_inside():
    program = (
        "from analysis.sandbox import enter\nenter()\n"
        "import threading, av, cv2, numpy\n"
        "from analysis import inference\n"
        "thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()\n"
        "print(open('/proc/sys/kernel/ostype').read().strip())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["thread", "Linux"], done.stderr


def test_no_core_is_dumped_and_privileges_cannot_grow():
    program = (
        "from analysis.sandbox import enter\nenter()\n"
        "import ctypes, resource\n"
        "libc = ctypes.CDLL(None)\n"
        "print(libc.prctl(3, 0, 0, 0, 0), libc.prctl(39, 0, 0, 0, 0), libc.prctl(21, 0, 0, 0, 0))\n"
        "print(*resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["0", "1", "2", "0", "0"], done.stderr


def test_an_unknown_machine_is_an_error_and_not_a_silent_pass():
    with pytest.raises(SandboxError):
        build_filter("riscv64")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_jump_of_the_filter_lands_inside_it_and_it_ends_by_allowing(machine):
    code = build_filter(machine)
    instructions = list(struct.iter_unpack("=HBBI", code))
    assert 10 < len(instructions) < 4096
    for position, (_code, if_true, if_false, _value) in enumerate(instructions[:-1]):
        assert position + 1 + max(if_true, if_false) < len(instructions)
    assert instructions[-1] == (0x06, 0, 0, 0x7FFF0000)
