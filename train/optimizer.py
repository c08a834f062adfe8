"""The optimizer with its parameter groups, the guard that skips steps, and the averaged weights that are validated and
exported."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from wavevae.config import TrainConfig
from wavevae.nn.distributed import ranks
from wavevae.nn.linear_init import initialised_parameters
from wavevae.nn.model import Autoencoder

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
    bottleneck = model.bottleneck.learned_part()
    linear = config.init == "linear"
    codec = linear and not model.config.is_instrument  # an instrument's start is rougher
    slow = initialised_parameters(model) if codec else []
    slow += bottleneck.data_parameters()
    before_codes = bottleneck.code_parameters() if linear else []
    before_codes = [*model.encoder.parameters(), *before_codes] if before_codes else []
    started, code_ids = {id(p) for p in slow}, {id(p) for p in before_codes}
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        share = config.linear_init_lr_scale if id(parameter) in started else 1.0
        share *= config.pre_quantizer_lr_scale if id(parameter) in code_ids else 1.0
        groups.setdefault(share, []).append(parameter)
    each = [{"params": of, "share": n, "lr": config.learning_rate * n} for n, of in groups.items()]
    return torch.optim.AdamW(each, betas=(0.8, 0.99), weight_decay=config.weight_decay, fused=fused or None)


class StepGuard:
    """Counts and skips the steps of one optimizer whose loss or gradient is not finite, on all processes alike.

    A fused optimizer reads `found_inf` in its own kernel (as under a gradient scaler) and then leaves weights, moments
    and step count alone, so the host does not wait for the device. Any other has its gradients removed, which waits.
    """

    def __init__(self) -> None:
        self.bad = torch.zeros(())
        """1 where the last step was skipped, else 0; on the device."""
        self.counts = torch.zeros(2)
        """Steps skipped so far, and in a row."""

    @property
    def skipped(self) -> int:
        """So far. Waits for the device."""
        return int(self.counts[0])

    @property
    def in_a_row(self) -> int:
        """Waits for the device."""
        return int(self.counts[1])

    def resume(self, skipped: int) -> None:
        self.counts = torch.tensor([float(skipped), 0.0])

    def check(
        self, finite: Tensor, optimizer: torch.optim.Optimizer | None, weights: Iterable[nn.Parameter]
    ) -> None:
        """To be called before the optimizer's step; `finite` (): whether loss and gradient of this process are."""
        self.bad = (~finite.detach()).float()
        if ranks() > 1:
            dist.all_reduce(self.bad, op=dist.ReduceOp.MAX)
        counts = self.counts.to(self.bad.device, non_blocking=True)
        self.counts = torch.stack([counts[0] + self.bad, (counts[1] + 1) * self.bad])
        if optimizer is not None and all(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = self.bad  # type: ignore[attr-defined]
        elif bool(self.bad):
            for weight in weights:
                weight.grad = None


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
