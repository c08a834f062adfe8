"""Streaming twins of a codec's labels and partials: wavevae.nn.conditioning and wavevae.nn.oscillators.

Labels are set between calls. The oscillators' phases go on from call to call, and over a new pitch.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math
from typing import Any

import torch
from torch import Tensor

from wavevae.nn.conditioning import LABEL_DIM, PITCHES, SMALL, Conditioning, PitchEmbedding, curves
from wavevae.nn.oscillators import (
    PartialAnalysis,
    PartialSynthesis,
    audible_partials,
    cycles_per_sample,
    frame_phases,
    hop_phases,
)

from .layers import Matrix, StreamingLayer, keep

NONE = -1.0
"""No pitch; any number below 0 is."""
RAMP_HOPS = 4
"""From one label to the next: deep layers have one value a hop, of which one step would still be a click."""


class NoConditioning(StreamingLayer):
    """Of a network without labels."""

    def forward(self, place: int, h: Tensor) -> Tensor:
        return h

    def advance(self, rows: int) -> None:
        pass

    def start(self, voices: int) -> None:
        pass


class StreamingPitch(StreamingLayer):
    """Twin of PitchEmbedding, for one number."""

    def __init__(self, offline: PitchEmbedding) -> None:
        super().__init__()
        keep(self, smooth_weight=offline.smooth.weight, smooth_bias=offline.smooth.bias)
        keep(self, table=offline.table, none=offline.none)

    def forward(self, pitch: float, last: int = PITCHES - 1) -> Tensor:
        """MIDI, below 0: none -> (LABEL_DIM,)"""
        if pitch < 0.0:
            return self.none
        at = min(pitch, float(last))
        row = min(int(at), last - 1)
        tabled = torch.lerp(self.table[row], self.table[row + 1], at - row)
        smooth = torch.addmv(self.smooth_bias, self.smooth_weight, curves(torch.full([1], at))[0])
        return smooth + tabled


class StreamingConditioning(StreamingLayer):
    """Twin of Conditioning: label -> scale and shift of all blocks at once, kept until the next label.

    A label that changes while there is sound is reached on straight lines over RAMP_HOPS: a host sets it at a buffer's
    edge, where a step would click.
    """

    scale: Tensor
    shift: Tensor
    old_scale: Tensor
    old_shift: Tensor

    def __init__(self, offline: Conditioning, rows: list[int]) -> None:
        """`rows` of one voice that each place has in a hop."""
        super().__init__()
        self.rows, self.voices = rows, 1
        self.sounding = False
        """Whether there was a call since the start."""
        self.ramp = self.hops_left = 0
        """Hops from one label to the next, and until it is reached."""
        films: list[Any] = [film.affine for film in offline.films]
        self.widths = [int(film.out_features) // 2 for film in films]
        self.starts = [sum(self.widths[:place]) for place in range(len(films))]
        halves = [(*film.weight.chunk(2), *film.bias.chunk(2)) for film in films]
        scale, shift, scale_bias, shift_bias = (torch.cat(rows) for rows in zip(*halves, strict=True))
        weight = torch.cat([scale, SMALL * shift]) / math.sqrt(LABEL_DIM)
        bias = torch.cat([1 + scale_bias, SMALL * shift_bias])
        keep(self, weight=weight, bias=bias)  # (2 C, LABEL_DIM), (2 C,) of all blocks' C channels
        embedding, empty = offline.embedding, torch.zeros(1, LABEL_DIM)
        keep(self, classes=empty if embedding.classes is None else embedding.classes)  # last row: no class
        self.pitch = None if embedding.pitch is None else StreamingPitch(embedding.pitch)
        keep(self, scale=torch.ones(1, sum(self.widths)), shift=torch.zeros(1, sum(self.widths)))
        keep(self, old_scale=self.scale, old_shift=self.shift)
        self.set_labels(torch.zeros(len(self.classes) - 1), NONE)
        self.ramp = RAMP_HOPS

    @torch.jit.export
    def set_labels(self, weights: Tensor, pitch: float) -> None:
        """Class weights (n,), MIDI pitch (below 0: none) hold from the next call on."""
        reached = 1.0 - self.hops_left / max(self.ramp, 1)
        self.old_scale = torch.lerp(self.old_scale, self.scale, reached)
        self.old_shift = torch.lerp(self.old_shift, self.shift, reached)
        self.hops_left = self.ramp if self.sounding else 0
        none = (1.0 - weights.sum()).clamp_min(0.0).unsqueeze(0)
        label = torch.cat([weights, none]) @ self.classes
        if self.pitch is not None:
            label = label + self.pitch(pitch)
        affine = torch.addmv(self.bias, self.weight, label).unsqueeze(0)
        self.scale, self.shift = affine.chunk(2, 1)

    def forward(self, place: int, h: Tensor) -> Tensor:
        """What block `place` gets of h (rows, C): a new tensor."""
        start, width = self.starts[place], self.widths[place]
        shift, scale = self.shift.narrow(1, start, width), self.scale.narrow(1, start, width)
        if self.hops_left > 0:
            share = self._shares(place, h)
            shift = torch.lerp(self.old_shift.narrow(1, start, width), shift, share)
            scale = torch.lerp(self.old_scale.narrow(1, start, width), scale, share)
        return torch.addcmul(shift, h, scale)

    def _shares(self, place: int, h: Tensor) -> Tensor:
        """(rows, 1) how much of the new label there is."""
        hops = torch.arange(1, h.size(0) // self.voices + 1, dtype=torch.float32) / self.rows[place]
        shares = (hops + (self.ramp - self.hops_left)) / self.ramp
        return shares.clamp_max(1.0).repeat_interleave(self.voices).unsqueeze(1)

    def advance(self, rows: int) -> None:
        """The end of a call of so many hops x voices."""
        self.sounding = True
        self.hops_left = max(self.hops_left - rows // self.voices, 0)

    def start(self, voices: int) -> None:
        """Forget the past: the next call has the label from its first sample on."""
        self.voices, self.sounding, self.hops_left = voices, False, 0


def twin_of_conditioning(
    offline: Conditioning | None, rows: list[int]
) -> NoConditioning | StreamingConditioning:
    """Of a network, whose places each have so many `rows` of one voice in a hop."""
    return NoConditioning() if offline is None else StreamingConditioning(offline, rows)


class Oscillators(StreamingLayer):
    """A bank of partials at one pitch. Waves are made at the first call after `tune`, not by who sets a label."""

    def __init__(self, offline: PartialAnalysis | PartialSynthesis) -> None:
        super().__init__()
        self.count, self.hop_length, self.sample_rate = offline.count, offline.hop_length, offline.sample_rate
        self.pitch = self.made_for = -1.0
        self.turn = 0.0
        """Where the fundamental is, in turns, at the first sample of the next call."""
        self.voices = 1
        self.register_buffer("waves", torch.zeros(0, 0))
        weight = offline.mix.weight.detach()[:, :, 0]
        self.product = Matrix(weight, torch.zeros(len(weight)))

    @torch.jit.export
    def tune(self, pitch: float) -> None:
        """MIDI; below 0: silent."""
        self.pitch = pitch

    def frequency(self) -> Tensor:
        """(1,) cycles a sample, float64."""
        return cycles_per_sample(torch.full([1], self.pitch), self.sample_rate)

    def rotation(self, frequency: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the partials' phases at the next frames, (frames * B, count) each; time goes on."""
        cosine, sine = frame_phases(frequency, self.count, self.hop_length, frames, self.turn)
        moved = float(frequency.item()) * self.hop_length * frames
        self.turn = (self.turn + moved) % 1.0
        return cosine[0].repeat_interleave(self.voices, 0), sine[0].repeat_interleave(self.voices, 0)


