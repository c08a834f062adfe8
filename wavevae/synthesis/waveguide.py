"""A travelling wave: what left one end comes back later, filtered (J. O. Smith, *Physical Audio Signal
Processing*, "Digital waveguide models").

    wave[t] = source[t] + sum_k weights[t, k] * wave[t - delay[t] - k + ...]

The loop needs its own past one round trip back, so a whole round trip is computed at once: numpy, no sample loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 44100
"""Rate of all synthesis, Hz; files are resampled from it, so that every rate has the same music."""


def lagrange(fraction: np.ndarray) -> np.ndarray:
    """Weights (n, 4) that read a signal at a point `fraction` (n,) of the way from tap 1 to tap 2."""
    x = fraction
    return np.stack(
        [
            -x * (x - 1) * (x - 2) / 6,
            (x + 1) * (x - 1) * (x - 2) / 2,
            -(x + 1) * x * (x - 2) / 2,
            (x + 1) * x * (x - 1) / 6,
        ],
        axis=-1,
    )


def damping(bend: float, gain: float) -> np.ndarray:
    """Three symmetric taps whose response is gain * (1 - bend + bend * cos w): brightness lost on each trip."""
    return gain * np.array([bend / 2, 1 - bend, bend / 2])


@dataclass(frozen=True)
class Trip:
    """A delay that may move (vibrato), with a symmetric filter in it, ready to be read block by block."""

    index: np.ndarray
    """(n, taps) positions in the padded wave."""
    weights: np.ndarray
    """(n, taps)"""
    pad: int
    """Zeros that stand before time 0 in the wave's buffer."""
    block: int
    """Samples that can be computed at once: the shortest trip less the filter's reach."""

    @classmethod
    def make(cls, delay: np.ndarray, taps: np.ndarray, pad: int) -> Trip:
        """delay (n,) samples, the filter's own centre included; taps odd and symmetric; pad > the longest delay."""
        point = pad + np.arange(len(delay)) - delay
        whole = np.floor(point).astype(np.int64)
        read = lagrange(point - whole)  # (n, 4): positions whole - 1 .. whole + 2
        reach = len(taps) // 2
        weights = np.zeros((len(delay), 4 + 2 * reach))
        for k, tap in enumerate(taps):
            weights[:, k : k + 4] += tap * read
        index = whole[:, None] + np.arange(-1 - reach, 3 + reach)
        return cls(index, weights, pad, int(delay.min()) - reach - 3)

    def read(self, wave: np.ndarray, start: int, stop: int) -> np.ndarray:
        """What comes back at samples start..stop (stop - start <= block) of the padded `wave`."""
        return np.einsum("tk,tk->t", wave[self.index[start:stop]], self.weights[start:stop])


def vibrato(
    samples: int, cents: float, rate_hz: float, onset_s: float, rng: np.random.Generator
) -> np.ndarray:
    """A frequency factor (n,) near 1 that swings `cents` either way, from `onset_s` on, never quite regular."""
    t = np.arange(samples) / RATE
    drift = rate_hz * (1 + 0.06 * np.sin(2 * np.pi * rng.uniform(0.3, 0.6) * t + rng.uniform(0, 6.28)))
    phase = 2 * np.pi * np.cumsum(drift) / RATE
    depth = cents * np.clip((t - onset_s) / 0.5, 0, 1)
    return 2.0 ** (depth * np.sin(phase) / 1200)
