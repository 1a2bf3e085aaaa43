"""The room's pure modules in node: what a failing browser database or a refusing server leads to."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MODULES = Path(__file__).parents[3] / "webui/static/intake"
NODE = shutil.which("node")
FLAGS = ["--no-warnings", "--experimental-default-type=module", "--input-type=module", "-e"]
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def run(script: str) -> Any:
    """What a module script prints as JSON; `load(name)` imports one of the room's modules."""
    load = f"const load = (name) => import(`{MODULES.as_uri()}/${{name}}`);\n"
    done = subprocess.run(
        [NODE, *FLAGS, load + script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_piece_that_fails_is_a_gap_and_not_the_end_of_the_track() -> None:
    result = run("""
        const { Committer } = await load("recorder.js");
        const [stored, lost, troubles] = [[], [], []];
        const store = {
          async commit(recording, piece) {
            if (piece.n === 3) throw new Error("broken");
            if (piece.n === 4 && piece.tries++ < 7) throw new DOMException("full", "QuotaExceededError");
            stored.push(piece.n);
          },
        };
        const committer = new Committer({
          store,
          packet: { recording: "r" },
          uploader: { kick() {} },
          onStorage: (error) => troubles.push(error ? 1 : 0),
          onLost: (error) => lost.push(error.message),
        }, 1);
        committer.add(Promise.resolve({ n: 0 }));
        committer.add(Promise.reject(new Error("unsealed")));
        for (const n of [2, 3, 4]) committer.add(Promise.resolve({ n, tries: 0 }));
        await committer.idle();
        console.log(JSON.stringify({ stored, lost, last: troubles.at(-1), troubles: troubles.length }));
    """)
    assert result == {"stored": [0, 2, 4], "lost": ["unsealed", "broken"], "last": 0, "troubles": 15}
