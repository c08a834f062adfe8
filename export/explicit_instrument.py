"""An instrument with its state in the open, as explicit.py has it for codecs: the offline modules with other layers.

The state is float64, since a phase and a frame number must not lose digits in an hour, and zeros at first: what begins
elsewhere (a loudness at -100 dB) is kept as its distance from there.
"""

import copy
import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from wavevae.nn.blocks import activation
from wavevae.nn.conv import CausalConv1d
from wavevae.nn.instrument import Instrument, InstrumentDecoder, InstrumentEncoder, SpectrumBands
from wavevae.nn.noise import BandNoise, random_turns
from wavevae.nn.pitch import (
    Frames,
    Loudness,
    PitchAnalysis,
    PitchTracker,
    StreamingPitchTracker,
    finite,
    start_of_path,
)
from wavevae.nn.synthesizer import LifeState, SynthesisState

from .axes import AxisMap
from .explicit import Remembering, Step, explicit_twin_of
from .torchscript import outlet_to_axes


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


Network = TypeVar("Network", InstrumentEncoder, InstrumentDecoder)
Kind = TypeVar("Kind", bound=nn.Module)


def of_kind(kind: type[Kind], offline: nn.Module) -> Kind:
    """A copy of a module as one of a class under its own."""
    assert issubclass(kind, type(offline))
    twin = copy.deepcopy(offline)
    twin.__class__ = kind
    return twin  # type: ignore[return-value]


def with_explicit_layers(offline: Network, outlet: CausalConv1d) -> Network:
    """A copy whose convolutions have their past in the open, with such an outlet."""
    network = copy.deepcopy(offline)
    for name, layer in {"inlet": offline.inlet, "core": offline.core, "outlet": outlet}.items():
        setattr(network, name, explicit_twin_of(layer))
    return network


class ExplicitFrames(Frames):
    """Frames in operators that runtimes have for float64."""

    def low_pass(self, x: Tensor) -> Tensor:
        taps: list[float] = self.kernel.flatten().tolist()
        length = x.size(1) - len(taps) + 1
        parts = [tap * x[:, i : i + length][:, self.every - 1 :: self.every] for i, tap in enumerate(taps)]
        return torch.stack(parts).sum(0)

    def cut(self, low: Tensor) -> Tensor:
        return windows_of(low, self.window, self.hop)


class ExplicitAnalysis(PitchAnalysis):
    """PitchAnalysis by transforms of real numbers alone: of what is symmetric, forth is back."""

    def lengthened(self) -> "ExplicitAnalysis":
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


class ExplicitSpectrum(SpectrumBands):
    """SpectrumBands with such windows and transforms."""

    def forward(self, padded: Tensor) -> Tensor:
        windows = windows_of(padded, self.length, self.hop_length) * self.window
        spectrum = RealFourier.apply(windows.flatten(0, 1))
        power = spectrum.square().sum(2).view(windows.size(0), windows.size(1), -1)
        return (10.0 * torch.log10(torch.matmul(power, self.bands) + 1e-10)).transpose(1, 2)


class ExplicitLoudness(Loudness):
    """Loudness with such windows."""

    def of_padded(self, x: Tensor) -> Tensor:
        power = (windows_of(x.square(), self.kernel.shape[0], self.hop_length) * self.kernel).sum(2)
        return 10.0 * torch.log10(power.clamp_min(1e-10))


def explicit_tracker(offline: PitchTracker) -> StreamingPitchTracker:
    """Its `step` in operators that runtimes have."""
    tracker = StreamingPitchTracker(copy.deepcopy(offline))
    tracker.frames = of_kind(ExplicitFrames, offline.frames)
    tracker.analysis = of_kind(ExplicitAnalysis, offline.analysis).lengthened()
    return tracker


