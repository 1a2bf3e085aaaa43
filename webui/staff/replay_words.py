"""The words that the replay page's modules show, in the person's language."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _


def words() -> dict[str, Any]:
    """All of them; nested by what they name."""
    return {
        "play": _("Play"),
        "pause": _("Pause"),
        "play_from": _("Play from"),
        "mark": _("Mark"),
        "gap": _("Gap"),
        "found": _("%(n)s found", n="{n}"),
        "found_at": _("%(k)s of %(n)s", k="{k}", n="{n}"),
        "unsure": _("The computer was not sure of these words"),
        "confidence": _("sure"),
        "failed": _("This could not be read. Reload the page to try again."),
        "yes": _("yes"),
        "no": _("no"),
        "signals": signals(),
        "units": units(),
        "events": events(),
        "gaps": gaps(),
        "statements": statements(),
    }


def signals() -> dict[str, str]:
    """What each kind of signal is called."""
    return {
        "speech_activity": _("Speech"),
        "speech_rate": _("Speech rate"),
        "pause": _("Pauses"),
        "face_present": _("A face in the picture"),
        "face_count": _("Number of faces"),
        "fps": _("Pictures per second"),
        "sharpness": _("Sharpness"),
        "snr": _("Voice over noise"),
        "level": _("Loudness"),
        "clipping": _("Overdriven sound"),
    }


def units() -> dict[str, str]:
    """Units of signals."""
    return {
        "per_second": _("a second"),
        "characters_per_minute": _("characters a minute"),
        "words_per_minute": _("words a minute"),
        "syllables_per_second": _("syllables a second"),
        "ms": _("ms"),
        "s": _("s"),
        "db": "dB",
        "dB": "dB",
        "dbfs": "dBFS",
        "fps": _("pictures a second"),
        "count": "",
        "faces": _("faces"),
        "boolean": "",
        "index": "",
    }


def events() -> dict[str, str]:
    """What happened in the candidate's browser."""
    return {
        "tab_hidden": _("Left the page"),
        "tab_visible": _("Came back to the page"),
        "offline": _("Connection lost"),
        "online": _("Connection back"),
        "reload": _("Page reloaded"),
        "typed": _("Typed an answer"),
        "screen_started": _("Screen recording began"),
        "screen_ended": _("Screen recording ended"),
    }


def gaps() -> dict[str, str]:
    """Why a stretch is missing."""
    return {
        "missing": _("A piece did not arrive"),
        "between": _("Nothing was recorded between two page loads"),
        "unopened": _("This part could not be opened"),
        "damaged": _("This part is damaged"),
    }


def statements() -> dict[str, str]:
    """The report's statements: text id to a sentence with {parameters}."""
    return {}
