"""Augmentations do what they say, measured: level, sign, spectrum, pitch."""

import numpy as np
import pytest
from scipy import signal
from signals import frequency_hz

from wavevae import augment
from wavevae.augment import AllPass, Augmenter, cubic, shift_in_time
from wavevae.config import DataConfig
from wavevae.units import midi_to_hz

RATE = 22050
SHIFT_RATE, START = 16000, 2 * 16000
"""Of the tests of the shift that keeps time."""


def sine(hz: float, samples: int = 3 * RATE, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)).astype(np.float32)


def noise(samples: int, seed: int = 0, amplitude: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-amplitude, amplitude, samples).astype(np.float32)


def reader(sound: np.ndarray, start: int = RATE):
    """Reads from `start` on, zeros outside, as `Chunks.stretch` does."""

    def read(before: int, samples: int) -> np.ndarray:
        out = np.zeros(before + samples, np.float32)
        begin, end = max(0, start - before), min(len(sound), start + samples)
        out[before - start + begin :][: end - begin] = sound[begin:end]
        return out

    return read


def config(**changes: float) -> DataConfig:
    return DataConfig(**({"polarity": 0.0} | changes))  # type: ignore[arg-type]


# ---------------------------------------------------------------- gain and polarity


@pytest.mark.parametrize("db", [-30.0, -6.0, 0.0, 6.0])
def test_gain_is_exact_in_decibels(db: float) -> None:
    sound = noise(1000, amplitude=0.4)
    np.testing.assert_allclose(augment.gain(sound, db), sound * 10 ** (db / 20), rtol=1e-6)


def test_gain_stops_at_full_scale() -> None:
    sound = noise(1000)
    louder = augment.gain(sound, 40)
    assert np.abs(louder).max() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(louder / np.abs(louder).max(), sound / np.abs(sound).max(), atol=1e-6)
    assert not augment.gain(np.zeros(10, np.float32), 40).any()


# ---------------------------------------------------------------- phase


def sections(seed: int = 3) -> list[AllPass]:
    return augment.draw_allpass(np.random.default_rng(seed), RATE)


@pytest.mark.parametrize("seed", range(5))
def test_phase_is_the_recursive_all_pass_filter(seed: int) -> None:
    sound, cascade = noise(20000), sections(seed)
    expected = sound.astype(np.float64)
    for r, theta in cascade:
        b = [r * r, -2 * r * np.cos(theta), 1.0]
        expected = signal.lfilter(b, b[::-1], expected)
    np.testing.assert_allclose(augment.allpass_phase(sound, cascade), expected, atol=1e-5)


def test_phase_keeps_every_magnitude_and_changes_the_wave() -> None:
    click = np.zeros(16384, np.float32)
    click[5000] = 0.5
    smeared = augment.allpass_phase(click, sections())
    np.testing.assert_allclose(np.abs(np.fft.rfft(smeared)), 0.5, rtol=1e-3)
    assert np.abs(smeared - click).max() > 0.1
    sound = noise(3 * RATE)
    before = np.sqrt((sound**2).mean())
    changed = augment.allpass_phase(sound, sections())
    assert np.sqrt((changed**2).mean()) == pytest.approx(before, rel=1e-2)
    assert np.sqrt(((changed - sound) ** 2).mean()) > 0.3 * before


def test_random_cascades_are_stable_and_differ() -> None:
    rng = np.random.default_rng(0)
    drawn = [augment.draw_allpass(rng, RATE) for _ in range(200)]
    assert {len(c) for c in drawn} == {1, 2, 3, 4}
    for section in (s for c in drawn for s in c):
        assert 0.5 <= section.radius <= 0.99
        assert 30 <= section.angle * RATE / (2 * np.pi) <= 0.45 * RATE
    assert len({c[0] for c in drawn}) == 200


# ---------------------------------------------------------------- pitch


@pytest.mark.parametrize("semitones", [-24, -12, -3.3, -0.05, 0.5, 7, 12, 24])
def test_a_sine_moves_by_the_semitones_asked(semitones: float) -> None:
    sound = sine(440, samples=8 * RATE)
    shifted = augment.pitch_resample(reader(sound), RATE, semitones)
    assert shifted.shape == (RATE,)
    assert shifted.dtype == np.float32
    wanted = 440 * 2 ** (semitones / 12)
    assert 1200 * abs(np.log2(frequency_hz(shifted, RATE) / wanted)) < 0.05  # cents
    exact = 0.5 * np.sin(2 * np.pi * wanted * np.arange(RATE) / RATE)
    half_a_sample = 0.5 * np.pi * wanted / RATE
    assert np.abs(shifted - exact).max() < half_a_sample + 1e-3  # level kept, start where it was


