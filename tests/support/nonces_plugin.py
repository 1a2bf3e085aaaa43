"""`pytest --count-nonces`: a run fails when storage encrypts twice under one key and nonce.

The media child takes part, and so do the processes that `tests.crash` kills. Not counted: the whole product
that the story starts, whose processes have environments of their own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from appliance import child
from tests.support.nonces import ENVIRONMENT, Count, count, count_in_this_process

TOLD = (ENVIRONMENT, "PYTEST_CURRENT_TEST")  # what the media child gets beside its own environment
HOOK = Path(__file__).parent / "nonces_in_children"
_FOUND = pytest.StashKey[Count]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Opt in."""
    parser.addoption(
        "--count-nonces", action="store_true", help="fail when any (key, nonce) pair is met twice"
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin: in the first process a folder for all, in each of them a recorder."""
    if not config.getoption("--count-nonces"):
        return
    if ENVIRONMENT not in os.environ:
        os.environ[ENVIRONMENT] = tempfile.mkdtemp(prefix="fupan-nonces-")
    count_in_this_process()
    clean = child._environment

    def with_count() -> dict[str, str]:
        path = os.pathsep.join((str(HOOK), clean()["PYTHONPATH"]))
        return clean() | {"PYTHONPATH": path} | {name: os.environ.get(name, "") for name in TOLD}

    child._environment = with_count


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End: the first process compares."""
    if session.config.getoption("--count-nonces") and not hasattr(session.config, "workerinput"):
        folder = Path(os.environ.pop(ENVIRONMENT))
        found = count(folder)
        shutil.rmtree(folder, ignore_errors=True)
        session.config.stash[_FOUND] = found
        if found.repeated:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was counted."""
    found = config.stash.get(_FOUND, None)
    if found is None:
        return
    terminalreporter.section("nonces")
    terminalreporter.line(f"{found.pairs} encryptions in {found.processes} processes")
    for test in found.repeated:
        terminalreporter.line(f"a (key, nonce) pair was used twice: {test}", red=True)
