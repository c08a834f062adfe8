"""Streaming twins of wavevae.nn.conditioning: labels are set between calls, and told to each block within.

No `from __future__ import annotations` in what is scripted: TorchScript reads the annotations.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from wavevae.nn.conditioning import LABEL_DIM, PITCHES, SMALL, Conditioning, PitchEmbedding, curves

NONE = -1.0
"""No pitch; any number below 0 is."""
RAMP_HOPS = 4
"""From one label to the next: deep layers have one value a hop, of which one step would still be a click."""


class Untold(nn.Module):
    """An unconditional network's: each block gets what there is, at no cost."""

    def forward(self, place: int, h: Tensor) -> Tensor:
        return h

    def go_on(self, rows: int) -> None:
        pass

    def start(self, voices: int) -> None:
        pass


def keep(module: nn.Module, **tensors: Tensor) -> None:
    """As buffers: copies without gradient."""
    for name, values in tensors.items():
        module.register_buffer(name, values.detach().clone().contiguous())


class StreamingPitch(nn.Module):
    """Twin of PitchEmbedding, for one number."""

    smooth_weight: Tensor
    smooth_bias: Tensor
    table: Tensor
    none: Tensor

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
        noted = torch.lerp(self.table[row], self.table[row + 1], at - row)
        smooth = torch.addmv(self.smooth_bias, self.smooth_weight, curves(torch.full([1], at))[0])
        return smooth + noted


class StreamingConditioning(nn.Module):
    """Twin of Conditioning: label -> scale and shift of all blocks at once, kept until the next label.

    A label that changes while there is sound is reached on straight lines over RAMP_HOPS: a host sets it at a buffer's
    edge, where a step would click.
    """

    classes: Tensor
    weight: Tensor
    bias: Tensor
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
        self.tell(torch.zeros(len(self.classes) - 1), NONE)
        self.ramp = RAMP_HOPS

    @torch.jit.export
    def tell(self, weights: Tensor, pitch: float) -> None:
        """Class weights (n,), MIDI pitch (below 0: none) hold from the next call on."""
        here = 1.0 - self.hops_left / max(self.ramp, 1)
        self.old_scale = torch.lerp(self.old_scale, self.scale, here)
        self.old_shift = torch.lerp(self.old_shift, self.shift, here)
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

    def go_on(self, rows: int) -> None:
        """The end of a call of so many hops x voices."""
        self.sounding = True
        self.hops_left = max(self.hops_left - rows // self.voices, 0)

    def start(self, voices: int) -> None:
        """Forget the past: the next call has the label from its first sample on."""
        self.voices, self.sounding, self.hops_left = voices, False, 0


def twin_of_conditioning(offline: Conditioning | None, rows: list[int]) -> nn.Module:
    """A network's own; `rows` of one voice that each of its places has in a hop."""
    return Untold() if offline is None else StreamingConditioning(offline, rows)
