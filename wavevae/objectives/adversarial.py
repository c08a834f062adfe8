"""Hinge GAN losses and feature matching, raw and unweighted, and how their gradients are balanced with the distances.

Balancing follows EnCodec (Défossez et al. 2022, eq. 4). A discriminator's scores have no fixed size, so a fixed weight
would have no fixed meaning. Here a weight of 0.1 says:
a tenth of the pull of all distances. EnCodec sets the size of every gradient; this leaves the distances as they are,
so that their recipe holds on, and takes each step's own sizes, so that there is nothing to be remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from wavevae.objectives.discriminator import Opinion

CHANCE = 2.0
"""Hinge loss of a discriminator that cannot tell; 0 of one that is never wrong, nor in doubt."""
SMALLEST = 1e-6
"""Mean size of features that counts as nothing."""
SMALLEST_PULL = 1e-12
"""Gradient norm that counts as none."""


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


def pull(gradient: Tensor) -> Tensor:
    """(B, ...) -> scalar: norm of each item's gradient, mean over the batch."""
    return gradient.flatten(1).float().norm(dim=1).mean()


def balanced(own: Tensor, others: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """`own` plus each of the others at weight x the size of `own`; all are gradients at one place, (B, ...)."""
    size = pull(own)
    total = own
    for name, gradient in others.items():
        total = total + (weights[name] * size / pull(gradient).clamp_min(SMALLEST_PULL)).to(
            own
        ) * gradient.to(own)
    return total


def join(estimate: Tensor, others: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
    """From now on a gradient that comes back to `estimate` takes the others along, `balanced`."""
    estimate.register_hook(lambda own: balanced(own, others, weights))


def gradients(terms: Mapping[str, Tensor], place: Tensor) -> dict[str, Tensor]:
    """Of scalars with respect to one tensor, and to nothing else."""
    return {
        name: torch.autograd.grad(term, place, retain_graph=True)[0].detach() for name, term in terms.items()
    }
