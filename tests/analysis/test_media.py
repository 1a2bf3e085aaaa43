"""Decoding: the right samples at the right time, in bounded pieces, whatever comes in."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from analysis.errors import MediaError
from analysis.media import RATE, Damage, Pictures, decode_sound, sample_pictures

from .clips import babble, silence, sound_file
from .recorder import pieces, run_child, webm


def test_sound_comes_out_at_16_khz_mono_in_blocks_of_a_second():
    blocks = list(decode_sound(sound_file(babble(5), layout="stereo")))
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    assert max(len(block) for block in blocks) < 2 * RATE
    sound = np.concatenate(blocks)
    assert len(sound) == pytest.approx(5 * RATE, abs=RATE // 20)
    assert 0.02 < np.abs(sound).mean() < 0.5


def test_a_burst_is_heard_where_it_was_made():
    samples = np.concatenate([silence(2.0), babble(1.0), silence(2.0)])
    sound = np.concatenate(list(decode_sound(sound_file(samples))))
    loud = np.flatnonzero(np.abs(sound) > 0.05) / RATE
    assert loud[0] == pytest.approx(2.0, abs=0.06)
    assert loud[-1] == pytest.approx(3.0, abs=0.2)


def test_sound_after_a_pause_stays_at_its_time(recorder):
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=0, length_ms=2000)
    recorder.epoch("camera", pieces(webm(2), 3), start_ms=7000, length_ms=2000)
    assert run_child(recorder.remux_request(), recorder.descriptors)["exit"] == 0
    sound = np.concatenate(list(decode_sound(io.BytesIO(recorder.sealed("camera")))))
    levels = [np.abs(sound[n * RATE + RATE // 4 : (n + 1) * RATE - RATE // 4]).mean() for n in range(9)]
    assert [level > 0.01 for level in levels] == [True, True, *[False] * 5, True, True]


def test_pictures_are_sampled_twice_a_second_and_every_time_is_kept():
    pictures = Pictures()
    sampled = list(sample_pictures(io.BytesIO(webm(4, fps=10)), 500, pictures))
    assert len(pictures.times_ms) == 40
    assert [round(at, -2) for at, _ in sampled] == [0, 500, 1000, 1500, 2000, 2500, 3000, 3500]
    assert {picture.shape for _, picture in sampled} == {(120, 160, 3)}


def test_a_wide_picture_is_made_small_before_it_is_looked_at():
    clip = webm(0.4, fps=5, size=(1280, 720), sound=False)
    ((_, picture),) = list(sample_pictures(io.BytesIO(clip), 500, Pictures()))
    assert picture.shape == (360, 640, 3)


def test_what_is_not_there_is_said_by_name():
    with pytest.raises(MediaError) as no_sound:
        list(decode_sound(io.BytesIO(webm(1, sound=False))))
    with pytest.raises(MediaError) as no_picture:
        list(sample_pictures(sound_file(babble(1)), 500, Pictures()))
    with pytest.raises(MediaError) as unreadable:
        list(decode_sound(io.BytesIO(b"no media at all" * 100)))
    kinds = [error.value.kind for error in (no_sound, no_picture, unreadable)]
    assert kinds == ["no_sound", "no_picture", "unreadable"]


@pytest.mark.parametrize("seed", range(5))
def test_damaged_media_gives_what_can_be_had(seed):
    random = np.random.default_rng(seed)
    data = bytearray(webm(4))
    for _ in range(60):
        data[random.integers(600, len(data))] = random.integers(0, 256)
    damage, pictures = Damage(), Pictures()
    try:
        sound = np.concatenate([np.zeros(0), *decode_sound(io.BytesIO(bytes(data)), damage)])
        list(sample_pictures(io.BytesIO(bytes(data)), 500, pictures))
    except MediaError:
        return
    assert np.isfinite(sound).all()
    assert np.abs(sound).max(initial=0) <= 1
    assert len(sound) < 12 * 3600 * RATE


def test_a_picture_of_monstrous_size_is_refused_before_it_is_decoded():
    data = webm(0.4, fps=5, sound=False)
    with av.open(io.BytesIO(data)) as source:
        assert source.streams.video[0].width == 160
    width = data.index(bytes([0xB0, 0x81, 160]))  # PixelWidth, one byte
    height = data.index(bytes([0xBA, 0x81, 120]))
    large = bytearray(data)
    large[width + 2] = large[height + 2] = 255
    # Sizes in one byte end at 255; the limit itself is what is tested here.
    from analysis import media

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media, "LARGEST_PICTURE", 100 * 100)
        with pytest.raises(MediaError, match="larger"):
            list(sample_pictures(io.BytesIO(bytes(large)), 500, Pictures()))
