"""Streaming twins of the layers in wavevae.nn: the same sums, the past kept in a buffer instead of zeros.

    offline   (B, C, T), zeros on the left          streaming   rows, the last call's end on the left
              0 0 0 0 a b c d                                   w x y z a b c d

Rows are the frames of all voices, time first: (T * B, C), so that one frame back is B rows up and every voice is
in the same matrix. A convolution is: join the past and the input, lay the k dilated slices side by side on the
channel axis, one matrix product. For one voice and few frames that is 1.5 to 3 times as fast as `conv1d` on
cached input; half of what is left is the cost of calls, so there are few: everything is a matrix.

Every twin copies the weights of the offline layer it is built from and has
    forward(x (T * B, C_in))  any T >= 1; B as given to `start`
    start(voices)             forget the past, for that many voices

For few rows a product costs what reading its weights costs, and the BLAS of libtorch re-orders them at every call.
FBGEMM's half-precision product (`HalfMatrix`) reads half as much, ordered once at loading, and sums in float32: 2 to
3.8 times as fast for one to eight rows, a little slower from 64 rows on; on x86-64 with AVX2 only.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.nn.conv import SLOPE, CausalConv1d, Downsample, ResidualUnit, Upsample
from wavevae.nn.model import Autoencoder
from wavevae.nn.noise import NoiseGate

SMALLEST = 2**15
"""Weights a layer: below, a product in half precision gains nothing (measured on AVX2)."""
SMALLEST_STORED = 2**12
"""The same for rounding that only the size of the file gains by."""


def activation(x: Tensor, slope: float = SLOPE) -> Tensor:
    """wavevae.nn.conv.activation in the form that scripts (a script sees no module-level numbers)."""
    return F.leaky_relu(x, slope)


def activation_(x: Tensor, slope: float = SLOPE) -> Tensor:
    """The same in place."""
    return F.leaky_relu_(x, slope)


def to_rows(x: Tensor) -> Tensor:
    """(B, T, C) -> (T * B, C); for one voice a view."""
    return x.transpose(0, 1).reshape(-1, x.size(2))


def from_rows(rows: Tensor, voices: int) -> Tensor:
    """The reverse: (T * B, C) -> (B, T, C)."""
    return rows.view(-1, voices, rows.size(1)).transpose(0, 1)


def keep(module: nn.Module, **tensors: Tensor) -> None:
    """As buffers: copies without gradient."""
    for name, values in tensors.items():
        module.register_buffer(name, values.detach().clone().contiguous())


def constant(values: Tensor) -> nn.Parameter:
    """Weights for playing: a float32 copy without gradient."""
    return nn.Parameter(values.detach().to(torch.float32).clone().contiguous(), requires_grad=False)


class Matrix(nn.Module):
    """x (rows, C_in) -> x W' + b (rows, C_out), of a weight (C_out, C_in)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = constant(weight.t())  # (C_in, C_out)
        self.bias = constant(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """y + forward(x), in y's memory."""
        return y.add_(self.bias).addmm_(x, self.weight)


class HalfMatrix(nn.Module):
    """The same with weights of 16 bits, in the file as in memory; sums and rows stay float32.

    Loading one fails where FBGEMM is missing (ARM), so that a host fails at once and not as it plays.
    """

    def __init__(self, full: Matrix) -> None:
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(full.weight.t().contiguous(), full.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """y + forward(x), in y's memory."""
        return y.add_(torch.ops.quantized.linear_dynamic_fp16(x, self.packed))

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, bool]:
        weight, bias = torch.ops.quantized.linear_unpack_fp16(self.packed)
        assert bias is not None
        return weight.to(torch.float16), bias, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, bool]) -> None:
        self.packed = torch.ops.quantized.linear_prepack_fp16(state[0].to(torch.float32), state[1])
        self.training = state[2]


class StreamingLayer(nn.Module):
    """Interface of all twins."""

    if TYPE_CHECKING:  # what is not declared or assigned is a constant buffer

        def __getattr__(self, name: str) -> Tensor: ...

    def start(self, voices: int) -> None:
        """Forget the past."""
        raise AssertionError("a twin knows what it remembers")

    def restart(self, voice: int) -> None:
        """Forget the past of one voice."""
        raise AssertionError("a twin knows what it remembers")


class StreamingLinear(StreamingLayer):
    """Twin of a CausalConv1d of kernel 1: it has no past."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.product = Matrix(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x)

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """y + forward(x), in y's memory."""
        return self.product.add_to(y, x)

    def start(self, voices: int) -> None:
        pass

    def restart(self, voice: int) -> None:
        pass


