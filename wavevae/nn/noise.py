"""Gated noise: what is random in a sound (breath, bow, room) need not pass through the latents.

White noise enters the decoder's outer rate in several channels, each opened by the features; the last
convolution colours it. The idea is DDSP's filtered noise (Engel et al. 2020, sec. 3.4), learned in channels.
In eval mode the noise is one fixed table read by frame number, so that decoding stays deterministic and
streaming equals offline.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wavevae.nn.blocks import activation
from wavevae.nn.conv import CausalConv1d

TABLE_FRAMES = 4096
"""Length of the fixed noise, in frames of the outer rate; a power of two (3 s at 22.05 kHz, fold 16)."""


def noise_table(bands: int) -> Tensor:
    """The fixed noise of playing: (bands, TABLE_FRAMES), unit variance, the same in every model."""
    return torch.randn(bands, TABLE_FRAMES, generator=torch.Generator().manual_seed(20210))


class NoiseGate(nn.Module):
    """Features (B, C, T) -> what noise adds to them (B, C, T)."""

    table: Tensor

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.gate = CausalConv1d(channels, bands, 1)
        self.mix = CausalConv1d(bands, channels, 1)
        self.register_buffer("table", noise_table(bands))

    def forward(self, h: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(activation(h)))
        if self.training:
            noise = torch.randn_like(gate)
        else:
            turns = -(-h.shape[-1] // TABLE_FRAMES)
            noise = self.table.repeat(1, turns)[:, : h.shape[-1]].to(gate)
        return self.mix(gate * noise)
