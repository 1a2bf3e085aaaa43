"""The sandbox, each refusal beside the same act in a process that has not entered it."""

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import landlock
from analysis.sandbox import MACHINES, SandboxError, build_filter, readable_paths

from .recorder import run_child

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")

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
    "read a file of the same user": "open(FOLDER + '/there').read()",
    "list a folder of the same user": "import os; os.listdir(FOLDER)",
    "signal a thread elsewhere": "refused(LIBC.syscall(TGKILL, os.getppid(), os.getppid(), 0))",
    "signal a thread by its number alone": "refused(LIBC.syscall(TKILL, os.getppid(), 0))",
    "queue a signal": "refused(LIBC.syscall(SIGQUEUE, os.getppid(), 0, INFO))",
    "name another to be signalled": "import fcntl; fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "choose a descriptor's signal": "import fcntl; fcntl.fcntl(0, 10, 9)",
    "name a thread to be signalled": "import fcntl; fcntl.fcntl(0, 15, bytes(8))",
    "signals of a descriptor": "import fcntl; fcntl.fcntl(os.pipe()[0], fcntl.F_SETFL, os.O_ASYNC)",
    "signals of a folder": "import fcntl; fcntl.fcntl(os.open('/usr/lib', 0), fcntl.F_NOTIFY, 1)",
    "signals by a device": "import fcntl; fcntl.ioctl(os.pipe()[0], 0x5452, b'\\1\\0\\0\\0')",
    "another's limits": "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "another's variables": "open(f'/proc/{os.getppid()}/environ').read()",
    "shared memory": "refused(LIBC.shmget(0, 4096, 0o600))",
    "trace": "import ctypes; refused(ctypes.CDLL(None, use_errno=True).ptrace(0, 0, None, None))",
}
PRELUDE = """
import ctypes, os, platform
LIBC = ctypes.CDLL(None, use_errno=True)
TKILL, TGKILL, SIGQUEUE = (200, 234, 129) if platform.machine() == "x86_64" else (130, 131, 138)
INFO = ctypes.create_string_buffer(bytes(8) + b"\\xff" * 4, 128)  # si_code < 0: from a program
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
    outside = attempt(act, str(tmp_path), confined=False)
    assert "PermissionError" not in outside.stderr
    assert outside.returncode == 0, outside.stderr


@pytest.mark.parametrize("confined", [True, False])
def test_no_descriptor_kills_another_process_on_a_kernel_without_scopes(confined):
    """Landlock scopes signals since its ABI 6; the system calls must be refused without it too."""
    program = (
        "import fcntl, os, sys\n"
        "from analysis import landlock, sandbox\n"
        "landlock.version = lambda: 1\n"
        "victim, confined = int(sys.argv[1]), sys.argv[2] == 'True'\n"
        "readable, writable = os.pipe()\n"
        "if confined: sandbox.enter()\n"
        "for command, value in (fcntl.F_SETOWN, victim), (10, 9), (fcntl.F_SETFL, os.O_ASYNC):\n"
        "    try: fcntl.fcntl(readable, command, value)\n"
        "    except PermissionError: print('refused')\n"
        "for request in 0x8901, 0x8902:\n"
        "    try: fcntl.ioctl(readable, request, victim.to_bytes(4, 'little'))\n"
        "    except PermissionError: print('refused')\n"
        "    except OSError: pass\n"
        "os.write(writable, b'x')\n"
    )
    victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(victim.pid), str(confined)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        victim.communicate(b"\n", timeout=60)
    finally:
        victim.kill()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["refused"] * 5 if confined else [])
    assert victim.returncode == (0 if confined else -signal.SIGKILL)


def test_a_flag_of_a_descriptor_can_still_be_set():
    program = (
        "from analysis.sandbox import enter\nenter()\n"
        "import fcntl, os\n"
        "ends = os.pipe()\n"
        "os.set_blocking(ends[0], False); os.set_inheritable(ends[0], True); os.isatty(ends[0])\n"
        "print(fcntl.fcntl(ends[0], fcntl.F_GETFL) & os.O_NONBLOCK > 0, os.dup(ends[1]) > 2)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True"], done.stderr


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
        build_filter("riscv64", 1)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_jump_of_the_filter_lands_inside_it_and_it_ends_by_allowing(machine):
    code = build_filter(machine, 4711)
    instructions = list(struct.iter_unpack("=HBBI", code))
    assert 10 < len(instructions) < 4096
    for position, (_code, if_true, if_false, _value) in enumerate(instructions[:-1]):
        assert position + 1 + max(if_true, if_false) < len(instructions)
    assert instructions[-1] == (0x06, 0, 0, 0x7FFF0000)


@needs_landlock
def test_what_is_named_can_be_read_and_its_neighbour_not(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "model").write_text("weights")
    (tmp_path / "neighbour").write_text("secret")
    (tmp_path / "named" / "link").symlink_to(tmp_path / "neighbour")
    program = (
        "import sys\n"
        "from analysis.sandbox import enter\n"
        "print(enter(sys.argv[1:2]) > 0, open(sys.argv[1] + '/model').read())\n"
        "for path in sys.argv[1] + '/link', sys.argv[1] + '/../neighbour', '/etc/passwd':\n"
        "    try: open(path).read()\n"
        "    except PermissionError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "named")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["True", "weights", "refused", "refused", "refused"], done.stderr


@needs_landlock
def test_the_real_child_reads_the_pack_on_its_command_line_and_no_other_file(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with (tmp_path / "out").open("wb") as out:
        output = {"out_fd": out.fileno(), "header": "", "out_key": ""}
        request = {
            "mode": "analyse",
            "pack": str(tmp_path),
            "outputs": dict.fromkeys(("transcript", "signals", "peaks", "report"), output),
        }
        named = run_child(request, [out.fileno()])
        hidden = run_child(request, [out.fileno()], arguments=())
    assert named["error"]["kind"] == "model_pack_unknown", named
    assert hidden["error"]["message"].endswith("Permission denied"), hidden


def test_the_child_says_how_it_is_confined():
    assert run_child({"mode": "confinement"}, [])["result"] == {"landlock": landlock.version()}


REQUEST = json.dumps({"mode": "confinement"}).encode() + b"\n"
ROOT = Path(__file__).parents[2]


def test_a_child_whose_parent_is_another_than_the_named_one_ends_without_reading_its_request():
    readable, writable = os.pipe()
    os.write(writable, REQUEST)
    with os.fdopen(readable, "rb") as request, os.fdopen(writable, "wb"):
        command = [sys.executable, "-m", "analysis", str(os.getppid())]
        done = subprocess.run(command, stdin=request, capture_output=True, timeout=60, cwd=ROOT)
        assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
        assert os.read(readable, 1024) == REQUEST


def test_a_child_whose_parent_died_before_the_kernel_was_asked_to_tell_it_ends(tmp_path):
    """The start of Python takes a while; here until `held` is written to, with the parent killed by then."""
    held, release = os.pipe()
    (tmp_path / "sitecustomize.py").write_text(f"import os\nos.read({held}, 1)\n")
    parent_program = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-s', '-m', 'analysis', str(os.getpid())],\n"
        f"    env={{'PYTHONPATH': {f'{tmp_path}:{ROOT}'!r}}}, pass_fds=[{held}], start_new_session=True)\n"
        "os.write(2, b'%d\\n' % child.pid)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[held],
    )
    child = os.pidfd_open(int(parent.stderr.readline()))
    try:
        parent.kill()
        parent.wait()
        os.write(release, b"x")
        said, _ = parent.communicate(REQUEST, timeout=60)
        assert said == b""
        assert select.select([child], [], [], 60)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, signal.SIGKILL)
        for descriptor in (child, held, release):
            os.close(descriptor)


def test_no_folder_of_data_is_among_what_may_be_read():
    wide = {"/", "/etc", "/home", "/opt", "/proc", "/root", "/srv", "/sys", "/tmp", "/usr", "/var"}
    granted = {str(Path(path).resolve()) for path in readable_paths()}
    assert not granted & (wide | {str(Path(__file__).parents[2]), str(Path.home())})


def test_an_environment_of_links_is_followed_to_where_its_packages_lie(tmp_path, monkeypatch):
    kept, packages = tmp_path / "cache" / "archive" / "numpy", tmp_path / "site-packages"
    kept.mkdir(parents=True)
    (kept / "__init__.py").touch()
    (packages / "numpy").mkdir(parents=True)
    (packages / "numpy" / "__init__.py").symlink_to(kept / "__init__.py")
    (packages / "whole").symlink_to(kept.parent)
    monkeypatch.setattr(sys, "path", [str(packages)])
    assert {str(packages), str(kept), str(kept.parent)} <= set(readable_paths())


def test_a_crash_inside_is_still_a_crash():
    program = "import os\nfrom analysis.sandbox import enter\nenter()\nos.abort()\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGABRT


@pytest.mark.parametrize(("abi", "words"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (99, 3)])
def test_each_kernel_is_asked_for_all_that_it_knows(abi, words):
    asked = struct.unpack(f"={words}Q", landlock.ruleset(abi))
    assert asked[0] == {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}.get(abi, 0xFFFF)
    assert asked[1:] == (0b11, 0b11)[: words - 1]


def test_a_kernel_without_landlock_is_told_and_not_hidden(monkeypatch):
    def absent(*_):
        raise OSError(95, "not at boot")

    monkeypatch.setattr(landlock, "_call", absent)
    assert landlock.restrict([os.devnull]) == 0


def test_rules_that_the_kernel_does_not_take_are_an_error(monkeypatch):
    monkeypatch.setattr(landlock, "version", lambda: 1)
    monkeypatch.setattr(landlock, "ruleset", lambda _abi: b"\xff" * 8)
    with pytest.raises(landlock.LandlockError):
        landlock.restrict([])
