"""Spectrogram models for evaluation and render, and what would be left if they made no error at all.

Sounds of any length in bounded memory: sections that overlap by two strides, faded into each other.

section 1  |--------------------------|===|==|
section 2                             |===|==|------------------------|===|==|
given out  |--------------------------|\\/\\/|------------------------- ...
                                      fade over the first of the two strides; the last windows of a section lean on the
                                      silence behind it, so that the second is taken from the next one
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wavevae.audio import read_mono
from wavevae.errors import UserError
from wavevae.evaluation.model_under_test import NONE, Facts, Labels, Piece, Run, device_of
from wavevae.latents import LatentStatistics, sample_density
from wavevae.nn.bottlenecks.base import Statistics
from wavevae.nn.conditioning import Condition
from wavevae.studies.spectrogram_model import SpectrogramModel
from wavevae.units import seconds_to_samples

LONGEST_S = 600.0
"""Of a sound that is read whole, to be mixed with another."""


SECTION_S = 60.0
"""About so much sound is made at once; shorter sounds are made whole."""
OVERLAP = 2
"""Strides (hops of latents) that two sections share."""


def block_samples(hop_length: int, sample_rate: int) -> int:
    """A section's length: a whole number of hops, more than the overlap."""
    return hop_length * max(2 * OVERLAP, round(SECTION_S * sample_rate / hop_length))


def sections(blocks: Iterable[np.ndarray], shared: int) -> Iterator[tuple[Tensor, bool]]:
    """(the model's input (T,), whether it is the last): each block with the last `shared` samples before it."""
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


class StudyRun(Run):
    """A trained spectrogram model: averaged weights, posterior mean, seeded phases."""

    def __init__(
        self, model: SpectrogramModel, facts: Facts, statistics: LatentStatistics | None = None
    ) -> None:
        # No `super().__init__()`: a waveform model's past and noise are what it arranges.
        reference = model.reference
        self.reference = model
        self.model = model  # the same methods
        self.statistics = statistics
        details = {**facts.details, "spectrogram": reference.spectrogram}
        self.facts = replace(
            facts, hop_length=model.hop_length, frame_hop=reference.frame_hop, details=details
        )
        self.block_samples = block_samples(model.hop_length, model.sample_rate)

    def reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        condition = self.condition(labels)
        return self.transferred(blocks, condition, condition)

    @torch.inference_mode()
    def transferred(
        self, blocks: Iterable[np.ndarray], source: Condition | None, target: Condition | None
    ) -> Iterator[Piece]:
        """Encoded under one label, decoded under another."""

        def through(sound: Tensor) -> Piece:
            seen = self.encoded(sound, source)
            made = self.reference.decode(seen.z, len(sound), target)[0, 0].cpu()
            return piece_of(sound, made, seen)

        yield from faded(blocks, self.facts.hop_length, through)

    @torch.inference_mode()
    def encode(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        condition = self.condition(labels)

        def through(sound: Tensor) -> Piece:
            return piece_of(sound, sound, self.encoded(sound, condition))

        yield from faded(blocks, self.facts.hop_length, through)

    def encoded(self, sound: Tensor, condition: Condition | None) -> Statistics:
        """What lies between encoder and decoder of (T,)."""
        return self.seen(self.reference.features(sound.to(self.device)[None, None], condition))

    @torch.inference_mode()
    def sample(self, count: int, frames: int, seed: int, labels: Sequence[Labels] = ()) -> Tensor | None:
        """As the studies did: each draw is one window, whole; a longer sound is one after the other."""
        if self.statistics is None:
            return None
        samples = frames * self.facts.hop_length
        rng = np.random.default_rng(seed)
        sounds = []
        for number in range(count):
            condition = self.condition(labels[number % len(labels)]) if labels else None
            sounds.append(torch.cat(list(self.draws(samples, rng, condition))))
        return torch.stack(sounds)

    def upper_bound(self) -> UpperBound:
        return UpperBound(self)

    def draws(self, samples: int, rng: np.random.Generator, target: Condition | None) -> Iterator[Tensor]:
        """One drawn window (n,) after the other, `samples` in all. Needs statistics."""
        assert self.statistics is not None
        matrix, offset = self.statistics.from_axes()
        window = self.reference.reference.window_samples
        for start in range(0, samples, window):
            axes = sample_density(self.statistics.density, 1, rng)[0]
            z = torch.from_numpy(matrix @ axes + offset).float()[None, :, None]  # (1, latent_dim, 1)
            yield self.reference.decode(z.to(self.device), window, target)[0, 0, : samples - start].cpu()


def piece_of(sound: Tensor, estimate: Tensor, seen: Statistics) -> Piece:
    return Piece(sound, estimate, *(None if part is None else part.cpu() for part in (seen.latents, seen.kl)))


class UpperBound:
    """The features of the sounds themselves, inverted: the most that any model of such features can reach."""

    def __init__(self, run: StudyRun) -> None:
        self.reference, self.facts, self.block_samples = run.reference, run.facts, run.block_samples

    @torch.inference_mode()
    def reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        def through(sound: Tensor) -> Piece:
            batch = sound.to(device_of(self.reference))[None, None]
            return Piece(sound, self.reference.upper_bound(batch)[0, 0].cpu())

        yield from faded(blocks, self.facts.hop_length, through)

    def encode(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        """There is nothing in between."""
        yield from self.reconstruct(blocks, labels)

    def sample(self, count: int, frames: int, seed: int, labels: Sequence[Labels] = ()) -> Tensor | None:
        return None

    def upper_bound(self) -> None:
        return None


@torch.inference_mode()
def drawn(run: StudyRun, seconds: float, seed: int, target: Condition | None) -> Iterator[np.ndarray]:
    """One window after the other. Raises: UserError for a checkpoint without latent statistics."""
    if run.statistics is None:
        raise UserError("the checkpoint has no latent statistics, it was written too early; train on")
    samples = seconds_to_samples(seconds, run.facts.sample_rate)
    for sound in run.draws(samples, np.random.default_rng(seed), target):
        yield sound.numpy()


@torch.inference_mode()
def morph(
    run: StudyRun, ends: Sequence[Path], source: Condition | None, target: Condition | None
) -> np.ndarray:
    """(T,) as long as the longer sound; the latents of the shorter are stretched in time, and the mix goes in a
    straight line from all first to all second; a sound of one window is half of each. Raises: UserError."""
    rate = run.facts.sample_rate
    both = [torch.from_numpy(read_mono(path, rate)) for path in ends]
    for path, sound in zip(ends, both, strict=True):
        if not len(sound) or len(sound) > LONGEST_S * rate:
            raise UserError(f"{path}: {len(sound) / rate:.0f} s; give a sound of up to {LONGEST_S:.0f} s")
    latents = [run.encoded(sound, source).z for sound in both]  # (1, latent_dim, windows) each
    n = max(z.shape[-1] for z in latents)
    start, end = (F.interpolate(z, n, mode="linear", align_corners=True) for z in latents)
    share = torch.linspace(0, 1, n) if n > 1 else torch.tensor([0.5])
    z = torch.lerp(start, end, share)
    made: np.ndarray = run.reference.decode(z, max(map(len, both)), target)[0, 0].numpy()
    return made
