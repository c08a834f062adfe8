"""Instruments in operators that runtimes of ONNX have: no complex numbers, no float64 convolution, no window views.

Modules are those of wavevae.nn with some sums written otherwise; what torch's exporter lacks, or gives with too few
digits, is said in other operators by `register`.
"""

import copy
import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.onnx import register_custom_op_symbolic

from wavevae.nn.instrument_encoder import SpectrumBands
from wavevae.nn.noise import BandNoise, random_turns
from wavevae.nn.pitch import Frames, Loudness, PitchAnalysis, PitchTracker, StreamingPitchTracker

Kind = TypeVar("Kind", bound=nn.Module)


def register(opset: int) -> None:
    """From now on, for every export."""
    symbolics: dict[str, Callable[..., Any]] = {"exp2": exp2, "searchsorted": searchsorted, "cummax": cummax}
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


def searchsorted(g: Any, points: Any, x: Any, *rest: Any) -> Any:
    """How many of the points (n,) lie below each x."""
    below = g.op("Less", points, g.op("Unsqueeze", x, whole(g, -1)))
    return g.op("ReduceSum", g.op("Cast", below, to_i=7), whole(g, -1), keepdims_i=0)


def cummax(g: Any, x: Any, dim: Any) -> tuple[Any, Any]:
    """The largest up to each place along the last axis; of where it stood nothing is said."""
    last = g.op("Gather", g.op("Shape", x), g.op("Constant", value_t=torch.tensor(-1)), axis_i=0)
    zero, one = (g.op("Constant", value_t=torch.tensor(value)) for value in (0, 1))
    place = g.op("Range", zero, last, one)
    heard = g.op("LessOrEqual", g.op("Unsqueeze", place, whole(g, 0)), g.op("Unsqueeze", place, whole(g, 1)))
    rows = g.op("Where", heard, g.op("Unsqueeze", x, whole(g, -2)), number(g, float("-inf"), x))
    return g.op("ReduceMax", rows, axes_i=[-1], keepdims_i=0), whole(g, 0)


def of_kind(kind: type[Kind], offline: nn.Module) -> Kind:
    """A copy of a module as one of a class under its own."""
    assert issubclass(kind, type(offline))
    twin = copy.deepcopy(offline)
    twin.__class__ = kind
    return twin  # type: ignore[return-value]


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

    def lengthened(self) -> "PlainAnalysis":
        """With transforms of a power of two, which runtimes do several times as fast; zeros change nothing."""
        self.size = 1 << (self.size - 1).bit_length()
        self.taper_spectrum = torch.view_as_real(torch.fft.rfft(self.taper, self.size))
        return self

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


def plain_tracker(offline: PitchTracker) -> StreamingPitchTracker:
    """Its `step` in operators that runtimes have."""
    tracker = StreamingPitchTracker(copy.deepcopy(offline))
    tracker.frames = of_kind(PlainFrames, offline.frames)
    tracker.analysis = of_kind(PlainAnalysis, offline.analysis).lengthened()
    return tracker


class PlainNoise(BandNoise):
    """BandNoise whose Fourier transform is a matrix product: complex numbers are not for every runtime."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, offline: BandNoise) -> None:
        nn.Module.__init__(self)
        self.hop_length = offline.hop_length
        size = 2 * offline.hop_length
        turns = torch.outer(offline.bins, torch.arange(size)).remainder(size) / size
        weight = torch.full_like(offline.bins, 2.0)
        weight[0] = weight[-1] = 1.0
        table = weight[:, None] * offline.scale / size * offline.window  # (bins, 2 hop)
        for name, wave in {"cosines": torch.cos, "sines": torch.sin}.items():
            self.register_buffer(name, (table * wave(2 * math.pi * turns)).float())
        self.register_buffer("shares", offline.shares)
        self.register_buffer("bins", offline.bins)

    def forward(self, powers: Tensor, tail: Tensor, first_frame: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames = powers.size(0), powers.size(1)
        number = first_frame.unsqueeze(1) + torch.arange(frames)
        voice = torch.arange(batch, dtype=torch.float32)[:, None, None]  # as the product is offline
        angle = (2 * math.pi * random_turns(number.unsqueeze(2), voice, self.bins)).to(powers.dtype)
        gain = torch.sqrt(torch.matmul(powers, self.shares) + 1e-20)
        real, imaginary = gain * torch.cos(angle), gain * torch.sin(angle)
        pieces = torch.matmul(real, self.cosines) - torch.matmul(imaginary, self.sines)
        starts, ends = pieces[..., : self.hop_length], pieces[..., self.hop_length :]
        carried = torch.cat([tail.unsqueeze(1), ends[:, : frames - 1]], 1)
        return (starts + carried).reshape(batch, -1), ends[:, frames - 1]
