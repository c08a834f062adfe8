"""Pitch shift of a sound of known pitch that keeps its time, and the phase of its partials.

    source   |    |    |    |    |    |        periods
    grains     /\\  /\\  /\\  /\\  /\\             read `ratio` times as fast, each from a place moved by whole periods
                                               towards where the sound is now

A grain at t reads the source at s = ratio x t - m periods: for a sound of that period it is as if the source had been
played faster all the time, so grains fade into each other without a seam; and s stays within half a period of t.
(Pitch-synchronous overlap-add, Moulines & Charpentier 1990, with the period known.)
"""

from __future__ import annotations

import math

import numpy as np

from wavevae.augment import Reader
from wavevae.units import semitones_to_ratio

GRAIN_S = 0.02
"""From one grain to the next, at least; two periods at least."""


def midi_to_hz(pitch: float) -> float:
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


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
    """float32 (before + samples,), `semitones` higher; phases are those of the chunk's start, sample `before`."""
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
