"""Discriminators of complex spectra at several resolutions, hinge GAN losses, feature matching, gradient balancing.

EnCodec (Défossez et al. 2022, sec. 3.4), DAC (Kumar et al. 2023, sec. 3.4):

    audio (B, 1, T) -> STFT -> real and imaginary part, compressed -> 2-D convolutions -> a score for every patch

A score above 0 says original, below 0 output. Losses are raw and unweighted. Balancing follows EnCodec (eq. 4): scores
have no fixed size, so a fixed weight would have no fixed meaning. Here a weight of 0.1 is a tenth of the gradient of
all distances. EnCodec sets the size of every gradient; this leaves the distances as they are, so that their recipe
holds, and takes each step's own sizes, so that nothing has to be remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
CHANCE = 2.0
"""Hinge loss of a discriminator at chance; 0 is one that is always right and sure."""
SMALLEST = 1e-6
"""Mean size of features that counts as zero."""
SMALLEST_GRADIENT = 1e-12
"""Gradient norm that counts as none."""


class Verdict(NamedTuple):
    """Output of one discriminator for a batch of sounds."""

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

    def forward(self, x: Tensor) -> Verdict:
        """Sounds (B, 1, T); scores in fp32 whatever the precision of the layers."""
        with torch.autocast(x.device.type, enabled=False):
            h = self.spectrum(x.float())
        features = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE)
            features.append(h)
        return Verdict(self.outlet(h).float(), features)


class MultiScaleDiscriminator(nn.Module):
    """One a resolution, each with an verdict of its own."""

    def __init__(self, n_ffts: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(SpectrumDiscriminator(n_fft, channels) for n_fft in n_ffts)

    def forward(self, x: Tensor) -> list[Verdict]:
        """Sounds (B, 1, T)."""
        return [scale(x) for scale in self.scales]


def mean_score(verdicts: Sequence[Verdict]) -> Tensor:
    """Over patches, then over discriminators: scalar."""
    return torch.stack([verdict.scores.mean() for verdict in verdicts]).mean()


def discriminator_hinge(of_real: Sequence[Verdict], of_made: Sequence[Verdict]) -> Tensor:
    """What a discriminator minimises (Lim & Ye 2017, eq. 4): scores above 1 for originals, below -1 for outputs."""
    losses = [
        (1.0 - real.scores).relu().mean() + (1.0 + made.scores).relu().mean()
        for real, made in zip(of_real, of_made, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial(of_made: Sequence[Verdict]) -> Tensor:
    """What the model minimises: the negative score of its output (Lim & Ye 2017, eq. 5)."""
    return -mean_score(of_made)


def feature_matching(of_real: Sequence[Verdict], of_made: Sequence[Verdict]) -> Tensor:
    """Mean L1 distance of the discriminators' hidden layers, relative to their size (EnCodec, eq. 2), in fp32."""
    distances = [
        relative_distance(a.detach().float(), b.float())
        for real, made in zip(of_real, of_made, strict=True)
        for a, b in zip(real.features, made.features, strict=True)
    ]
    return torch.stack(distances).mean()


def relative_distance(real: Tensor, made: Tensor) -> Tensor:
    """Mean L1, as a share of the mean size of the first."""
    return (made - real).abs().mean() / real.abs().mean().clamp_min(SMALLEST)


def gradient_size(gradient: Tensor) -> Tensor:
    """(B, ...) -> scalar: norm of each item's gradient, mean over the batch."""
    return gradient.flatten(1).float().norm(dim=1).mean()


def balanced(own: Tensor, others: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """`own` plus each of the others at weight x the size of `own`; all are gradients at one place, (B, ...)."""
    size = gradient_size(own)
    total = own
    for name, gradient in others.items():
        total = total + (weights[name] * size / gradient_size(gradient).clamp_min(SMALLEST_GRADIENT)).to(
            own
        ) * gradient.to(own)
    return total


def join(estimate: Tensor, others: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
    """From now on a gradient that comes back to `estimate` takes the others along, `balanced`."""
    estimate.register_hook(lambda own: balanced(own, others, weights))


def gradients(terms: Mapping[str, Tensor], place: Tensor) -> dict[str, Tensor]:
    """Of scalars with respect to one tensor, and to nothing else."""
    return {
        name: torch.autograd.grad(term, place, retain_graph=True)[0].detach() for name, term in terms.items()
    }
