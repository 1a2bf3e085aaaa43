"""`make test`: every test but the long ones, in the order in which they fail soonest.

Most tests wait a good part of their time, so three at once keep two cores busy, two where each has a browser.
The whole product runs alone, since it suffers from neighbours. The story is told twice, on
Debian's PostgreSQL and on the bundled one. Each step fails as well when storage encrypts twice under one key
and nonce, whatever the test was about.
"""

from __future__ import annotations

import os
import subprocess
import sys

# A worker that a test ends is named at once; to start it again would hang the run.
BY_FILE = ["--dist", "loadfile", "--max-worker-restart=0"]
QUICK = ["-n", "3", *BY_FILE, "-m", "not long and not browser and not flow"]
BROWSER = ["-n", "2", *BY_FILE, "-m", "not long and browser and not flow"]
STORY = ["-p", "no:randomly", "-m", "not long and flow"]
STEPS = (
    ("without a browser", QUICK, ""),
    ("in a browser", BROWSER, ""),
    ("the story, on Debian's PostgreSQL 15", STORY, "debian"),
    ("the story, on the bundled PostgreSQL", STORY, "embedded"),
)
NOTHING_COLLECTED = 5


def main() -> int:
    """Run each step even when an earlier one failed; 0 when all passed."""
    failed = []
    for name, arguments, postgres in STEPS:
        print(f"\n== {name}", flush=True)
        environment = {**os.environ, **({"FUPAN_FLOW_POSTGRES": postgres} if postgres else {})}
        command = [sys.executable, "-m", "pytest", "-q", "--count-nonces", *arguments, *sys.argv[1:]]
        code = subprocess.run(command, env=environment, check=False).returncode
        if code not in (0, NOTHING_COLLECTED):
            failed.append(name)
    print("\nfailed: " + "; ".join(failed) if failed else "\nall tests passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
