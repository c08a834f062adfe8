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


class Untold(nn.Module):
    """An unconditional network's: each block gets what there is, at no cost."""

    def forward(self, place: int, h: Tensor) -> Tensor:
        return h


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
    """Twin of Conditioning: label -> scale and shift of all blocks at once, kept until the next label."""

    classes: Tensor
    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, offline: Conditioning) -> None:
        super().__init__()
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
        self.tell(torch.zeros(len(self.classes) - 1), NONE)

    @torch.jit.export
    def tell(self, weights: Tensor, pitch: float) -> None:
        """Class weights (n,), MIDI pitch (below 0: none) hold from the next call on."""
        none = (1.0 - weights.sum()).clamp_min(0.0).unsqueeze(0)
        label = torch.cat([weights, none]) @ self.classes
        if self.pitch is not None:
            label = label + self.pitch(pitch)
        affine = torch.addmv(self.bias, self.weight, label).unsqueeze(0)
        self.scale, self.shift = affine.chunk(2, 1)

    def forward(self, place: int, h: Tensor) -> Tensor:
        """What block `place` gets of h (rows, C): a new tensor."""
        start, width = self.starts[place], self.widths[place]
        return torch.addcmul(self.shift.narrow(1, start, width), h, self.scale.narrow(1, start, width))


def twin_of_conditioning(offline: Conditioning | None) -> nn.Module:
    """A network's own."""
    return Untold() if offline is None else StreamingConditioning(offline)
