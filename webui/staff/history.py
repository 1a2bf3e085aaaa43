"""An attempt's history and checks in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from appliance.reading.one_attempt import Happening
from webui import words

LIGHTS = {"ok": "safe", "warn": "warn", "fail": "stop", "skipped": ""}


@dataclass(frozen=True)
class Line:
    """One line of the history; `about` is a detail in quiet letters."""

    at: datetime
    text: str
    about: str = ""


def line(happened: Happening) -> Line:
    """What happened, for people."""
    body = happened.about
    texts = {
        "bound": _("Pressed Begin in a browser"),
        "rebind_requested": _("Opened the link in another browser; a fresh link is mailed"),
        "checked": _("Checked browser, camera, microphone and network"),
        "consent": _("Answered the consent questions"),
        "consent_withdrawn": _("Withdrew a consent"),
        "finish": _("Finished; the browser signed the list of what it recorded"),
        "mail:queued": _("An invitation waits to be sent"),
        "mail:sent": _("Invitation sent"),
        "mail:failed": _("The invitation could not be sent"),
        "mail:dropped": _("An invitation was not sent any more"),
        "viewed": _("Replay opened"),
        "sealed": _("Sealed in the vault"),
        "analysis:done": _("Analysis done"),
        "analysis:failed": _("Analysis failed"),
        "analysis:skipped": _("No analysis"),
        "analysis:cancelled": _("Analysis cancelled"),
    }
    if happened.kind == "state":
        return Line(happened.at, _state(body))
    told = [body.get("to"), body.get("who"), words.reason(body.get("reason"))]
    about = " · ".join(str(each) for each in told if each)
    return Line(happened.at, texts.get(happened.kind, happened.kind), about)


def checks(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, result, chip class) of the newest check."""
    names = {
        "browser": _("Browser"),
        "camera": _("Camera"),
        "microphone": _("Microphone"),
        "network": _("Network"),
        "screen": _("Screen"),
    }
    results = {"ok": _("Good"), "warn": _("Usable"), "fail": _("Failed"), "skipped": _("Not needed")}
    return [
        (name, results.get(found[key], str(found[key])), LIGHTS.get(found[key], ""))
        for key, name in names.items()
        if key in found
    ]


def _state(body: dict[str, Any]) -> str:
    number = body.get("question", "")
    return {
        "question_opened": _("Question %(n)s opened", n=number),
        "question_closed": _("Question %(n)s closed", n=number),
        "chunk_conflict": _("Two different pieces arrived for one place; both are kept"),
    }.get(body.get("event", ""), str(body.get("event", "")))
