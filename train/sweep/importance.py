"""How much each key matters: the share of the objective's variance that it accounts for by itself.

One-way analysis of variance over the finished trials, corrected for what luck would explain (epsilon squared, Kelley
1935): a key that does nothing is at 0 in the mean. A range is cut into a few parts with equally many trials.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

MOST_PARTS = 5
FEWEST_A_PART = 3


def groups_of(values: Sequence[Any], ranged: bool) -> list[Hashable]:
    """The group of each trial: its choice, or which part of the range."""
    if not ranged:
        return list(values)
    parts = max(2, min(MOST_PARTS, len(values) // FEWEST_A_PART))
    edges = np.quantile(np.asarray(values, float), np.linspace(0, 1, parts + 1)[1:-1])
    return [int(np.searchsorted(edges, float(v), side="right")) for v in values]


def epsilon_squared(objective: Sequence[float], groups: Sequence[Hashable]) -> float | None:
    """0 to 1; none where it cannot be told: one group only, as many groups as trials, or no variance."""
    y = np.asarray(objective, float)
    names = list(dict.fromkeys(groups))
    total = float(((y - y.mean()) ** 2).sum())
    if len(names) < 2 or len(names) >= len(y) or total <= 0:
        return None
    members = [y[[g == name for g in groups]] for name in names]
    within = float(sum(((m - m.mean()) ** 2).sum() for m in members))
    error = within / (len(y) - len(names))
    between = total - within
    return max(0.0, (between - (len(names) - 1) * error) / total)
