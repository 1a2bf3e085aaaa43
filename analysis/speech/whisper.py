"""Whisper on onnxruntime: greedy decoding with timestamps over windows of speech."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..inference import open_session
from ..language import simplified
from ..model_pack import ModelPack
from ..signals import Segment
from .mel import log_mel
from .vocabulary import SECONDS_A_STEP, Vocabulary
from .windows import Heard, Window

THREADS = 2
LANGUAGES = ("zh", "en")
MOST_TOKENS = 220
LATEST_FIRST_TIMESTAMP = 1.0  # seconds
NO_SPEECH = 0.6
UNLIKELY = -1.0  # mean log probability of a text that is dropped when no speech is likely too
FEWEST_TOKENS_A_SECOND = 2.0
LEFT_UNHEARD_MS = 1500.0
LONGEST_REPEAT, FEWEST_REPEATS, FEWEST_REPEATED_TOKENS = 24, 4, 8


@dataclass
class Decoded:
    """What the decoder made of one window: tokens, the log probability of each, and if it was speech."""

    tokens: list[int]
    log_probabilities: list[float]
    no_speech: float

    @property
    def is_speech(self) -> bool:
        """False where there are no words, or unlikely words where no speech is likely."""
        if not self.tokens:
            return False
        return self.no_speech <= NO_SPEECH or float(np.mean(self.log_probabilities)) > UNLIKELY


class WhisperEngine:
    """One loaded model. `language` is `zh`, `en` or `auto` (decided by the first window with speech)."""

    name = "whisper-onnx"

    def __init__(self, pack: ModelPack, language: str) -> None:
        self._encoder = open_session(pack.path("whisper/encoder.int8.onnx"), THREADS)
        self._decoder = open_session(pack.path("whisper/decoder.int8.onnx"), THREADS)
        self._words = Vocabulary(pack.path("whisper/vocabulary.json"))
        self._cross = [output.name for output in self._encoder.get_outputs()]
        shape = next(i.shape for i in self._decoder.get_inputs() if i.name == "past_k")
        self._empty = np.zeros((shape[0], 1, shape[2], 0, shape[4]), np.float32)
        self._never = self._never_tokens()
        self.language = language

    def _never_tokens(self) -> np.ndarray:
        named = [number for number in self._words.special.values() if number != self._words.end]
        return np.array(sorted({*self._words.suppress, *named}))

    def transcribe(self, heard: Iterable[Heard]) -> Iterator[list[Segment]]:
        """The segments of each window; see SpeechEngine."""
        for one in heard:
            segments: list[Segment] = []
            rest: Heard | None = one
            while rest is not None:
                decoded = self._decode(rest)
                if decoded.is_speech:
                    segments += self._segments(decoded, rest.window)
                rest = self._rest(decoded, rest)
            yield segments

    def _decode(self, heard: Heard) -> Decoded:
        """Decode with the prompt of the language, and without it where the prompt silenced the model.

        After a prompt the model sometimes believes that everything has been said after one sentence. Then
        there are far fewer tokens than anybody's speech has, since windows hold no pauses.
        """
        encoded = self._encoder.run(None, {"mel": log_mel(heard.samples)})
        cross = dict(zip(self._cross, encoded, strict=True))
        seconds = heard.window.length_ms / 1000
        if self.language not in LANGUAGES:
            logits, _ = self._step([self._words.start], (self._empty, self._empty), cross)
            self.language = max(LANGUAGES, key=lambda name: logits[self._words.languages[name]])
        prompt = self._words.prompts.get(self.language, [])
        decoded = self._decode_after(prompt, cross, seconds)
        if prompt and len(decoded.tokens) < FEWEST_TOKENS_A_SECOND * seconds:
            bare = self._decode_after([], cross, seconds)
            if len(bare.tokens) > len(decoded.tokens):
                return bare
        return decoded

    def _decode_after(self, prompt: list[int], cross: dict[str, np.ndarray], seconds: float) -> Decoded:
        words = self._words
        opening = [words.previous, *prompt, words.start] if prompt else [words.start]
        logits, cache = self._step(opening, (self._empty, self._empty), cross)
        decoded = Decoded([], [], float(_softmax(logits)[words.no_speech]))
        given = [words.languages[self.language], words.transcribe]
        rules = TimestampRules(words, seconds)
        while len(decoded.tokens) < MOST_TOKENS:
            logits, cache = self._step(given, cache, cross)
            logits[self._never] = -np.inf
            scores = rules.apply(logits, decoded.tokens)
            token = int(np.argmax(scores))
            if token == words.end:
                if not decoded.tokens or words.is_timestamp(decoded.tokens[-1]):
                    break
                # Greedy, the model sometimes ends after one sentence of several. Asked when that sentence
                # ended it tells the time rightly, and what follows is heard.
                scores[: words.first_timestamp] = -np.inf
                if not np.isfinite(scores.max()):
                    break
                scores = _log_softmax(scores)
                token = int(np.argmax(scores))
            decoded.tokens.append(token)
            decoded.log_probabilities.append(float(scores[token]))
            if repeated := repeated_tail(decoded.tokens):
                del decoded.tokens[-repeated:], decoded.log_probabilities[-repeated:]
                break
            given = [token]
        return decoded

    def _rest(self, decoded: Decoded, heard: Heard) -> Heard | None:
        """What follows the last timestamp, if the model stopped there with much left to hear."""
        times = [self._words.seconds(t) for t in decoded.tokens if self._words.is_timestamp(t)]
        ended = bool(times) and self._words.is_timestamp(decoded.tokens[-1])
        if not ended or times[-1] <= 0 or heard.window.length_ms - times[-1] * 1000 < LEFT_UNHEARD_MS:
            return None
        return heard.after(times[-1] * 1000)

    def _step(
        self, tokens: list[int], cache: tuple[np.ndarray, np.ndarray], cross: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        feed = {"tokens": np.array([tokens], np.int64), "past_k": cache[0], "past_v": cache[1], **cross}
        logits, keys, values = self._decoder.run(["logits", "new_k", "new_v"], feed)
        return logits[0, 0].copy(), (keys, values)

    def _segments(self, decoded: Decoded, window: Window) -> list[Segment]:
        """Cut the tokens at their timestamps and put the times back on the track."""
        words, segments = self._words, []
        start, text, logs = 0.0, [], []
        length = window.length_ms / 1000

        def close(end: float) -> None:
            said = words.text(text).strip()
            if said:
                begins, ends = window.track_span(start * 1000, end * 1000)
                spoken = simplified(said) if self.language == "zh" else said
                confidence = min(1.0, float(np.exp(np.mean(logs))))
                segments.append(Segment(round(begins), round(ends), spoken, confidence))

        for token, log in zip(decoded.tokens, decoded.log_probabilities, strict=True):
            if not words.is_timestamp(token):
                text.append(token)
                logs.append(log)
                continue
            if text:
                close(words.seconds(token))
                text, logs = [], []
            start = words.seconds(token)
        if text:
            close(length)
        return segments


class TimestampRules:
    """Whisper's own rules for timestamps: they come in pairs, never go back, and win when likelier."""

    def __init__(self, words: Vocabulary, length: float) -> None:
        self._words = words
        self._past = words.first_timestamp + int((length + 0.5) / SECONDS_A_STEP) + 1
        self._first_past = words.first_timestamp + int(LATEST_FIRST_TIMESTAMP / SECONDS_A_STEP) + 1

    def apply(self, logits: np.ndarray, tokens: list[int]) -> np.ndarray:
        """Log probabilities of the next token after `tokens`; what the rules forbid is -inf."""
        words, first = self._words, self._words.first_timestamp
        logits[self._past :] = -np.inf
        if not tokens:
            logits[:first] = -np.inf
            logits[self._first_past :] = -np.inf
            return _log_softmax(logits)
        if words.is_timestamp(tokens[-1]):
            if len(tokens) < 2 or words.is_timestamp(tokens[-2]):
                logits[first:] = -np.inf
            else:
                logits[: words.end] = -np.inf
        times = [token for token in tokens if words.is_timestamp(token)]
        if times:
            closing = words.is_timestamp(tokens[-1])
            logits[first : times[-1] + (0 if closing else 1)] = -np.inf
        if len(tokens) == 1:
            logits[words.suppress_at_start] = -np.inf
        scores = _log_softmax(logits)
        if np.logaddexp.reduce(scores[first:]) > scores[:first].max():
            scores[:first] = -np.inf
        return scores


def repeated_tail(tokens: list[int]) -> int:
    """How many tokens at the end only repeat what stands before them, 0 if it is no loop."""
    for period in range(1, LONGEST_REPEAT + 1):
        needed = max(FEWEST_REPEATS, -(-FEWEST_REPEATED_TOKENS // period))
        tail = tokens[-period * needed :]
        if len(tail) == period * needed and tail == tail[:period] * needed:
            return period * (needed - 1)
    return 0


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits)


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(_log_softmax(logits))
