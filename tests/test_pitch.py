"""YIN against sounds whose pitch is known, and against its own definition written plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wavevae.evaluation import tracks

RATE = 16000


def tone(
    hz: float, rate: int = RATE, seconds: float = 0.5, partials: int = 8, weak_first: float = 1.0
) -> torch.Tensor:
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    sound = torch.zeros_like(t)
    for k in range(1, partials + 1):
        if k * hz < 0.45 * rate:
            sound += (weak_first if k == 1 else 1.0) / k * torch.sin(2 * math.pi * k * hz * t + k)
    return (0.1 * sound).float()[None]


def test_the_difference_function_is_its_definition() -> None:
    x = torch.randn(1, 1700, generator=torch.Generator().manual_seed(0))
    d = tracks.difference(x, RATE)[0]
    longest = int(RATE / tracks.LOWEST_HZ)
    samples = x[0].double().numpy()
    for frame, tau in [(0, 1), (0, 37), (1, longest), (2, 5)]:
        at = frame * round(tracks.HOP_S * RATE)
        a, b = samples[at : at + longest], samples[at + tau : at + tau + longest]
        assert float(d[frame, tau]) == pytest.approx(np.square(a - b).sum(), rel=1e-6)
    plain = d[0].numpy()
    wanted = [1.0] + [plain[tau] * tau / plain[1 : tau + 1].sum() for tau in range(1, longest + 1)]
    assert tracks.normalised(d)[0].numpy() == pytest.approx(np.array(wanted), rel=1e-6)


@pytest.mark.parametrize("rate", [16000, 22050])
@pytest.mark.parametrize("hz", [41.2, 55.0, 110.0, 261.63, 440.0, 987.77, 1567.98, 2093.0])
def test_tones_have_the_pitch_they_are_made_with(hz: float, rate: int) -> None:
    for partials in (1, 8):
        found = tracks.track(tone(hz, rate, partials=partials), rate)[0]
        assert bool(torch.isfinite(found).all())
        assert float(tracks.cents(found, torch.tensor(hz)).abs().max()) < 2.0


def test_a_missing_fundamental_is_heard() -> None:
    found = tracks.track(tone(200.0, weak_first=0.0), RATE)
    assert float(found.nanmedian()) == pytest.approx(200.0, rel=1e-3)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    assert not bool(
        torch.isfinite(
            tracks.track(torch.cat([noise, 0 * noise, 1e-4 * tone(220.0, seconds=1.0)]), RATE)
        ).any()
    )
    error, lost = tracks.error_cents(noise, noise, RATE)
    assert bool(torch.isnan(error).all() and torch.isnan(lost).all())
    assert tracks.median_hz(noise[0], RATE) is None


def test_errors_are_those_that_were_made() -> None:
    reference = torch.cat([tone(220.0, seconds=1.0), tone(330.0, seconds=1.0)])
    estimate = torch.cat([tone(220.0 * 2 ** (37 / 1200), seconds=1.0), tone(330.0, seconds=1.0)])
    estimate[1, RATE // 2 :] = 0.0
    error, lost = tracks.error_cents(estimate, reference, RATE)
    assert error.tolist() == pytest.approx([37.0, 0.0], abs=0.5)
    assert float(lost[0]) == 0.0
    assert float(lost[1]) == pytest.approx(0.5, abs=0.06)
    assert tracks.median_hz(estimate[0], RATE) == pytest.approx(220.0 * 2 ** (37 / 1200), rel=1e-3)


def test_midi_numbers() -> None:
    assert [round(tracks.midi_hz(p), 2) for p in (69, 60, 57)] == [440.0, 261.63, 220.0]


def test_against_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    t = torch.arange(RATE) / RATE
    phase = 2 * math.pi * torch.cumsum(200 + 100 * t + 8 * torch.sin(2 * math.pi * 5 * t), 0) / RATE
    glide = sum(torch.sin(k * phase) / k for k in range(1, 6))
    ours = tracks.track(0.1 * glide[None], RATE)[0]
    hop = round(tracks.HOP_S * RATE)
    width = 2 * int(RATE / tracks.LOWEST_HZ) + 1
    theirs = librosa.yin(
        glide.numpy(), fmin=60, fmax=2000, sr=RATE, frame_length=width - 1, hop_length=hop, center=False
    )
    count = min(len(ours), len(theirs))
    apart = tracks.cents(ours[:count], torch.from_numpy(theirs[:count])).abs()
    assert float(apart.median()) < 10
