"""Averaged weights: the model that is validated and exported."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


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
