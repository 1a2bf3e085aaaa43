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
    body = happened.about if isinstance(happened.about, dict) else {}
    texts = {
        "bound": _("Pressed Begin in a browser"),
        "rebind_requested": _("Opened the link in another browser; a fresh link is mailed"),
        "state": _("Interview"),
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
        "erased": _("Erased: its key was destroyed"),
        "analysis:done": _("Analysis done"),
        "analysis:failed": _("Analysis failed"),
        "analysis:skipped": _("No analysis"),
        "analysis:cancelled": _("Analysis cancelled"),
    }
    if happened.kind == "state" and "refused" not in body:
        return Line(happened.at, _state(body))
    told = [_text(body.get("to")), _text(body.get("who")), words.reason(_text(body.get("reason")))]
    if "refused" in body:
        told.append(words.outcome("denied"))
    text = texts.get(happened.kind, happened.kind)
    if happened.kind == "mail:sent" and body.get("reason") == "no_relay":
        text = _("Invitation written, not mailed")
    return Line(happened.at, text, " · ".join(filter(None, told)))


def checks(found: object) -> list[tuple[str, str, str]]:
    """(what, result, chip class) of the newest check."""
    names = {
        "browser": _("Browser"),
        "camera": _("Camera"),
        "microphone": _("Microphone"),
        "network": _("Network"),
        "screen": _("Screen"),
    }
    results = {"ok": _("Good"), "warn": _("Usable"), "fail": _("Failed"), "skipped": _("Not needed")}
    stated = found if isinstance(found, dict) else {}
    known = [(name, _text(stated.get(key))) for key, name in names.items()]
    return [(name, results.get(result, result), LIGHTS.get(result, "")) for name, result in known if result]


def _text(value: object) -> str:
    """What intake wrote, where it is a text at all."""
    return value if isinstance(value, str) else ""


def _state(body: dict[str, Any]) -> str:
    number = body.get("question", "")
    number = number if isinstance(number, int) else ""
    event = _text(body.get("event"))
    return {
        "question_opened": _("Question %(n)s opened", n=number),
        "question_closed": _("Question %(n)s closed", n=number),
        "chunk_conflict": _("Two different pieces arrived for one place; both are kept"),
    }.get(event, event)
