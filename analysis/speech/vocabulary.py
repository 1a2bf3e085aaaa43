"""Whisper's vocabulary: from token numbers to text. Text is never encoded here, so no tokenizer is needed."""

from __future__ import annotations

import json
from pathlib import Path

from ..model_pack import PackDamagedError

SECONDS_A_STEP = 0.02


def byte_of_letters() -> dict[str, int]:
    """The byte behind each letter that byte-level BPE vocabularies are written in."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(rest)}


class Vocabulary:
    """Token numbers of one model."""

    def __init__(self, path: Path) -> None:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            letters = byte_of_letters()
            self._bytes = [bytes(letters[letter] for letter in token) for token in stored["tokens"]]
            self.special: dict[str, int] = stored["special"]
            self.languages: dict[str, int] = stored["languages"]
            self.suppress: list[int] = stored["suppress"]
            self.suppress_at_start: list[int] = stored["suppress_at_start"]
            self.prompts: dict[str, list[int]] = stored["prompts"]
            self.first_timestamp: int = stored["first_timestamp"]
            self.end = self.special["endoftext"]
            self.start = self.special["startoftranscript"]
            self.transcribe = self.special["transcribe"]
            self.previous = self.special["startofprev"]
            self.no_speech = self.special["nocaptions"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PackDamagedError(f"the vocabulary cannot be read: {error}") from error

    def is_timestamp(self, token: int) -> bool:
        """Whether a token is a time rather than text."""
        return token >= self.first_timestamp

    def seconds(self, token: int) -> float:
        """The time a timestamp token stands for, from the start of its window."""
        return (token - self.first_timestamp) * SECONDS_A_STEP

    def text(self, tokens: list[int]) -> str:
        """The text of tokens; a character cut in half is dropped."""
        spelled = b"".join(self._bytes[token] for token in tokens if token < len(self._bytes))
        return spelled.decode("utf-8", "ignore")
