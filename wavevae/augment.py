"""Changes of a chunk that keep it a sound of the same kind: gain, polarity, phase, pitch. numpy and soxr only.

Each function does one thing to float32 (samples,) and nothing else; `Augmenter` draws what is done.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import soxr

from wavevae.config import DataConfig
from wavevae.units import db_to_amplitude, midi_to_hz, semitones_to_ratio

Reader = Callable[[int, int], np.ndarray]
"""(before, samples) -> float32 (before + samples,): a stretch from a chunk's start on, and what comes before it."""

RESAMPLER_MARGIN = 128
"""Samples read on each side of a stretch, so that the resampler's filter meets sound and not an edge."""
PHASE_MEMORY = 2048
"""Samples of the past that an all-pass filter starts from; its response has died away after as many."""
PHASE_SECTIONS = (1, 4)
PHASE_LOWEST_HZ, PHASE_HIGHEST = 30.0, 0.45
"""Range of the sections' centre: Hz, and a share of the sample rate; drawn evenly in octaves."""
PHASE_RADII = (0.5, 0.99)
GRAIN_S = 0.02
"""From one grain to the next, at least; two periods at least."""


class AllPass(NamedTuple):
    """A second-order all-pass section: poles at radius r and angle theta, zeros mirrored at the unit circle.

        H(z) = (r^2 - 2 r cos(theta) z^-1 + z^-2) / (1 - 2 r cos(theta) z^-1 + r^2 z^-2),  |H| = 1

    (J. O. Smith, Introduction to Digital Filters, "Allpass filters".)
    """

    radius: float
    angle: float
    """Radians a sample."""

    def response(self, z: np.ndarray) -> np.ndarray:
        """H at points z = e^{-i omega} of the unit circle (the variable is z^-1)."""
        linear = 2 * self.radius * math.cos(self.angle) * z
        square, constant = z * z, self.radius**2
        return (constant - linear + square) / (1 - linear + constant * square)


def gain(audio: np.ndarray, db: float) -> np.ndarray:
    """`db` louder, or as much of it as keeps the peak within full scale."""
    peak = float(np.abs(audio).max(initial=0.0))
    amplitude = db_to_amplitude(db)
    if peak * amplitude > 1.0:
        amplitude = 1.0 / peak
    return audio * np.float32(amplitude)


