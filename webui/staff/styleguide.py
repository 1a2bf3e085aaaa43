"""/_styleguide: each component in all its states. It shows made-up words only."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from appliance.domain import AnalysisState, AttemptState, RecordingState
from appliance.reading.vault_notice import Notice, Room
from webui.auth import public
from webui.staff import desk

blueprint = Blueprint("styleguide", __name__)


@blueprint.get("/_styleguide")
@public
def page() -> Response:
    """All components."""
    return desk.page(
        "staff/styleguide.html",
        moment=datetime(2026, 11, 21, 6, 2, tzinfo=UTC),
        attempt_states=list(AttemptState),
        recording_states=[None, *RecordingState],
        analysis_states=[None, *AnalysisState],
        query=desk.ListQuery("name", False, 1),
        locked=Notice("locked", 25, 3, Room(80 * 10**9, 41.5, resting=False)),
        down=Notice("down"),
    )
