"""Streaming twins of wavevae.nn.oscillators: the oscillators' phases go on from call to call, and over a new pitch.

No `from __future__ import annotations` in what is scripted: TorchScript reads the annotations.
"""

import torch
from torch import Tensor, nn

from wavevae.nn.oscillators import (
    PartialAnalysis,
    PartialSynthesis,
    audible_partials,
    cycles_per_sample,
    frame_phases,
    hop_phases,
)

from .precision import Matrix


class Oscillators(nn.Module):
    """A bank of partials at one pitch. Waves are made at the first call after `tune`, not by who sets a label."""

    waves: Tensor

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
    window: Tensor

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
        there = audible_partials(frequency, self.count)
        self.waves = torch.cat([cosine[0] * there, -sine[0] * there], 1) * self.window
        self.made_for = self.pitch

    def start(self, voices: int) -> None:
        self.voices, self.turn = voices, 0.0
        self.past = self.past.new_zeros([voices, self.hop_length])


class StreamingPartialSynthesis(Oscillators):
    """Twin of PartialSynthesis, added to the folded samples that there are."""

    before: Tensor
    rise: Tensor

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
        there = audible_partials(frequency, self.count)
        self.waves = torch.cat([cosine[0] * there, -sine[0] * there], 1).t().contiguous()
        self.made_for = self.pitch

    def start(self, voices: int) -> None:
        self.voices, self.turn, self.sounding = voices, 0.0, False
        self.before = self.before.new_zeros([voices, self.before.size(1)])
