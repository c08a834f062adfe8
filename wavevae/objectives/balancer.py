"""Terms of unlike kinds, balanced by how hard they pull at the waveform (EnCodec, Défossez et al. 2022, eq. 4).

A discriminator's scores have no fixed size, so neither has a fixed weight a fixed meaning. Here a weight of 0.1 says:
a tenth of the pull of all distances. EnCodec sets the size of every gradient; this leaves the distances as they are,
so that their recipe holds on, and takes each step's own sizes, so that there is nothing to be remembered.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SMALLEST = 1e-12
"""Gradient norm that counts as none."""


def pull(gradient: Tensor) -> Tensor:
    """(B, ...) -> scalar: norm of each item's gradient, mean over the batch."""
    return gradient.flatten(1).float().norm(dim=1).mean()


def balanced(own: Tensor, others: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """`own` plus each of the others at weight x the size of `own`; all are gradients at one place, (B, ...)."""
    size = pull(own)
    total = own
    for name, gradient in others.items():
        total = total + (weights[name] * size / pull(gradient).clamp_min(SMALLEST)).to(own) * gradient.to(own)
    return total


def join(estimate: Tensor, others: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
    """From now on a gradient that comes back to `estimate` takes the others along, `balanced`."""
    estimate.register_hook(lambda own: balanced(own, others, weights))


def gradients(terms: Mapping[str, Tensor], place: Tensor) -> dict[str, Tensor]:
    """Of scalars with respect to one tensor, and to nothing else."""
    return {
        name: torch.autograd.grad(term, place, retain_graph=True)[0].detach() for name, term in terms.items()
    }
