"""How weights are moved: the optimizer with its parameter groups, and the average that is validated and exported."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from wavevae.config import TrainConfig
from wavevae.nn.linear_init import trunk
from wavevae.nn.model import Autoencoder
from wavevae.nn.partials_init import partial_maps

Model = TypeVar("Model", bound=nn.Module)


def may_be_fused(model: nn.Module, precision: str) -> bool:
    """Whether one kernel moves all weights, in a third of the time on a CPU (docs/lab/training-speed.md); not where
    gradients are scaled (fp16), as it would take the scale out itself, after the clipping."""
    return next(model.parameters()).device.type in ("cuda", "cpu") and precision != "16-mixed"


def resume(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over a saved state; how it is computed is this machine's choice, not that of the one before."""
    now = [{name: group.get(name) for name in ("fused", "foreach")} for group in optimizer.param_groups]
    groups = [{**saved, **own} for saved, own in zip(state["param_groups"], now, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})


def make_optimizer(model: Autoencoder, config: TrainConfig, fused: bool = False) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); betas of the vocoder literature (HiFi-GAN, Kong et al. 2020).

    Groups, each with its `share` of the scheduled learning rate: what a start in closed form has set moves slower,
    and what is in front of codebooks slower still: codes are averages, and follow ground that moves too late.
    """
    slow = started(model, config)
    before_codes = in_front_of_codes(model) if config.init == "linear" else set()
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        share = config.linear_init_lr_scale if id(parameter) in slow else 1.0
        if id(parameter) in before_codes:
            share *= config.pre_quantizer_lr_scale
        groups.setdefault(share, []).append(parameter)
    each = [{"params": of, "share": n, "lr": config.learning_rate * n} for n, of in groups.items()]
    return torch.optim.AdamW(each, betas=(0.8, 0.99), weight_decay=config.weight_decay, fused=fused or None)


def started(model: Autoencoder, config: TrainConfig) -> set[int]:
    """The ids of the parameters that a start in closed form has set."""
    codec = config.init == "linear" and not model.config.is_instrument  # an instrument's start is rougher
    set_by_start = [*trunk(model), *partial_maps(model)] if codec else []
    set_by_start += model.bottleneck.learned_part().data_parameters()
    return {id(parameter) for parameter in set_by_start}


def in_front_of_codes(model: Autoencoder) -> set[int]:
    """The ids of the parameters that decide which codes a sound gets."""
    before = model.bottleneck.learned_part().code_parameters()
    return {id(parameter) for parameter in (*model.encoder.parameters(), *before)} if before else set()


class AveragedModel(nn.Module, Generic[Model]):
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992).

    The decay grows as (1 + n) / (10 + n) up to its value, so that a short run is not held at its start.
    """

    def __init__(self, model: Model, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.model: Model = copy.deepcopy(model).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> AveragedModel:
        """It is only ever evaluated: training mode would let noise and dropout into it."""
        return super().train(False)

    @torch.no_grad()
    def update(self, model: Model, step: int) -> None:
        """Move towards `model`, after its `step`-th step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine = [p.detach() for p in self.model.parameters()]
        theirs = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
