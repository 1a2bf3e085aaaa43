"""The `analyse` request: sealed tracks in, four sealed documents out.

Consent decides which modules run: without `speech` nothing looks for a voice or words, without `face`
nothing looks for a face. The waveform and the technical quality describe the recording, not the person, and
are always made. Each stage reads the track again, so memory does not grow with its length.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from storage.stream import SealedReader, VaultError

from .documents import Output, read_document, write_document
from .errors import MediaError, RequestError
from .language import count_units, normal
from .media import RATE, Damage, Pictures, decode_sound, has_stream, sample_pictures
from .model_pack import ModelPack, load_pack
from .prosody import Answer, pause_signals, rate_signals, speech_signals
from .quality import PictureQuality, SpeechMasks, picture_signals, quality_summary, sound_signals
from .report import report_document
from .signals import Segment, Signal, signals_document, transcript_document
from .sound import SoundMeasures, SoundMeter
from .speech.engine import open_engine
from .speech.voice_activity import Stretch, VoiceActivity
from .speech.windows import cut_windows, plan_windows
from .vision.faces import FaceCounter, FaceDetector, face_signals

Progress = Callable[[float, str], None]
SAMPLE_EVERY_MS = 500.0
DOCUMENTS = ("transcript", "signals", "peaks", "report")
# stage → (where it begins, where it ends) of the whole; seen on ten-minute interviews.
STAGES = {"listen": (0.0, 0.1), "transcribe": (0.1, 0.65), "look": (0.65, 0.98), "write": (0.98, 1.0)}


@dataclass
class Track:
    """One sealed track: its plaintext as a file, and where its time zero is on the recording clock."""

    name: str
    file: SealedReader
    start_ms: int
    duration_ms: int
    gaps: list[tuple[int, int, str]]

    @property
    def missing(self) -> list[tuple[int, int]]:
        """What was recorded but is not there; time that nobody recorded (between answers) is not missing."""
        return [(start, end) for start, end, why in self.gaps if end > start and why != "not_recorded"]


@dataclass
class Findings:
    """What the stages found. Segments are on the recording clock, everything else on the track's."""

    sound: SoundMeasures | None = None
    stretches: list[Stretch] = field(default_factory=list)
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros(0))
    segments: list[Segment] = field(default_factory=list)
    language: str = ""
    engine: str = ""
    pictures: Pictures = field(default_factory=Pictures)
    sampled: PictureQuality = field(default_factory=PictureQuality)
    faces: FaceCounter | None = None
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def analyse(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Carry out one `analyse` request and return its result. Raises AnalysisError, ModelPackError."""
    try:
        outputs = {name: Output.from_request(request["outputs"][name]) for name in DOCUMENTS}
        pack = load_pack(Path(request["pack"]))
        timeline = _timeline(request)
        tracks = [_open_track(entry, timeline) for entry in request["tracks"]]
        looked = {module: bool(request["consent"][module]) for module in ("speech", "face")}
        language = normal(str(request["language"]))
    except (KeyError, TypeError) as error:
        raise RequestError(f"the request is incomplete: {error}") from error
    camera = next((track for track in tracks if track.name == "camera"), None)
    if camera is None:
        raise MediaError("no_media", "there is no camera track")
    answers = _answers(timeline, camera)
    run = Run(pack, camera, answers, looked, language, progress)
    found = run.observe()
    return _write(found, run, outputs)


def _timeline(request: dict[str, Any]) -> dict[str, Any]:
    entry = request.get("timeline")
    if not entry:
        return {}
    return read_document(int(entry["fd"]), base64.b64decode(entry["key"]))


def _open_track(entry: dict[str, Any], timeline: dict[str, Any]) -> Track:
    placed = next((t for t in timeline.get("tracks", []) if t["name"] == entry["name"]), {})
    try:
        file = SealedReader(int(entry["fd"]), base64.b64decode(entry["key"]))
    except (VaultError, OSError) as error:
        raise MediaError("not_opened", "a sealed track does not open") from error
    gaps = [(int(gap[0]), int(gap[1]), str(gap[2])) for gap in placed.get("gaps", [])]
    return Track(entry["name"], file, placed.get("start_ms", 0), placed.get("duration_ms", 0), gaps)


def _answers(timeline: dict[str, Any], camera: Track) -> list[Answer]:
    """The answers of the timeline; a recording without questions is one answer."""
    found = [Answer(a["question"], a["start_ms"], a["end_ms"]) for a in timeline.get("answers", [])]
    return found or [Answer(None, camera.start_ms, float("inf"))]


@dataclass
class Run:
    """One analysis of one camera track."""

    pack: ModelPack
    camera: Track
    answers: list[Answer]
    looked: dict[str, bool]
    language: str
    progress: Progress

    def observe(self) -> Findings:
        """Every stage in order; a stage whose media is damaged is named in `problems`, the others go on."""
        found = Findings()
        for name, stage in (("listen", self._listen), ("transcribe", self._transcribe), ("look", self._look)):
            started = time.monotonic()
            self.progress(STAGES[name][0], name)
            try:
                stage(found)
            except MediaError as error:
                found.problems.append(error.kind)
            except VaultError:
                found.problems.append(f"{name}_not_opened")
            found.seconds[name] = time.monotonic() - started
        if not found.pictures.times_ms and found.sound is None:
            raise MediaError("no_media", "neither sound nor picture could be decoded")
        return found

    def _report(self, stage: str, done_ms: float) -> None:
        begin, end = STAGES[stage]
        fraction = min(1.0, done_ms / max(1, self.camera.duration_ms or done_ms + 1))
        self.progress(begin + (end - begin) * fraction, stage)

    def _listen(self, found: Findings) -> None:
        """Loudness and waveform; with consent, where somebody speaks."""
        if not has_stream(self.camera.file, "audio"):
            return
        meter, damage = SoundMeter(), Damage()
        voice = VoiceActivity(self.pack) if self.looked["speech"] else None
        heard = 0
        for block in decode_sound(self.camera.file, damage):
            meter.add(block)
            if voice is not None:
                voice.add(block)
            heard += len(block)
            if heard // RATE % 10 == 0:
                self._report("listen", heard * 1000 / RATE)
        found.sound = meter.measures()
        if voice is not None:
            found.stretches, found.probabilities = voice.stretches(), np.array(voice.probabilities)
        if damage.packets or damage.cut_short:
            found.problems.append("sound_damaged")

    def _transcribe(self, found: Findings) -> None:
        """Words, where there is speech and consent."""
        if not self.looked["speech"] or not found.stretches:
            return
        engine = open_engine(self.pack, self.language)
        boundaries = [answer.start_ms - self.camera.start_ms for answer in self.answers]
        windows = plan_windows(found.stretches, found.probabilities, boundaries)
        heard = cut_windows(decode_sound(self.camera.file), windows)
        for window, segments in zip(windows, engine.transcribe(heard), strict=True):
            found.segments += [self._placed(segment) for segment in segments]
            self._report("transcribe", window.pieces[-1][1])
        found.language, found.engine = engine.language, engine.name

    def _placed(self, segment: Segment) -> Segment:
        start, end = segment.start_ms + self.camera.start_ms, segment.end_ms + self.camera.start_ms
        question = next((a.question for a in self.answers if a.contains(start, end)), None)
        return Segment(start, end, segment.text, segment.confidence, question)

    def _look(self, found: Findings) -> None:
        """Technical quality of the picture; with consent, whether there is a face."""
        if not has_stream(self.camera.file, "video"):
            return
        faces = FaceCounter(FaceDetector(self.pack)) if self.looked["face"] else None
        found.faces = faces
        for at_ms, picture in sample_pictures(self.camera.file, SAMPLE_EVERY_MS, found.pictures):
            found.sampled.add(at_ms, picture)
            if faces is not None:
                faces.add(at_ms, picture)
            if len(found.sampled.times_ms) % 20 == 0:
                self._report("look", at_ms)
        if found.pictures.damage.packets or found.pictures.damage.cut_short:
            found.problems.append("picture_damaged")

    def signals(self, found: Findings, masks: SpeechMasks | None) -> Iterator[Signal]:
        """Every signal of the recording."""
        shift = self.camera.start_ms
        if found.sound is not None:
            yield from sound_signals(found.sound, masks, shift)
        if self.looked["speech"]:
            spans = [(s.start_ms + shift, s.end_ms + shift) for s in found.stretches]
            sure = [s.confidence for s in found.stretches]
            yield from speech_signals((*span, c) for span, c in zip(spans, sure, strict=True))
            silent = [(start, end) for start, end, _why in self.camera.gaps]
            yield from pause_signals(spans, self.answers, silent)
            yield from rate_signals(found.segments, self.answers, found.language)
        times = found.pictures.times_ms
        yield from picture_signals(times, found.sampled, shift)
        if found.faces is not None and times:
            yield from face_signals(found.faces, max(self.camera.duration_ms, times[-1]), shift)


def _write(found: Findings, run: Run, outputs: dict[str, Output]) -> dict[str, Any]:
    started = time.monotonic()
    run.progress(STAGES["write"][0], "write")
    shift, version = run.camera.start_ms, run.pack.version
    masks = None
    if found.sound is not None and run.looked["speech"]:
        masks = SpeechMasks.of(found.sound, [(s.start_ms, s.end_ms) for s in found.stretches])
    signals = list(run.signals(found, masks))
    size = (found.pictures.width, found.pictures.height)
    quality = quality_summary(found.sound, masks, found.pictures.times_ms, found.sampled, size)
    duration = run.camera.duration_ms or max((s.end_ms for s in signals), default=0) - shift
    missing = run.camera.missing
    coverage = {
        "modules": run.looked,
        "sound_ms": found.sound.length_ms if found.sound is not None else 0,
        "pictures": len(found.pictures.times_ms),
        "pictures_sampled": len(found.sampled.times_ms),
        "missing": missing,
        "problems": found.problems,
    }
    silence = SoundMeter().measures()
    documents = {
        "transcript": transcript_document(version, found.engine, found.language, found.segments),
        "signals": signals_document(version, signals, coverage),
        "peaks": (found.sound or silence).peaks(shift),
        "report": report_document(version, duration, signals, found.segments, quality, missing, run.looked),
    }
    for name, document in documents.items():
        write_document(outputs[name], document)
    found.seconds["write"] = time.monotonic() - started
    figures = _figures(found, signals, quality["figures"], duration)
    return {"figures": figures, "pack_version": version, "language": found.language}


def _figures(
    found: Findings, signals: list[Signal], quality: dict[str, float], duration_ms: int
) -> dict[str, float]:
    """Numbers only: what may stand in the database beside the recording."""
    speech = sum(s.end_ms - s.start_ms for s in signals if s.kind == "speech_activity")
    units = sum(count_units(segment.text, found.language) for segment in found.segments)
    sure = [segment.confidence for segment in found.segments]
    figures = {
        "duration_ms": duration_ms,
        "speech_ms": speech,
        "segments": len(found.segments),
        "units": units,
        "confidence": round(sum(sure) / len(sure), 4) if sure else 0.0,
        "signals": len(signals),
        **quality,
        **{f"seconds_{stage}": round(seconds, 2) for stage, seconds in found.seconds.items()},
    }
    if found.faces is not None and found.faces.share is not None:
        figures["face_share"] = round(found.faces.share, 4)
    return figures
