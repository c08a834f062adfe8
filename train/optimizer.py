"""The one place that says how weights are moved."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from wavevae.config import TrainConfig
from wavevae.nn.linear_start import trunk
from wavevae.nn.model import Autoencoder
from wavevae.nn.partials_start import partial_maps


def may_be_fused(model: nn.Module, precision: str) -> bool:
    """Whether one kernel moves all weights: on a GPU, unless its gradients are scaled (fp16), where it would take the
    scale out itself, after the clipping. On a CPU it measured no faster (docs/training.md)."""
    return next(model.parameters()).device.type == "cuda" and precision != "16-mixed"


def resume(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over a saved state; how it is computed is this machine's choice, not that of the one before."""
    now = [{name: group.get(name) for name in ("fused", "foreach")} for group in optimizer.param_groups]
    groups = [{**saved, **own} for saved, own in zip(state["param_groups"], now, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})


def make_optimizer(model: Autoencoder, config: TrainConfig, fused: bool = False) -> torch.optim.Optimizer:
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
    return torch.optim.AdamW(groups, betas=(0.8, 0.99), weight_decay=config.weight_decay, fused=fused or None)
