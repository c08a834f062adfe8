"""The one place that says how weights are moved."""

from __future__ import annotations

import torch

from wavevae.config import TrainConfig
from wavevae.nn.linear_start import trunk
from wavevae.nn.model import Autoencoder
from wavevae.nn.partials_start import partial_maps


def make_optimizer(model: Autoencoder, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); betas of the vocoder literature (HiFi-GAN, Kong et al. 2020).

    Two groups, each with its `share` of the scheduled learning rate: what a linear start has set moves slower.
    """
    set_by_start = [*trunk(model), *partial_maps(model)] if config.start == "linear" else []
    started = {id(parameter) for parameter in set_by_start}
    groups = []
    for share, in_it in ((1.0, False), (config.trunk_rate, True)):
        parameters = [p for p in model.parameters() if (id(p) in started) == in_it]
        if parameters:
            groups.append({"params": parameters, "share": share, "lr": config.learning_rate * share})
    return torch.optim.AdamW(groups, betas=(0.8, 0.99), weight_decay=config.weight_decay)
