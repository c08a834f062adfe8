"""What a bottleneck shows of itself: latents, the KL of its posterior, its codes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from wavevae.evaluation.metrics import kl_per_frame
from wavevae.nn.bottlenecks.base import Bottleneck, Gaussian
from wavevae.nn.bottlenecks.hierarchical import Hierarchical
from wavevae.nn.bottlenecks.residual_vq import ResidualVQ


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
    if bottleneck.controls:
        controls, learned = hidden[:, : bottleneck.controls], hidden[:, bottleneck.controls :]
        seen = look(bottleneck.learned_part(), learned)
        return seen._replace(
            z=torch.cat([controls, seen.z], 1), latents=torch.cat([controls[0], seen.latents])
        )
    z = bottleneck.mean(hidden)
    if isinstance(bottleneck, Gaussian):
        _, log_variance = bottleneck.split(hidden)
        relative = z[0] / bottleneck.prior_std
        return Seen(z, relative, kl_per_frame(relative, log_variance[0]))
    if isinstance(bottleneck, Hierarchical):
        std = getattr(bottleneck, "prior_std", torch.ones(1, 1))
        relative = torch.cat([z[0, : bottleneck.bottom_dim] / std, z[0, bottleneck.bottom_dim :]])
        return Seen(z, relative, _of_levels(bottleneck, hidden))
    if isinstance(bottleneck, ResidualVQ):
        return Seen(z, z[0], codes=bottleneck.encode(hidden)[1][0])
    return Seen(z, z[0])


def _of_levels(bottleneck: Hierarchical, hidden: Tensor) -> Tensor:
    """Both levels' KL (frames,), a slow group's shared out over its frames."""
    _, fast, slow = bottleneck.levels(hidden, noise=False)[:3]
    held = (slow[0].sum(0) / bottleneck.every).repeat_interleave(bottleneck.every)
    total: Tensor = fast[0].sum(0) + held[: fast.shape[-1]]
    return total.double()


def with_other_top(bottleneck: Bottleneck, hidden: Tensor, other: Tensor) -> Tensor:
    """z of `hidden` (1, in_channels, frames) as it is when the slow level is that of `other`, of the same length; what
    follows from the slow level follows from the other's."""
    controls, levels = bottleneck.controls, bottleneck.learned_part()
    assert isinstance(levels, Hierarchical)
    z = levels.under(hidden[:, controls:], levels.mean(other[:, controls:])[:, levels.bottom_dim :])
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
