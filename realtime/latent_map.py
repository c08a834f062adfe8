"""The map of `/wavevae/xy`: the first two axes of some training latents, from 0 to 1.

The axes are principal ones, so this is the plane in which the training sounds differ most. A point of the map is
a whole latent: its first two axes are the place itself, the others a mean of the nearest training latents', the
nearer the heavier (inverse distances; Shepard 1968).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wavevae.latent_plane import Plane

from .about import About

NEIGHBOURS = 8
CLOSEST = 1e-4
"""Of the map's width: nearer than this counts as this near."""


class LatentMap:
    """Of one model."""

    def __init__(self, about: About) -> None:
        self.points: NDArray[np.float64] = np.array(about.points, np.float64).reshape(-1, about.latent_dim)
        self.labels = about.point_labels
        self._plane = min(2, about.latent_dim)
        low, high = ([getattr(axis, end) for axis in about.axes[:2]] for end in ("low", "high"))
        plane = Plane.of(self.points) if len(self.points) else Plane.between(np.array(low), np.array(high))
        self._low, self._high = plane
        self.places: NDArray[np.float64] = plane.places(self.points)
        """Of the points on the map: (points, 2)."""

    def bounds(self) -> list[list[float]]:
        """Lowest and highest value of each of its axes."""
        return np.stack([self._low, self._high], 1).tolist()

    def at(self, x: float, y: float, present: tuple[float, ...]) -> tuple[float, ...]:
        """The latent at a place; without points the further axes stay as they are at `present`."""
        place = np.array((x, y))[: self._plane]
        latent = np.array(present)
        if len(self.points):
            distances = ((self.places[:, : self._plane] - place) ** 2).sum(1)
            nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
            weights = 1 / (distances[nearest] + CLOSEST)
            latent = weights @ self.points[nearest] / weights.sum()
        latent[: self._plane] = self._low + place * (self._high - self._low)
        return tuple(np.clip(latent, -10, 10).tolist())
