"""Embeddings, in which Fréchet distance and diversity are computed: one vector for each second of sound.

The interface and the built-in embedding, which needs no weights; `pretrained_embeddings` has those that need some.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Embedding(Protocol):
    """Sound -> vectors. `name` goes into the report: figures of different names do not compare."""

    name: str
    dims: int

    def __call__(self, sounds: Tensor, sample_rate: int) -> Tensor:
        """(N, T), a second each -> (N, dims) float32."""


class Texture:
    """The built-in embedding: 64 numbers on how a second sounds, all in units of 10 dB or nepers; no training.

        20  mean over time of the cepstrum (DCT-II of 64 log-mel bands): loudness, brightness, formants
        20  its standard deviation over time: attack, decay, tremor
        12  spectral flatness in 12 bands: tone against noise (haze between partials, hiss)
        12  modulation of 4 broad bands at 2-8, 8-20 and 20-50 Hz: vibrato, roughness, buzz

    Window 40 ms, hop 10 ms whatever the rate; bands from 40 Hz to Nyquist, so that figures compare at one sample
    rate only. Levels below -90 dBFS count as -90: silence has a place and none is infinitely far.
    """

    dims = 64
    name = "wavevae-texture-1"
    BANDS, CEPSTRA, FLATNESS_BANDS, BROAD_BANDS = 64, 20, 12, 4
    MODULATIONS_HZ = ((2.0, 8.0), (8.0, 20.0), (20.0, 50.0))
    FLOOR = 1e-9

    def __call__(self, sounds: Tensor, sample_rate: int) -> Tensor:
        power = self._power(sounds.float(), sample_rate)  # (N, bins, frames)
        bands = band_matrix(power.shape[1], sample_rate, self.BANDS, 40.0, sample_rate / 2)
        level = torch.log10((bands @ power) + self.FLOOR)  # (N, 64, frames), 10 dB
        cepstrum = dct_matrix(self.BANDS)[: self.CEPSTRA] @ level
        parts = [
            cepstrum.mean(-1),
            cepstrum.std(-1, correction=0),
            self._flatness(power),
            self._modulation(level),
        ]
        return torch.cat(parts, dim=-1)

    def _power(self, sounds: Tensor, sample_rate: int) -> Tensor:
        """Mean power of a window's samples by frequency: a full-scale sine sums to about 0.5."""
        length, hop = round(0.04 * sample_rate), round(0.01 * sample_rate)
        n_fft = 2 ** math.ceil(math.log2(length))
        window = torch.hann_window(length)
        missing = max(0, n_fft + 9 * hop - sounds.shape[-1])  # ten frames at least
        spectrum = torch.stft(
            F.pad(sounds, (0, missing)), n_fft, hop, length, window, center=False, return_complex=True
        )
        scale = 2 / (n_fft * float(window.square().sum()))
        return spectrum.abs().square() * scale

    def _flatness(self, power: Tensor) -> Tensor:
        """Log of the geometric over the arithmetic mean of the power in bands, mean over time: (N, 12)."""
        edges = torch.logspace(math.log10(4), math.log10(power.shape[1]), self.FLATNESS_BANDS + 1).round()
        heard = power + 1e-12
        ratios = []
        for low, high in zip(edges[:-1].int().tolist(), edges[1:].int().tolist(), strict=True):
            band = heard[:, low : max(low + 2, high)]
            ratios.append((band.log().mean(1) - band.mean(1).log()).mean(-1))
        return torch.stack(ratios, dim=-1)

    def _modulation(self, level: Tensor) -> Tensor:
        """Log of the strength at which broad bands' levels move, by rate: (N, 12)."""
        broad = level.unflatten(1, (self.BROAD_BANDS, -1)).mean(2)  # (N, 4, frames)
        frames = broad.shape[-1]
        window = torch.hann_window(frames)
        moving = (broad - broad.mean(-1, keepdim=True)) * window
        power = torch.fft.rfft(moving, dim=-1).abs().square() * 2 / (window.square().sum() * frames)
        rates_hz = torch.fft.rfftfreq(frames, 0.01)
        found = []
        for low, high in self.MODULATIONS_HZ:
            chosen = (rates_hz >= low) & (rates_hz < high)
            found.append(torch.log10(power[..., chosen].sum(-1) + 1e-4))
        return torch.stack(found, dim=-1).flatten(1)


def dct_matrix(size: int) -> Tensor:
    """Orthonormal DCT-II, (size, size): row k is the k-th cosine."""
    n = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * (n + 0.5) * n[:, None]) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def band_matrix(bins: int, sample_rate: int, bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Triangles equally wide on the mel scale (1127 ln(1 + f / 700)), linear in mel: (bands, bins)."""

    def mel(hz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hz / 700.0)

    ends = mel(torch.tensor([low_hz, high_hz], dtype=torch.float64))
    corners = torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.float64)[:, None]
    at = mel(torch.linspace(0.0, sample_rate / 2, bins, dtype=torch.float64))
    rising = (at - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - at) / (corners[2:] - corners[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def resampled(sounds: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """(N, T) -> (N, T') at another rate (soxr HQ)."""
    if sample_rate == wanted:
        return sounds
    import soxr

    moved = soxr.resample(sounds.numpy().T, sample_rate, wanted)  # frames first
    return torch.from_numpy(moved.T.copy())
