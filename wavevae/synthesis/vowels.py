"""Sung vowels from a small source-filter model: what evaluation sends through a model when no foreign sound is given.

A source of harmonics that fall 12 dB an octave, with vibrato and breath, through the resonances of a vocal tract
(Fant 1960; formants of an adult voice after Peterson & Barney 1952).
"""

from __future__ import annotations

import numpy as np

FORMANTS_HZ = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
WIDTHS_HZ = (80.0, 110.0, 160.0)
SYLLABLE_S, REST_S = (0.35, 0.8), (0.06, 0.2)
STEPS = (0, 2, 4, 5, 7, 9, 12)
"""Semitones above the lowest note of a phrase."""


def tract(hz: np.ndarray, vowel: str) -> np.ndarray:
    """Amplitude of the resonances at frequencies (..., n)."""
    found = np.ones_like(hz)
    for formant, width in zip(FORMANTS_HZ[vowel], WIDTHS_HZ, strict=True):
        found = found * formant**2 / np.sqrt((formant**2 - hz**2) ** 2 + (width * hz) ** 2)
    return found


def syllable(seconds: float, hz: float, vowel: str, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """One vowel on one note, (samples,)."""
    samples = round(seconds * sample_rate)
    t = np.arange(samples) / sample_rate
    scoop = -0.7 * np.exp(-t / 0.04)
    vibrato = 0.25 * np.sin(2 * np.pi * rng.uniform(5, 6) * t) * np.clip(t / 0.4, 0, 1)
    f0 = hz * 2 ** ((scoop + vibrato) / 12)
    phase = 2 * np.pi * np.cumsum(f0) / sample_rate
    count = int(min(60, 0.45 * sample_rate / f0.max()))
    partials = np.arange(1, count + 1)
    levels = tract(hz * partials, vowel) / partials**2
    voiced = np.zeros(samples)
    for k, level in zip(partials, levels, strict=True):
        voiced += level * np.sin(k * phase)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    breath = np.fft.irfft(spectrum * tract(np.fft.rfftfreq(samples, 1 / sample_rate), vowel), samples)
    both = voiced / np.sqrt(np.mean(voiced**2)) + 0.04 * breath / np.sqrt(np.mean(breath**2))
    shape = np.minimum(np.clip(t / 0.05, 0, 1), np.clip((t[-1] - t) / 0.08, 0, 1)) ** 2
    found: np.ndarray = both * shape * (1 + 0.25 * np.sin(np.pi * t / seconds))
    return found


def sung_vowels(seconds: float, sample_rate: int, seed: int = 0) -> np.ndarray:
    """A phrase of vowels with rests, float32 (samples,), peak 0.5; the same seed gives the same samples."""
    rng = np.random.default_rng([seed, 5])
    lowest = 440.0 * 2 ** ((rng.integers(43, 62) - 69) / 12)
    parts: list[np.ndarray] = []
    made = 0
    while made < seconds * sample_rate:
        hz = lowest * 2 ** (rng.choice(STEPS) / 12)
        vowel = str(rng.choice(list(FORMANTS_HZ)))
        sound = syllable(rng.uniform(*SYLLABLE_S), hz, vowel, sample_rate, rng)
        level = 10 ** (rng.uniform(-12, 0) / 20)
        parts += [level * sound, np.zeros(round(rng.uniform(*REST_S) * sample_rate))]
        made += len(parts[-1]) + len(parts[-2])
    whole = np.concatenate(parts)[: round(seconds * sample_rate)]
    return (0.5 * whole / np.abs(whole).max()).astype(np.float32)
