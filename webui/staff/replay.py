"""Replay: opening a view, its page, its bytes and sealed documents, the seconds watched.

Opening is the one audited act; everything under /replay/<view> is the opener's alone and dies with the
view's lease or their session.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for

from appliance.database import transaction
from appliance.domain import TrackKind
from appliance.erasing import ErasedError, is_erased
from appliance.errors import InvalidInputError, NotFoundError
from appliance.people.roles import Permission
from appliance.reading import one_attempt, viewers
from appliance.stages import replay as stage
from appliance.stages.talent import resume
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk, ranges, replay_words

blueprint = Blueprint("replay", __name__)

SHOWN_DOCUMENTS = frozenset({"transcript", "signals", "report", "peaks", "timeline"})
MAX_REPORT_BYTES = 64 * 1024


@blueprint.post("/recordings/<uuid:recording_id>/views")
@requires(Permission.RECORDING_REPLAY)
def open_view(recording_id: uuid.UUID) -> Response:
    """Open a view; it is on the access log before its page is answered."""
    view = stage.open_view(desk.settings(), current_user(), recording_id)
    return desk.go("replay.page", view_id=view.id)


@blueprint.get("/replay/<uuid:view_id>")
@requires(Permission.RECORDING_REPLAY)
def page(view_id: uuid.UUID) -> Response:
    """The player with everything beside it, or a way to open it again."""
    try:
        view = stage.view_for(desk.settings(), current_user(), view_id)
    except stage.ViewOverError as error:
        return _over(view_id, error)
    with transaction("staff", desk.settings()) as tx:
        found = one_attempt.page(tx, view.recording_id)
        resumes = resume.versions(tx, found.candidate_id)
    media = sorted(
        (track for track in found.tracks if track.kind != TrackKind.EVENTS),
        key=lambda track: (track.kind != TrackKind.CAMERA, track.name),
    )
    return desk.page(
        "staff/replay.html",
        view=view,
        attempt=found,
        media=media,
        resumes=resumes,
        analysed=_has_documents(found),
        unanalysed=replay_words.without_analysis(found.row.analysis_state, found.row.reason),
        facts=json.dumps(_facts(view, found), ensure_ascii=False).replace("<", "\\u003c"),
    )


@blueprint.get("/replay/<uuid:view_id>/tracks/<name>")
@requires(Permission.RECORDING_REPLAY)
def track(view_id: uuid.UUID, name: str) -> Response:
    """Bytes of a track, by range."""
    view = stage.view_for(desk.settings(), current_user(), view_id)
    file = stage.open_track(desk.settings(), view, name)
    response = ranges.answer(
        file.pieces,
        file.size,
        file.mime,
        file.etag,
        request.headers.get("Range"),
        request.headers.get("If-Range"),
    )
    response.call_on_close(file.close)
    return response


@blueprint.get("/replay/<uuid:view_id>/documents/<name>.json")
@requires(Permission.RECORDING_REPLAY)
def document(view_id: uuid.UUID, name: str) -> Response:
    """The newest version of a sealed document."""
    if name not in SHOWN_DOCUMENTS:
        raise NotFoundError()
    view = stage.view_for(desk.settings(), current_user(), view_id)
    return Response(stage.document(desk.settings(), view, name), mimetype="application/json")


@blueprint.post("/replay/<uuid:view_id>/watched")
@requires(Permission.RECORDING_REPLAY)
def watched(view_id: uuid.UUID) -> Response:
    """Add the spans just played, keep the view alive, and say whether the vault still gives anything."""
    if (request.content_length or 0) > MAX_REPORT_BYTES:
        raise InvalidInputError("The watched seconds were not understood.")
    body = request.get_json(force=True, silent=True)
    spans = body.get("ranges") if isinstance(body, dict) else None
    if not isinstance(spans, list):
        raise InvalidInputError("The watched seconds were not understood.")
    view = stage.view_for(desk.settings(), current_user(), view_id)
    renewed = stage.record_watched(desk.settings(), view, spans)
    locked = stage.vault_locked(desk.settings())
    return jsonify({"lease_until": renewed.lease_until.isoformat(), "locked": locked})


@blueprint.post("/replay/<uuid:view_id>/close")
@requires(Permission.RECORDING_REPLAY)
def close(view_id: uuid.UUID) -> Response:
    """End the view and go back to the candidate."""
    user = current_user()
    try:
        view = stage.view_for(desk.settings(), user, view_id)
    except stage.ViewOverError as error:
        return _over(view_id, error)
    stage.close(desk.settings(), user, view)
    return desk.go("candidates.page", done="view-closed", attempt_id=view.recording_id)


def _over(view_id: uuid.UUID, error: stage.ViewOverError) -> Response:
    with transaction("staff", desk.settings()) as tx:
        recording_id = viewers.recording_of(tx, view_id, current_user().account_id)
        erased = recording_id is not None and is_erased(tx, recording_id)
    if recording_id is None:
        raise error
    told = message_of(ErasedError() if erased else error)
    return desk.page("staff/replay_over.html", 410, recording_id=recording_id, message=told, erased=erased)


def _facts(view: stage.View, found: one_attempt.AttemptPage) -> dict[str, Any]:
    """What the page's modules need to know, as JSON in the page."""
    recording = found.recording
    return {
        "duration_ms": recording.duration_ms if recording else 0,
        "gaps": recording.gaps if recording else [],
        "questions": one_attempt.questions_put(found.snapshot),
        "watched_url": url_for("replay.watched", view_id=view.id),
        "documents_url": url_for("replay.document", view_id=view.id, name="NAME"),
        "documents_expected": _has_documents(found),
        "words": replay_words.words(),
    }


def _has_documents(found: one_attempt.AttemptPage) -> bool:
    """Whether an analysis left what the page shows beside the picture."""
    return any(document.name in ("transcript", "signals") for document in found.documents)
