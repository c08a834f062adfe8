"""A pitch shift that keeps time: the pitch moves, the phase is known, the attack stays."""

import numpy as np
import pytest

from wavevae.augment import cubic, shift_in_time
from wavevae.units import midi_to_hz

RATE, START = 16000, 2 * 16000


def reader(sound: np.ndarray):
    """Reads around START, as `Chunks.stretch` does."""

    def read(before: int, samples: int) -> np.ndarray:
        return sound[START - before : START + samples]

    return read


@pytest.mark.parametrize("pitch", [33.0, 57.0, 81.3])
@pytest.mark.parametrize("semitones", [-4.0, 1.3, 4.0])
def test_partials_keep_the_phase_of_the_chunk_s_start(pitch: float, semitones: float) -> None:
    """Of a periodic sound it is what playing it faster from the start on would give."""

    def note(t: np.ndarray) -> np.ndarray:
        turns = 2 * np.pi * midi_to_hz(pitch) * t
        return (0.4 * np.sin(turns + 0.3) + 0.1 * np.cos(3 * turns)).astype(np.float32)

    sound = note((np.arange(6 * RATE) - START) / RATE)
    shifted = shift_in_time(reader(sound), 300, RATE, semitones, pitch, RATE)
    expected = note(2 ** (semitones / 12) * (np.arange(-300, RATE)) / RATE)
    assert shifted.shape == (RATE + 300,)
    assert shifted.dtype == np.float32
    np.testing.assert_allclose(shifted, expected, atol=0.02)


@pytest.mark.parametrize("semitones", [-4.0, 4.0])
def test_an_attack_stays_where_it_is(semitones: float) -> None:
    sound = np.sin(2 * np.pi * midi_to_hz(57.0) * np.arange(6 * RATE) / RATE).astype(np.float32)
    attack = START + int(0.8 * RATE)
    sound[:attack] = 0
    shifted = shift_in_time(reader(sound), 0, RATE, semitones, 57.0, RATE)
    first = int(np.argmax(np.abs(shifted) > 0.3))
    assert abs(first - 0.8 * RATE) < 0.03 * RATE


def test_cubic_is_exact_on_a_parabola() -> None:
    places = np.array([2.0, 3.25, 7.9])
    np.testing.assert_allclose(cubic(np.arange(12.0) ** 2, places), places**2, rtol=1e-6)
