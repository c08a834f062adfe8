"""Conversions by name: seconds, samples, frames, decibels, semitones. No heavy imports."""

from __future__ import annotations

import math


def seconds_to_samples(seconds: float, sample_rate: float) -> int:
    """The nearest whole number of samples."""
    return round(seconds * sample_rate)


def samples_to_frames(samples: int, hop_length: int) -> int:
    """Latent frames that cover so many samples (rounded up: the last one may be part full)."""
    return -(-samples // hop_length)


def frames_to_samples(frames: int, hop_length: int) -> int:
    return frames * hop_length


def resampled_length(samples: int, rate_from: float, rate_to: float) -> int:
    """Samples at `rate_to` of a sound that has `samples` at `rate_from`."""
    return samples if rate_from == rate_to else round(samples * rate_to / rate_from)


def db_to_amplitude(db: float) -> float:
    """0 dB -> 1, -20 dB -> 0.1."""
    return 10.0 ** (db / 20.0)


def amplitude_to_db(amplitude: float, floor_db: float = -math.inf) -> float:
    """1 -> 0 dB; nothing is below `floor_db`."""
    return max(floor_db, 20.0 * math.log10(amplitude)) if amplitude > 0 else floor_db


def semitones_to_ratio(semitones: float) -> float:
    """12 -> 2: the ratio of two frequencies so many equal-tempered semitones apart."""
    return 2.0 ** (semitones / 12.0)


def midi_to_hz(pitch: float) -> float:
    """69 -> 440 Hz, equal temperament."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def format_seconds(seconds: float) -> str:
    """12.34 -> '12.3 s', 754 -> '12.6 min', 36000 -> '10.0 h'."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
