"""The one repeated block of both networks."""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.nn.conv import CausalConv1d

SLOPE = 0.2
"""Of the leaky rectifier below zero."""


def activation(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class ResidualUnit(nn.Module):
    """x + pointwise(dilated(x)), rectified before each (RAVE, Caillon & Esling 2021, fig. 2): (B, C, T) -> same."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = CausalConv1d(channels, channels, 3, dilation)
        self.pointwise = CausalConv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(activation(self.dilated(activation(x))))


def residual_stack(channels: int, dilations: Iterable[int]) -> nn.Sequential:
    """Residual units one after the other, one a dilation."""
    return nn.Sequential(*(ResidualUnit(channels, d) for d in dilations))
