"""Where a figure stands between the rungs of a ladder of bit rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

DIRECTIONS = {
    "mr_stft": False,
    "log_mel_l1": False,
    "si_sdr_db": True,
    "accuracy_waveform": True,
    "accuracy_stft": True,
    "mse": False,
    "cosine_similarity": True,
    "pitch_error_cents": False,
    "fad": False,
}
"""The figures that are compared, and whether more of them is better."""


class Standing(NamedTuple):
    """A place on the ladder."""

    kbps: float | None
    """None beyond its ends."""
    words: str
    """'14.2', 'under 6', 'over 96'."""


def monotone(values: Sequence[float]) -> list[float]:
    """The non-decreasing sequence nearest in squares (pool adjacent violators: Ayer et al. 1955)."""
    pools: list[list[float]] = []  # mean, count
    for value in values:
        pools.append([value, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (mean_a, count_a), (mean_b, count_b) = pools[-2:]
            count = count_a + count_b
            pools[-2:] = [[(mean_a * count_a + mean_b * count_b) / count, count]]
    return [mean for mean, count in pools for _ in range(int(count))]


def stand(value: float, rungs: Sequence[tuple[float, float]], higher_is_better: bool) -> Standing:
    """The bit rate with this value, between rungs (kbps, value) by straight lines over the logarithm of the rate.

    More bits may score worse by chance; such rungs are levelled first. Of several rates with the same value the
    lowest is told.
    """
    sign = 1.0 if higher_is_better else -1.0
    rates = [rate for rate, _ in rungs]
    good = monotone([sign * score for _, score in rungs])
    wanted = sign * value
    if wanted < good[0]:
        return Standing(None, f"under {rates[0]:g}")
    if wanted > good[-1]:
        return Standing(None, f"over {rates[-1]:g}")
    for low, high in zip(range(len(rates) - 1), range(1, len(rates)), strict=True):
        if wanted <= good[low]:
            return Standing(rates[low], f"{rates[low]:.3g}")
        if wanted <= good[high]:
            share = (wanted - good[low]) / (good[high] - good[low])
            rate = math.exp((1 - share) * math.log(rates[low]) + share * math.log(rates[high]))
            return Standing(rate, f"{rate:.3g}")
    return Standing(rates[-1], f"{rates[-1]:.3g}")
