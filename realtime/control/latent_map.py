"""The map of `/wavevae/xy`: the first two learned axes of some training latents, from 0 to 1.

A codec's axes are principal ones, so this is the plane in which the training sounds differ most. An instrument's are
brightness and noisiness: its pitch, loudness and periodicity come before them and are left alone. A point of the map
sets every learned axis: the first two are the place itself, the others a mean of the nearest training latents', the
nearer the heavier (inverse distances; Shepard 1968).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wavevae.latents import Plane

from ..model_info import ModelInfo

NEIGHBOURS = 8
CLOSEST = 1e-4
"""Of the map's width: nearer than this counts as this near."""


class LatentMap:
    """The map of one model."""

    def __init__(self, about: ModelInfo) -> None:
        self._first = about.n_controls
        """The first learned axis."""
        axes = about.axes[self._first : self._first + 2]
        points = np.array(about.points, np.float64).reshape(-1, about.latent_dim)
        self.points: NDArray[np.float64] = points[:, self._first :]
        """Learned latents of the training data: (points, learned axes)."""
        self.labels = about.point_labels
        self.names = tuple(axis.name for axis in axes)
        """Of its axes: two, or as many as there are."""
        low, high = ([getattr(axis, end) for axis in axes] for end in ("low", "high"))
        plane = Plane.of(self.points) if len(self.points) else Plane.between(np.array(low), np.array(high))
        self._low, self._high = plane
        self.places: NDArray[np.float64] = plane.places(self.points)
        """Of the points on the map: (points, 2)."""

    def bounds(self) -> list[list[float]]:
        """Lowest and highest value of each of its axes."""
        return np.stack([self._low, self._high], 1).tolist()

    def at(self, x: float, y: float, present: tuple[float, ...]) -> tuple[float, ...]:
        """The latent at a place. Control axes stay as they are at `present`; without points the further axes do too."""
        width = len(self.names)
        place = np.array((x, y))[:width]
        learned = np.array(present[self._first :])
        if len(self.points):
            distances = ((self.places[:, :width] - place) ** 2).sum(1)
            nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
            weights = 1 / (distances[nearest] + CLOSEST)
            learned = weights @ self.points[nearest] / weights.sum()
        learned[:width] = self._low + place * (self._high - self._low)
        return (*present[: self._first], *np.clip(learned, -10, 10).tolist())
