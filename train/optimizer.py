"""The one place that says how weights are moved."""

from __future__ import annotations

import torch
from torch import nn

from wavevae.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); betas of the vocoder literature (HiFi-GAN, Kong et al. 2020)."""
    return torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.8, 0.99), weight_decay=config.weight_decay
    )
