"""Sounds of any length in bounded memory: sections that overlap by two strides, faded into each other.

section 1  |--------------------------|===|==|
section 2                             |===|==|------------------------|===|==|
given out  |--------------------------|\\/\\/|------------------------- ...
                                      fade over the first of the two strides; the last windows of a section lean on the
                                      silence behind it, so that what they say of the second is left to the next one
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from wavevae.evaluation.model_under_test import Piece

SECTION_S = 60.0
"""About so much sound is made at once; shorter sounds are made whole."""
OVERLAP = 2
"""Strides (hops of latents) that two sections share."""


def block_samples(hop_length: int, sample_rate: int) -> int:
    """A section's length: a whole number of hops, more than the overlap."""
    return hop_length * max(2 * OVERLAP, round(SECTION_S * sample_rate / hop_length))


def sections(blocks: Iterable[np.ndarray], shared: int) -> Iterator[tuple[Tensor, bool]]:
    """(what the model hears (T,), whether it is the last): each block with the last `shared` samples before it."""
    past, held = torch.zeros(0), None
    for block in blocks:
        if held is not None:
            yield held, False
            past = held[-shared:]
        held = torch.cat([past, torch.from_numpy(np.ascontiguousarray(block))])
    if held is not None:
        yield held, True


def faded(
    blocks: Iterable[np.ndarray], hop_length: int, through: Callable[[Tensor], Piece]
) -> Iterator[Piece]:
    """Sections through a model, joined; `through` gives a piece as long as its sound, with a latent frame a hop."""
    shared = OVERLAP * hop_length
    waiting: Tensor | None = None
    ramp = torch.cat([torch.linspace(0, 1, hop_length), torch.ones(shared - hop_length)])
    for sound, last in sections(blocks, shared):
        piece = through(sound)
        estimate = piece.estimate.clone()
        if waiting is not None:
            share = ramp[: len(estimate)]
            estimate[:shared] = share * estimate[:shared] + (1 - share) * waiting[: len(share)]
        stop = len(sound) if last else len(sound) - shared
        waiting = estimate[stop:]
        frames = slice(None) if last else slice(stop // hop_length)
        kept = [None if part is None else part[..., frames] for part in (piece.latents, piece.kl)]
        yield Piece(sound[:stop], estimate[:stop], *kept)
