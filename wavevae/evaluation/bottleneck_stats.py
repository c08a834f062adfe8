"""Statistics of a bottleneck: its latents, the KL of its posterior, its codes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from wavevae.evaluation.metrics import kl_per_frame
from wavevae.nn.bottlenecks.base import Bottleneck


class Seen(NamedTuple):
    """One sound between encoder and decoder."""

    z: Tensor
    """(1, latent_dim, frames): what the decoder gets."""
    latents: Tensor
    """(latent_dim, frames): the same in standard deviations of the prior, where there is one."""
    kl: Tensor | None = None
    """(frames,) nats a frame."""
    codes: Tensor | None = None
    """(n_codebooks, frames)"""


def look(bottleneck: Bottleneck, hidden: Tensor) -> Seen:
    """(1, in_channels, frames) -> what there is to see; nothing random.

    Controls come first, in their own units; KL and codes are those of the learned latents.
    """
    controls, learned = hidden[:, : bottleneck.controls], hidden[:, bottleneck.controls :]
    found = bottleneck.learned_part().statistics(learned)
    kl = found.kl if found.log_variance is None else kl_per_frame(found.latents, found.log_variance)
    z, latents = torch.cat([controls, found.z], 1), torch.cat([controls[0], found.latents])
    return Seen(z, latents, kl, found.codes)


def with_other_top(bottleneck: Bottleneck, hidden: Tensor, other: Tensor) -> Tensor:
    """z of `hidden` (1, in_channels, frames) as it is when the slow level is that of `other`, of the same length; what
    follows from the slow level follows from the other's."""
    controls = bottleneck.controls
    z = bottleneck.learned_part().with_top_latents_of(hidden[:, controls:], other[:, controls:])
    return torch.cat([hidden[:, :controls], z], 1)


class CodeUse:
    """How often each code of each codebook was taken, in running counts."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.counts: Tensor | None = None

    def add(self, codes: Tensor) -> None:
        """(n_codebooks, frames)"""
        new = torch.stack([torch.bincount(row.long(), minlength=self.size) for row in codes])
        self.counts = new if self.counts is None else self.counts + new

    def perplexity(self) -> float | None:
        """exp of the entropy of the codes' use, mean over codebooks: 1 = one code, `size` = all alike."""
        if self.counts is None:
            return None
        share = self.counts.double() / self.counts.sum(1, keepdim=True)
        entropy = -(share * share.clamp_min(1e-300).log()).sum(1)
        return float(entropy.exp().mean())

    def usage(self) -> float | None:
        """Share of the codes taken at least once, mean over codebooks."""
        return None if self.counts is None else float((self.counts > 0).double().mean())

    def bits_per_frame(self) -> float | None:
        """Entropy of the codes' use in bits, summed over codebooks: what an ideal coder would spend."""
        if self.counts is None:
            return None
        share = self.counts.double() / self.counts.sum(1, keepdim=True)
        return float(-(share * share.clamp_min(1e-300).log()).sum() / math.log(2))
