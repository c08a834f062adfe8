"""Sounds that stay on the device as int16: a batch is sent there as a few numbers a chunk, cut and augmented there.

    CPU, ahead of time                     device
    Recipe: where each chunk begins,  -->  int16 sounds --cut--> float --all-pass--> --flip, gain--> (B, 1, T)
    what is drawn for it, its labels

The same seed gives the same batch as `Batches` on the CPU, up to rounding. Runs that need a resampler
(pitch_semitones) stay on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavevae.augment import PHASE_MEMORY, PHASE_SECTIONS, AllPass, grain_hop
from wavevae.corpus import Chunks
from wavevae.corpus.worker import FULL_SCALE
from wavevae.units import db_to_amplitude, midi_to_hz, semitones_to_ratio

from .batches import Batch, Batches, ChunkDraw, as_pitches

LARGEST_SHARE = 0.25
"""Of the device's free memory that sounds may take."""


class Recipe(NamedTuple):
    """What a batch of B chunks is made from."""

    place: Tensor
    """(B, 3) int64: where a chunk begins, where its sound begins and ends, in the resident samples."""
    gain: Tensor
    """(B,) float32, negative to invert the chunk."""
    encoder_gain: Tensor | None
    """(B,) float32 of the encoder's version; none where it is the same."""
    shift: Tensor | None
    """(B, 3) float64 of the encoder's version, see `shifts`; none where nothing is shifted."""
    sections: Tensor | None
    """(B, most sections, 2) float32 radius and angle of all-pass filters, angle NaN for none; none of all none."""
    class_number: Tensor
    """(B,) int64"""
    pitch: Tensor
    encoder_pitch: Tensor


def fits(samples: int, device: torch.device) -> bool:
    """Whether so many int16 may stay on a GPU; what else it holds counts."""
    if device.type != "cuda":
        return False
    return 2 * samples <= LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]


class Recipes:
    """The batches of a run by step number, as recipes; draws what `Batches` draws, in its order."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        lengths = batches.chunks.item_ends - batches.chunks.item_starts
        self.offsets = np.cumsum(lengths) - lengths - batches.chunks.item_starts  # resident - store, an item

    def batch(self, step: int) -> Recipe:
        """Of this rank's step."""
        batches, places = self.batches, self.batches.places(step)
        drawn = [batches.draws(index, position) for index, position in places]
        rows = []
        for (index, _), draw in zip(places, drawn, strict=True):
            item, start, low, high = batches.chunks.place(index, draw.jitter)
            rows.append(np.array([start, low, high]) + self.offsets[item])
        gains = [db_to_amplitude(d.augment.db) * (-1 if d.augment.flip else 1) for d in drawn]
        encoder_gain = (
            [db_to_amplitude(d.encoder_db) for d in drawn] if any(d.encoder_db for d in drawn) else None
        )
        pitch = as_pitches(d.label.pitch for d in drawn)
        moved = as_pitches(d.encoder_semitones for d in drawn)
        return Recipe(
            torch.from_numpy(np.stack(rows)),
            torch.tensor(gains, dtype=torch.float32),
            None if encoder_gain is None else torch.tensor(encoder_gain, dtype=torch.float32),
            shifts(drawn, batches.augmenter.sample_rate),
            sections([d.augment.sections for d in drawn]),
            torch.tensor([d.label.class_number for d in drawn]),
            pitch,
            pitch + moved,
        )


def shifts(drawn: list[ChunkDraw], sample_rate: int) -> Tensor | None:
    """(B, 3) of the encoder's version: how much faster it is read, the sound's period and the distance of grains, in
    samples (`wavevae.augment`); 1 in place of the first where the pitch stays."""
    table = torch.ones(len(drawn), 3, dtype=torch.float64)
    for row, draw in enumerate(drawn):
        if draw.encoder_semitones and not math.isnan(draw.label.pitch):
            period = sample_rate / midi_to_hz(draw.label.pitch)
            ratio = semitones_to_ratio(draw.encoder_semitones)
            table[row] = torch.tensor([ratio, period, grain_hop(period, sample_rate)], dtype=torch.float64)
    return table if (table != 1).any() else None


def sections(drawn: Sequence[Sequence[AllPass]]) -> Tensor | None:
    """All-pass sections of each chunk as one tensor."""
    if not any(drawn):
        return None
    table = torch.full((len(drawn), PHASE_SECTIONS[1], 2), torch.nan)
    for row, cascade in enumerate(drawn):
        for column, section in enumerate(cascade):
            table[row, column] = torch.tensor([section.radius, section.angle])
    return table


