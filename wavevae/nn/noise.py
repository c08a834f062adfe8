"""Noise generators: what is random in a sound (breath, bow, room) need not pass through the latents.

`BandNoise` is the instrument's: band powers shape random spectra, frame by frame, and a frame's number decides its
random phases, so that it never repeats and is the same offline, in a stream and in a rendered score.

`NoiseGate` is the codec's: white noise enters the decoder's outer rate in several channels, each opened by the
features; the last convolution colours it. The idea is DDSP's filtered noise (Engel et al. 2020, sec. 3.4),
learned in channels.
In eval mode the noise is one fixed table read by frame number, so that decoding stays deterministic and
streaming equals offline.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math

import torch
from torch import Tensor, nn

from wavevae.nn.conv import CausalConv1d, activation, first_input

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

    def first_input(self, frame: int) -> int:
        return first_input((self.gate, self.mix), frame)


def random_turns(frame: Tensor, voice: Tensor, place: Tensor) -> Tensor:
    """A number in [0, 1) for each frame number, voice and place, float64, the same at every call; arguments broadcast.

    The fraction of a large multiple of a sine is as good as random here, and every runtime can compute it.
    """
    drawn = torch.sin(frame * 12.9898 + voice * 37.719 + place * 78.233 + 1.0) * 43758.5453
    return drawn - torch.floor(drawn)


class BandNoise(nn.Module):
    """Powers of bands (mel-spaced triangles) -> noise, one random spectrum a frame over two hops.

    Every bin has exactly the power that its bands give it and a random phase. Frames are windowed by half a sine, whose
    squares add up to 1 with those of the next frame: independent noises add by power, so the level is even.
    """

    shares: Tensor
    window: Tensor
    bins: Tensor

    def __init__(self, shares: Tensor, hop_length: int) -> None:
        """`shares` (bands, hop_length + 1): how each band's power is spread over the bins; rows sum to 1."""
        super().__init__()
        self.hop_length = hop_length
        self.scale = math.sqrt(2.0) * hop_length  # irfft of this at one bin: a cosine of power 1
        place = torch.arange(2 * hop_length, dtype=torch.float64) + 0.5
        self.register_buffer("shares", shares.float(), persistent=False)
        self.register_buffer(
            "window", torch.sin(math.pi * place / (2 * hop_length)).float(), persistent=False
        )
        self.register_buffer("bins", torch.arange(hop_length + 1, dtype=torch.float64), persistent=False)

    def forward(self, powers: Tensor, tail: Tensor, first_frame: Tensor) -> tuple[Tensor, Tensor]:
        """powers (B, F, bands), the end of the last frame `tail` (B, hop_length), the first frame's number (B,) float64
        -> sound (B, F x hop_length), the new tail. Powers are those of the sound (0.5 for a sine of amplitude 1)."""
        batch, frames = powers.size(0), powers.size(1)
        number = first_frame.unsqueeze(1) + torch.arange(frames, device=powers.device)
        voice = torch.arange(batch, device=powers.device)[:, None, None]
        angle = (2 * math.pi * random_turns(number.unsqueeze(2), voice, self.bins)).to(powers.dtype)
        gain = torch.sqrt(torch.matmul(powers, self.shares) + 1e-20) * self.scale
        spectrum = torch.complex(gain * torch.cos(angle), gain * torch.sin(angle))
        pieces = torch.fft.irfft(spectrum, 2 * self.hop_length, 2) * self.window  # (B, F, 2 hop)
        starts, ends = pieces[..., : self.hop_length], pieces[..., self.hop_length :]
        carried = torch.cat([tail.unsqueeze(1), ends[:, : frames - 1]], 1)
        return (starts + carried).reshape(batch, -1), ends[:, frames - 1]
