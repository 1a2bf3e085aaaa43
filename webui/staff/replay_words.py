"""The words that the replay page's modules show, in the person's language."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import pgettext

from appliance.domain import AnalysisState
from webui import words as word_lists


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
        "longest": _("The %(k)s longest of %(n)s", k="{k}", n="{n}"),
        "lowest": _("The %(k)s lowest of %(n)s", k="{k}", n="{n}"),
        "unsure": _("The computer was not sure of these words"),
        "sure": {"high": _("quite sure"), "middle": _("fairly sure"), "low": _("not sure")},
        "sharp": _("sharp"),
        "soft": _("not sharp"),
        "failed": _("This could not be read. Reload the page to try again."),
        "yes": _("yes"),
        "no": _("no"),
        "percent": _("%(n)s %%", n="{n}"),
        "signals": signals(),
        "units": units(),
        "events": events(),
        "gaps": word_lists.gaps(),
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
        "face": pgettext("unit", "face"),
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


def statements() -> dict[str, str]:
    """The report's statements: text id to a sentence with {parameters}, which the page fills in."""
    percent, seconds, rate = "{percent}", "{seconds}", "{rate}"
    return {
        "speech_share": _(
            "Speech: %(seconds)s s, %(percent)s %% of the time", seconds=seconds, percent=percent
        ),
        "no_speech": _("No speech was heard."),
        "speech_rate_words": _("Speech rate: %(rate)s words a minute", rate=rate),
        "speech_rate_characters": _("Speech rate: %(rate)s characters a minute", rate=rate),
        "pauses": _("Pauses: %(count)s, together %(seconds)s s", count="{count}", seconds=seconds),
        "longest_pause": _("Longest pause: %(seconds)s s", seconds=seconds),
        "face_share": _("A face is in the picture for %(percent)s %% of the time.", percent=percent),
        "face_absent": _("No face in the picture: %(seconds)s s", seconds=seconds),
        "several_faces": _("More than one face in the picture: %(seconds)s s", seconds=seconds),
        "picture_slow": _("The picture is slow: %(fps)s pictures a second", fps="{fps}"),
        "picture_soft": _("The picture is not sharp (index %(index)s).", index="{index}"),
        "sound_noisy": _("Noisy: the voice is %(db)s dB over the noise.", db="{db}"),
        "sound_quiet": _("The voice is quiet: %(dbfs)s dBFS", dbfs="{dbfs}"),
        "sound_clipped": _("Overdriven sound: %(percent)s %% of the time", percent=percent),
        "no_sound": _("There is no sound."),
        "missing": _("Missing from this recording: %(seconds)s s", seconds=seconds),
    }


def without_analysis(state: str | None, reason: str | None) -> str:
    """Why there are no transcript, signals and waveform, and what a person can do about it."""
    if state == AnalysisState.SKIPPED:
        return {
            "no_model_pack": _(
                "No model pack is installed, so this interview was not analysed. "
                "Ask your system administrator to install one; it is then analysed by itself."
            ),
            "declined": _("The candidate declined the analysis. The recording can be replayed without it."),
            "not_offered": _(
                "Analysis is off for this position, so candidates were not asked. "
                "The recording can be replayed without it."
            ),
            "no_media": _("There is no picture and no sound to analyse."),
        }.get(reason or "", _("Not analysed"))
    reasons: dict[str | None, str] = {
        AnalysisState.CANCELLED: _(
            "The candidate withdrew the consent to analysis. The recording can be replayed without it."
        ),
        AnalysisState.FAILED: _(
            "The analysis failed. Why, and whether it can be ordered again, is at the top of this page."
        ),
        AnalysisState.DONE: _("The analysis left none."),
    }
    return reasons.get(
        state,
        _("The analysis is not done yet. What it finds appears here by itself."),
    )
