"""Analysis: the real job with the real model pack on a ten-minute 720p interview."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from appliance.database import transaction
from appliance.domain import AnalysisState
from appliance.stages import analyse
from appliance.tables import analysis as analysis_table
from tests.bench.figures import Goal, Sheet
from tests.bench.stand import Stand
from tests.bench.usage import ChildWatch

STAGES = ("listen", "transcribe", "look", "write")


def pack() -> Path | None:
    """The active model pack below FUPAN_MODELS, if there is one."""
    folder = Path(os.environ.get("FUPAN_MODELS") or Path.home() / ".cache/fupan/models") / "active"
    return folder.resolve() if (folder / "manifest.json").is_file() else None


def measure(sheet: Sheet, stand: Stand, recording: uuid.UUID, models: Path) -> None:
    """Analyse a sealed recording that waits for a model pack."""
    (stand.settings.models_folder / "active").symlink_to(models)
    with transaction("worker", stand.settings) as tx:
        analyse.requeue_skipped(tx)
    begun = time.monotonic()
    with ChildWatch("analysis") as watch:
        stand.desk.site.run_jobs()
    elapsed = time.monotonic() - begun
    row = stand.desk.site.row(analysis_table, recording)
    if row.state != AnalysisState.DONE:
        raise RuntimeError(f"the analysis ended as {row.state}: {row.reason}")
    length = row.figures["duration_ms"] / 1000
    about = f"{length:.0f} s of 720p, speech and face, {row.figures['segments']:.0f} segments transcribed"
    sheet.add("analysis.rtf", elapsed / length, "times", Goal("≤", 0.25), about)
    for stage in STAGES:
        seconds = row.figures.get(f"seconds_{stage}", 0.0)
        sheet.add(f"analysis.{stage}.rtf", seconds / length, "times")
    sheet.add("analysis.memory", watch.peak_bytes / 1e6, "MB", Goal("<", 1500), "peak of the media child")
