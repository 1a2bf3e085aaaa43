"""The interface of speech engines, and which engine a model pack brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ..model_pack import ModelPack, PackUnknownError
from ..signals import Segment
from .windows import Heard


class SpeechEngine(Protocol):
    """Turns windows of sound into segments with times of the track. Knows nothing of questions."""

    name: str
    language: str  # the one asked for; after `transcribe`, the one heard

    def transcribe(self, heard: Iterable[Heard]) -> Iterator[list[Segment]]:
        """The segments of each window, in order; an empty list where there were no words."""
        ...


def open_engine(pack: ModelPack, language: str) -> SpeechEngine:
    """The speech engine of a pack for `zh`, `en` or `auto`. Raises PackUnknownError."""
    match pack.engine("speech"):
        case "whisper-onnx":
            from .whisper import WhisperEngine

            return WhisperEngine(pack, language)
        case "vosk":
            from .vosk_engine import VoskEngine

            return VoskEngine(pack, language)
        case name:
            raise PackUnknownError(f"the pack's speech engine {name!r} is not known")