def test_pitch_leaves_the_edges_whole() -> None:
    """The filter meets real sound on both sides of the chunk: no fade at its ends."""
    shifted = augment.pitch_resample(reader(sine(1000)), RATE // 2, 5)
    partial = 1000 * 2 ** (5 / 12)
    t = np.arange(RATE // 2) / RATE
    basis = np.stack([np.sin(2 * np.pi * partial * t), np.cos(2 * np.pi * partial * t)], 1)
    fit = basis @ np.linalg.lstsq(basis, shifted, rcond=None)[0]
    assert np.abs(shifted - fit).max() < 2e-3


def test_nothing_folds_back_when_pitch_rises() -> None:
    assert np.abs(augment.pitch_resample(reader(sine(8000, 4 * RATE)), RATE, 12)).max() < 1e-3


def test_pitch_of_a_file_that_ends_is_padded() -> None:
    short = augment.pitch_resample(reader(sine(440, samples=2000), start=0), RATE, 12)
    assert short.shape == (RATE,)
    assert np.abs(short[:900]).max() > 0.4
    assert np.abs(short[1100:]).max() < 1e-4


# ---------------------------------------------------------------- all together


def test_nothing_asked_changes_nothing() -> None:
    sound = noise(3 * RATE)
    chunk = Augmenter(config(), RATE)(reader(sound), np.random.default_rng(0))
    np.testing.assert_array_equal(chunk, sound[RATE : 2 * RATE])


@pytest.mark.parametrize("key", ["gain_db", "polarity", "phase", "pitch_semitones"])
def test_each_setting_changes_the_signal(key: str) -> None:
    sound = noise(4 * RATE)
    chunk = Augmenter(config(**{key: 1.0}), RATE)(reader(sound), np.random.default_rng(1))
    assert chunk.shape == (RATE,)
    assert chunk.dtype == np.float32
    assert np.abs(chunk - sound[RATE : 2 * RATE]).max() > 1e-3


def test_polarity_is_a_probability_and_gain_a_range() -> None:
    sound = np.full(4 * RATE, 0.25, np.float32)
    levels = np.array(
        [
            Augmenter(config(polarity=0.3, gain_db=6), RATE)(reader(sound), np.random.default_rng(seed), 8)[0]
            for seed in range(400)
        ]
    )
    assert 0.22 < (levels < 0).mean() < 0.38
    db = 20 * np.log10(np.abs(levels) / 0.25)
    assert -6.01 < db.min() < -5.7
    assert 5.7 < db.max() < 6.01


def test_everything_at_once_keeps_its_length_and_full_scale() -> None:
    everything = config(gain_db=24, polarity=0.5, phase=1.0, pitch_semitones=12)
    augmenter = Augmenter(everything, RATE)
    square = np.sign(sine(110, 6 * RATE)).astype(np.float32)  # all-pass filters make its peaks grow
    for seed in range(20):
        chunk = augmenter(reader(square), np.random.default_rng(seed), 7777)
        assert chunk.shape == (7777,)
        assert np.isfinite(chunk).all()
        assert np.abs(chunk).max() <= 1.0 + 1e-6
        again = augmenter(reader(square), np.random.default_rng(seed), 7777)
        np.testing.assert_array_equal(chunk, again)


# -- a pitch shift that keeps time: the pitch moves, the phase is known, the attack stays ------------------


@pytest.mark.parametrize("pitch", [33.0, 57.0, 81.3])
@pytest.mark.parametrize("semitones", [-4.0, 1.3, 4.0])
def test_partials_keep_the_phase_of_the_chunk_s_start(pitch: float, semitones: float) -> None:
    """Of a periodic sound it is what playing it faster from the start on would give."""

    def note(t: np.ndarray) -> np.ndarray:
        turns = 2 * np.pi * midi_to_hz(pitch) * t
        return (0.4 * np.sin(turns + 0.3) + 0.1 * np.cos(3 * turns)).astype(np.float32)

    sound = note((np.arange(6 * SHIFT_RATE) - START) / SHIFT_RATE)
    shifted = shift_in_time(reader(sound, START), 300, SHIFT_RATE, semitones, pitch, SHIFT_RATE)
    expected = note(2 ** (semitones / 12) * (np.arange(-300, SHIFT_RATE)) / SHIFT_RATE)
    assert shifted.shape == (SHIFT_RATE + 300,)
    assert shifted.dtype == np.float32
    np.testing.assert_allclose(shifted, expected, atol=0.02)


@pytest.mark.parametrize("semitones", [-4.0, 4.0])
def test_an_attack_stays_where_it_is(semitones: float) -> None:
    sound = np.sin(2 * np.pi * midi_to_hz(57.0) * np.arange(6 * SHIFT_RATE) / SHIFT_RATE).astype(np.float32)
    attack = START + int(0.8 * SHIFT_RATE)
    sound[:attack] = 0
    shifted = shift_in_time(reader(sound, START), 0, SHIFT_RATE, semitones, 57.0, SHIFT_RATE)
    first = int(np.argmax(np.abs(shifted) > 0.3))
    assert abs(first - 0.8 * SHIFT_RATE) < 0.03 * SHIFT_RATE


def test_cubic_is_exact_on_a_parabola() -> None:
    places = np.array([2.0, 3.25, 7.9])
    np.testing.assert_allclose(cubic(np.arange(12.0) ** 2, places), places**2, rtol=1e-6)
