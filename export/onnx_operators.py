"""Instruments in operators that runtimes of ONNX have: no complex numbers, no float64 convolution, no window views.

Modules are those of wavevae.nn with some sums written otherwise; what torch's exporter lacks, or gives with too few
digits, is said in other operators by `register`.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import register_custom_op_symbolic

from wavevae.nn.instrument_encoder import SpectrumBands
from wavevae.nn.pitch import Frames, Loudness, PitchAnalysis

from .synthesis import StreamingNoise


def register(opset: int) -> None:
    """From now on, for every export."""
    symbolics: dict[str, Callable[..., Any]] = {
        "exp2": exp2,
        "searchsorted": searchsorted,
        "cummax": cummax,
        "frac": frac,
    }
    for name, symbolic in symbolics.items():
        register_custom_op_symbolic(f"aten::{name}", symbolic, opset)


def number(g: Any, value: float, like: Any) -> Any:
    """A constant of the type of `like`."""
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
    """How many of the points (n,) lie below each x."""
    below = g.op("Less", points, g.op("Unsqueeze", x, whole(g, -1)))
    return g.op("ReduceSum", g.op("Cast", below, to_i=7), whole(g, -1), keepdims_i=0)


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

    def prepare(self) -> None:
        size = 2 * self.hop_length
        turns = torch.outer(self.bins, torch.arange(size)).remainder(size) / size
        weight = torch.full_like(self.bins, 2.0)
        weight[0] = weight[-1] = 1.0
        table = weight[:, None] / size * self.window  # (bins, 2 hop)
        self.cosines = (table * torch.cos(2 * math.pi * turns)).float()
        self.sines = (table * torch.sin(2 * math.pi * turns)).float()

    def pieces(self, gain: Tensor, angle: Tensor) -> Tensor:
        return torch.mm(gain * torch.cos(angle), self.cosines) - torch.mm(gain * torch.sin(angle), self.sines)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    Frames: PlainFrames,
    PitchAnalysis: PlainAnalysis,
    SpectrumBands: PlainSpectrum,
    Loudness: PlainLoudness,
    StreamingNoise: PlainNoise,
}


def in_plain_operators(module: Any) -> Any:
    """A host module, changed in place; without the fitting to the corpus, which no ONNX file has."""
    if hasattr(module, "fitting"):
        module.fitting = None
    for part in [*module.modules()]:
        if type(part) in PLAIN:
            part.__class__ = PLAIN[type(part)]
            if hasattr(part, "prepare"):
                part.prepare()
    return module
