"""Sung syllables from a small source-filter model: foreign sound for evaluation when the user gives none.

A source of harmonics that fall 12 dB an octave, with vibrato and breath, through the resonances of a vocal tract and
out of the mouth, which adds 6 dB an octave (Fant 1960; formants of an adult voice after Peterson & Barney 1952); a
hiss before each vowel for its consonant. Every seed is another singer in another room: length of the tract, slope,
breath, noise of the recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavevae.units import midi_to_hz

FORMANTS_HZ = {
    "a": (730, 1090, 2440, 3500),
    "e": (530, 1840, 2480, 3600),
    "i": (270, 2290, 3010, 3700),
    "o": (570, 840, 2410, 3400),
    "u": (300, 870, 2240, 3300),
}
WIDTHS_HZ = (80.0, 110.0, 160.0, 250.0)
HISS_S = (0.07, 0.16)
SYLLABLE_S, REST_S = (0.35, 0.8), (0.06, 0.2)
STEPS = (0, 2, 4, 5, 7, 9, 12)
"""Semitones above the lowest note of a phrase."""


@dataclass(frozen=True)
class Singer:
    """A voice and the room that it is recorded in."""

    lowest_hz: float
    tract: float
    """Formants, times those of FORMANTS_HZ."""
    slope: float
    """Exponent by which partials fall before the tract: 1 = the 6 dB an octave that remain of source and mouth."""
    breath: float
    """Share of the voiced amplitude."""
    room_db: float
    """RMS of the room's noise, dBFS."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Singer:
        return cls(
            midi_to_hz(float(rng.integers(43, 62))),
            rng.uniform(0.88, 1.2),
            rng.uniform(0.6, 1.5),
            10 ** rng.uniform(-1.7, -0.6),
            rng.uniform(-66, -40),
        )

    def envelope(self, hz: np.ndarray, vowel: str) -> np.ndarray:
        """Amplitude of the resonances at frequencies of any shape."""
        found = np.ones_like(hz)
        for formant, width in zip(FORMANTS_HZ[vowel], WIDTHS_HZ, strict=True):
            at = self.tract * formant
            found = found * at**2 / np.sqrt((at**2 - hz**2) ** 2 + (width * hz) ** 2)
        return found + 0.02  # what passes beside the formants


def syllable(
    singer: Singer, seconds: float, hz: float, vowel: str, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """One vowel on one note, (samples,)."""
    samples = round(seconds * sample_rate)
    t = np.arange(samples) / sample_rate
    scoop = -0.7 * np.exp(-t / 0.04)
    vibrato = 0.25 * np.sin(2 * np.pi * rng.uniform(5, 6) * t) * np.clip(t / 0.4, 0, 1)
    f0 = hz * 2 ** ((scoop + vibrato) / 12)
    phase = 2 * np.pi * np.cumsum(f0) / sample_rate
    partials = np.arange(1, int(min(60, 0.45 * sample_rate / f0.max())) + 1)
    levels = singer.envelope(hz * partials, vowel) / partials**singer.slope
    voiced = np.zeros(samples)
    for k, level in zip(partials, levels, strict=True):
        voiced += level * np.sin(k * phase)
    noise = np.fft.rfft(rng.standard_normal(samples))
    hz_axis = np.fft.rfftfreq(samples, 1 / sample_rate)
    breath = np.fft.irfft(noise * (0.1 + singer.envelope(hz_axis, vowel)), samples)
    both = voiced / np.sqrt(np.mean(voiced**2)) + singer.breath * breath / np.sqrt(np.mean(breath**2))
    shape = np.minimum(np.clip(t / 0.05, 0, 1), np.clip((t[-1] - t) / 0.08, 0, 1)) ** 2
    found: np.ndarray = both * shape * (1 + 0.25 * np.sin(np.pi * t / seconds))
    return found


def consonant(sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A fricative: noise around a random frequency between 2.5 kHz and 8 kHz, (samples,), RMS about 0.4."""
    samples = round(rng.uniform(*HISS_S) * sample_rate)
    hz = np.fft.rfftfreq(samples, 1 / sample_rate)
    centre = rng.uniform(2500, min(8000, 0.4 * sample_rate))
    band = np.exp(-0.5 * (np.log2(np.maximum(hz, 1) / centre) / 0.5) ** 2)
    hiss = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * band, samples)
    found: np.ndarray = 0.4 * hiss / np.sqrt(np.mean(hiss**2)) * np.hanning(samples)
    return found


def sung_syllables(seconds: float, sample_rate: int, seed: int = 0) -> np.ndarray:
    """A phrase of syllables with rests, float32 (samples,), peak about 0.5; the same seed gives the same samples."""
    rng = np.random.default_rng([seed, 5])
    singer = Singer.drawn(rng)
    parts: list[np.ndarray] = []
    made = 0
    while made < seconds * sample_rate:
        hz = singer.lowest_hz * 2 ** (rng.choice(STEPS) / 12)
        vowel = str(rng.choice(list(FORMANTS_HZ)))
        hiss = consonant(sample_rate, rng) * rng.choice((0.0, 1.0), p=(0.3, 0.7))
        sound = syllable(singer, rng.uniform(*SYLLABLE_S), hz, vowel, sample_rate, rng)
        level = 10 ** (rng.uniform(-12, 0) / 20)
        parts += [level * np.concatenate([hiss, sound]), np.zeros(round(rng.uniform(*REST_S) * sample_rate))]
        made += len(parts[-1]) + len(parts[-2])
    whole = np.concatenate(parts)[: round(seconds * sample_rate)]
    room = 10 ** (singer.room_db / 20) * rng.standard_normal(len(whole))
    return (0.5 * whole / np.abs(whole).max() + room).astype(np.float32)
