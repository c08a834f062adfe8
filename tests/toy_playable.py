"""Small instruments with random weights, for tests of export."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wavevae.checkpoint import Checkpoint
from wavevae.config import ModelConfig, RunConfig
from wavevae.corpus_profile import CorpusProfile, corpus_profile
from wavevae.export import model_file, verify
from wavevae.export.model_file import Choices, export_checkpoint
from wavevae.latents import LatentStatistics
from wavevae.nn.instrument import Instrument

BASE = ModelConfig(
    family="instrument",
    oscillators="harmonic",
    latent_dim=4,
    noise_bands=24,
    partials=32,
    carriers=48,
    envelope_bands=16,
    decoder_width=24,
    decoder_dilations=(1, 2),
    encoder_width=16,
    mel_bands=20,
)
KINDS: dict[str, dict[str, Any]] = {
    "vae": {},
    "ae": {"bottleneck": "ae"},
    "vq": {"bottleneck": "vq", "codebook_size": 32, "code_dim": 4},
    "rvq": {"bottleneck": "rvq", "codebook_size": 16, "n_codebooks": 2, "code_dim": 4},
    "hvae": {"bottleneck": "hvae", "top_dim": 2},
    "dense": {"oscillators": "dense"},
    "noise": {"oscillators": "none"},
    "both": {"oscillators": "both"},
    "class": {"condition": "class", "classes": ("reed", "string")},
    "class and pitch": {"condition": "class+pitch", "classes": ("reed", "string")},
    "44.1 kHz": {"sample_rate": 44100},
    "short hop": {"frames_per_second": 172.0},
}
"""What presets may look like, at toy size."""


def config(kind: str = "vae", **changes: Any) -> ModelConfig:
    return replace(BASE, **{**KINDS[kind], **changes})


def make(kind: str = "vae", seed: int = 0) -> Instrument:
    return make_of(config(kind), seed)


def make_of(shape: ModelConfig, seed: int = 0) -> Instrument:
    """Every weight matters: random biases and classes, no branch left small by its initialisation."""
    torch.manual_seed(seed)
    model = Instrument(shape)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_uniform_(module.weight, a=1.0)
                assert module.bias is not None
                module.bias.add_(torch.empty_like(module.bias).uniform_(-0.1, 0.1))
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.3)
        model.decoder.life.spread.copy_(torch.linspace(0.05, 0.3, model.latent_dim))
    return model.eval()


def tone(sample_rate: int, samples: int, midi: float = 57.0, level_db: float = -20.0) -> Tensor:
    """(1, 1, samples) of a harmonic tone."""
    time = torch.arange(samples, dtype=torch.float64) / sample_rate
    hz = 440 * 2 ** ((midi - 69) / 12)
    x = sum(torch.sin(2 * math.pi * k * hz * time + k * k) / k for k in range(1, 12))
    assert isinstance(x, Tensor)
    return (x / x.square().mean().sqrt() * 10 ** (level_db / 20)).float()[None, None]


def latents(model: Instrument) -> list[np.ndarray]:
    """Of some tones and a noise, (frames, n_latents) each."""
    rate, samples = model.sample_rate, 60 * model.hop_length
    sounds = [tone(rate, samples, midi, level) for midi, level in ((45, -12), (57, -30), (69, -20))]
    noise = 0.1 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        return [model.encode(x)[0].T.numpy() for x in (*sounds, noise)]


def statistics(model: Instrument) -> LatentStatistics:
    return LatentStatistics.fit(latents(model), principal=False)


def profile(model: Instrument) -> CorpusProfile:
    return corpus_profile(latents(model), model.config)


def checkpoint(model: Instrument) -> Checkpoint:
    return Checkpoint(
        config=RunConfig(model=model.config),
        state=model.state_dict(),
        step=12,
        latents=statistics(model).to_dict(),
        origin={"data": "abc123"},
        wavevae_version="0.1.0",
    )


def controls(frames: int, midi: float = 60.0, level_db: float = -20.0, learned: int = 4) -> Tensor:
    """(1, 3 + learned, frames) held still, learned latents at their mean."""
    values = torch.tensor([midi, level_db, 0.95, *[0.0] * learned])
    return values[None, :, None].repeat(1, 1, frames)


def tones_only(model: Instrument) -> Instrument:
    """From now on a few soft partials and no noise: what is played can be measured."""
    parts, outlet = model.decoder.shares, model.decoder.outlet.conv
    with torch.no_grad():
        outlet.weight.mul_(0.0)
        assert outlet.bias is not None
        outlet.bias.fill_(-80.0)
        outlet.bias[: parts.partials] = -4.0 * torch.arange(parts.partials)
        outlet.bias[parts.partials : parts.partials + parts.envelope] = 0.0
        outlet.bias[len(outlet.bias) - parts.curve :] = 0.0
    return model


def write(model: Instrument, path: Path, choices: Choices | None = None) -> Path:
    """Exported as the command does, compared with a shorter sound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model_file, "references", lambda m, a: [{"attributes": {}, **verify.reference(m, a, 24)}]
        )
        kept = checkpoint(model)
        kept.latents["profile"] = profile(model).to_dict()
        if model.prior is not None:
            kept.latents["prior"] = model.prior.to_dict()
        export_checkpoint(kept, path, None, choices)
    return path
