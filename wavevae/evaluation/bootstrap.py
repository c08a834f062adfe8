"""How far the figures would move had other files of the same kind been judged.

Seconds of one file resemble each other, so files are what is drawn, with replacement, and with each all its
seconds (the cluster bootstrap: Davison & Hinkley 1997, sec. 3.8). Ends of the interval are percentiles of the
redrawn means. It speaks of the choice of files; it does not know the luck of the training run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 2000
DRAWS_OF_CLOUDS = 100
LEVEL = 0.95
FEWEST_FILES = 3
"""Below, there is nothing to draw from and no interval."""

Interval = tuple[float, float]


def weights(files: int, draws: int, seed: int = 0) -> Array:
    """How often each file is drawn: (draws, files), rows sum to `files`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(files, np.full(files, 1 / files), size=draws).astype(np.float64)


def percentiles(redrawn: Array) -> Interval:
    """The middle LEVEL of the redrawn figures."""
    low, high = np.quantile(redrawn[np.isfinite(redrawn)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def totals(files: Sequence[str], values: Array) -> tuple[Array, Array]:
    """Sum and count by file of one value a second; NaN is none."""
    _, place = np.unique(np.asarray(files), return_inverse=True)
    there = np.isfinite(values)
    counts = np.bincount(place, there.astype(np.float64))
    sums = np.bincount(place, np.where(there, values, 0.0))
    return sums.astype(np.float64), counts.astype(np.float64)


def of_mean(files: Sequence[str], values: Array) -> Interval | None:
    """Interval of a mean over seconds (N,), each from the file named."""
    return of_ratio(*totals(files, np.asarray(values, np.float64)))


def of_ratio(sums: Array, counts: Array) -> Interval | None:
    """Interval of sum / count, given those of each file (F,)."""
    sums, counts = sums[counts > 0], counts[counts > 0]
    if len(counts) < FEWEST_FILES:
        return None
    drawn = weights(len(counts), DRAWS)
    return percentiles((drawn @ sums) / (drawn @ counts))


def of_median(files: Sequence[str], values: Array) -> Interval | None:
    names, place = np.unique(np.asarray(files), return_inverse=True)
    groups = [values[(place == index) & np.isfinite(values)] for index in range(len(names))]
    groups = [group for group in groups if len(group)]
    if len(groups) < FEWEST_FILES:
        return None
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(groups), (DRAWS // 4, len(groups)))
    return percentiles(np.array([np.median(np.concatenate([groups[i] for i in row])) for row in draws]))


def of_clouds(files: Sequence[str], distance: object, value: float | None) -> Interval | None:
    """Interval of a distance between clouds of embeddings that is `value`; `distance(weights (N,)) -> float`.

    A redrawn cloud has doubles and lies further off for that alone, so the redrawn figures give the width (1.96
    standard deviations) and the figure itself the middle.
    """
    assert callable(distance)
    names, place = np.unique(np.asarray(files), return_inverse=True)
    if value is None or len(names) < FEWEST_FILES:
        return None
    redrawn = [distance(row[place]) for row in weights(len(names), DRAWS_OF_CLOUDS)]
    half = 1.96 * float(np.std([x for x in redrawn if x is not None]))
    return max(0.0, value - half), value + half


def of_difference(files: Sequence[str], first: Array, second: Array) -> Interval | None:
    """Interval of the mean of second - first, of the same seconds (N,): pairs are drawn together."""
    return of_mean(files, np.asarray(second, np.float64) - np.asarray(first, np.float64))
