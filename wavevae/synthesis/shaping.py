"""Linear shaping of finished notes: envelopes, noise, bodies, the room. All filters are causal."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wavevae.synthesis.waveguide import RATE


def convolve(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Linear convolution by FFT, full length."""
    samples = len(signal) + len(response) - 1
    size = 1 << (samples - 1).bit_length()
    product = np.fft.rfft(signal, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[:samples]


def without_dc(signal: np.ndarray, cutoff_hz: float = 25.0) -> np.ndarray:
    """A one-pole high-pass at `cutoff_hz`, as its impulse response."""
    pole = np.exp(-2 * np.pi * cutoff_hz / RATE)
    response = -(1 - pole) * pole ** np.arange(int(RATE * 1.6 / cutoff_hz * 2))
    response[0] += 1
    return convolve(signal, response)[: len(signal)]


def low_pass(signal: np.ndarray, cutoff_hz: float, poles: int = 1) -> np.ndarray:
    """One-pole low-passes in a row, as their impulse response."""
    pole = np.exp(-2 * np.pi * min(cutoff_hz, 0.45 * RATE) / RATE)
    response = (1 - pole) * pole ** np.arange(max(8, int(12 / max(1e-3, 1 - pole))))
    for _ in range(poles):
        signal = convolve(signal, response)[: len(signal)]
    return signal


def envelope(samples: int, points: list[tuple[float, float]], glide_s: float = 0.008) -> np.ndarray:
    """Straight lines through (seconds, value), corners rounded over `glide_s`: (samples,). Times must rise."""
    times, values = zip(*points, strict=True)
    if any(b <= a for a, b in pairwise(times)):
        raise ValueError(f"times {times} do not rise")
    line = np.interp(np.arange(samples) / RATE, times, values, left=values[0], right=values[-1])
    window = np.hanning(max(3, int(glide_s * RATE)))
    padded = np.concatenate([np.full(len(window) - 1, line[0]), line])
    return convolve(padded, window / window.sum())[len(window) - 1 : len(window) - 1 + samples]


def body(modes: list[tuple[float, float, float]], direct: float) -> np.ndarray:
    """Impulse response of a resonating body: modes of (Hz, seconds to -60 dB, gain) beside the direct sound."""
    t = np.arange(int(0.12 * RATE)) / RATE
    response = np.zeros(len(t))
    for hz, decay_s, gain in modes:
        response += gain * np.sin(2 * np.pi * hz * t) * 10 ** (-3 * t / decay_s) * (2 * np.pi * hz / RATE)
    response[0] += direct
    return response


def room(rng: np.random.Generator, decay_s: float = 0.7) -> np.ndarray:
    """Impulse response of a small hall: a few early echoes, then noise whose highs die sooner (Moorer 1979)."""
    t = np.arange(int(1.1 * decay_s * RATE)) / RATE
    tail = np.zeros(len(t))
    for low, high, share in ((80, 800, 1.0), (800, 3000, 0.75), (3000, 9000, 0.45)):
        spectrum = np.fft.rfft(rng.standard_normal(len(t)))
        hz = np.fft.rfftfreq(len(t), 1 / RATE)
        spectrum *= np.clip((hz - 0.8 * low) / (0.4 * low), 0, 1) * np.clip(
            (1.2 * high - hz) / (0.4 * high), 0, 1
        )
        tail += np.fft.irfft(spectrum, len(t)) * 10 ** (-3 * t / (share * decay_s))
    tail *= np.clip((t - 0.012) / 0.02, 0, 1)
    tail *= 0.16 / np.sqrt(np.sum(tail**2))
    for delay_s, gain in ((0.0071, 0.08), (0.0113, -0.06), (0.0172, 0.05), (0.0231, -0.035)):
        tail[int(delay_s * RATE)] += gain
    tail[0] += 1.0
    return tail * np.clip((t[-1] - t) / 0.05, 0, 1)
