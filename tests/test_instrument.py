"""The instrument's model: what goes in comes out in time, tones are in tune and as loud as asked, nothing repeats."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from small_instrument import HOP, RATE, controls, melody, small, tones_only
from torch import Tensor

from wavevae.evaluation.playing.held import hop_lock
from wavevae.nn import oscillators
from wavevae.nn.noise import BandNoise
from wavevae.nn.oscillators import Wavetable
from wavevae.nn.synthesizer import Life, mel_points, triangles


def db(sound: Tensor) -> float:
    """RMS."""
    return 10 * math.log10(float(sound.double().square().mean()))


def strongest_hz(sound: Tensor) -> float:
    """Of the strongest line, by a parabola through the logarithms of a Gaussian window's spectrum, which is exact."""
    x = sound.flatten().double().numpy()
    n = len(x)
    window = np.exp(-0.5 * ((np.arange(n) - n / 2) / (n / 10)) ** 2)
    level = np.log(np.abs(np.fft.rfft(x * window)) + 1e-12)
    k = int(level[1:-1].argmax()) + 1
    a, b, c = level[k - 1 : k + 2]
    return (k + 0.5 * (a - c) / (a - 2 * b + c)) * RATE / n


def cents(hz: float, midi: float) -> float:
    return 1200 * math.log2(hz / 440) - 100 * (midi - 69)