class ResidentSounds:
    """The learned sounds on a device."""

    def __init__(self, chunks: Chunks, device: torch.device) -> None:
        spans = zip(chunks.item_starts, chunks.item_ends, strict=True)
        sounds = [np.asarray(chunks.samples[low:high]) for low, high in spans]
        self.samples = torch.from_numpy(np.concatenate(sounds)).to(device)
        self.chunk_samples = chunks.chunk_samples

    def cut(self, recipe: Recipe) -> Batch:
        """Sounds of float32 (B, 1, T)."""
        before = 0 if recipe.sections is None else PHASE_MEMORY
        audio = augmented(self.stretch(recipe.place, before), recipe, before)
        encoder_audio = audio
        if recipe.shift is not None:
            shifted = augmented(self.shifted(recipe.place, recipe.shift, before), recipe, before)
            encoder_audio = torch.where(recipe.shift[:, :1] != 1.0, shifted, audio)
        if recipe.encoder_gain is not None:
            encoder_audio = limited(encoder_audio, recipe.encoder_gain)
        target = audio[:, None]
        encoder_input = target if encoder_audio is audio else encoder_audio[:, None]
        return Batch(target, encoder_input, recipe.class_number, recipe.pitch, recipe.encoder_pitch)

    def stretch(self, place: Tensor, before: int) -> Tensor:
        """(B, before + T) float32; zeros beyond the ends of a sound."""
        return self.read(place, torch.arange(-before, self.chunk_samples, device=place.device)[None])

    def read(self, place: Tensor, at: Tensor) -> Tensor:
        """Samples `at` (B, T), counted from a chunk's start; zeros beyond the ends of a sound."""
        start, low, high = place[:, :1], place[:, 1:2], place[:, 2:]
        index = start + at
        inside = (index >= low) & (index < high)
        found = self.samples[index.clamp(0, len(self.samples) - 1)]
        return found.float().mul(1 / FULL_SCALE).masked_fill(~inside, 0.0)

    def shifted(self, place: Tensor, shift: Tensor, before: int) -> Tensor:
        """(B, before + T) as `wavevae.augment.shift_in_time`: each sample lies in two grains, one fading into the
        other, and both are read where the grain that they belong to reads."""
        ratio, period, hop = shift[:, :1], shift[:, 1:2], shift[:, 2:]
        t = torch.arange(-before, self.chunk_samples, device=ratio.device, dtype=torch.float64)[None]
        first = torch.floor(t / hop)
        fade = (t / hop - first).float()
        parts = []
        for grain in (first, first + 1.0):
            moved = torch.round((ratio - 1.0) * (grain * hop) / period)
            parts.append(self.cubic(place, ratio * t - moved * period))
        return (1.0 - fade) * parts[0] + fade * parts[1]

    def cubic(self, place: Tensor, at: Tensor) -> Tensor:
        """At fractional places (B, T) float64 (Catmull-Rom)."""
        whole = torch.floor(at)
        part = (at - whole).float()
        a, b, c, d = (self.read(place, whole.long() + k) for k in (-1, 0, 1, 2))
        return b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))


def augmented(audio: Tensor, recipe: Recipe, before: int) -> Tensor:
    """(B, before + T) -> (B, T) with the phase, the polarity and the gain of the recipe (`Augmenter.apply`)."""
    if recipe.sections is not None:
        audio = allpass_phase(audio, recipe.sections)
    audio = audio[:, before:]
    if recipe.sections is None:
        as_is = (recipe.gain.abs() == 1.0)[:, None]  # not made louder: not limited
        return torch.where(as_is, audio * recipe.gain[:, None], limited(audio, recipe.gain))
    return limited(audio, recipe.gain)


def limited(audio: Tensor, gain: Tensor) -> Tensor:
    """(B, T) times (B,), or as much of it as keeps each peak within full scale (`wavevae.augment.gain`)."""
    peak = audio.abs().amax(dim=1).clamp_min(1e-12)
    return audio * (gain.sign() * torch.minimum(gain.abs(), 1 / peak))[:, None]


def allpass_phase(audio: Tensor, sections: Tensor) -> Tensor:
    """(B, T) through (B, n, 2) sections each, as `wavevae.augment.allpass_phase` does it one by one."""
    n_fft = 1 << (audio.shape[1] + PHASE_MEMORY - 1).bit_length()
    omega = 2 * torch.pi / n_fft * torch.arange(n_fft // 2 + 1, device=audio.device)
    z = torch.polar(torch.ones_like(omega), -omega)
    spectrum = torch.fft.rfft(audio, n_fft)
    for number in range(sections.shape[1]):
        radius, angle = sections[:, number, :1], sections[:, number, 1:]
        linear, square, constant = 2 * radius * angle.cos() * z, z * z, radius.square()
        response = (constant - linear + square) / (1 - linear + constant * square)
        spectrum = torch.where(angle.isfinite(), spectrum * response, spectrum)
    return torch.fft.irfft(spectrum, n_fft)[:, : audio.shape[1]]
