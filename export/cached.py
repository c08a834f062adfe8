"""Twins made of cached-conv's layers: the field's reference for streaming convolutions, to compare with.

Frames are (B, C, T). The layers carry that library's code into the exported file, and with it its licence
(CC BY-NC 4.0); it is asked for only by `wavevae export --streaming cached-conv`, and for up to 64 voices.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.errors import UserError
from wavevae.nn.conv import SLOPE, CausalConv1d, Downsample, ResidualUnit, Upsample
from wavevae.nn.noise import NoiseGate

from .layers import StreamingLayer, StreamingSequence, twin_of


def library() -> Any:
    """The package cached_conv. Raises: UserError where it is not installed."""
    try:
        import cached_conv
    except ImportError:
        raise UserError(
            "--streaming cached-conv needs a package that is not here; pip install cached-conv==2.5.*, or leave "
            "the option out: the file's own layers are faster and equal to it"
        ) from None
    return cached_conv


class CachedConv(StreamingLayer):
    """CachedConv1d with the weights of a CausalConv1d or a Downsample."""

    def __init__(self, offline: CausalConv1d | Downsample) -> None:
        super().__init__()
        conv = offline.conv
        self.conv = library().CachedConv1d(
            *(conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0]),
            dilation=conv.dilation[0],
            padding=(offline.past, 0),
        )
        copy_weights(self.conv, conv.weight, conv.bias)
        make_cache(self.conv, conv.in_channels, conv.stride[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def start(self, voices: int) -> None:
        self.conv.cache.pad.zero_()


class CachedUpsample(StreamingLayer):
    """CachedConvTranspose1d with the weights of an Upsample: their taps in its order, one bias a phase."""

    def __init__(self, offline: Upsample) -> None:
        super().__init__()
        conv, ratio = offline.conv, offline.ratio
        channels = conv.out_channels // ratio
        self.conv = library().CachedConvTranspose1d(
            conv.in_channels, channels, 2 * ratio, stride=ratio, padding=ratio // 2, bias=False
        )
        taps = conv.weight.detach().view(ratio, channels, conv.in_channels, 2)
        copy_weights(self.conv, taps.permute(2, 1, 3, 0).flip(2).flatten(2), None)
        make_cache(self.conv, conv.in_channels, 1)
        assert conv.bias is not None
        self.register_buffer("bias", conv.bias.detach().view(ratio, channels).t().clone()[:, None])

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        phases = y.view(y.size(0), y.size(1), x.size(2), -1)  # (B, C, T, ratio)
        return (phases + self.bias).flatten(2)

    def start(self, voices: int) -> None:
        self.conv.cache.zero_()


class CachedResidualUnit(StreamingLayer):
    """ResidualUnit of cached-conv's layers."""

    def __init__(self, offline: ResidualUnit) -> None:
        super().__init__()
        self.dilated, self.pointwise = CachedConv(offline.dilated), CachedConv(offline.pointwise)

    def forward(self, x: Tensor, slope: float = SLOPE) -> Tensor:
        return x + self.pointwise(F.leaky_relu(self.dilated(F.leaky_relu(x, slope)), slope))

    def start(self, voices: int) -> None:
        self.dilated.start(voices)


class CachedNoiseGate(StreamingLayer):
    """NoiseGate of cached-conv's layers; the table goes round."""

    def __init__(self, offline: NoiseGate) -> None:
        super().__init__()
        self.gate, self.mix = CachedConv(offline.gate), CachedConv(offline.mix)
        self.register_buffer("table", offline.table.detach().clone())
        self.position = 0

    def forward(self, h: Tensor, slope: float = SLOPE) -> Tensor:
        gate = torch.sigmoid(self.gate(F.leaky_relu(h, slope)))
        first, frames, length = self.position, h.size(2), self.table.size(1)
        self.position = (first + frames) % length
        turns = (first + frames + length - 1) // length
        table = self.table if turns == 1 else self.table.repeat(1, turns)
        return self.mix(gate * table[:, first : first + frames])

    def start(self, voices: int) -> None:
        self.position = 0


class Channels(nn.Module):
    """How these layers want their frames: (B, T, C) -> (B, C, T), and back."""

    def forward(self, frames: Tensor) -> Tensor:
        return frames.transpose(1, 2)

    def back(self, x: Tensor, voices: int) -> Tensor:
        return x.transpose(1, 2)


def copy_weights(target: Any, weight: Tensor, bias: Tensor | None) -> None:
    """Into a layer for playing: without gradient."""
    target.weight = nn.Parameter(weight.detach().clone().contiguous(), requires_grad=False)
    target.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)


def make_cache(layer: nn.Module, channels: int, frames: int) -> None:
    """The library makes its caches at the first call, which a script cannot; they begin as zeros."""
    with torch.no_grad():
        layer(torch.zeros(1, channels, frames))
    for buffer in layer.buffers():
        buffer.zero_()


TWINS: dict[type[nn.Module], Callable[..., StreamingLayer]] = {
    CausalConv1d: CachedConv,
    Downsample: CachedConv,
    Upsample: CachedUpsample,
    ResidualUnit: CachedResidualUnit,
    NoiseGate: CachedNoiseGate,
    nn.Sequential: lambda layers: StreamingSequence(layers, cached_twin_of),
}


def cached_twin_of(offline: nn.Module) -> StreamingLayer:
    """cached-conv's layer with an offline layer's weights. Raises: TypeError for a layer that has no such twin."""
    return twin_of(offline, TWINS, "cached.py")
