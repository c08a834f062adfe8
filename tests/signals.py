"""Measures of sounds that tests share; arrays or tensors of any shape."""

import math

import numpy as np
from numpy.typing import ArrayLike


def level_db(x: ArrayLike) -> float:
    """RMS in dB re full scale; -200 for silence."""
    return 10 * math.log10(float(np.mean(np.asarray(x, np.float64) ** 2)) + 1e-20)


def frequency_hz(x: ArrayLike, sample_rate: int) -> float:
    """Of the strongest partial: a parabola through a windowed spectrum."""
    sound, size = np.ravel(x), 1 << 18
    log = np.log(np.abs(np.fft.rfft(sound * np.blackman(len(sound)), size)) + 1e-12)
    k = int(log.argmax())
    a, b, c = log[k - 1 : k + 2]
    return float((k + 0.5 * (a - c) / (a - 2 * b + c)) * sample_rate / size)


def cents(x: ArrayLike, sample_rate: int, hz: float) -> float:
    """How far a steady tone is from `hz`, by its phase in two long windows."""
    sound = np.asarray(x, np.float64)
    half = len(sound) // 2
    beat = sound * np.exp(-2j * np.pi * hz / sample_rate * np.arange(len(sound)))
    window = np.hanning(half + 1)[:half]
    first, second = (beat[:half] * window).sum(), (beat[half : 2 * half] * window).sum()
    turns = float(np.angle(second / first)) / (2 * np.pi)
    return 1200 * math.log2(1 + turns / half * sample_rate / hz)
