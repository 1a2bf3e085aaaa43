"""The candidate's page: one shell for every screen, its modules by release, and the service worker.

The shell shows nothing about a person: only what the packet says of the interview. It binds nothing.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, render_template, url_for
from flask_babel import force_locale
from flask_babel import gettext as _

from appliance import texts
from appliance.errors import NotFoundError
from appliance.intake_errors import LinkUnknownError
from appliance.intake_folder import IntakeFolder
from appliance.packet import Packet
from webui import assets, errors, i18n
from webui.auth import public
from webui.intake.strings import page_strings

blueprint = Blueprint("room", __name__, url_prefix="/i")

MODULES = (
    "intake/room.js",
    "intake/api.js",
    "intake/checks.js",
    "intake/codec.js",
    "intake/events.js",
    "intake/finish.js",
    "intake/interview.js",
    "intake/level.js",
    "intake/meter.js",
    "intake/recorder.js",
    "intake/saved.js",
    "intake/screens.js",
    "intake/seal.js",
    "intake/steps.js",
    "intake/store.js",
    "intake/telemetry.js",
    "intake/trial.js",
    "intake/upload.js",
    "vendor/hpke.js",
    "vendor/idb.js",
)
STYLES = ("vendor/pico.min.css", "fupan.css", "intake/intake.css", "mark.svg")


@cache
def release() -> str:
    """A name for exactly these modules: a page never mixes modules of two releases."""
    whole = hashlib.sha256()
    for name in (*MODULES, "intake/sw.js"):
        whole.update(hashlib.sha256((Path(assets.STATIC) / name).read_bytes()).digest())
    return whole.hexdigest()[:12]


@blueprint.get("/<uuid:recording>")
@public
def shell(recording: uuid.UUID) -> Response:
    """The page. Its text says what the interview is; whose it is appears only after Begin."""
    folder: IntakeFolder = current_app.extensions["fupan_intake"]
    packet = folder.packet(recording)
    with force_locale(i18n.choose(packet.language, cookie=False)):
        body = _render(packet)
    response = Response(body, mimetype="text/html")
    response.headers["Referrer-Policy"] = "no-referrer"
    response.vary.add("Accept-Language")
    return response


def _render(packet: Packet) -> str:
    return render_template(
        "intake/room.html",
        packet=packet,
        company=packet.site,
        total_seconds=sum(question.prep_seconds + question.answer_seconds for question in packet.questions),
        language="zh" if i18n.in_chinese() else "en",
        consent=_texts(packet),
        guide=_guide(packet),
        contact=packet.contact or _("the person who invited you"),
        release=release(),
        setup=_setup(packet),
    )


@blueprint.app_errorhandler(LinkUnknownError)
def _unknown(error: LinkUnknownError) -> Response:
    """A page for a person, JSON for the modules."""
    if errors.wants_json():
        return errors.answer(error)
    body = render_template(
        "intake/problem.html",
        title=_("This link is not valid"),
        message=errors.message_of(error),
        company=current_app.config["SITE"],
    )
    return Response(body, status=error.status, mimetype="text/html")


def _texts(packet: Packet) -> dict[str, str]:
    """Consent texts in the page's language, or else the packet's."""
    language = "zh" if i18n.in_chinese() else "en"
    known: dict[str, str] = packet.consent_texts.get(language) or packet.consent_texts[packet.language]
    return known


def _guide(packet: Packet) -> str:
    """The guide in the page's language when it is ours; one that the company wrote stays as it is."""
    if packet.language in texts.LANGUAGES and packet.guide == texts.guide(packet.language):
        return texts.guide("zh" if i18n.in_chinese() else "en")
    return packet.guide


def _setup(packet: Packet) -> dict[str, Any]:
    """What the modules need before they may ask the API."""
    language = "zh" if i18n.in_chinese() else "en"
    return {
        "recording": str(packet.recording),
        "language": language if language in packet.consent_texts else packet.language,
        "consent": _texts(packet),
        "screen": str(packet.policy.screen),
        "analysis": packet.policy.analysis,
        "strings": page_strings(),
    }


@blueprint.get("/modules/<version>/<path:name>")
@public
def module(version: str, name: str) -> Response:
    """One module of this release; an older page gets 404 and reloads."""
    if version != release() or name not in MODULES:
        raise NotFoundError
    response = assets.send(name)
    response.headers["Cache-Control"] = f"public, max-age={assets.A_YEAR}, immutable"
    return response


@blueprint.get("/sw.js")
@public
def service_worker() -> Response:
    """The service worker, with the list of what it keeps."""
    keeps = [url_for("room.module", version=release(), name=name) for name in MODULES]
    keeps += [assets.address(name) for name in STYLES]
    listing = json.dumps({"release": release(), "keeps": keeps})
    script = (Path(assets.STATIC) / "intake" / "sw.js").read_text(encoding="utf-8")
    response = Response(f"const SHELL = {listing};\n{script}", mimetype="text/javascript")
    response.headers["Cache-Control"] = "no-cache"
    return response
