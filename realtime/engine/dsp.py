"""Linear ramps for latents (one step a frame), gain and fades (one step a sample), and the output limiter."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Ramp:
    """Values (D,) that glide to their targets in a given number of steps, each on its own.

    How the steps are cut into calls makes no difference. A new target for one value leaves the others alone.
    """

    def __init__(self, value: ArrayLike) -> None:
        self.value: NDArray[np.float64] = np.atleast_1d(np.array(value, dtype=np.float64))
        self.target = self.value.copy()
        self._left = np.zeros(len(self.value), np.int64)

    @property
    def resting(self) -> bool:
        """Every value is at its target."""
        return not self._left.any()

    def rests_at_zero(self, place: int) -> bool:
        """One of the values is 0 and stays so."""
        return self.value[place] == 0 and self._left[place] == 0

    def rests_at(self, value: float) -> bool:
        return self.resting and bool((self.value == value).all())

    def aim(self, target: ArrayLike, steps: ArrayLike) -> None:
        """Set targets; the values whose target is new arrive after `steps` steps (0: with the next one), one
        number for all or (D,)."""
        new = np.atleast_1d(np.asarray(target, dtype=np.float64))
        moved = new != self.target
        if moved.any():
            self.target = np.where(moved, new, self.target)
            self._left = np.where(moved, np.maximum(1, steps), self._left).astype(np.int64)

    def jump(self, value: ArrayLike) -> None:
        """Be there now."""
        self.value = np.atleast_1d(np.array(value, dtype=np.float64))
        self.target = self.value.copy()
        self._left[:] = 0

    def advance(self, steps: int) -> NDArray[np.float64]:
        """The values after each of the next `steps` steps: (steps, D)."""
        if self.resting or steps == 0:
            return np.broadcast_to(self.value, (steps, len(self.value)))
        taken = np.arange(1, steps + 1)[:, None]
        share = np.minimum(taken / np.maximum(self._left, 1), 1.0)
        path = np.where(
            taken >= self._left, self.target, self.value + (self.target - self.value) * share
        )  # (steps, D)
        self.value = path[-1].copy()
        self._left = np.maximum(self._left - steps, 0)
        return path


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
