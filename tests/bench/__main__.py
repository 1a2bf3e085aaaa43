"""`python -m tests.bench [part …]`: all parts, or those named, on this machine; a quarter of an hour."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import analysis, audit, ingest, nginx, pages, replay, seal, stand, vault
from tests.bench.figures import Sheet, machine

PARTS = ("vault", "ingest", "seal", "replay", "analysis", "audit", "pages")
BUILD = Path(__file__).parents[2] / "build"
BUSY = 0.5  # load a core above which times say little


def main() -> int:
    """Measure, print, write build/bench.json; 0 also when goals are missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    wanted = set(parser.parse_args().parts or PARTS)
    if wanted - set(PARTS):
        parser.error(
            f"there is no part {', '.join(sorted(wanted - set(PARTS)))}; choose from {', '.join(PARTS)}"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.pop("FUPAN_CONFIG", None)
    sheet, found = Sheet(lambda line: print(line, flush=True)), machine()
    print(f"# {found['cpu']}, {found['cores']} cores, {found['memory_mb']} MB, {found['system']}")
    if float(str(found["load_before"])) > BUSY * int(str(found["cores"])):
        print(f"# the machine is busy (load {found['load_before']}): times will be worse than it can do")
    folder = BUILD / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if "vault" in wanted:
            _part(sheet, "vault", lambda: vault.measure(sheet, folder / "vault"))
        _ingest(sheet, folder, wanted)
        _with_a_site(sheet, folder, wanted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        found["load_after"] = round(os.getloadavg()[0], 2)
        sheet.write(BUILD / "bench.json", found)
    missed = [figure.name for figure in sheet.figures if figure.result == "miss"]
    goals = sum(figure.result != "-" for figure in sheet.figures)
    print(f"# {goals - len(missed)} of {goals} goals met{': missed ' + ', '.join(missed) if missed else ''}")
    return 1 if sheet.failed else 0


def _ingest(sheet: Sheet, folder: Path, wanted: set[str]) -> None:
    if "ingest" not in wanted:
        return
    if not nginx.available():
        sheet.leave_out("ingest", "nginx is not installed")
        return
    _part(sheet, "ingest", lambda: ingest.measure(sheet, folder / "ingest"))


def _with_a_site(sheet: Sheet, folder: Path, wanted: set[str]) -> None:
    """The parts that share one site: what is sealed is then replayed and analysed."""
    wanted = wanted - {"vault", "ingest"}
    if not wanted:
        return
    if not stand.available():
        for part in sorted(wanted):
            sheet.leave_out(part, "PostgreSQL 15 is not installed")
        return
    with stand.running(folder / "site") as site:
        if wanted & {"seal", "replay", "analysis"}:
            _part(sheet, "seal", lambda: _recordings(sheet, site, folder, wanted))
        if "audit" in wanted:
            _part(sheet, "audit", lambda: audit.measure(sheet, site))
        if "pages" in wanted:
            _part(sheet, "pages", lambda: pages.measure(sheet, site))


def _recordings(sheet: Sheet, site: stand.Stand, folder: Path, wanted: set[str]) -> None:
    sealed = seal.measure(sheet, site)
    if "replay" in wanted and not nginx.available():
        sheet.leave_out("replay", "nginx is not installed")
    elif "replay" in wanted:
        measured = folder / "replay"
        _part(sheet, "replay", lambda: replay.measure(sheet, site, sealed.long, seal.LONG_SECONDS, measured))
    models = analysis.pack()
    if "analysis" in wanted and models is None:
        sheet.leave_out("analysis", "there is no model pack (FUPAN_MODELS)")
    elif "analysis" in wanted and models is not None:
        _part(sheet, "analysis", lambda: analysis.measure(sheet, site, sealed.short, models))


def _part(sheet: Sheet, name: str, measure: Callable[[], object]) -> None:
    """Run one part; what goes wrong in it is said and leaves the others to run."""
    try:
        measure()
    except Exception as error:  # noqa: BLE001 - one part's failure must not hide the others' figures
        sheet.fail(name, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
