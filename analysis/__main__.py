"""The media child: one JSON request line on stdin, JSON lines on stdout, then it is gone.

    {"mode": "remux" | "analyse" | "verify" | "repair" | "confinement", …}
      →  {"progress": 0…1, "stage": "…"} …  {"result": {…}}
         or {"error": {"kind": "…", "message": "…"}} and exit code 1

Descriptors are inherited, keys come in the request. The arguments are the number of the process that starts
this one, and the folder of a model pack if there is one. The process confines itself before it reads
anything, and ends with the one that started it: killed with it, or of itself, having read nothing, when that
one was gone before the kernel was asked to do so.
What it says never quotes a recording.
"""

from __future__ import annotations

import sys

from .sandbox import OrphanedError, SandboxError, enter

CONFINED = True
LANDLOCK = 0
try:
    LANDLOCK = enter(sys.argv[2:], parent=int(sys.argv[1]))
except OrphanedError:
    sys.exit(1)
except SandboxError:
    CONFINED = False

import json
import os
from typing import Any, TextIO

LARGEST_REQUEST = 16 << 20


class Answers:
    """The lines that go to the parent. Whatever a library prints on stdout goes to stderr instead."""

    def __init__(self) -> None:
        self._lines: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, message: dict[str, Any]) -> None:
        """One line, at once."""
        self._lines.write(json.dumps(message) + "\n")
        self._lines.flush()

    def progress(self, fraction: float, stage: str) -> None:
        """How far the work is, 0 … 1."""
        self.say({"progress": round(min(max(fraction, 0.0), 1.0), 4), "stage": stage})


def handle(request: dict[str, Any], answers: Answers) -> dict[str, Any]:
    """Carry out one request. Raises AnalysisError."""
    from .errors import RequestError

    match request.get("mode"):
        case "remux":
            from .seal_tracks import seal_tracks

            return seal_tracks(request, answers.progress)
        case "analyse":
            from .pipeline import analyse

            return analyse(request, answers.progress)
        case "verify":
            from .verify import verify

            return verify(request, answers.progress)
        case "repair":
            from .repair import repair_track

            return repair_track(request, answers.progress)
        case "confinement":
            return {"landlock": LANDLOCK}
        case mode:
            raise RequestError(f"there is no mode {mode!r}")


def main() -> int:
    """Read the request, do it, say how it went; the exit code."""
    from .errors import AnalysisError
    from .model_pack import ModelPackError

    answers = Answers()
    if not CONFINED:
        answers.say({"error": {"kind": "sandbox", "message": "this machine cannot confine the media child"}})
        return 1
    try:
        request = json.loads(sys.stdin.buffer.readline(LARGEST_REQUEST))
        result = handle(request, answers)
    except (AnalysisError, ModelPackError) as error:
        answers.say({"error": {"kind": error.kind, "message": str(error)}})
        return 1
    except MemoryError:
        answers.say({"error": {"kind": "memory", "message": "the memory limit was reached"}})
        return 1
    except Exception as error:  # noqa: BLE001 - the parent must get an answer; only the name is safe to tell
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = f"{where.tb_frame.f_code.co_name}:{where.tb_lineno}" if where is not None else ""
        answers.say({"error": {"kind": "internal", "message": f"{type(error).__name__} in {line}"}})
        return 1
    answers.say({"result": result})
    return 0


if __name__ == "__main__":
    sys.exit(main())
