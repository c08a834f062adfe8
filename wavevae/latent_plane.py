"""The plane of `/wavevae/xy`: the first two axes of the training latents, from 0 to 1 over some of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SMALLEST_WIDTH = 1e-6


class Plane(NamedTuple):
    """Of axes that are principal ones: the plane in which the training sounds differ most."""

    low: NDArray[np.float64]
    """(1 or 2,): one where there is one axis only."""
    high: NDArray[np.float64]

    @classmethod
    def of(cls, points: NDArray[Any]) -> Plane:
        """Around points (N, latent_dim), one at least."""
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        return cls.between(low, high)

    @classmethod
    def between(cls, low: NDArray[Any], high: NDArray[Any]) -> Plane:
        return cls(np.asarray(low, np.float64), np.maximum(high, np.asarray(low) + SMALLEST_WIDTH))

    def places(self, axes: NDArray[Any]) -> NDArray[np.float64]:
        """(N, latent_dim) -> (N, 2), 0 to 1 within the points; a missing second axis is in the middle."""
        flat = (axes[:, : len(self.low)] - self.low) / (self.high - self.low)
        return np.pad(flat, ((0, 0), (0, 2 - len(self.low))), constant_values=0.5)