class ExplicitInstrumentEncoder(Remembering):
    """The offline encoder, its last layer told beforehand; the sound that its windows reach back to, the low-passed
    sound and the path of the pitch."""

    exact = True
    path_start: Tensor

    def __init__(self, offline: InstrumentEncoder, outlet: CausalConv1d) -> None:
        super().__init__()
        self.encoder = with_explicit_layers(offline, outlet)
        self.loudness = of_kind(ExplicitLoudness, offline.loudness)
        self.spectrum = of_kind(ExplicitSpectrum, offline.spectrum)
        reach = max(self.loudness.past_samples, self.spectrum.past_samples)
        self.sizes, self.tracker = [reach], None
        self.register_buffer("path_start", start_of_path(1))
        if offline.tracker is not None:
            self.tracker = explicit_tracker(offline.tracker)
            self.sizes += [self.tracker.frames.past, self.path_start.numel()]
        self.numbers = sum(self.sizes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, controls + latents, T / hop_length)."""
        assert self.past is not None
        pasts = self.past.split(self.sizes, 1)
        fresh = finite(x[:, 0])
        sound, frames = torch.cat([pasts[0].float(), fresh], 1), fresh.size(1) // self.encoder.hop_length
        after = [sound[:, sound.size(1) - self.sizes[0] :].double()]
        loudness = self.loudness.of_padded(self._from(sound, self.loudness.past_samples))[:, None, :frames]
        bands = self.spectrum(self._from(sound, self.spectrum.past_samples))[..., :frames]
        controls = loudness
        if self.tracker is not None:
            raw = self._from(pasts[0], 2 * self.tracker.frames.half_kernel)
            path = pasts[2].view(-1, *self.path_start.shape[1:]) + self.path_start
            heard, _, low, path = self.tracker.step(fresh, raw, pasts[1], path)
            controls = torch.cat([heard[:, :1], loudness, heard[:, 1:]], 1)
            after += [low, (path - self.path_start).flatten(1)]
        self.past = torch.cat(after, 1)
        # what InstrumentEncoder.forward does from here on
        seen = self.encoder.seen(bands, controls)
        h = activation(self.encoder.core(self.encoder.inlet(seen)))
        return torch.cat([controls, self.encoder.outlet(torch.cat([h, seen], 1))], 1)

    def _from(self, sound: Tensor, past: int) -> Tensor:
        """The sound from so many samples before the block on."""
        return sound[:, self.sizes[0] - past :]


class ProductNoise(BandNoise):
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


class ExplicitInstrumentDecoder(Remembering):
    """The offline decoder; its layers, which remember what they saw, and the rest of its state."""

    exact = True
    life: Tensor
    """How much a held tone drifts; lent for one call."""
    starts: Tensor

    def __init__(self, offline: InstrumentDecoder) -> None:
        super().__init__()
        self.decoder = with_explicit_layers(offline, offline.outlet)
        self.decoder.synthesis.noise = ProductNoise(offline.synthesis.noise)
        first = offline.initial(1, torch.zeros(1))
        parts = [*first.life, *first.synthesis]
        self.shapes = [part.shape[1:] for part in parts]
        self.types = [part.dtype for part in parts]
        self.sizes = [part[0].numel() for part in parts]
        self.numbers = sum(self.sizes)
        starts = torch.cat([part.reshape(-1).double() for part in parts]).nan_to_num(0.0)
        self.register_buffer("starts", starts)

    def forward(self, z: Tensor) -> Tensor:
        """(B, latents, F) -> (B, 1, F x hop_length)."""
        voices = z.size(0)
        life, synthesis = self.state(voices)
        z, life = self.decoder.life(self.decoder.cleaned(z), self.life, life)
        sound, synthesis = self.decoder.sound(self.decoder.frames(z), synthesis)
        parts = zip((*life, *synthesis), self.sizes, strict=True)
        after = torch.cat([part.double().reshape(voices, size) for part, size in parts if size], 1)
        self.past = after - self.starts
        return sound

    def state(self, voices: int) -> tuple[LifeState, SynthesisState]:
        assert self.past is not None
        rest, parts = self.past + self.starts, []
        for size, kind, shape in zip(self.sizes, self.types, self.shapes, strict=True):
            parts.append(rest[:, :size].to(kind).reshape(voices, *shape) if size else torch.zeros(voices, 0))
            rest = rest[:, size:]
        count = len(LifeState._fields)
        life = LifeState(*parts[:count])
        nothing = torch.full_like(life.latents, float("nan"))  # as offline: the first frame is a move
        latents = torch.where(life.frame[:, None] == 0.0, nothing, life.latents)
        return life._replace(latents=latents), SynthesisState(*parts[count:])


class ToRaw(nn.Module):
    """The file's axes (B, kept, F) -> the model's latents (B, latents, F), those left out at their mean."""

    factor: Tensor
    offset: Tensor

    def __init__(self, axes: AxisMap) -> None:
        super().__init__()
        self.missing = len(axes.from_offset) - axes.kept
        self.register_buffer("factor", axes.from_matrix.diagonal()[:, None].clone())
        self.register_buffer("offset", axes.from_offset[:, None].clone())

    def forward(self, z: Tensor) -> Tensor:
        scaled = self.factor * z.double()
        if self.missing:
            scaled = nn.functional.pad(scaled, (0, 0, 0, self.missing))
        return (scaled + self.offset).float()


class InstrumentEncoderStep(Step):
    """Audio (B, 1, T) -> axes (B, kept, F)."""

    def __init__(self, model: Instrument, axes: AxisMap) -> None:
        outlet = outlet_to_axes(model.encoder.outlet, axes.learned(len(model.config.controls)))
        super().__init__([ExplicitInstrumentEncoder(model.encoder, outlet)], channels=1)


class InstrumentDecoderStep(Step):
    """Axes (B, kept, F) -> audio (B, 1, T); `life` (1,) is how much a held tone drifts."""

    def __init__(self, model: Instrument, axes: AxisMap) -> None:
        decoder = ExplicitInstrumentDecoder(model.decoder)
        super().__init__([ToRaw(axes), decoder], channels=axes.kept)
        self.decoder, self.settings = decoder, {"life": torch.tensor([model.life])}

    def forward(self, x: Tensor, state: Tensor, life: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.decoder.life = self.settings["life"] if life is None else life
        return super().forward(x, state)