class StreamingPartialAnalysis(Oscillators):
    """Twin of PartialAnalysis, added to the features that there are."""

    past: Tensor

    def __init__(self, offline: PartialAnalysis, fold: int) -> None:
        super().__init__(offline)
        hop = offline.hop_length
        self.rows = hop // fold
        """Of folded samples, a hop and voice."""
        self.register_buffer("past", torch.zeros(1, hop))
        self.register_buffer("window", 2.0 / hop * torch.hann_window(2 * hop)[:, None])

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """Features h (F * B, C) and the folded samples x they come from -> h and the partials, in h's memory."""
        blocks = x.view(-1, self.rows, self.voices, x.size(1)).transpose(1, 2).reshape(-1, self.hop_length)
        joined = torch.cat([self.past, blocks])
        self.past = joined.narrow(0, h.size(0), self.voices)
        if self.pitch < 0.0:
            return h
        frequency = self.frequency()
        if self.made_for != self.pitch:
            self._make(frequency)
        both = torch.cat([joined.narrow(0, 0, h.size(0)), blocks], 1)  # (F * B, 2 hop)
        real, imaginary = (both @ self.waves).chunk(2, 1)
        c, s = self.rotation(frequency, h.size(0) // self.voices)
        return self.product.add_to(h, torch.cat([real * c + imaginary * s, imaginary * c - real * s], 1))

    def _make(self, frequency: Tensor) -> None:
        """(2 hop, 2 count): windowed cosines, then minus the sines."""
        cosine, sine = hop_phases(frequency, self.count, -self.hop_length, 2 * self.hop_length)
        audible = audible_partials(frequency, self.count)
        self.waves = torch.cat([cosine[0] * audible, -sine[0] * audible], 1) * self.window
        self.made_for = self.pitch

    def start(self, voices: int) -> None:
        self.voices, self.turn = voices, 0.0
        self.past = self.past.new_zeros([voices, self.hop_length])


class StreamingPartialSynthesis(Oscillators):
    """Twin of PartialSynthesis, added to the folded samples that there are."""

    before: Tensor

    def __init__(self, offline: PartialSynthesis, fold: int) -> None:
        super().__init__(offline)
        self.fold, self.sounding = fold, False
        self.register_buffer("before", torch.zeros(1, 2 * self.count))
        """Amplitudes of the frame before."""
        self.register_buffer("rise", torch.arange(1, self.hop_length + 1) / self.hop_length)

    def forward(self, y: Tensor, h: Tensor) -> Tensor:
        """Folded samples y and deep features h (F * B, C) of their frames -> samples with the partials."""
        if self.pitch < 0.0:
            return self._faded(y) if self.sounding else y
        self.sounding = True
        frequency, rows = self.frequency(), h.size(0)
        if self.made_for != self.pitch:
            self._make(frequency)
        after = self.product(h)  # (F * B, 2 count)
        joined = torch.cat([self.before, after])
        self.before = joined.narrow(0, rows, self.voices)
        c, s = self.rotation(frequency, rows // self.voices)
        falling = self._oscillate(joined.narrow(0, 0, rows), c, s)
        return y + self._as_rows(falling + (self._oscillate(after, c, s) - falling) * self.rise)

    def _faded(self, y: Tensor) -> Tensor:
        """The last pitch falls silent over the first hop: cut off it would click. The next rises from nothing."""
        frequency = cycles_per_sample(torch.full([1], self.made_for), self.sample_rate)
        c, s = self.rotation(frequency, 1)
        last = self._as_rows(self._oscillate(self.before, c, s) * (1.0 - self.rise))
        self.before, self.sounding = torch.zeros_like(self.before), False
        return torch.cat([y[: last.size(0)] + last, y[last.size(0) :]])

    def _as_rows(self, sound: Tensor) -> Tensor:
        """(F * B, hop) -> folded samples."""
        groups = sound.view(-1, self.voices, self.hop_length // self.fold, self.fold)
        return groups.transpose(1, 2).reshape(-1, self.fold)

    def _oscillate(self, amplitudes: Tensor, c: Tensor, s: Tensor) -> Tensor:
        """(F * B, 2 count) -> (F * B, hop)."""
        real, imaginary = amplitudes.chunk(2, 1)
        return torch.cat([real * c - imaginary * s, real * s + imaginary * c], 1) @ self.waves

    def _make(self, frequency: Tensor) -> None:
        """(2 count, hop): cosines, then minus the sines."""
        cosine, sine = hop_phases(frequency, self.count, 0, self.hop_length)
        audible = audible_partials(frequency, self.count)
        self.waves = torch.cat([cosine[0] * audible, -sine[0] * audible], 1).t().contiguous()
        self.made_for = self.pitch

    def start(self, voices: int) -> None:
        self.voices, self.turn, self.sounding = voices, 0.0, False
        self.before = self.before.new_zeros([voices, self.before.size(1)])
