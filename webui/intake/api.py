"""The intake API: begin, check, consent, questions, chunks, finish. JSON in and out, except the chunks.

Everything that changes something needs the token given at Begin; a GET never binds anything.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from appliance.intake_errors import BadDigestError, BadRequestFieldError, IntakeFullError
from appliance.intake_folder import IntakeFolder
from appliance.intake_progress import packet_view, progress
from appliance.intake_session import IntakeSession, authorise
from appliance.people.roles import Permission
from appliance.stages import checkin, record
from webui import errors
from webui.auth import public, requires
from webui.intake.identity import prove_token, session

blueprint = Blueprint("intake", __name__, url_prefix="/intake")
MAX_JSON_BYTES = 256 * 1024
MAX_PROBE_BYTES = 512 * 1024
blueprint.before_request(prove_token)


def _folder() -> IntakeFolder:
    folder: IntakeFolder = current_app.extensions["fupan_intake"]
    return folder


def _address() -> str:
    return request.remote_addr or ""


def _json() -> dict[str, Any]:
    """The request's JSON object. Raises BadRequestFieldError("json")."""
    request.max_content_length = MAX_JSON_BYTES
    try:
        values = request.get_json(force=True, silent=True)
    except RecursionError:
        values = None
    if not isinstance(values, dict):
        raise BadRequestFieldError(what="json")
    return values


@blueprint.app_errorhandler(IntakeFullError)
def _full(error: IntakeFullError) -> Response:
    response = errors.answer(error)
    response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


@blueprint.get("/ping")
@public
def ping() -> Response:
    """The shortest answer there is, to measure the way there and back."""
    return jsonify({})


@blueprint.post("/recordings/<uuid:recording>/begin")
@public
def begin(recording: uuid.UUID) -> Response:
    """Bind this browser. The link's secret in the body is what allows it."""
    begun = checkin.begin(_folder(), recording, _json(), _address())
    proven = authorise(_folder(), recording, begun.token)
    return jsonify({"token": begun.token, **_status(proven)})


def _status(proven: IntakeSession) -> dict[str, Any]:
    return {"packet": packet_view(proven), **progress(_folder(), proven)}


@blueprint.get("/recordings/<uuid:recording>/state")
@requires(Permission.RECORD_OWN)
def state(recording: uuid.UUID) -> Response:
    """What has arrived and what comes next."""
    return jsonify(_status(session()))


@blueprint.post("/recordings/<uuid:recording>/probe")
@requires(Permission.CHECK_IN_OWN)
def probe(recording: uuid.UUID) -> Response:
    """Read and forget random bytes, to measure how fast this network uploads."""
    request.max_content_length = MAX_PROBE_BYTES
    return jsonify({"bytes": len(request.get_data(cache=False))})


@blueprint.post("/recordings/<uuid:recording>/check")
@requires(Permission.CHECK_IN_OWN)
def check(recording: uuid.UUID) -> Response:
    """Store what the device check found."""
    checkin.check(_folder(), session(), _json())
    return jsonify({})


@blueprint.post("/recordings/<uuid:recording>/consent")
@requires(Permission.CHECK_IN_OWN)
def consent(recording: uuid.UUID) -> Response:
    """Store the signed consent receipt."""
    checkin.consent(_folder(), session(), _json(), _address())
    return jsonify({})


@blueprint.post("/recordings/<uuid:recording>/withdraw")
@requires(Permission.CHECK_IN_OWN)
def withdraw(recording: uuid.UUID) -> Response:
    """Withdraw consent to analysis, at any time."""
    checkin.withdraw(_folder(), session(), _json(), _address())
    return jsonify({})


@blueprint.post("/recordings/<uuid:recording>/questions/<int:ordinal>/open")
@requires(Permission.RECORD_OWN)
def open_question(recording: uuid.UUID, ordinal: int) -> Response:
    """Hand out a question, once the ones before it are closed."""
    return jsonify({"question": record.open_question(_folder(), session(), ordinal)})


@blueprint.post("/recordings/<uuid:recording>/questions/<int:ordinal>/close")
@requires(Permission.RECORD_OWN)
def close_question(recording: uuid.UUID, ordinal: int) -> Response:
    """The answer to a question is over."""
    record.close_question(_folder(), session(), ordinal)
    return jsonify({})


@blueprint.post("/recordings/<uuid:recording>/heartbeat")
@requires(Permission.RECORD_OWN)
def heartbeat(recording: uuid.UUID) -> Response:
    """Keep the newest live figures."""
    record.heartbeat(_folder(), session(), _json())
    return jsonify({})


@blueprint.put("/recordings/<uuid:recording>/tracks/<track>/epochs/<epoch>/chunks/<int:number>")
@requires(Permission.RECORD_OWN)
def put_chunk(recording: uuid.UUID, track: str, epoch: str, number: int) -> Response:
    """Store one sealed chunk: 201 when it is new, 200 when the same one was there."""
    place = record.ChunkPlace(track, _epoch_bytes(epoch), number, _flag())
    digest = _content_digest()
    created = record.put_chunk(_folder(), session(), place, _whole_body(), digest)
    return Response(b"{}\n", 201 if created else 200, content_type="application/json")


def _whole_body() -> bytes:
    """The body, asked for in one piece: at each of werkzeug's steps of 64 KiB the server copies the rest.

    Raises RequestEntityTooLarge, ClientDisconnected.
    """
    length = request.content_length
    if length is None:
        return request.get_data(cache=False)
    if length > current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    try:
        body: bytes = request.input_stream.read(length)
    except OSError as error:  # as werkzeug's own streams take it
        raise ClientDisconnected from error
    if len(body) != length:
        raise ClientDisconnected
    return body


def _epoch_bytes(text: str) -> bytes:
    try:
        epoch = bytes.fromhex(text)
    except ValueError as error:
        raise BadRequestFieldError(what="epoch") from error
    if epoch.hex() != text or len(epoch) != 16:
        raise BadRequestFieldError(what="epoch")
    return epoch


def _flag() -> int:
    flag = request.args.get("flag", "0")
    if flag not in ("0", "1"):
        raise BadRequestFieldError(what="flag")
    return int(flag)


def _content_digest() -> bytes:
    """The SHA-256 of a Content-Digest header (RFC 9530). Raises BadDigestError."""
    for member in request.headers.get("Content-Digest", "").split(","):
        name, _, value = member.strip().partition("=")
        if name == "sha-256" and len(value) > 2 and value[0] == value[-1] == ":":
            try:
                digest = base64.b64decode(value[1:-1], validate=True)
            except (binascii.Error, ValueError) as error:
                raise BadDigestError from error
            if len(digest) == 32:
                return digest
    raise BadDigestError


@blueprint.post("/recordings/<uuid:recording>/finish")
@requires(Permission.RECORD_OWN)
def finish(recording: uuid.UUID) -> Response:
    """Take the signed list of all that was recorded; 409 says what has not arrived."""
    return jsonify({"receipt": record.finish(_folder(), session(), _json())})