@functools.lru_cache(maxsize=4)
def _unit_circle(n_fft: int) -> np.ndarray:
    """e^{-i omega} at the bins of a real transform, complex64 (n_fft / 2 + 1,)."""
    return np.exp(-2j * np.pi / n_fft * np.arange(n_fft // 2 + 1)).astype(np.complex64)


def allpass_phase(audio: np.ndarray, sections: Sequence[AllPass]) -> np.ndarray:
    """Through a cascade of all-pass sections: the spectrum's magnitudes stay, the waveform changes.

    Computed as a product of spectra over a length in which the response dies away (PHASE_MEMORY samples); the
    filter is at rest before the first sample, and what rings on beyond the last is cut off.
    """
    n_fft = 1 << (len(audio) + PHASE_MEMORY - 1).bit_length()
    spectrum = np.fft.rfft(audio, n_fft)
    for section in sections:
        spectrum *= section.response(_unit_circle(n_fft))
    return np.fft.irfft(spectrum, n_fft)[: len(audio)].astype(np.float32)


def draw_allpass(rng: np.random.Generator, sample_rate: int) -> list[AllPass]:
    """One to four sections, their centres even in octaves."""
    low, high = math.log(PHASE_LOWEST_HZ), math.log(PHASE_HIGHEST * sample_rate)
    count = int(rng.integers(PHASE_SECTIONS[0], PHASE_SECTIONS[1] + 1))
    return [
        AllPass(
            float(rng.uniform(*PHASE_RADII)), 2 * math.pi * math.exp(rng.uniform(low, high)) / sample_rate
        )
        for _ in range(count)
    ]


def pitch_resample(read: Reader, samples: int, semitones: float, before: int = 0) -> np.ndarray:
    """float32 (before + samples,), `semitones` higher, by reading a longer or shorter stretch of the source.

    As on a tape: a component at f Hz moves to f x 2^(semitones/12) and time runs by the same factor. What
    would pass half the sample rate is filtered out (soxr HQ).
    """
    ratio = semitones_to_ratio(semitones)
    margin = math.ceil(RESAMPLER_MARGIN * max(1.0, ratio))
    lead = math.ceil(before * ratio) + margin
    stretch = read(lead, math.ceil(samples * ratio) + margin)
    shifted = soxr.resample(stretch, ratio, 1.0, quality="HQ")
    first = round(lead / ratio) - before
    return shifted[first : first + before + samples]


class Draw(NamedTuple):
    """What is done to one chunk."""

    semitones: float
    flip: bool
    db: float
    sections: Sequence[AllPass]
    """None: the phase stays."""


class Augmenter:
    """Draws what `DataConfig` allows and does it: pitch, phase, polarity, gain. Neutral values change nothing.

        chunk = Augmenter(config, 22050)(read, rng)     float32 (round(chunk_seconds * 22050),)

    What comes out never passes full scale if pitch or phase made it larger.
    """

    def __init__(self, config: DataConfig, sample_rate: int) -> None:
        self.config, self.sample_rate = config, sample_rate

    def __call__(self, read: Reader, rng: np.random.Generator, samples: int | None = None) -> np.ndarray:
        """Draw, and do what was drawn."""
        length = samples or max(1, round(self.config.chunk_seconds * self.sample_rate))
        return self.apply(self.draw(rng), read, length)

    def draw(self, rng: np.random.Generator) -> Draw:
        """In a fixed order, whatever is switched on, so that a seed means the same."""
        config = self.config
        semitones = rng.uniform(-1, 1) * config.pitch_semitones
        turn_phase, flip = rng.random() < config.phase, rng.random() < config.polarity
        db = rng.uniform(-1, 1) * config.gain_db
        return Draw(semitones, flip, db, draw_allpass(rng, self.sample_rate) if turn_phase else ())

    def apply(self, draw: Draw, read: Reader, samples: int) -> np.ndarray:
        """float32 (samples,)."""
        before = PHASE_MEMORY if draw.sections else 0
        pitched = draw.semitones != 0
        audio = pitch_resample(read, samples, draw.semitones, before) if pitched else read(before, samples)
        if draw.sections:
            audio = allpass_phase(audio, draw.sections)[before:]
        if draw.flip:
            audio = -audio
        return gain(audio, draw.db) if draw.db or pitched or draw.sections else audio


# -- pitch shift of a sound of known pitch, which keeps its time ------------------------------------------


def grain_hop(period: float, sample_rate: int) -> int:
    """Samples from one grain to the next."""
    return math.ceil(max(2 * period, GRAIN_S * sample_rate))


def cubic(source: np.ndarray, at: np.ndarray) -> np.ndarray:
    """source at fractional places (Catmull-Rom), each with a sample before and two after."""
    whole = np.floor(at).astype(np.int64)
    part = (at - whole).astype(np.float32)
    a, b, c, d = (source[whole + k] for k in (-1, 0, 1, 2))
    return b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))


def shift_in_time(
    read: Reader, before: int, samples: int, semitones: float, pitch: float, sample_rate: int
) -> np.ndarray:
    """float32 (before + samples,), `semitones` higher; phases are those of the chunk's start, sample `before`.

        source   |    |    |    |    |    |        periods
        grains     /\\  /\\  /\\  /\\  /\\             read `ratio` times as fast, each from a place
                                               moved by whole periods towards where the sound is

    A grain at t reads the source at s = ratio x t - m periods: for a sound of that period it is as if the source had
    been played faster all the time, so grains fade into each other without a seam; and s stays within half a period of
    t. (Pitch-synchronous overlap-add, Moulines & Charpentier 1990, with the period known.)
    """
    ratio, period = semitones_to_ratio(semitones), sample_rate / midi_to_hz(pitch)
    hop = grain_hop(period, sample_rate)
    reach = math.ceil(hop * ratio + period) + 4  # a grain reads so far from its centre
    source = read(before + hop + reach, samples + hop + reach)
    origin = before + hop + reach  # the chunk's start in source
    out = np.zeros(before + samples + 2 * hop, np.float32)  # a grain's length more on each side
    offsets = np.arange(-hop, hop)
    fade = (1.0 - np.abs(offsets) / hop).astype(np.float32)
    for centre in range(-before // hop * hop, samples + hop, hop):
        if not -before - hop < centre < samples + hop:
            continue
        moved = round((ratio - 1.0) * centre / period)
        at = origin + ratio * centre - moved * period + ratio * offsets
        place = before + hop + centre - hop
        inside = (place + np.arange(2 * hop) >= 0) & (place + np.arange(2 * hop) < len(out))
        grain = cubic(source, np.clip(at[inside], 1, len(source) - 3)) * fade[inside]
        out[place + np.flatnonzero(inside)] += grain
    return out[hop : hop + before + samples]


def shifted_reader(read: Reader, semitones: float, pitch: float, sample_rate: int) -> Reader:
    """Reads the same sound moved by `semitones`."""

    def read_shifted(before: int, samples: int) -> np.ndarray:
        return shift_in_time(read, before, samples, semitones, pitch, sample_rate)

    return read_shifted
