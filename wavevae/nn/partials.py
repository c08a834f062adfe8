"""Harmonics of a known pitch, heard and played in its own time: what makes a pitch label act.

A decoder of convolutions treats every frame alike: from latents that stand still it makes a sound that repeats with
the hop, at no other pitch. So a pitch-conditional model has a bank of oscillators tuned to the label. The encoder
hears each partial relative to its oscillator, as a slow complex amplitude (heterodyne analysis; the phase vocoder of
Flanagan & Golden 1966), the decoder turns latents into such amplitudes and plays them (additive synthesis as in
DDSP, Engel et al. 2020, sec. 3.2, with phases kept). Amplitudes know nothing of the pitch: under another one the
same latents are the same timbre there.

    x * exp(-i k phi)  --Hann over two hops-->  c_k (frame)  --> latents -->  a_k (frame)  --> sum a_k exp(i k phi)

phi runs from 0 at the first sample, at 440 x 2^((pitch - 69) / 12) Hz, in encoder and decoder alike. Without a pitch
both are silent.

No `from __future__ import annotations` here: TorchScript reads the annotations of what the streaming twins share.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIGHEST = 0.45
"""Of a partial, as a share of the sample rate; those above are left out."""


def cycles(pitch: Tensor, sample_rate: int) -> Tensor:
    """(B,) MIDI -> (B,) cycles a sample, float64; 0 for NaN."""
    return (440.0 * torch.exp2((pitch.double() - 69.0) / 12.0) / sample_rate).nan_to_num(0.0)


def present(frequency: Tensor, count: int, highest: float = HIGHEST) -> Tensor:
    """(B,) cycles a sample -> (B, count) 1 for partials that there are, float32."""
    partials = frequency[:, None] * torch.arange(1, count + 1, device=frequency.device)
    return ((partials > 0) & (partials < highest)).float()


def turned(
    frequency: Tensor, count: int, hop_length: int, frames: int, turn: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every partial's phase at the start of each frame, (B, frames, count), float32; the
    fundamental begins at `turn`.

    Phases are counted in whole turns in float64, so that an hour in they are as exact as at the start.
    """
    start = torch.arange(frames, device=frequency.device, dtype=torch.float64) * hop_length
    turns = (frequency[:, None] * start + turn).remainder(1.0)[..., None]  # (B, frames, 1)
    partial = torch.arange(1, count + 1, device=frequency.device, dtype=torch.float64)
    angle = 2 * math.pi * (turns * partial).remainder(1.0).float()
    return angle.cos(), angle.sin()


def waves(frequency: Tensor, count: int, first: int, samples: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every partial at samples `first`, ... of a frame, (B, samples, count), float32."""
    at = torch.arange(first, first + samples, device=frequency.device, dtype=torch.float64)
    partial = torch.arange(1, count + 1, device=frequency.device, dtype=torch.float64)
    angle = 2 * math.pi * (frequency[:, None, None] * at[:, None] * partial).remainder(1.0).float()
    return angle.cos(), angle.sin()


class PartialAnalysis(nn.Module):
    """Sound (B, 1, T) and its pitch (B,) -> features (B, channels, T / hop_length), from two hops, none ahead."""

    def __init__(self, count: int, channels: int, hop_length: int, sample_rate: int) -> None:
        super().__init__()
        self.count, self.hop_length, self.sample_rate = count, hop_length, sample_rate
        self.mix = nn.Conv1d(2 * count, channels, 1, bias=False)

    def amplitudes(self, x: Tensor, pitch: Tensor) -> Tensor:
        """(B, 2 count, frames): real parts, then imaginary parts, of c_k; a partial of amplitude 1 gives |c_k| = 1."""
        hop = self.hop_length
        frequency = cycles(pitch, self.sample_rate)
        blocks = F.pad(x[:, 0].float(), (hop, 0)).unfold(1, 2 * hop, hop)  # (B, frames, 2 hop)
        hann = torch.hann_window(2 * hop, device=x.device)
        cosine, sine = waves(frequency, self.count, -hop, 2 * hop)
        blocks = blocks * (2.0 / hop * hann)
        real, imaginary = blocks @ cosine, -(blocks @ sine)  # (B, frames, count)
        c, s = turned(frequency, self.count, hop, blocks.shape[1])
        there = present(frequency, self.count)[:, None]
        real, imaginary = (real * c + imaginary * s) * there, (imaginary * c - real * s) * there
        return torch.cat([real, imaginary], 2).transpose(1, 2)

    def forward(self, x: Tensor, pitch: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            amplitudes = self.amplitudes(x, pitch)
        return self.mix(amplitudes)


class PartialSynthesis(nn.Module):
    """Features (B, channels, frames) and a pitch (B,) -> sound (B, 1, frames x hop_length).

    Amplitudes move in a straight line over each hop, from the frame before to this one.
    """

    def __init__(self, count: int, channels: int, hop_length: int, sample_rate: int) -> None:
        super().__init__()
        self.count, self.hop_length, self.sample_rate = count, hop_length, sample_rate
        self.mix = nn.Conv1d(channels, 2 * count, 1, bias=False)

    def play(self, amplitudes: Tensor, pitch: Tensor) -> Tensor:
        """(B, 2 count, frames) -> (B, 1, frames x hop_length): sum of Re(a_k exp(i k phi))."""
        hop = self.hop_length
        frequency = cycles(pitch, self.sample_rate)
        real, imaginary = amplitudes.float().transpose(1, 2).chunk(2, dim=2)  # (B, frames, count)
        there = present(frequency, self.count)[:, None]
        before = [F.pad(part, (0, 0, 1, 0))[:, :-1] * there for part in (real, imaginary)]
        after = [part * there for part in (real, imaginary)]
        c, s = turned(frequency, self.count, hop, real.shape[1])
        cosine, sine = (w.transpose(1, 2) for w in waves(frequency, self.count, 0, hop))  # (B, count, hop)
        rise = torch.arange(1, hop + 1, device=real.device) / hop

        def oscillate(re: Tensor, im: Tensor) -> Tensor:
            return (re * c - im * s) @ cosine - (re * s + im * c) @ sine  # (B, frames, hop)

        y = oscillate(*before) * (1 - rise) + oscillate(*after) * rise
        return y.flatten(1).unsqueeze(1)

    def forward(self, h: Tensor, pitch: Tensor) -> Tensor:
        amplitudes = self.mix(h)
        with torch.autocast(h.device.type, enabled=False):
            return self.play(amplitudes, pitch)
