"""Sounds that stay on the device as int16: a batch is sent there as a few numbers a chunk, cut and changed in place.

    CPU, ahead of time                     device
    Recipe: where each chunk begins,  -->  int16 sounds --cut--> float --all-pass--> --flip, gain--> (B, 1, T)
    what is drawn for it, its labels

The same seed gives the same batch as `Batches` on the CPU, up to rounding. What needs a resampler of its own for each
chunk (pitch_semitones, tied_semitones of pitched sounds) is not done here: such a run keeps to the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavevae.augment import PHASE_MEMORY, PHASE_SECTIONS, AllPass
from wavevae.config import RunConfig
from wavevae.corpus import Chunks
from wavevae.corpus.worker import FULL_SCALE
from wavevae.units import db_to_amplitude

from .batch import Batch
from .labelled import Told

if TYPE_CHECKING:
    from .datamodule import Batches

LARGEST_SHARE = 0.25
"""Of the device's free memory that sounds may take."""


class Recipe(NamedTuple):
    """What a batch is made from; B chunks."""

    place: Tensor
    """(B, 3) int64: where a chunk begins, where its sound begins and ends, in the resident samples."""
    gain: Tensor
    """(B,) float32, negative to turn the chunk upside down."""
    heard_gain: Tensor | None
    """(B,) float32 of the encoder's version; none where it is the same."""
    sections: Tensor | None
    """(B, most sections, 2) float32 radius and angle of all-pass filters, angle NaN for none; none of all none."""
    class_number: Tensor | None
    """(B,) int64, and the rest of a labelled batch; none without labels."""
    pitch: Tensor


def can_be_resident(config: RunConfig, has_pitches: bool) -> bool:
    """Whether everything that this run does to a chunk can be done on the device."""
    return not config.data.pitch_semitones and not (has_pitches and config.data.tied_semitones)


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
        batches = self.batches
        drawn = [batches.draws(index, position) for index, position in batches.places(step)]
        chunks, told = batches.chunks, [d.told for d in drawn]
        rows = []
        for (index, _), draw in zip(batches.places(step), drawn, strict=True):
            item, start, low, high = chunks.place(index, draw.jitter)
            rows.append(np.array([start, low, high]) + self.offsets[item])
        gains = [db_to_amplitude(d.augment.db) * (-1 if d.augment.flip else 1) for d in drawn]
        labelled = batches.labeller is not None
        return Recipe(
            torch.from_numpy(np.stack(rows)),
            torch.tensor(gains, dtype=torch.float32),
            heard_gains(told),
            sections([d.augment.sections for d in drawn]),
            torch.tensor([t.label.class_number for t in told]) if labelled else None,
            torch.tensor([t.label.pitch for t in told], dtype=torch.float32),
        )


def heard_gains(told: list[Told]) -> Tensor | None:
    """(B,) amplitudes of the encoder's version beside the decoder's."""
    if not any(t.db for t in told):
        return None
    return torch.tensor([db_to_amplitude(t.db) for t in told], dtype=torch.float32)


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

    def cut(self, recipe: Recipe) -> Tensor | Batch:
        """float32 (B, 1, T), with labels where there are any."""
        before = 0 if recipe.sections is None else PHASE_MEMORY
        audio = self.stretch(recipe.place, before)
        if recipe.sections is not None:
            audio = allpass_phase(audio, recipe.sections)[:, before:]
        audio = limited(audio, recipe.gain)[:, None]
        if recipe.class_number is None:
            return audio
        heard = audio if recipe.heard_gain is None else limited(audio[:, 0], recipe.heard_gain)[:, None]
        return Batch(audio, heard, recipe.class_number, recipe.pitch, recipe.pitch)

    def stretch(self, place: Tensor, before: int) -> Tensor:
        """(B, before + T) float32; zeros beyond the ends of a sound."""
        start, low, high = place[:, :1], place[:, 1:2], place[:, 2:]
        index = start + torch.arange(-before, self.chunk_samples, device=place.device)
        inside = (index >= low) & (index < high)
        found = self.samples[index.clamp(0, len(self.samples) - 1)]
        return found.float().mul(1 / FULL_SCALE).masked_fill(~inside, 0.0)


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
