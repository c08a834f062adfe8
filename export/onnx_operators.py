"""Instruments in operators that runtimes of ONNX have: no complex numbers, no float64 convolution, no window views.

Modules are those of wavevae.nn with some sums written otherwise; what torch's exporter lacks, or gives with too few
digits, is said in other operators by `register`.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import JitScalarType, register_custom_op_symbolic

from wavevae.nn.instrument_encoder import SpectrumBands
from wavevae.nn.pitch import Frames, Loudness, PitchAnalysis
from wavevae.prior.improviser import Improviser

from .fitting import StreamingFit
from .synthesis import StreamingNoise

FLOAT, INT64 = 1, 7
"""ONNX's numbers of types. A sum of float32 is the faster one."""


def register(opset: int) -> None:
    """From now on, for every export."""
    symbolics: dict[str, Callable[..., Any]] = {
        "exp2": exp2,
        "searchsorted": searchsorted,
        "cummax": cummax,
        "frac": frac,
        "log_sigmoid": log_sigmoid,
        "cos": cos,
        "gru_cell": gru_cell,
    }
    for name, symbolic in symbolics.items():
        register_custom_op_symbolic(f"aten::{name}", symbolic, opset)


def number(g: Any, value: float, like: Any) -> Any:
    """A constant of the type of `like`."""
    kind = JitScalarType.from_value(like, JitScalarType.UNDEFINED)
    if kind != JitScalarType.UNDEFINED:
        return g.op("Constant", value_t=torch.tensor(value, dtype=kind.dtype()))
    return g.op("CastLike", g.op("Constant", value_t=torch.tensor(value, dtype=torch.float64)), like)


def whole(g: Any, *values: int) -> Any:
    return g.op("Constant", value_t=torch.tensor(values))


def exp2(g: Any, x: Any) -> Any:
    """The exporter's own has the base, and so the result, in float32."""
    return g.op("Pow", number(g, 2.0, x), x)


def frac(g: Any, x: Any) -> Any:
    """Of a phase in turns: 0 to 1, below 0 as well."""
    return g.op("Sub", x, g.op("Floor", x))


def searchsorted(g: Any, points: Any, x: Any, *rest: Any) -> Any:
    """How many of the points (n,), or of each row of x its own (B, n), lie below each x."""
    below = g.op("Less", g.op("Unsqueeze", points, whole(g, -2)), g.op("Unsqueeze", x, whole(g, -1)))
    count = g.op("ReduceSum", g.op("Cast", below, to_i=FLOAT), whole(g, -1), keepdims_i=0)
    return g.op("Cast", count, to_i=INT64)


def log_sigmoid(g: Any, x: Any) -> Any:
    """The exporter's own is minus infinity where a sigmoid is 0 in float32."""
    return g.op("Neg", g.op("Softplus", g.op("Neg", x)))


def cos(g: Any, x: Any) -> Any:
    """A sine a quarter of a turn ahead: runtimes have a cosine of float32 alone."""
    return g.op("Sin", g.op("Add", x, number(g, math.pi / 2, x)))


def gru_cell(g: Any, x: Any, hidden: Any, w: Any, w_hidden: Any, bias: Any, bias_hidden: Any) -> Any:
    """Of (B, n) and (B, width), with the weights in torch's order: reset, update, new."""

    def thirds(of: Any, weight: Any, shift: Any) -> Any:
        return g.op("Split", g.op("Gemm", of, weight, shift, transB_i=1), axis_i=1, outputs=3)

    x_reset, x_update, x_new = thirds(x, w, bias)
    reset, update, new = thirds(hidden, w_hidden, bias_hidden)
    reset = g.op("Sigmoid", g.op("Add", x_reset, reset))
    update = g.op("Sigmoid", g.op("Add", x_update, update))
    new = g.op("Tanh", g.op("Add", x_new, g.op("Mul", reset, new)))
    return g.op("Add", new, g.op("Mul", update, g.op("Sub", hidden, new)))


def cummax(g: Any, x: Any, dim: Any) -> tuple[Any, Any]:
    """The largest up to each place along the last axis; of where it stood nothing is said."""
    last = g.op("Gather", g.op("Shape", x), g.op("Constant", value_t=torch.tensor(-1)), axis_i=0)
    zero, one = (g.op("Constant", value_t=torch.tensor(value)) for value in (0, 1))
    place = g.op("Range", zero, last, one)
    reached = g.op(
        "LessOrEqual", g.op("Unsqueeze", place, whole(g, 0)), g.op("Unsqueeze", place, whole(g, 1))
    )
    rows = g.op("Where", reached, g.op("Unsqueeze", x, whole(g, -2)), number(g, float("-inf"), x))
    return g.op("ReduceMax", rows, axes_i=[-1], keepdims_i=0), whole(g, 0)


def windows_of(x: Tensor, length: int, hop: int) -> Tensor:
    """`x.unfold(1, length, hop)` of any number of frames: (B, T) -> (B, F, length)."""
    frames = (x.size(1) - length) // hop + 1
    places = torch.arange(frames)[:, None] * hop + torch.arange(length)
    return x[:, places]


