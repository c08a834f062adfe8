"""Discriminators of complex spectra at several resolutions.

EnCodec (Défossez et al. 2022, sec. 3.4), DAC (Kumar et al. 2023, sec. 3.4):

    audio (B, 1, T) -> STFT -> real and imaginary part, compressed -> 2-D convolutions -> a score for every patch

A score above 0 says original, below 0 output.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

SLOPE = 0.2
"""Of the leaky rectifiers below zero."""
COMPRESSION = 0.15
"""Magnitudes are raised to it (Braun & Tashev 2021: 0.3): high bands, 60 dB below the low ones, would not be seen."""
FLOOR = 1e-4
"""Magnitude (-80 dB of a sound at equal loudness) below which there is nothing to be compressed."""


class Opinion(NamedTuple):
    """What one discriminator makes of a batch of sounds."""

    scores: Tensor
    """(B, 1, frames, patches)"""
    features: list[Tensor]
    """Of every hidden layer, (B, C, frames, bands)."""


class SpectrumDiscriminator(nn.Module):
    """One resolution. Frequency is strided by 4, 2 and 2; time is seen around, 17 frames in all."""

    window: Tensor

    def __init__(self, n_fft: int, channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.layers = nn.ModuleList(
            [
                weight_norm(nn.Conv2d(2, channels, (3, 8), (1, 4), (1, 2))),
                weight_norm(nn.Conv2d(channels, channels, (3, 5), (1, 2), (1, 2))),
                weight_norm(nn.Conv2d(channels, channels, (3, 5), (1, 2), (2, 2), dilation=(2, 1))),
                weight_norm(nn.Conv2d(channels, channels, (3, 3), 1, (4, 1), dilation=(4, 1))),
            ]
        )
        self.outlet = weight_norm(nn.Conv2d(channels, 1, 1))

    def spectrum(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, 2, frames, bins): real and imaginary part, their magnitude compressed."""
        spectrum = torch.stft(
            x.squeeze(1),
            self.n_fft,
            self.n_fft // 4,
            window=self.window,
            normalized=True,
            pad_mode="constant",
            return_complex=True,
        )
        parts = torch.view_as_real(spectrum)  # (B, bins, frames, 2)
        power = parts.square().sum(-1, keepdim=True) + FLOOR**2
        return (parts * power ** (0.5 * (COMPRESSION - 1.0))).permute(0, 3, 2, 1)

    def forward(self, x: Tensor) -> Opinion:
        """Sounds (B, 1, T); scores in fp32 whatever the precision of the layers."""
        with torch.autocast(x.device.type, enabled=False):
            h = self.spectrum(x.float())
        features = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE)
            features.append(h)
        return Opinion(self.outlet(h).float(), features)


class MultiScaleDiscriminator(nn.Module):
    """One a resolution, each with an opinion of its own."""

    def __init__(self, n_ffts: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(SpectrumDiscriminator(n_fft, channels) for n_fft in n_ffts)

    def forward(self, x: Tensor) -> list[Opinion]:
        """Sounds (B, 1, T)."""
        return [scale(x) for scale in self.scales]
