"""What discriminators and models want of each other's opinions; each gives a raw, unweighted number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wavevae.objectives.discriminator import Opinion

CHANCE = 2.0
"""Hinge loss of a discriminator that cannot tell; 0 of one that is never wrong, nor in doubt."""
SMALLEST = 1e-6
"""Mean size of features that counts as nothing."""


def mean_score(opinions: Sequence[Opinion]) -> Tensor:
    """Over patches, then over discriminators: scalar."""
    return torch.stack([opinion.scores.mean() for opinion in opinions]).mean()


def discriminator_hinge(of_real: Sequence[Opinion], of_made: Sequence[Opinion]) -> Tensor:
    """What a discriminator minimises (Lim & Ye 2017, eq. 4): scores above 1 for originals, below -1 for outputs."""
    losses = [
        (1.0 - real.scores).relu().mean() + (1.0 + made.scores).relu().mean()
        for real, made in zip(of_real, of_made, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial(of_made: Sequence[Opinion]) -> Tensor:
    """What the model minimises: the negative score of its output (Lim & Ye 2017, eq. 5)."""
    return -mean_score(of_made)


def feature_matching(of_real: Sequence[Opinion], of_made: Sequence[Opinion]) -> Tensor:
    """Mean L1 distance of the discriminators' hidden layers, relative to their size (EnCodec, eq. 2), in fp32."""
    distances = [
        relative_distance(a.detach().float(), b.float())
        for real, made in zip(of_real, of_made, strict=True)
        for a, b in zip(real.features, made.features, strict=True)
    ]
    return torch.stack(distances).mean()


def relative_distance(real: Tensor, made: Tensor) -> Tensor:
    """Mean L1, as a share of the mean size of the first."""
    return (made - real).abs().mean() / real.abs().mean().clamp_min(SMALLEST)
