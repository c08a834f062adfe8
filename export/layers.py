"""Streaming twins of the layers in wavevae.nn: the same sums, channels last, the past kept in a buffer.

    offline   (B, C, T), zeros on the left          streaming   (B, T, C), the last call's end on the left
              0 0 0 0 a b c d                                   w x y z a b c d

A convolution is: join the past and the input, lay the k dilated slices side by side on the channel axis, one
`F.linear`. For one voice and few frames that is 1.5 to 3 times as fast as `conv1d` on cached input.

Every twin copies the weights of the offline layer it is built from and has
    forward(x (B, T, C_in))   any T >= 1; B as told to `start`
    start(batch)              forget the past, for that many voices
    earliest(frame)           the first input frame on which an output frame depends: arithmetic, no torch
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.nn.blocks import SLOPE, ResidualUnit
from wavevae.nn.conv import CausalConv1d, Downsample, Upsample
from wavevae.nn.noise import NoiseGate


def activation(x: Tensor, slope: float = SLOPE) -> Tensor:
    """wavevae.nn.blocks.activation in the form that scripts (a script sees no module-level numbers)."""
    return F.leaky_relu(x, slope)


def constant(values: Tensor) -> nn.Parameter:
    """Weights for playing: a contiguous float32 copy without gradient."""
    return nn.Parameter(values.detach().to(torch.float32).clone().contiguous(), requires_grad=False)


class StreamingLayer(nn.Module):
    """Interface of all twins."""

    def start(self, batch: int) -> None:
        """Forget the past, for `batch` voices."""
        raise AssertionError("a twin says what it remembers")

    def earliest(self, frame: int) -> int:
        """The first input frame on which output frame `frame` depends."""
        raise AssertionError("a twin says how far back it hears")


class StreamingLinear(StreamingLayer):
    """Twin of a CausalConv1d of kernel 1: it has no past."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = constant(weight)  # (C_out, C_in)
        self.bias = constant(bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def start(self, batch: int) -> None:
        pass

    def earliest(self, frame: int) -> int:
        return frame


class StreamingConv(StreamingLayer):
    """Dilated convolution of two or more taps; `weight` (C_out, taps * C_in) has the oldest tap first."""

    past: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, taps: int, dilation: int) -> None:
        super().__init__()
        self.taps, self.dilation = taps, dilation
        self.weight = constant(weight)
        self.bias = constant(bias)
        self.register_buffer("past", torch.zeros(1, (taps - 1) * dilation, weight.shape[1] // taps))

    def forward(self, x: Tensor) -> Tensor:
        frames = x.size(1)
        joined = torch.cat([self.past, x], 1)  # (B, past + T, C_in)
        self.past = joined[:, frames:]
        slices: list[Tensor] = []
        for tap in range(self.taps):
            slices.append(joined[:, tap * self.dilation : tap * self.dilation + frames])
        return F.linear(torch.cat(slices, 2), self.weight, self.bias)

    def start(self, batch: int) -> None:
        self.past = self.past.new_zeros([batch, self.past.size(1), self.past.size(2)])

    def earliest(self, frame: int) -> int:
        return frame - (self.taps - 1) * self.dilation


class StreamingDownsample(StreamingLayer):
    """Twin of Downsample: groups of `ratio` frames are one frame (a free view), then two taps."""

    def __init__(self, offline: Downsample) -> None:
        super().__init__()
        self.ratio = offline.ratio
        self.conv = StreamingConv(*taps_last(offline.conv), taps=2, dilation=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.reshape(x.size(0), x.size(1) // self.ratio, self.ratio * x.size(2)))

    def start(self, batch: int) -> None:
        self.conv.start(batch)

    def earliest(self, frame: int) -> int:
        return self.conv.earliest(frame) * self.ratio


class StreamingUpsample(StreamingLayer):
    """Twin of Upsample: two taps to `ratio` frames side by side, which a free view puts in a row."""

    def __init__(self, offline: Upsample) -> None:
        super().__init__()
        self.ratio = offline.ratio
        self.conv = StreamingConv(*taps_last(offline.conv), taps=2, dilation=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)  # (B, T, ratio * C_out)
        return y.reshape(y.size(0), y.size(1) * self.ratio, y.size(2) // self.ratio)

    def start(self, batch: int) -> None:
        self.conv.start(batch)

    def earliest(self, frame: int) -> int:
        return self.conv.earliest(frame // self.ratio)


class StreamingResidualUnit(StreamingLayer):
    """Twin of ResidualUnit."""

    def __init__(self, offline: ResidualUnit) -> None:
        super().__init__()
        self.dilated = twin_of(offline.dilated)
        self.pointwise = twin_of(offline.pointwise)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(activation(self.dilated(activation(x))))

    def start(self, batch: int) -> None:
        self.dilated.start(batch)
        self.pointwise.start(batch)

    def earliest(self, frame: int) -> int:
        return self.dilated.earliest(self.pointwise.earliest(frame))


class StreamingNoiseGate(StreamingLayer):
    """Twin of NoiseGate in eval mode: the table is read on from where the last call ended."""

    table: Tensor

    def __init__(self, offline: NoiseGate) -> None:
        super().__init__()
        self.gate = twin_of(offline.gate)
        self.mix = twin_of(offline.mix)
        self.register_buffer("table", offline.table.detach().t().clone().contiguous())  # (frames, bands)
        self.position = 0

    def forward(self, h: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(activation(h)))
        return self.mix(gate * self.noise(h.size(1)))

    def noise(self, frames: int) -> Tensor:
        """The next (frames, bands) of the table, which begins again after its end."""
        first, length = self.position, self.table.size(0)
        self.position = (first + frames) % length
        if first + frames <= length:
            return self.table[first : first + frames]
        turns = (first + frames + length - 1) // length
        return self.table.repeat(turns, 1)[first : first + frames]

    def start(self, batch: int) -> None:
        self.gate.start(batch)
        self.mix.start(batch)
        self.position = 0

    def earliest(self, frame: int) -> int:
        return self.gate.earliest(self.mix.earliest(frame))


class StreamingSequence(StreamingLayer):
    """Twin of nn.Sequential, or of a list of layers called one after the other."""

    def __init__(self, offline: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(twin_of(layer) for layer in offline)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def start(self, batch: int) -> None:
        for layer in self.layers:
            layer.start(batch)  # type: ignore[operator]

    def earliest(self, frame: int) -> int:
        for layer in reversed(list(self.layers)):
            frame = layer.earliest(frame)  # type: ignore[operator]
        return frame


def taps_last(conv: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """A convolution's weight as (C_out, taps * C_in), oldest tap first, and its bias; weight norm is folded in.

    A strided one of kernel 2 x ratio is thereby one of two taps over groups of `ratio` frames.
    """
    weight = conv.weight.detach()
    bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    return weight.permute(0, 2, 1).flatten(1), bias


def twin_of_conv(offline: CausalConv1d) -> StreamingLinear | StreamingConv:
    taps, dilation = offline.conv.kernel_size[0], offline.conv.dilation[0]
    if taps == 1:
        return StreamingLinear(*taps_last(offline.conv))
    return StreamingConv(*taps_last(offline.conv), taps=taps, dilation=dilation)


TWINS = {
    CausalConv1d: twin_of_conv,
    Downsample: StreamingDownsample,
    Upsample: StreamingUpsample,
    ResidualUnit: StreamingResidualUnit,
    NoiseGate: StreamingNoiseGate,
    nn.Sequential: StreamingSequence,
}


def twin_of(offline: nn.Module) -> StreamingLayer:
    """The streaming layer with an offline layer's weights. Raises: TypeError for a layer that has no twin."""
    for kind, make in TWINS.items():
        if type(offline) is kind:
            return make(offline)  # type: ignore[operator]
    raise TypeError(f"{type(offline).__name__} has no streaming twin; write one in export/layers.py")