class StreamingConv(StreamingLayer):
    """Dilated convolution of two or more taps; `weight` (C_out, taps * C_in) has the oldest tap first."""

    past: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, taps: int, dilation: int) -> None:
        super().__init__()
        self.taps, self.dilation = taps, dilation
        self.step = dilation
        """Rows from one tap to the next: dilation * B."""
        self.kept = (taps - 1) * dilation
        """Rows of the past."""
        self.product = Matrix(weight, bias)
        self.register_buffer("past", torch.zeros(self.kept, weight.shape[1] // taps))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.size(0)
        joined = torch.cat([self.past, x])  # (past + T * B, C_in)
        self.past = joined.narrow(0, rows, self.kept)
        first = joined.narrow(0, 0, rows)
        if self.taps == 2:  # written out, as are three taps: every call counts
            return self.product(torch.cat([first, x], 1))
        if self.taps == 3:
            return self.product(torch.cat([first, joined.narrow(0, self.step, rows), x], 1))
        slices = [first]
        for tap in range(self.taps - 1):
            slices.append(joined.narrow(0, (tap + 1) * self.step, rows))
        return self.product(torch.cat(slices, 1))  # (T * B, taps * C_in) before the product

    def start(self, voices: int) -> None:
        self.step = self.dilation * voices
        self.kept = (self.taps - 1) * self.step
        self.past = self.past.new_zeros([self.kept, self.past.size(1)])

    def restart(self, voice: int) -> None:
        self.past = self.past.clone()
        self.past.view(-1, self.step // self.dilation, self.past.size(1)).select(1, voice).fill_(0.0)


class StreamingResampler(StreamingLayer):
    """What the twins of Downsample and Upsample have in common: a convolution of two taps at the slower rate."""

    def __init__(self, offline: Downsample | Upsample) -> None:
        super().__init__()
        self.ratio = offline.ratio
        self.voices = 1
        self.conv = StreamingConv(*taps_last(offline.conv), taps=2, dilation=1)

    def start(self, voices: int) -> None:
        self.voices = voices
        self.conv.start(voices)


class StreamingDownsample(StreamingResampler):
    """Twin of Downsample: groups of `ratio` frames are one frame (for one voice a free view), then two taps."""

    def forward(self, x: Tensor) -> Tensor:
        groups = x.view(-1, self.ratio, self.voices, x.size(1)).transpose(1, 2)  # (T / ratio, B, ratio, C_in)
        return self.conv(groups.reshape(-1, self.ratio * x.size(1)))


class StreamingUpsample(StreamingResampler):
    """Twin of Upsample: two taps to `ratio` frames side by side, put in a row (for one voice a free view)."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)  # (T * B, ratio * C_out)
        channels = y.size(1) // self.ratio
        return y.view(-1, self.voices, self.ratio, channels).transpose(1, 2).reshape(-1, channels)


class StreamingResidualUnit(StreamingLayer):
    """Twin of ResidualUnit; its result takes the place of its input in memory."""

    def __init__(self, offline: ResidualUnit) -> None:
        super().__init__()
        self.dilated = twin_of(offline.dilated)
        pointwise = twin_of(offline.pointwise)
        assert isinstance(pointwise, StreamingLinear)
        self.pointwise = pointwise

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise.add_to(x, activation_(self.dilated(activation(x))))

    def start(self, voices: int) -> None:
        self.dilated.start(voices)
        self.pointwise.start(voices)

    def restart(self, voice: int) -> None:
        self.dilated.restart(voice)
        self.pointwise.restart(voice)


class StreamingNoiseGate(StreamingLayer):
    """Twin of NoiseGate in eval mode: the table is read on from where the last call ended."""

    def __init__(self, offline: NoiseGate) -> None:
        super().__init__()
        self.gate = twin_of(offline.gate)
        self.mix = twin_of(offline.mix)
        self.register_buffer("table", offline.table.detach().t().clone().contiguous())  # (frames, bands)
        self.position = 0
        self.voices = 1

    def forward(self, h: Tensor) -> Tensor:
        gate = torch.sigmoid_(self.gate(activation(h)))
        noise = self.noise(h.size(0) // self.voices)
        if self.voices > 1:
            noise = noise.unsqueeze(1).repeat(1, self.voices, 1).flatten(0, 1)  # the same for all voices
        return self.mix(gate.mul_(noise))

    def noise(self, frames: int) -> Tensor:
        """The next (frames, bands) of the table, which begins again after its end."""
        places = (torch.arange(frames) + self.position) % self.table.size(0)
        self.position = (self.position + frames) % self.table.size(0)
        return self.table.index_select(0, places)

    def start(self, voices: int) -> None:
        self.gate.start(voices)
        self.mix.start(voices)
        self.voices = voices
        self.position = 0


class StreamingSequence(StreamingLayer):
    """Twin of nn.Sequential, or of a list of layers called one after the other; `twins` makes the twin of each."""

    def __init__(self, offline: Iterable[nn.Module], twins: Callable[[nn.Module], StreamingLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(twins(layer) for layer in offline)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def start(self, voices: int) -> None:
        for layer in self.layers:
            layer.start(voices)  # type: ignore[operator]

    def restart(self, voice: int) -> None:
        for layer in self.layers:
            layer.restart(voice)  # type: ignore[operator]


class Rows(nn.Module):
    """How these layers want their frames: (B, T, C) -> rows, and back."""

    def forward(self, frames: Tensor) -> Tensor:
        return to_rows(frames)

    def back(self, rows: Tensor, voices: int) -> Tensor:
        return from_rows(rows, voices)


def taps_last(conv: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """A convolution's weight as (C_out, taps * C_in), oldest tap first, and its bias; weight norm is folded in.

    A strided one of kernel 2 x ratio is thereby one of two taps over groups of `ratio` frames.
    """
    weight = conv.weight.detach()
    bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    return weight.permute(0, 2, 1).flatten(1), bias


def pointwise(weight: Tensor, bias: Tensor) -> CausalConv1d:
    """A convolution of kernel 1 with these weights (C_out, C_in), which any kind of twin can be made of."""
    layer = CausalConv1d(weight.shape[1], weight.shape[0], 1)
    layer.conv.weight.data = weight.float()[:, :, None]
    layer.conv.bias = nn.Parameter(bias.float())
    return layer


def twin_of_conv(offline: CausalConv1d) -> StreamingLinear | StreamingConv:
    taps, dilation = offline.conv.kernel_size[0], offline.conv.dilation[0]
    if taps == 1:
        return StreamingLinear(*taps_last(offline.conv))
    return StreamingConv(*taps_last(offline.conv), taps=taps, dilation=dilation)


TWINS: dict[type[nn.Module], Callable[..., StreamingLayer]] = {
    CausalConv1d: twin_of_conv,
    Downsample: StreamingDownsample,
    Upsample: StreamingUpsample,
    ResidualUnit: StreamingResidualUnit,
    NoiseGate: StreamingNoiseGate,
    nn.Sequential: lambda layers: StreamingSequence(layers, twin_of),
}


def twin_of(
    offline: nn.Module,
    twins: Mapping[type[nn.Module], Callable[..., StreamingLayer]] = TWINS,
    file: str = "layers.py",
) -> StreamingLayer:
    """The streaming layer with an offline layer's weights. Raises: TypeError for a layer that has no twin."""
    if type(offline) not in twins:
        raise TypeError(f"{type(offline).__name__} has no streaming twin; write one in export/{file}")
    return twins[type(offline)](offline)


def refuse_unknown_parts(twin: nn.Module, offline: nn.Module) -> None:
    """Raises: TypeError when the offline network has a part that its twin does not mirror."""
    missing = {name for name, _ in offline.named_children()} - {name for name, _ in twin.named_children()}
    own = {
        name for name, _ in (*offline.named_parameters(recurse=False), *offline.named_buffers(recurse=False))
    }
    if missing | own:
        raise TypeError(
            f"{type(twin).__name__} does not mirror {sorted(missing | own)}; add it to export/streaming.py"
        )


def is_half(weight: Tensor) -> bool:
    """Large enough to gain, and of numbers that 16 bits hold."""
    return weight.numel() >= SMALLEST and bool(torch.equal(weight, weight.half().float()))


def round_weights(
    model: Autoencoder, dtype: torch.dtype = torch.float16, smallest: int = SMALLEST
) -> Autoencoder:
    """A copy whose large convolutions have weights that the 16 bits of `dtype` hold."""
    rounded = copy.deepcopy(model)
    for module in rounded.modules():
        if isinstance(module, nn.Conv1d) and module.weight.numel() >= smallest:
            round_(module.weight, dtype)
    return rounded


def round_(weight: Tensor, dtype: torch.dtype) -> None:
    """In place, to numbers that `dtype` holds."""
    weight.data = weight.data.to(dtype).to(weight.dtype)


def halve(instrument: nn.Module) -> None:
    """Keep in 16 bits what they hold: the weights that `round_weights` rounded, not those computed from others."""
    for module in [*instrument.modules()]:
        product = getattr(module, "product", None)
        if isinstance(product, Matrix) and is_half(product.weight):
            module.product = HalfMatrix(product)


def rounding_error(model: Autoencoder, rounded: Autoencoder, audio: Tensor) -> float:
    """Largest difference of their resyntheses of audio (B, 1, T), of full scale."""
    with torch.inference_mode():
        return float((model(audio) - rounded(audio)).abs().max())
