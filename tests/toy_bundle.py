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
        return self.measured(x)

    def measured(self, x: Tensor) -> Tensor:
        if self.past.shape[0] != x.shape[0]:
            self.past = torch.zeros(x.shape[0], 1, self.hop)
        whole = torch.cat([self.past, x], dim=2).reshape(x.shape[0], -1, self.hop)
        self.past = x[:, :, -self.hop :].clone()
        pairs = torch.cat([whole[:, :-1], whole[:, 1:]], dim=2)  # (B, F, 2 x hop)
        return torch.matmul(pairs, self.measure.t()).transpose(1, 2)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return self.sing(z)

    def sing(self, z: Tensor) -> Tensor:
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


LABELS = ["soft", "hard", "odd"]
LOUDNESS = [1.0, 2.0, -1.0]


class ConditionalToy(ToyModel):
    """With nn~'s attributes as the exporter writes them: `class`, `pitch`, `input_class`, `input_pitch` (-1: none,
    -2: the encoder is told what the decoder is), and the method `mix_classes`.

    A pitch tunes all oscillators to it; class "hard" is twice as loud, "odd" inverted, a mix between them. The
    encoder adds its class' number to the first latent and a hundredth of its pitch to the second.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, hop: int = HOP, latents: int = LATENTS) -> None:
        super().__init__(sample_rate, hop, latents)
        self.rate = sample_rate
        self.kind, self.key = -1, -1.0
        self.heard_kind, self.heard_key = -2, -2.0
        self.loudness = 1.0
        self.register_buffer("loudnesses", torch.tensor(LOUDNESS))
        self.register_buffer("own_steps", self.steps.clone())
        for name, kind in (("class", 1), ("pitch", 2), ("input_class", 1), ("input_pitch", 2), ("gain", 2)):
            self.register_buffer(f"{name}_params", torch.tensor([kind]))

    @torch.jit.export
    def get_attributes(self) -> list[str]:
        return ["gain", "class", "pitch", "input_class", "input_pitch"]

    @torch.jit.export
    def set_class(self, value: int) -> int:
        self.kind = value
        self.loudness = 1.0 if value < 0 else float(self.loudnesses[value])
        return 0

    @torch.jit.export
    def get_class(self) -> tuple[int]:
        return (self.kind,)

    @torch.jit.export
    def mix_classes(self, weights: Tensor) -> int:
        self.kind = -1
        self.loudness = 1.0 + float((weights * (self.loudnesses - 1.0)).sum())
        return 0

    @torch.jit.export
    def set_pitch(self, value: float) -> int:
        self.key = value
        if value < 0:
            self.steps = self.own_steps.clone()
        else:
            step = 2 * math.pi * 440.0 * 2.0 ** ((value - 69) / 12.0) / self.rate
            self.steps = torch.full_like(self.own_steps, step)
        return 0

    @torch.jit.export
    def get_pitch(self) -> tuple[float]:
        return (self.key,)

    @torch.jit.export
    def set_input_class(self, value: int) -> int:
        self.heard_kind = value
        return 0

    @torch.jit.export
    def get_input_class(self) -> tuple[int]:
        return (self.heard_kind,)

    @torch.jit.export
    def set_input_pitch(self, value: float) -> int:
        self.heard_key = value
        return 0

    @torch.jit.export
    def get_input_pitch(self) -> tuple[float]:
        return (self.heard_key,)

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        z = self.measured(x)
        kind = self.kind if self.heard_kind < -1 else self.heard_kind
        key = self.key if self.heard_key < -1 else self.heard_key
        z[:, 0] += float(kind) + 1.0
        z[:, 1] += (key + 1.0) / 100.0
        return z

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return self.loudness * self.sing(z)


def write_conditional(path: Path, **changes: Any) -> BundleInfo:
    """A playable toy with classes and pitch."""
    info = toy_info(**{"labels": {"class": LABELS}, **changes})
    model = ConditionalToy(info.sample_rate, info.hop_length, info.latent_dim).eval()
    model.requires_grad_(False)
    write_bundle(path, torch.jit.script(model), info)
    return info