class RealFourier(torch.autograd.Function):
    """(N, length) -> real and imaginary part of the lower half of the spectrum (N, length / 2 + 1, 2)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.view_as_real(torch.fft.rfft(x))

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:
        last = g.op("Constant", value_t=torch.tensor([-1]))
        return g.op("DFT", g.op("Unsqueeze", x, last), axis_i=1, onesided_i=1)


class PlainFrames(Frames):
    """Frames in operators that runtimes have for float64."""

    def low_pass(self, x: Tensor) -> Tensor:
        taps: list[float] = self.kernel.flatten().tolist()
        length = x.size(1) - len(taps) + 1
        parts = [tap * x[:, i : i + length][:, self.every - 1 :: self.every] for i, tap in enumerate(taps)]
        return torch.stack(parts).sum(0)

    def cut(self, low: Tensor) -> Tensor:
        return windows_of(low, self.window, self.hop)


class PlainAnalysis(PitchAnalysis):
    """PitchAnalysis by transforms of real numbers alone: of what is symmetric, forth is back."""

    def prepare(self) -> None:
        """With transforms of a power of two, which runtimes do several times as fast; zeros change nothing."""
        self.size = 1 << (self.size - 1).bit_length()
        self.taper_spectrum = torch.view_as_real(torch.fft.rfft(self.taper, self.size))

    def similarity(self, windows: Tensor) -> Tensor:
        x = windows - torch.matmul(windows, self.mean_taper).unsqueeze(1)
        tapered = x * self.taper
        padding = (0, self.size - tapered.size(1))
        first, second = (
            RealFourier.apply(nn.functional.pad(part, padding)) for part in (tapered, tapered * x)
        )
        shifted = self._back((first * first).sum(2))
        energies = self._back((second * self.taper_spectrum).sum(2))
        return shifted / (energies + self.floor)

    def _back(self, spectrum: Tensor) -> Tensor:
        whole = torch.cat([spectrum, spectrum[:, 1:-1].flip(1)], 1)
        return RealFourier.apply(whole)[:, : self.longest + 2, 0] / self.size


class PlainSpectrum(SpectrumBands):
    """SpectrumBands with such windows and transforms."""

    def forward(self, padded: Tensor) -> Tensor:
        windows = windows_of(padded, self.length, self.hop_length) * self.window
        spectrum = RealFourier.apply(windows.flatten(0, 1))
        power = spectrum.square().sum(2).view(windows.size(0), windows.size(1), -1)
        return (10.0 * torch.log10(torch.matmul(power, self.bands) + 1e-10)).transpose(1, 2)


class PlainLoudness(Loudness):
    """Loudness with such windows."""

    def of_padded(self, x: Tensor) -> Tensor:
        power = (windows_of(x.square(), self.kernel.shape[0], self.hop_length) * self.kernel).sum(2)
        return 10.0 * torch.log10(power.clamp_min(1e-10))


class PlainNoise(StreamingNoise):
    """StreamingNoise whose Fourier transform is a matrix product: complex numbers are not for every runtime."""

    def pieces(self, gain: Tensor, angle: Tensor) -> Tensor:
        """The tables are part of the graph, not of the file: a runtime computes what is constant once."""
        size = 2 * self.hop_length
        turns = torch.outer(self.bins, torch.arange(size)).remainder(size) / size
        ends = self.bins.remainder(self.hop_length) == 0.0
        table = torch.where(ends, 1.0, 2.0)[:, None] / size * self.window  # (bins, 2 hop)
        cosines = (table * torch.cos(2 * math.pi * turns)).float()
        sines = (table * torch.sin(2 * math.pi * turns)).float()
        return torch.mm(gain * torch.cos(angle), cosines) - torch.mm(gain * torch.sin(angle), sines)


class PlainFit(StreamingFit):
    """StreamingFit of one frame, without branches. `limit`, `x` and `y` are there from the start."""

    def forward(self, z: Tensor, transposing: Any, fit: Any) -> Tensor:
        """z (B, latents, 1); transposing (1,) 1 or 0; fit (1,)."""
        one, due = z[:, :, 0], torch.as_tensor(self.number % self.every == 0)
        before = (self.limit, self.x, self.y, self.wanted_shift)
        self._update_map()
        now = (self.limit, self.x, self.y, self.wanted_shift)
        self.limit, self.x, self.y, self.wanted_shift = (
            torch.where(due, new, old) for new, old in zip(now, before, strict=True)
        )
        self.number += 1
        self._count_frame(one)
        moved = one + fit * (self._fitted(one) - one)
        if self.pitched:
            kept, rested = (self.before, self.shift, self.fold), self.rested
            pitch = self._transposed(one)
            made, on = (self.before, self.shift, self.fold), transposing > 0
            self.before, self.shift, self.fold = (
                torch.where(on, new, old) for new, old in zip(made, kept, strict=True)
            )
            self.rested = (on & self.rested) | (~on & rested)
            moved = torch.cat([torch.where(on, pitch, moved[:, :1]), moved[:, 1:]], 1)
        return moved.unsqueeze(2)

    def start(self, voices: int) -> None:
        super().start(voices)
        self._update_map()


class PlainImproviser(Improviser):
    """Improviser whose settings are tensors (1,)."""

    def kernel_width(self, temperature: Any) -> Any:
        return temperature.clamp_min(self.narrowest)

    def pace(self, density: Any) -> Any:
        return density.clamp_min(1e-3)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    Frames: PlainFrames,
    PitchAnalysis: PlainAnalysis,
    SpectrumBands: PlainSpectrum,
    Loudness: PlainLoudness,
    StreamingNoise: PlainNoise,
    StreamingFit: PlainFit,
    Improviser: PlainImproviser,
}


def in_plain_operators(module: Any) -> Any:
    """A module, changed in place."""
    for part in [*module.modules()]:
        if type(part) in PLAIN:
            part.__class__ = PLAIN[type(part)]
            if hasattr(part, "prepare"):
                part.prepare()
    return module
