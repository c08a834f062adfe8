"""Is something locked to the hop in the output that is not in the target? A raw, unweighted number.

    second difference (weighs highs) -> squared -> averaged over all hops of a chunk, place by place in the hop

            _/\_/\_     a decoder that gives more at some places of its hops than at others: heard as a buzz at the
         __/       \__  hop rate (checkerboard artefacts, Odena et al. 2016; upsamplers: Pons et al. 2021)
         |<- hop ->|

Spectra do not mind: over their windows, whole hops and more, the energy is right. A sound whose period divides the
hop has such a profile of its own, so it is the target's that is asked for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PLACES = 32
"""Parts of a hop whose energy is compared: the first sixteen harmonics of the hop rate."""
FLOOR = 6e-8
"""Mean square of the second difference of white noise at -80 dBFS: what is weaker is not heard, as by the spectra."""

DARK = 0.01
"""Of a sound's mean square, added to what its swing is a share of: a quarter of 1080 notes have less in their second
difference (bright ones as much as they have in all), and what is hardly there should not weigh as much."""


def hop_profile(x: Tensor, hop_length: int) -> Tensor:
    """(B, 1, T) -> (B, places): mean high-frequency energy by place in the hop; T at least two hops."""
    hops = (x.shape[-1] - 2) // hop_length
    energy = x.squeeze(1).diff(n=2)[:, : hops * hop_length].square()
    profile = energy.view(len(x), hops, hop_length).mean(1)
    one = torch.eye(hop_length, device=profile.device, dtype=profile.dtype)
    return (
        profile @ F.adaptive_avg_pool1d(one[None], min(PLACES, hop_length))[0]
    )  # its own gradient may differ by run


def hop_unevenness(estimate: Tensor, target: Tensor, hop_length: int) -> Tensor:
    """How differently the two swing over the hop, as a share of the target's mean energy: (B, 1, T) twice -> scalar.

    0 where the output swings as its target does, whatever their levels: the means are the spectra's business. The share
    is the target's, or the output could hide its swing under more noise. Chance alone gives 0.03 to 0.05 on a second of
    one saxophone (against a period that is not the hop). Of less than two hops nothing can be said: 0.
    """
    if estimate.shape[-1] < 2 * hop_length + 2:
        return estimate.new_zeros(())
    made, asked = hop_profile(estimate, hop_length), hop_profile(target, hop_length)
    mean = asked.mean(1, keepdim=True)
    swing = (made - made.mean(1, keepdim=True)) - (asked - mean)
    energy = target.square().mean(-1)  # (B, 1)
    return (swing.abs() / (mean + DARK * energy + FLOOR)).mean()
