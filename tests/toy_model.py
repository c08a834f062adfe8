"""Small models with random weights, for tests of the offline networks and of export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from wavevae.checkpoint import Checkpoint
from wavevae.config import ModelConfig, RunConfig, override
from wavevae.latents import LatentStatistics
from wavevae.nn.conditioning import FiLM, PitchEmbedding
from wavevae.nn.model import Autoencoder
from wavevae.train.arguments import preset_values

PRESETS = sorted((Path(__file__).parent.parent / "train/presets").glob("*.yaml"))

SHAPES = {
    "plain": ModelConfig(widths=(12, 16, 24), latent_dim=6, noise_bands=4),
    "short hop": ModelConfig(fold=8, ratios=(2, 4), widths=(8, 12, 16), latent_dim=4, noise_bands=2),
    "long hop": ModelConfig(fold=32, ratios=(2, 4, 8), widths=(8, 8, 12, 16), latent_dim=3, noise_bands=3),
    "only folded": ModelConfig(fold=64, ratios=(), widths=(16,), latent_dim=5, noise_bands=4),
    "no noise, no bottleneck": ModelConfig(
        widths=(8, 12, 16), latent_dim=4, noise_bands=0, bottleneck="ae", dilations=(1, 4)
    ),
}
"""What presets may look like, at toy size."""


def make(config: ModelConfig, seed: int = 0) -> Autoencoder:
    """A model whose every weight matters: random biases, no branch left small by its initialisation."""
    torch.manual_seed(seed)
    model = Autoencoder(config)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_uniform_(module.weight, a=1.0)
                if module.bias is not None:
                    module.bias.uniform_(-0.1, 0.1)
            elif isinstance(module, FiLM):
                nn.init.normal_(module.affine.weight, std=0.5)
                nn.init.normal_(module.affine.bias, std=0.1)
            elif isinstance(module, PitchEmbedding):
                nn.init.normal_(module.table)
                nn.init.normal_(module.none)
        for network in (model.encoder, model.decoder):
            if network.partials is not None:
                network.partials.mix.weight.mul_(0.1)  # many partials: or all is clipping
    return model.eval()


def preset(path: Path) -> ModelConfig:
    """Its model; one with classes as if the data had two."""
    config = override(RunConfig(), preset_values(path.stem)).model
    return replace(config, classes=("reed", "string")) if config.has_class else config


def sound(samples: int, voices: int = 1, seed: int = 0) -> Tensor:
    """(voices, 1, samples) of noise, level 0.3."""
    return 0.3 * torch.randn(voices, 1, samples, generator=torch.Generator().manual_seed(seed))


def statistics(model: Autoencoder) -> LatentStatistics:
    """Of the latents of noise."""
    with torch.inference_mode():
        latents = model.encode(sound(300 * model.hop_length, seed=5))[0]
    return LatentStatistics.fit([latents.T.numpy()])


def checkpoint(config: ModelConfig = SHAPES["plain"]) -> Checkpoint:
    model = make(config)
    return Checkpoint(
        config=RunConfig(model=config),
        state=model.state_dict(),
        step=12,
        audio_s=34.56,
        latents=statistics(model).to_dict(),
        origin={"data": "abc123", "commit": "def456", "folder": "/home/someone/sounds"},
        wavevae_version="0.1.0",
    )
