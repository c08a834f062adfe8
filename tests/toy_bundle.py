"""A small causal model with state, scripted, for tests of the playing side: no training, no export.

Its decoder is a bank of sine oscillators whose phases are the state: latent i sets the level of oscillator i,
and at the mean (0) every oscillator sounds, so that a recording says which sample it is. Its encoder measures
each hop and the hop before.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wavevae.bundle import BundleInfo, LatentAxis, write_bundle
from wavevae.latents import fit_density

SAMPLE_RATE, HOP, LATENTS = 22050, 256, 4


class ToyModel(nn.Module):
    """encode, decode, forward, reset as in INTERFACE; state follows the batch size."""

    def __init__(self, sample_rate: int = SAMPLE_RATE, hop: int = HOP, latents: int = LATENTS) -> None:
        super().__init__()
        self.hop, self.latents = hop, latents
        primes = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
        ratios = torch.tensor([math.sqrt(primes[i % len(primes)]) for i in range(latents)])
        self.register_buffer("steps", (2 * math.pi * 110 * ratios / sample_rate).double())
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("measure", torch.randn(latents, 2 * hop, generator=generator) / hop**0.5)
        self.register_buffer("phase", torch.zeros(1, latents, dtype=torch.float64))
        self.register_buffer("level", torch.zeros(1, latents))
        self.register_buffer("past", torch.zeros(1, 1, hop))

    @torch.jit.export
    def reset(self) -> None:
        self.phase = torch.zeros_like(self.phase)
        self.level = torch.zeros_like(self.level)
        self.past = torch.zeros_like(self.past)

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        if self.past.shape[0] != x.shape[0]:
            self.past = torch.zeros(x.shape[0], 1, self.hop)
        whole = torch.cat([self.past, x], dim=2).reshape(x.shape[0], -1, self.hop)
        self.past = x[:, :, -self.hop :].clone()
        pairs = torch.cat([whole[:, :-1], whole[:, 1:]], dim=2)  # (B, F, 2 x hop)
        return torch.matmul(pairs, self.measure.t()).transpose(1, 2)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        if self.phase.shape[0] != z.shape[0]:
            self.phase = torch.zeros(z.shape[0], self.latents, dtype=torch.float64)
            self.level = torch.zeros(z.shape[0], self.latents)
        samples = z.shape[2] * self.hop
        count = torch.arange(1, samples + 1, dtype=torch.float64)
        phases = self.phase[:, :, None] + self.steps[:, None] * count  # (B, latent_dim, T)
        self.phase = torch.remainder(phases[:, :, -1], 2 * math.pi)
        levels = 0.8 * torch.sigmoid(z) / self.latents  # (B, latent_dim, F)
        before = torch.cat([self.level[:, :, None], levels[:, :, :-1]], dim=2)
        self.level = levels[:, :, -1].clone()
        rise = torch.arange(1, self.hop + 1, dtype=torch.float32) / self.hop
        glide = before[..., None] + (levels - before)[..., None] * rise  # (B, latent_dim, F, hop)
        return (phases.sin().float() * glide.flatten(2)).sum(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def toy_info(**changes: Any) -> BundleInfo:
    sample_rate, hop, latents = SAMPLE_RATE, HOP, changes.get("latent_dim", LATENTS)
    walk = np.cumsum(np.random.default_rng(0).normal(size=(400, latents)), axis=0)
    values: dict[str, Any] = {
        "sample_rate": sample_rate,
        "hop_length": hop,
        "latent_dim": latents,
        "axes": tuple(LatentAxis(f"axis {i}", -2.0, 2.0) for i in range(latents)),
        "receptive_field_samples": 2 * hop,
        "bottleneck": "vae",
        "density": fit_density([(walk - walk.mean(0)) / walk.std(0)]),
        "origin": {"step": 7},
    }
    return BundleInfo(**{**values, **changes})


def write_toy(path: Path, **changes: Any) -> BundleInfo:
    """A playable toy MODEL.ts at `path`."""
    info = toy_info(**changes)
    model = ToyModel(info.sample_rate, info.hop_length, info.latent_dim).eval()
    model.requires_grad_(False)
    write_bundle(path, torch.jit.script(model), info)
    return info
