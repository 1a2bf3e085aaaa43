from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance import child
from appliance.child import ChildFailedError, ChildStoppedError
from tests.support import nonces_plugin

MEMORY = 1024**3
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a child whose program is the given text; the rest is as in the product."""
    package = tmp_path / "analysis"
    package.mkdir()
    (package / "__init__.py").touch()
    real = child._environment()
    monkeypatch.setattr(child, "_environment", lambda: {**real, "PYTHONPATH": str(tmp_path)})

    def start(program: str, **more: Any) -> dict[str, Any]:
        (package / "__main__.py").write_text(
            "import json, os, sys\nrequest = json.loads(input())\n" + program
        )
        settings: dict[str, Any] = {"memory_bytes": MEMORY, "timeout": 20.0, "pass_fds": (), **more}
        return child.run(settings.pop("request", {}), settings.pop("pass_fds"), **settings)

    return start


SAY = "def say(**line): print(json.dumps(line), flush=True)\n"


def test_progress_and_result_come_back(run: Run) -> None:
    seen: list[tuple[float, str]] = []
    program = SAY + 'say(progress=0.5, stage="look")\nsay(result={"got": request["n"]})'
    result = run(program, request={"n": 7}, progress=lambda *told: seen.append(told))
    assert result == {"got": 7}
    assert seen == [(0.5, "look")]


def test_a_request_and_a_result_larger_than_a_pipe_pass(run: Run) -> None:
    text = "x" * 3_000_000
    assert run(SAY + "say(result=request)", request={"text": text}) == {"text": text}


def test_descriptors_are_inherited_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("words")
    (tmp_path / "kept").write_text("secret")
    with (tmp_path / "given").open() as given, (tmp_path / "kept").open() as kept:
        os.set_inheritable(kept.fileno(), True)
        program = SAY + (
            "def words(fd):\n"
            "    try: return os.read(fd, 9).decode()\n"
            "    except OSError: return None\n"
            "say(result={'given': words(request['given']), 'kept': words(request['kept'])})"
        )
        request = {"given": given.fileno(), "kept": kept.fileno()}
        assert run(program, request=request, pass_fds=[given.fileno()]) == {"given": "words", "kept": None}


def test_the_environment_is_bare(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUPAN_CONFIG", "/etc/fupan.toml")
    found = run(SAY + "say(result={'names': sorted(os.environ), 'args': sys.argv[1:]})")
    assert found["args"] == [str(os.getpid())]
    assert set(found["names"]) - set(nonces_plugin.TOLD) <= {
        "LANG", "LC_CTYPE", "OMP_NUM_THREADS", "ORT_DISABLE_TELEMETRY", "PATH",
        "PYTHONDONTWRITEBYTECODE", "PYTHONPATH",
    }  # fmt: skip


def test_only_its_parent_and_the_folder_of_the_pack_are_named_to_it(run: Run) -> None:
    found = run(SAY + "say(result={'args': sys.argv[1:]})", request={"pack": "/srv/models/1", "n": "/etc"})
    assert found["args"] == [str(os.getpid()), "/srv/models/1"]


def test_the_real_child_tells_whether_files_are_hidden_from_it() -> None:
    child.files_are_hidden.cache_clear()
    from analysis import landlock

    assert child.files_are_hidden() is bool(landlock.version())


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        (SAY + 'say(error={"kind": "no_sound", "message": "m"}); sys.exit(1)', "no_sound"),
        ("os.kill(os.getpid(), 11)", "crash"),
        ("sys.exit(3)", "crash"),
        ("raise ValueError('the answer was: hire me')", "crash"),
        ("", "protocol"),
        ('print("hello")', "protocol"),
        ("print('[1]')", "protocol"),
        ("print('{\"result\": 5}')", "protocol"),
        (SAY + "say(result={}); sys.exit(1)", "crash"),
        ("print('x' * (1 << 25))", "output"),
        ("x = bytearray(2 << 30)", "memory"),
        ("import signal; signal.pause()", "timeout"),
        ("os.close(1); os.close(2); import signal; signal.pause()", "timeout"),
    ],
)
def test_whatever_goes_wrong_has_a_kind(run: Run, program: str, kind: str) -> None:
    with pytest.raises(ChildFailedError) as failed:
        run(program, timeout=1.5 if kind == "timeout" else 20.0)
    assert failed.value.kind == kind
    assert "hire me" not in failed.value.detail


def test_a_child_that_never_reads_is_ended(run: Run, tmp_path: Path) -> None:
    (tmp_path / "analysis" / "__init__.py").write_text("import signal; signal.pause()")
    with pytest.raises(ChildFailedError, match="timeout"):
        run("", request={"text": "x" * 3_000_000}, timeout=1.5)


def test_stopping_kills_it_with_everything_it_started(run: Run) -> None:
    stop = threading.Event()
    program = SAY + (
        "pid = os.fork()\n"
        "if pid == 0:\n    import signal; signal.pause()\n"
        "say(progress=0.1, stage=str(pid))\n"
        "import signal; signal.pause()"
    )
    grandchild: list[int] = []

    def told(_fraction: float, stage: str) -> None:
        grandchild.append(os.pidfd_open(int(stage)))
        stop.set()

    with pytest.raises(ChildStoppedError):
        run(program, progress=told, stopping=stop.is_set)
    ended, _, _ = select.select(grandchild, [], [], 10)  # a descriptor of a process reads when it has ended
    os.close(grandchild[0])
    assert ended


def test_no_core_file_can_be_left(run: Run) -> None:
    program = SAY + "import resource; say(result={'core': resource.getrlimit(resource.RLIMIT_CORE)})"
    assert run(program) == {"core": [0, 0]}
