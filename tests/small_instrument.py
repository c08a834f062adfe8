"""An instrument small enough for tests, with random weights, and what it is played with."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from wavevae.model_config import ModelConfig
from wavevae.nn.instrument import Instrument

RATE, HOP = 16000, 256
SHAPE: dict[str, Any] = {
    **{"family": "instrument", "sample_rate": RATE, "latent_dim": 4, "partials": 24, "noise_bands": 12},
    **{"mel_bands": 16, "envelope_bands": 8, "carriers": 32, "decoder_width": 16, "encoder_width": 16},
    **{"decoder_dilations": (1, 2), "oscillators": "harmonic"},
}


def small(**changes: Any) -> Instrument:
    """In eval mode; its networks say something else for every frame."""
    torch.manual_seed(1)
    model = Instrument(ModelConfig(**{**SHAPE, **changes})).eval()
    with torch.no_grad():
        for layer in (model.encoder.outlet, model.decoder.outlet):
            layer.conv.weight.mul_(5.0)
    return model


def controls(model: Instrument, frames: int, pitch: float = 57.3, loudness: float = -20.0) -> Tensor:
    """(1, latents, frames) that hold one tone."""
    z = torch.zeros(1, model.latent_dim, frames)
    values = {"pitch": pitch, "loudness": loudness, "periodicity": 1.0}
    for index, name in enumerate(model.config.controls):
        z[:, index] = values[name]
    return z


def tones_only(model: Instrument) -> None:
    """From now on partials alone sound, the higher the softer."""
    shares = model.decoder.shares
    with torch.no_grad():
        model.decoder.outlet.conv.weight.zero_()
        model.decoder.outlet.conv.bias.zero_()
        model.decoder.outlet.conv.bias[: shares.partials] = -0.7 * torch.arange(shares.partials)
        model.decoder.outlet.conv.bias[shares.partials + shares.envelope :] = -60.0


def melody(frames: int, seed: int = 0) -> Tensor:
    """(1, 1, frames x HOP) with a glide, a swell and noise."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(frames * HOP, dtype=torch.float64) / RATE
    phase = 2 * math.pi * torch.cumsum(200 * torch.exp2(t / 4), 0) / RATE
    sound = 0.1 * sum(torch.sin(k * phase) / k for k in range(1, 8)) * (0.6 + 0.4 * torch.sin(5 * t))
    return (sound + 0.01 * torch.randn(len(t), generator=generator)).float()[None, None]
