"""What every workload has: a state before, steps that are acknowledged, and what must hold after a crash."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.errors import FupanError
from storage.errors import VaultError

Step = tuple[str, Callable[[], object]]


class Workload(abc.ABC):
    """One thing that the vault does. Instances are pickled into the process that does it."""

    calls: frozenset[str]
    """System calls that it must be seen to make, so that a tracer that sees nothing is noticed."""

    slow = False
    """Whether looking at what a crash left takes long, so that not every state is looked at every day."""

    everyday = True
    """Whether it is short enough for the everyday run."""

    suite = 1
    """The suite that it writes in."""

    @property
    def name(self) -> str:
        """What it is called in figures."""
        return type(self).__name__.lower() + (f" (suite {self.suite})" if self.suite != 1 else "")

    def prepare(self, folder: Path) -> None:  # noqa: B027 - most begin with nothing
        """Make what is there before; no fault is injected here."""

    @abc.abstractmethod
    def steps(self, folder: Path) -> Iterator[Step]:
        """Each step with the line that acknowledges it."""

    @abc.abstractmethod
    def require(self, folder: Path, acknowledged: list[str], what: str) -> None:
        """Assert the promise for the folder as a crash left it. `what` names the crash in messages."""

    @abc.abstractmethod
    def require_done(self, folder: Path, what: str) -> None:
        """Assert that everything is done and nothing is left over."""

    def run(self, folder: Path, acknowledge: Callable[[str], object]) -> None:
        """Do every step; one that fails is tried once more, as a browser or a job would."""
        for line, step in self.steps(folder):
            try:
                step()
            except (OSError, VaultError, FupanError):
                step()
            acknowledge(line)

    def require_nothing_lost(self, folder: Path, acknowledged: list[str], what: str) -> None:
        """The promise, and then the same work once more, without a manual step."""
        self.require(folder, acknowledged, what)
        again: list[str] = []
        self.run(folder, again.append)
        assert again == [line for line, _ in self.steps(folder)], what
        self.require_done(folder, what)