KINDS = {"harmonic": {}, "dense": {"oscillators": "dense"}, "both": {"oscillators": "both"}}


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, 5 * HOP + 3])
@pytest.mark.parametrize("kind", KINDS)
def test_as_much_comes_out_as_goes_in(samples: int, kind: str) -> None:
    model = small(**KINDS[kind])
    x = 0.1 * torch.randn(2, 1, samples)
    with torch.no_grad():
        assert model(x).shape == x.shape
        z = model.encode(x)
        assert z.shape == (2, model.latent_dim, -(-samples // HOP))
        assert model.decode(z).shape == (2, 1, z.shape[2] * HOP)


@pytest.mark.parametrize("kind", KINDS)
def test_the_future_never_changes_the_past(kind: str) -> None:
    model = small(**KINDS[kind])
    x = melody(40)
    changed = x.clone()
    changed[..., 20 * HOP :] = torch.randn(20 * HOP)
    with torch.no_grad():
        z, other = model.encode(x), model.encode(changed)
        assert torch.equal(z[..., :20], other[..., :20])
        assert not torch.allclose(z[..., 20:], other[..., 20:])
        sound, different = model.decode(z), model.decode(other)
    assert torch.allclose(sound[..., : 20 * HOP], different[..., : 20 * HOP], atol=1e-6)


@pytest.mark.parametrize("loudness", [-50.0, -25.0, -12.0])
def test_a_held_tone_is_as_loud_as_asked(loudness: float) -> None:
    model = small()
    model.life = 0.0
    with torch.no_grad():
        sound = model.decode(controls(model, 130, loudness=loudness))[..., 10 * HOP :]
    asked = 20 * math.log10(10 ** (loudness / 20) - 1e-5)  # the lowest loudness is silence
    assert db(sound) == pytest.approx(asked, abs=0.1)


@pytest.mark.parametrize("pitch", [36.0, 57.37, 80.0, 103.21])
def test_a_held_tone_is_in_tune_to_half_a_cent(pitch: float) -> None:
    model = small()
    model.life = 0.0
    with torch.no_grad():
        tones_only(model)
        model.decoder.outlet.conv.bias[1 : model.decoder.shares.partials] = -6.0
        sound = model.decode(controls(model, 130, pitch=pitch))[..., 10 * HOP :]
    assert abs(cents(strongest_hz(sound), pitch)) < 0.5


def test_a_living_tone_stays_within_the_spread_of_its_drift() -> None:
    model = small()
    spread = 0.1  # semitones
    with torch.no_grad():
        tones_only(model)
        model.decoder.outlet.conv.bias[1 : model.decoder.shares.partials] = -6.0
        model.decoder.life.spread[0] = spread
        sound = model.decode(controls(model, 400))[..., 30 * HOP :]
    parts = sound.flatten().unfold(0, 16 * HOP, 8 * HOP)
    off = np.array([cents(strongest_hz(part), 57.3) for part in parts])
    assert np.abs(off).max() < 3 * 100 * spread
    assert 0.3 * 100 * spread < off.std() < 1.2 * 100 * spread


def test_life_leaves_moving_controls_alone_and_moves_held_ones() -> None:
    life = Life(2, 86.0)
    life.spread[:] = 1.0
    z = torch.stack([torch.arange(60.0), torch.ones(60)])[None]
    moved, _ = life(z, 1.0, life.initial(1, z))
    assert torch.equal(moved[:, 0], z[:, 0])
    assert float(moved[0, 1, 20:].std()) > 0.2
    still, _ = life(z, 0.0, life.initial(1, z))
    assert torch.equal(still, z)


def test_life_is_the_same_however_frames_are_cut() -> None:
    life = Life(3, 86.0)
    life.spread[:] = 1.0
    z = torch.randn(2, 3, 50)
    z[:, 1, 10:] = 0.5
    z[:, 2, :] = -1.0
    whole, _ = life(z, 1.0, life.initial(2, z))
    state, parts = life.initial(2, z), []
    for part in z.split([1, 7, 2, 30, 10], 2):
        moved, state = life(part, 1.0, state)
        parts.append(moved)
    assert torch.allclose(torch.cat(parts, 2), whole, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_tone_does_not_repeat_with_the_hop(kind: str) -> None:
    model = small(**KINDS[kind])
    pitches = np.arange(50.0, 62.0, 0.7)  # a period that divides the hop repeats with it: not all of these do
    locks = []
    with torch.no_grad():
        for number, pitch in enumerate(pitches):
            model.life = float(number % 2)
            sound = model.decode(controls(model, 70, pitch=pitch))[0, 0, 10 * HOP :]
            locks.append(hop_lock(sound, HOP))
    assert abs(np.median(locks)) < 0.1


def test_partials_near_half_the_rate_fade_and_none_folds_back() -> None:
    model = small()
    model.life = 0.0
    tones_only(model)
    levels = []
    with torch.no_grad():
        for hz in (5000.0, 7300.0, 7650.0, 7900.0, 8100.0, 11000.0, 15900.0):
            z = controls(model, 60, pitch=69 + 12 * math.log2(hz / 440))
            sound = model.decode(z)[..., 5 * HOP :].flatten().double()
            levels.append(db(sound))
            if hz > RATE / 2:
                continue
            spectrum = torch.fft.rfft(sound * torch.hann_window(len(sound), dtype=torch.float64)).abs()
            bins = torch.arange(len(spectrum)) * RATE / len(sound)
            elsewhere = spectrum[(bins - hz).abs() > 20].max() / spectrum.max()
            assert 20 * math.log10(float(elsewhere)) < -70, hz
    assert levels[0] == pytest.approx(-20.0, abs=0.1)
    assert levels[0] > levels[2] > levels[3]
    assert all(level < -80 for level in levels[4:])


def test_a_sweep_through_half_the_rate_leaves_nothing_below_its_pitch() -> None:
    model = small()
    tones_only(model)
    z = controls(model, 120)
    z[0, 0] = torch.linspace(90.0, 130.0, 120)
    with torch.no_grad():
        sound = model.decode(z)[0, 0].double()
    spectrum = torch.stft(
        sound, 1024, 256, window=torch.hann_window(1024).double(), return_complex=True
    ).abs()
    lowest = 440 * 2 ** ((90.0 - 69) / 12)
    below = spectrum[: int(0.8 * lowest * 1024 / RATE), 4:-4]
    assert 20 * math.log10(float(below.max() / spectrum.max())) < -60


@pytest.mark.parametrize("value", [0.0, -50.0, 1e9, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", [0, 1, 2, 5])
def test_nonsense_on_a_control_sounds_finite_and_is_over_at_once(index: int, value: float) -> None:
    model = small()
    model.life = 0.0
    z = controls(model, 120)
    bad = z.clone()
    bad[0, index, 20:30] = value
    with torch.no_grad():
        clean, sound = model.decode(z), model.decode(bad)
    assert bool(sound.isfinite().all())
    assert float(sound.abs().max()) <= 1.0
    after = slice((30 + model.decoder.look_back_frames + 2) * HOP, None)
    assert abs(db(sound[..., after]) - db(clean[..., after])) < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_decode_in_pieces_equals_the_whole(kind: str) -> None:
    model = small(**KINDS[kind])
    with torch.no_grad():
        model.decoder.life.spread[:] = 0.05
        z = model.encode(melody(60))
        z[..., 30:] = z[..., 30:31]
        whole = model.decoder(z, None, 1.0)[0]
        state, parts = None, []
        for part in z.split([1, 2, 20, 7, 30], 2):
            sound, state = model.decoder(part, None, 1.0, state)
            parts.append(sound)
    assert float((torch.cat(parts, 2) - whole).abs().max()) < 1e-4


def test_frames_before_the_look_back_do_not_matter_to_a_frame() -> None:
    model = small()
    look = model.decoder.look_back_frames
    z = model.encode(melody(look + 10)).detach()
    other = z.clone()
    other[..., :5] += 1.0
    with torch.no_grad():
        a, b = (model.decoder.frames(model.decoder.cleaned(x)).shares.noise for x in (z, other))
    assert torch.allclose(a[..., 5 + look :], b[..., 5 + look :], atol=1e-5)
    assert not torch.allclose(a[..., 4 + look], b[..., 4 + look], atol=1e-7)


# -- noise --------------------------------------------------------------------------------------------------


def band_noise(hop: int = HOP, bands: int = 12) -> BandNoise:
    shares = triangles(mel_points(bands, 0.0, RATE / 2), hop + 1, RATE)
    shares[:, 0] = shares[:, -1] = 0.0
    return BandNoise(shares / shares.sum(1, keepdim=True), hop)


def steady_noise(frames: int, first: float = 0.0) -> Tensor:
    """(frames, HOP) of power 1, after its beginning."""
    noise = band_noise()
    powers = torch.full((1, frames + 1, 12), 1 / 12)
    sound, _ = noise(powers, torch.zeros(1, HOP), torch.tensor([first], dtype=torch.float64))
    return sound[0].view(frames + 1, HOP)[1:]


def test_noise_is_as_strong_as_asked_and_even_over_the_hop() -> None:
    sound = steady_noise(2000)
    assert db(sound) == pytest.approx(0.0, abs=0.1)
    by_place = sound.double().square().mean(0).view(16, -1).mean(1)
    assert float((10 * torch.log10(by_place)).abs().max()) < 0.3
    steps = (sound.flatten()[1:] - sound.flatten()[:-1]).double().square()
    edges = steps[HOP - 1 :: HOP].mean()
    assert float(edges / steps.mean()) == pytest.approx(1.0, abs=0.15)  # no click where a hop ends


def test_noise_never_repeats_and_is_the_same_for_the_same_frame_number() -> None:
    frames = torch.cat([steady_noise(100), steady_noise(100, 1e6)])
    correlation = frames @ frames.T / frames.norm(dim=1) / frames.norm(dim=1)[:, None]
    others = correlation - torch.eye(len(frames))
    assert float(others.abs().max()) < 0.5
    assert float(others.std()) < 1.2 / math.sqrt(HOP / 2)
    assert torch.allclose(steady_noise(60)[50:], steady_noise(20, 40.0)[10:], atol=1e-5)


def test_voices_have_noises_of_their_own() -> None:
    sound, _ = band_noise()(torch.full((2, 50, 12), 1 / 12), torch.zeros(2, HOP), torch.zeros(2).double())
    a, b = sound
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.05


# -- oscillators --------------------------------------------------------------------------------------------


def test_the_phase_is_exact_after_ten_million_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oscillators, "TABLE_LENGTH", 4)
    bank = Wavetable(1, 2)
    frequency = 0.123456789
    at_once, calls = 100_000, 100
    each = torch.full((1, at_once), frequency, dtype=torch.float64)
    amplitudes = torch.zeros(1, at_once, 1)
    table, before, phase = torch.zeros(1, 4), each[:, 0], torch.zeros(1, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(calls):
            _, table, before, phase = bank(amplitudes, each, table, before, phase)
    exact = Fraction(frequency) * 2 * at_once * calls
    off = (float(phase) - float(exact - math.floor(exact)) + 0.5) % 1.0 - 0.5
    assert abs(off) < 1e-5  # of a turn
