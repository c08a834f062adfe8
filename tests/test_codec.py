"""Opus as a ruler: aligned to the sample, at the bit rate it says, better the more it may spend."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wavevae.evaluation import codec, metrics

WAYS = [
    pytest.param(
        "libsndfile", marks=pytest.mark.skipif(codec.coder() != "libsndfile", reason="no Opus in libsndfile")
    ),
    pytest.param(
        "ffmpeg", marks=pytest.mark.skipif(not codec.ffmpeg_has_opus(), reason="no ffmpeg with libopus")
    ),
]


def melody(rate: int, seconds: float = 4.0) -> np.ndarray:
    """Harmonic tones that glide, and a breath of noise; never periodic for long."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(180 + 60 * np.sin(2 * np.pi * 0.7 * t) + 20 * t) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 13))
    hiss = 0.01 * np.random.default_rng(0).standard_normal(len(t))
    return (0.1 * tone + hiss).astype(np.float32)


@pytest.mark.parametrize("which", WAYS)
@pytest.mark.parametrize("rate", [16000, 22050])
def test_what_comes_back_is_aligned_and_as_long(which: str, rate: int) -> None:
    x = melody(rate)[: 3 * rate + 77]
    for kbps in (12, 64):
        coded = codec.round_trip(x, rate, kbps, which)
        assert coded.audio.shape == x.shape
        assert abs(codec.find_delay(x, coded.audio, 100)) <= 1
    ratio = metrics.si_sdr_db(torch.from_numpy(coded.audio)[None], torch.from_numpy(x)[None])
    assert float(ratio[0]) > 20  # 64 kbit/s; ten samples late it would be about 3


@pytest.mark.parametrize("which", WAYS)
def test_the_bit_rate_is_what_it_says_and_buys_quality(which: str) -> None:
    rate = 16000
    x = melody(rate, 3.0)
    measure = metrics.MultiResolutionSTFT()
    scores = []
    for kbps in (6, 24, 96):
        coded = codec.round_trip(x, rate, kbps, which)
        headers = 4.0  # kbit/s that Ogg's pages and headers take at most of three seconds
        assert 0.8 * kbps < coded.size_bytes * 8 / 3000 < 1.1 * kbps + headers
        scores.append(float(measure(torch.from_numpy(coded.audio)[None], torch.from_numpy(x)[None])[0]))
    assert scores[0] > 1.3 * scores[1] > 1.3**2 * scores[2]


@pytest.mark.skipif(
    codec.coder() != "libsndfile" or not codec.ffmpeg_has_opus(), reason="needs both ways to Opus"
)
def test_both_ways_are_the_same_codec() -> None:
    x = melody(16000)
    for kbps in (24, 64):
        by = [codec.round_trip(x, 16000, kbps, which).audio for which in ("libsndfile", "ffmpeg")]
        measure = metrics.MultiResolutionSTFT()
        scores = [float(measure(torch.from_numpy(y)[None], torch.from_numpy(x)[None])[0]) for y in by]
        assert scores[0] == pytest.approx(scores[1], rel=0.3)  # other versions of libopus


def test_delays_are_found_and_taken_out() -> None:
    x = melody(8000)
    for delay in (-37, 0, 5, 200):
        late = codec.shift(x, -delay, len(x))
        assert codec.find_delay(x, late, 300) == delay
        assert codec.find_delay(x, late, 8, around=delay + 3) == delay
        back = codec.shift(late, delay, len(x))
        assert np.array_equal(back[40:-200], x[40:-200])


def test_the_rate_of_opus_loses_nothing() -> None:
    assert [codec.opus_rate(rate) for rate in (8000, 11025, 16000, 22050, 44100, 96000)] == [
        *(8000, 12000, 16000, 24000, 48000, 48000)
    ]
