"""Is something periodic at the hop rate in the output that is not in the reference?

A decoder that makes `hop_length` samples from each latent frame may leave a small step at every frame's edge. Such
steps are short and broad-band, so they stand out where music is weak, in the high frequencies, and they come at
exactly the hop rate:

    waveform -> second difference (weighs highs) -> squared: the envelope of high-frequency energy, at sample
    resolution -> its spectrum -> power in the bins at k x hop rate, against the median of the bins around them.

Music can have lines there too (a note whose period divides the hop), so the reference's own figure is subtracted.
"""

from __future__ import annotations

import torch
from torch import Tensor

HARMONICS = 16
"""Multiples of the hop rate that are looked at (fewer where the hop is shorter than 32 samples)."""
FIRST_BIN, LAST_BIN = 3, 12
"""The neighbours, on either side of a harmonic's bin, that say how strong it would be by chance."""
FEWEST_HOPS = 12
"""Hops a chunk must have: fewer leave no room for neighbours between the harmonics."""
FLOOR = 1e-6
"""Modulation power, against the envelope's mean squared, that counts as nothing: clicks 30 dB below the
high-frequency energy of the sound."""


def periodicity_db(x: Tensor, hop_length: int) -> Tensor:
    """(N, T) -> (N,) dB: how far the envelope's lines at the hop rate rise above what surrounds them.

    About 0 for anything not periodic at that rate. T is cut to whole hops, so that every line falls on a bin.
    """
    hops = x.shape[-1] // hop_length
    if hops < FEWEST_HOPS:
        raise ValueError(f"{x.shape[-1]} samples are {hops} hops; the click measure needs {FEWEST_HOPS}")
    x = x[..., : hops * hop_length].double()
    envelope = torch.nn.functional.pad(x.diff(n=2), (1, 1)).square()
    # A Hann window keeps slow swells, which every sound has, in the lowest bins.
    window = torch.hann_window(envelope.shape[-1], dtype=envelope.dtype)
    power = torch.fft.rfft(envelope * window).abs().square()  # (N, T/2 + 1)
    nothing = FLOOR * power[..., :1] + 1e-30
    lines = torch.arange(1, min(HARMONICS, hop_length // 2 - 1) + 1) * hops  # bins of k x hop rate
    side = torch.arange(FIRST_BIN, min(LAST_BIN, hops // 2 - 1) + 1)
    around = torch.cat([-side, side])
    # A line under a Hann window fills three bins; noise around it is taken as a median, safe from other lines.
    line = power[..., lines[:, None] + torch.arange(-1, 2)].sum(-1) / 3
    noise = power[..., lines[:, None] + around].median(-1).values / _MEDIAN_OF_CHI_SQUARED
    return 10 * torch.log10((line + nothing).mean(-1) / (noise + nothing).mean(-1))


_MEDIAN_OF_CHI_SQUARED = 0.6931471805599453
"""Median of a noise bin's power over its mean (ln 2: the bin is complex Gaussian)."""


def hop_rate_energy_db(estimate: Tensor, reference: Tensor, hop_length: int) -> Tensor:
    """Chunks (N, T) -> (N,) dB: 0 = as much at the hop rate as in the reference, 3 and more = clicks."""
    return periodicity_db(estimate, hop_length) - periodicity_db(reference, hop_length)
