"""Toy models whose playing is known from physics: an oscillator bank, a frame repeater, a wire, a deaf drone."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.evaluation import tracks

RATE, HOP = 22050, 256
HARMONICS = 24


def tone(
    midi: float, seconds: float, tilt: float = 1.0, noise: float = 0.0, level_db: float = -15.0, seed: int = 0
) -> Tensor:
    """A steady harmonic tone (T,) whose k-th partial has the level k^-tilt, with white noise beside it."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    f0 = tracks.midi_hz(midi)
    phases = rng.uniform(0, 2 * np.pi, HARMONICS)
    heard = [k for k in range(1, HARMONICS + 1) if k * f0 < 0.45 * RATE]
    x = sum(k**-tilt * np.sin(2 * np.pi * k * f0 * t + phases[k - 1]) for k in heard)
    x = x / np.sqrt(np.mean(x**2)) + noise * rng.standard_normal(len(t))
    return torch.from_numpy(10 ** (level_db / 20) * x / np.sqrt(np.mean(x**2))).float()


class Oscillator(nn.Module):
    """An ideal instrument: pitch and loudness by YIN and RMS, harmonics with a running phase, a tilt and noise.

    Brightness 0..1 sets the tilt from 3 down to 0.5, noisiness 0..1 the share of noise.
    """

    sample_rate, hop_length, algorithmic_latency = RATE, HOP, 0
    axis_names = ("pitch", "loudness", "brightness", "noisiness")
    latent_dim = 4

    def encode(self, x: Tensor) -> Tensor:
        sound = x[0, 0]
        frames = -(-len(sound) // HOP)
        width = 2 * int(RATE / tracks.LOWEST_HZ) + 1
        hz = tracks.track(F.pad(sound, (width, 0))[None], RATE)[0]
        last, notes = 60.0, []
        for value in hz.tolist():
            last = 69 + 12 * math.log2(value / 440) if math.isfinite(value) else last
            notes.append(last)
        step = round(tracks.HOP_S * RATE)
        at = [min(len(notes) - 1, (n + 1) * HOP // step) for n in range(frames)]
        power = (
            F.pad(sound, (4 * HOP, frames * HOP - len(sound))).unfold(0, 4 * HOP, HOP)[1:].square().mean(-1)
        )
        level = 10 * torch.log10(power + 1e-12)
        midi = torch.tensor([notes[i] for i in at])
        return torch.stack([midi, level, self.timbre(level, 0.5), self.timbre(level, 0.02)])[None]

    def timbre(self, level: Tensor, middle: float) -> Tensor:
        """Something that moves, so that the control has a range."""
        return middle + 0.7 * middle * torch.sin(torch.arange(len(level)) * 0.37)

    def decode(self, z: Tensor, length: int | None = None) -> Tensor:
        midi, level, brightness, noisiness = z[0].double().repeat_interleave(HOP, -1)
        f0 = 440 * 2 ** ((midi - 69) / 12)
        phase = torch.cumsum(f0 / RATE, 0)
        k = torch.arange(1, HARMONICS + 1, dtype=torch.float64)[:, None]
        below = (k * f0 < 0.45 * RATE).double()
        amplitude = below * k ** -(3 - 2.5 * brightness.clamp(0, 1))
        amplitude = amplitude / amplitude.square().sum(0).sqrt() * 2**0.5
        harmonic = (amplitude * torch.sin(2 * math.pi * k * phase)).sum(0)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(len(phase), generator=generator, dtype=torch.float64)
        share = noisiness.clamp(0, 1)
        both = (1 - share).sqrt() * harmonic + share.sqrt() * noise
        return (10 ** (level / 20) * both).float()[None, None]


class Repeater(nn.Module):
    """A codec without state: the latents of a frame are its samples."""

    sample_rate, hop_length, algorithmic_latency, latent_dim = RATE, HOP, 0, HOP

    def encode(self, x: Tensor) -> Tensor:
        return F.pad(x[:, 0], (0, -x.shape[-1] % HOP)).unflatten(-1, (-1, HOP)).transpose(1, 2)

    def decode(self, z: Tensor, length: int | None = None) -> Tensor:
        return z.transpose(1, 2).flatten(1)[:, None]


class Drone(Repeater):
    """It sounds like its corpus whatever goes in."""

    def __init__(self, corpus: Tensor) -> None:
        super().__init__()
        self.corpus = corpus

    def decode(self, z: Tensor, length: int | None = None) -> Tensor:
        return self.corpus.repeat(-(-z.shape[-1] * HOP // len(self.corpus)))[: z.shape[-1] * HOP][None, None]
