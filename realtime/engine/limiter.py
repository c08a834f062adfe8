"""A limiter without look-ahead: nothing leaves above full scale, and what stays below is untouched.

The envelope follows every peak at once and falls exponentially; the gain is what brings the envelope down to
full scale (a feed-forward peak limiter; Giannoulis, Massberg and Reiss 2012, sec. 2). So the first peak is cut
where it exceeds full scale, and what follows it is turned down instead of cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RELEASE_MS = 80.0
"""In which the gain climbs back by a factor of e."""


class Limiter:
    """Keeps (samples,) float32 within -1..1. `limited` counts the samples that were above, `peak` the largest."""

    def __init__(self, sample_rate: int) -> None:
        self._fall = 1000 / (RELEASE_MS * sample_rate)
        """Of the envelope, nepers a sample."""
        self.begin_again()

    def begin_again(self) -> None:
        self.limited, self.peak = 0, 0.0
        self._envelope = -np.inf
        """Nepers over full scale, after the last sample."""

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        size = np.abs(block)
        peak = float(size.max(initial=0.0))
        self.peak = max(self.peak, peak)
        if peak <= 1.0 and self._envelope <= 0.0:
            return block
        self.limited += int(np.count_nonzero(size > 1.0))
        rise = self._fall * np.arange(1, len(block) + 1)
        # max over k <= n of log|x_k| - (n - k) * fall, as a running maximum of log|x_k| + k * fall
        heights = np.maximum.accumulate(np.log(np.maximum(size, 1e-30, dtype=np.float64)) + rise)
        envelope = np.maximum(heights, self._envelope) - rise
        self._envelope = float(envelope[-1])
        return np.clip(block * np.exp(-np.maximum(envelope, 0.0)), -1.0, 1.0).astype(np.float32)
