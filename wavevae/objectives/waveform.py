"""Distances between waveforms; each gives a raw, unweighted number."""

from __future__ import annotations

from torch import Tensor

FLOOR = 1e-3
"""Mean magnitude (-60 dBFS) below which a target counts as silence: keeps the ratio finite."""


def relative_l1(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean |estimate - target| against mean |target|, chunk by chunk: (B, 1, T) twice -> scalar.

    0 for a perfect copy, 1 for silence; relative, so that a quiet note counts as much as a loud one. It asks
    for the right phase, which spectra do not: partials find their place, and their level, several times sooner.
    """
    error = (estimate - target).abs().mean(dim=(1, 2))
    return (error / (target.abs().mean(dim=(1, 2)) + FLOOR)).mean()
