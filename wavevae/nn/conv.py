"""Causal 1-D convolutions for training, the residual block made of them, and how far they look back.

Every layer pads on the left only, with zeros, so frame n never depends on a later frame:

    CausalConv1d k=3 d=2     Downsample r=4 (k=8)              Upsample r=4
    in   . . . . a b c d     in   0 0 0 0|a b c d|e f g h      in     0   A       B
         └─┬───┴─┘           out  └──────────A───┘             out      a b c d e f g h
    out      d = f(., b, d)        └B┘ starts one hop later           (A, 0)  (B, A)

The streaming twin (the export workshop) does the same sums with the past kept in buffers instead of zeros.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
"""Of the leaky rectifier below zero."""


class CausalConv1d(nn.Module):
    """Dilated convolution at a constant rate: (B, C_in, T) -> (B, C_out, T)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.past = (kernel_size - 1) * dilation
        """Frames of input before the current one that an output frame sees."""
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.past, 0)))

    def first_input(self, frame: int) -> int:
        return frame - self.past


class Downsample(nn.Module):
    """Strided convolution of kernel 2 x ratio: (B, C_in, T) -> (B, C_out, T / ratio); T a multiple of ratio."""

    def __init__(self, in_channels: int, out_channels: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.past = ratio
        self.conv = nn.Conv1d(in_channels, out_channels, 2 * ratio, stride=ratio)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.past, 0)))

    def first_input(self, frame: int) -> int:
        return frame * self.ratio - self.past


class Upsample(nn.Module):
    """Transposed convolution of kernel 2 x ratio without its tail: (B, C_in, T) -> (B, C_out, T x ratio).

    Written as a convolution over two frames to ratio x C_out channels and a reshape, which is the same sum.
    """

    def __init__(self, in_channels: int, out_channels: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.past = 1
        self.conv = nn.Conv1d(in_channels, ratio * out_channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.pad(x, (self.past, 0)))  # (B, ratio * C_out, T)
        y = y.unflatten(1, (self.ratio, -1)).permute(0, 2, 3, 1)  # (B, C_out, T, ratio)
        return y.flatten(2)

    def first_input(self, frame: int) -> int:
        return frame // self.ratio - self.past


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

    def first_input(self, frame: int) -> int:
        return first_input((self.dilated, self.pointwise), frame)


def residual_stack(channels: int, dilations: Iterable[int]) -> nn.Sequential:
    """Residual units one after the other, one a dilation."""
    return nn.Sequential(*(ResidualUnit(channels, d) for d in dilations))


def first_input(layers: nn.Module | tuple[nn.Module, ...], frame: int) -> int:
    """The first input frame on which output frame `frame` depends, of a layer or of layers called one after the other.

    A layer answers by a method of this name. Raises: TypeError for one that has none.
    """
    if isinstance(layers, (tuple, nn.Sequential, nn.ModuleList)):
        for layer in reversed(tuple(layers)):
            frame = first_input(layer, frame)
        return frame
    if not hasattr(layers, "first_input"):
        raise TypeError(f"{type(layers).__name__} has no method first_input to say how far back it sees")
    first: int = layers.first_input(frame)  # type: ignore[operator]
    return first


def samples_to_channels(x: Tensor, ratio: int) -> Tensor:
    """(B, 1, T) -> (B, ratio, T / ratio); T a multiple of ratio."""
    return x.reshape(x.shape[0], x.shape[-1] // ratio, ratio).transpose(1, 2)


def channels_to_samples(x: Tensor) -> Tensor:
    """(B, ratio, T) -> (B, 1, T x ratio)."""
    return x.transpose(1, 2).reshape(x.shape[0], 1, -1)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Zeros on the right up to a whole number of hops: (B, C, T) -> (B, C, ceil(T / multiple) x multiple)."""
    return F.pad(x, (0, -x.shape[-1] % multiple))


def init_conv(module: nn.Module) -> None:
    """Variance-preserving weights for leaky rectifiers (He et al. 2015, eq. 15), biases at zero."""
    if isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_network(network: nn.Module) -> None:
    """`init_conv` for every layer, and every residual branch small (the idea of Fixup, Zhang et al. 2019)."""
    network.apply(init_conv)
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            scale_weights(module.pointwise, 0.1)


def scale_weights(layer: CausalConv1d, factor: float) -> None:
    """Multiply a layer's weights: a small branch lets the signal through untouched at first."""
    with torch.no_grad():
        layer.conv.weight.mul_(factor)
