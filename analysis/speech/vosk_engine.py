"""Vosk (Kaldi) behind the speech interface, for packs that bring one of its models in `vosk/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import vosk

from ..language import simplified
from ..media import RATE
from ..model_pack import ModelPack, PackDamagedError
from ..signals import Segment
from .windows import Heard, Window

STEP = RATE // 2  # samples handed over at a time; the recogniser ends sentences by itself


class VoskEngine:
    """One loaded model; it knows one language, which the pack names."""

    name = "vosk"

    def __init__(self, pack: ModelPack, language: str) -> None:
        vosk.SetLogLevel(-1)
        known = pack.languages
        self.language = language if language in known else known[0]
        try:
            self._model = vosk.Model(str(pack.folder / "vosk"))
        except Exception as error:  # the library raises nothing narrower
            raise PackDamagedError("the Vosk model cannot be loaded") from error

    def transcribe(self, heard: Iterable[Heard]) -> Iterator[list[Segment]]:
        """The segments of each window; see SpeechEngine."""
        for one in heard:
            recogniser = vosk.KaldiRecognizer(self._model, RATE)
            recogniser.SetWords(True)
            samples = (np.clip(one.samples, -1.0, 1.0) * 32767).astype(np.int16)
            results = [
                json.loads(recogniser.Result())
                for start in range(0, len(samples), STEP)
                if recogniser.AcceptWaveform(samples[start : start + STEP].tobytes())
            ]
            results.append(json.loads(recogniser.FinalResult()))
            yield [self._segment(result["result"], one.window) for result in results if result.get("result")]

    def _segment(self, words: list[dict[str, Any]], window: Window) -> Segment:
        separator = "" if self.language == "zh" else " "
        text = separator.join(word["word"] for word in words)
        start, end = window.track_span(words[0]["start"] * 1000, words[-1]["end"] * 1000)
        confidence = min(1.0, sum(word["conf"] for word in words) / len(words))
        said = simplified(text) if self.language == "zh" else text
        return Segment(round(start), round(end), said, confidence)
