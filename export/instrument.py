"""The streaming twin of an instrument (wavevae.nn.instrument) behind the contract of nn~.

Latents go in and out as (B, latents, frames), the controls in natural units, the learned ones in standard deviations.
What is random, what runs (phase, frame number) and what is remembered follow the batch: one of each a voice.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import copy
import math

import torch
from torch import Tensor, nn

from wavevae.model_config import (
    HIGHEST_LOUDNESS,
    HIGHEST_PITCH,
    LATENT_LIMIT,
    LOWEST_LOUDNESS,
    LOWEST_PITCH,
)
from wavevae.nn.bottlenecks.base import codebook_sizes
from wavevae.nn.conv import CausalConv1d
from wavevae.nn.instrument import Instrument, InstrumentDecoder
from wavevae.nn.instrument_encoder import InstrumentEncoder, SpectrumBands
from wavevae.nn.pitch import StreamingLoudness, StreamingPitchTracker, finite

from .bottlenecks import twin_of_bottleneck
from .codes import InstrumentCodes, with_codes
from .conditional import ClassAttributes, ClassWeights
from .fitting import StreamingFit
from .latent_pca import AxisMap, corpus_profile
from .layers import StreamingSequence, activation, from_rows, to_rows, twin_of
from .streaming import refuse_unknown_parts
from .synthesis import StreamingLife, StreamingSynthesis, keep
from .torchscript import FLOAT, INT, HostModule, outlet_to_axes, pointwise

UNITS = {"pitch": "MIDI", "loudness": "dB", "periodicity": "0..1"}
"""Of the controls, as hosts show them."""
LIFE_RANGE, TRANSPOSE_RANGE = (0.0, 2.0), (-48.0, 48.0)


class StreamingSpectrum(nn.Module):
    """Twin of SpectrumBands: blocks (B, hops x hop_length) -> dB (B, bands, hops)."""

    past: Tensor

    def __init__(self, spectrum: SpectrumBands) -> None:
        super().__init__()
        self.spectrum = copy.deepcopy(spectrum)
        self.hop_length = spectrum.hop_length
        self.register_buffer("past", torch.zeros(1, spectrum.past_samples))

    def forward(self, x: Tensor) -> Tensor:
        padded = torch.cat([self.past, finite(x)], 1)
        self.past = padded[:, padded.size(1) - self.past.size(1) :].clone()
        return self.spectrum(padded)[:, :, : x.size(1) // self.hop_length]

    def start(self, voices: int) -> None:
        self.past = self.past.new_zeros([voices, self.past.size(1)])


class Told(nn.Module):
    """The class bias of a network: one row that is added to all, of no class at first."""

    classes: Tensor
    row: Tensor

    def __init__(self, bias: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("classes", bias.weight.detach().t().clone())  # (classes + 1, width)
        self.register_buffer("row", self.classes[-1:].clone())

    def forward(self, h: Tensor) -> Tensor:
        return h + self.row

    def tell(self, weights: Tensor) -> None:
        none = (1.0 - weights.sum()).clamp_min(0.0).unsqueeze(0)
        self.row = torch.cat([weights, none]).unsqueeze(0) @ self.classes


class Untold(nn.Module):
    """Of a model without classes."""

    def forward(self, h: Tensor) -> Tensor:
        return h

    def tell(self, weights: Tensor) -> None:
        pass


def told_by(bias: nn.Linear | None) -> nn.Module:
    return Untold() if bias is None else Told(bias)


class StreamingInstrumentEncoder(nn.Module):
    """Twin of InstrumentEncoder, its last layer told beforehand: sound (B, T) -> controls (B, C, F), rows."""

    middle: Tensor
    size: Tensor

    def __init__(self, offline: InstrumentEncoder, outlet: CausalConv1d) -> None:
        super().__init__()
        self.tracker = (
            None if offline.tracker is None else StreamingPitchTracker(copy.deepcopy(offline.tracker))
        )
        self.loudness = StreamingLoudness(copy.deepcopy(offline.loudness))
        self.spectrum = StreamingSpectrum(offline.spectrum)
        self.inlet = twin_of(offline.inlet)
        self.class_bias = told_by(offline.class_bias)
        self.core = StreamingSequence(offline.core, twin_of)
        self.outlet = twin_of(outlet)
        scales = torch.tensor(offline.scale_of_controls).t()
        self.register_buffer("middle", scales[0][:, None].clone())
        self.register_buffer("size", scales[1][:, None].clone())
        refuse_unknown_parts(self, offline)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loudness = self.loudness(x)
        controls = loudness
        if self.tracker is not None:
            heard = self.tracker(x)
            controls = torch.cat([heard[:, :1], loudness, heard[:, 1:]], 1)
        relative = (self.spectrum(x) - loudness).clamp(-80.0, 20.0) / 20.0 + 1.5
        seen = torch.cat([relative, (controls - self.middle) / self.size], 1)
        rows = to_rows(seen.transpose(1, 2))
        h = self.class_bias(self.inlet(rows))
        return controls, self.outlet(torch.cat([activation(self.core(h)), rows], 1))

    def start(self, voices: int) -> None:
        if self.tracker is not None:
            self.tracker.start(voices)
        self.loudness.start(voices)
        self.spectrum.start(voices)
        self.inlet.start(voices)
        self.core.start(voices)


class StreamingInstrumentDecoder(nn.Module):
    """Twin of InstrumentDecoder: latents in natural units (B, latents, F) -> sound (B, 1, F x hop_length)."""

    lowest: Tensor
    highest: Tensor
    low: Tensor
    high: Tensor
    middle: Tensor
    size: Tensor

    def __init__(self, offline: InstrumentDecoder) -> None:
        super().__init__()
        self.loudness_at = offline.loudness_at
        self.life = StreamingLife(offline.life)
        self.inlet = twin_of(offline.inlet)
        self.class_bias = told_by(offline.class_bias)
        self.core = StreamingSequence(offline.core, twin_of)
        self.synthesis = StreamingSynthesis(offline.shares, offline.synthesis)
        self.outlet = twin_of(reordered(offline.outlet, self.synthesis.shares.outlet_order()))
        self._limits(offline, len(offline.life.spread) - offline.n_controls)
        self.voices, self.frame = 1, 0
        """Number of the next frame, the same for all voices."""

    def _limits(self, offline: InstrumentDecoder, learned: int) -> None:
        """What can be played, what the network gets of it, and how that is scaled: (latents,) each."""
        low, high = [LOWEST_LOUDNESS], [HIGHEST_LOUDNESS]
        if offline.pitched:
            low, high = [LOWEST_PITCH, *low, 0.0], [HIGHEST_PITCH, *high, 1.0]
        scales = [*offline.scale_of_controls, *[(0.0, 1.0)] * learned]
        none = torch.full([learned], math.inf)
        keep(
            self,
            lowest=torch.tensor([*low, *[-LATENT_LIMIT] * learned]),
            highest=torch.tensor([*high, *[LATENT_LIMIT] * learned]),
            low=torch.cat([offline.low, -none]),
            high=torch.cat([offline.high, none]),
            middle=torch.tensor([middle for middle, _ in scales]),
            size=torch.tensor([size for _, size in scales]),
        )

    def forward(self, z: Tensor, life: float) -> Tensor:
        z = torch.clamp(to_rows(z.transpose(1, 2)), self.lowest, self.highest)
        z = self.life(z, life, self.frame, self.voices)
        seen = (torch.clamp(z, self.low, self.high) - self.middle) / self.size
        h = self.class_bias(self.inlet(seen))
        out = self.outlet(torch.cat([activation(self.core(h)), seen], 1))
        pitch, loudness = z[:, :1].to(torch.float64), z[:, self.loudness_at : self.loudness_at + 1]
        sound = self.synthesis(out, pitch, loudness, self.frame)
        self.frame += z.size(0) // self.voices
        return sound

    def start(self, voices: int) -> None:
        self.voices, self.frame = voices, 0
        self.life.start(voices)
        self.inlet.start(voices)
        self.core.start(voices)
        self.synthesis.start(voices)

    def restart(self, voice: int) -> None:
        self.life.restart(voice)
        self.inlet.restart(voice)
        self.core.restart(voice)
        self.synthesis.restart(voice)


def reordered(layer: CausalConv1d, rows: Tensor) -> CausalConv1d:
    """A convolution of kernel 1 whose outputs come in another order."""
    assert layer.conv.bias is not None
    return pointwise(layer.conv.weight.detach()[rows, :, 0], layer.conv.bias.detach()[rows])


class InstrumentModule(ClassWeights, HostModule):
    """Streaming encode, decode and forward of an instrument.

    Attributes beside gain and temperature: `life` (how much a held tone drifts, 0 to 2); of encode and forward, with a
    pitch, `transpose` (semitones); where the profile of the corpus is known, `fit` (0 as the input is, 1 as the corpus
    is) and `transpose_auto` (1: by whole octaves into the range of the corpus).
    """

    factor: Tensor
    offset: Tensor
    learned: Tensor
    heard: Tensor

    def __init__(self, model: Instrument, axes: AxisMap) -> None:
        super().__init__(model, axes)
        config = model.config
        self.register_buffer(
            "heard", torch.zeros(1, len(config.controls))
        )  # the last frame's, before it is moved
        self.controls, self.pitched = len(config.controls), config.has_oscillator_pitch
        learned = axes.learned(self.controls)
        offline = model.bottleneck.learned
        self.bottleneck = twin_of_bottleneck(offline)
        self.to_axes = (
            None if self.bottleneck is None else twin_of(pointwise(learned.to_matrix, learned.to_offset))
        )
        outlet = model.encoder.outlet
        if self.bottleneck is None:
            outlet = outlet_to_axes(outlet, learned)
        self.encoder = StreamingInstrumentEncoder(model.encoder, outlet)
        self.decoder = StreamingInstrumentDecoder(model.decoder)
        whole = model.latent_dim
        factor = torch.zeros(whole)
        factor[: axes.kept] = axes.from_matrix.diagonal().float()
        self.register_buffer("factor", factor[:, None])
        self.register_buffer("offset", axes.from_offset.float()[:, None].clone())
        self.register_buffer("learned", (torch.arange(axes.kept) >= self.controls).float()[:, None])
        self.missing = whole - axes.kept
        known = corpus_profile(model, axes)
        self.fitting = None if known is None or not known.frames else StreamingFit(known)
        self.fit, self.transpose_auto = 0.0, 0
        self.life, self.life_range = 1.0, LIFE_RANGE
        self.transpose, self.transpose_range = 0.0, TRANSPOSE_RANGE
        self.has_classes(len(config.classes) if config.has_class else 0)
        self._attribute("life", FLOAT)
        if self.pitched:
            self._attribute("transpose", FLOAT)
        if self.fitting is not None:
            self._attribute("fit", FLOAT)
            if self.pitched:
                self._attribute("transpose_auto", INT)
        if config.has_class:
            self._attribute("class", INT)
            self._attribute("input_class", INT)
        self.describe(config.sample_rate, [label(axis.name) for axis in axes.axes])

    def _attribute(self, name: str, kind: int) -> None:
        self.attributes.append(name)
        self.register_buffer(f"{name}_params", torch.tensor([kind]))

    def listen(self, x: Tensor) -> Tensor:
        controls, h = self.encoder(x[:, 0])
        if controls.size(2) > 0:
            self.heard = controls[:, :, controls.size(2) - 1].clone()
        if self.bottleneck is not None and self.to_axes is not None:
            h = self.to_axes(self.bottleneck(h))
        z = torch.cat([controls, from_rows(h, x.size(0)).transpose(1, 2)], 1)
        if self.fitting is not None and (self.fit > 0.0 or self.transpose_auto != 0):
            z = self.fitting(z, self.transpose_auto != 0, self.fit)
        if self.pitched and self.transpose != 0.0:
            z = torch.cat([z[:, :1] + self.transpose, z[:, 1:]], 1)
        return z

    def speak(self, z: Tensor, voices: int) -> Tensor:
        if self.temperature > 0.0:
            z = z + self.temperature * self.learned * torch.randn_like(z)
        if self.missing > 0:
            z = torch.cat([z, z.new_zeros([z.size(0), self.missing, z.size(2)])], 1)
        return self.decoder(torch.addcmul(self.offset, z, self.factor), self.life)

    def start_encoder(self, voices: int) -> None:
        self.heard = self.heard.new_zeros([voices, self.heard.size(1)])
        self.encoder.start(voices)
        if self.bottleneck is not None:
            self.bottleneck.start(voices)
        if self.fitting is not None:
            self.fitting.start(voices)

    def start_decoder(self, voices: int) -> None:
        self.decoder.start(voices)

    @torch.jit.export
    def restart(self, voice: int) -> None:
        """Of a batch that is decoded, one voice begins anew: what comes next sounds as a first tone does."""
        if 0 <= voice < self.decoder_voices:
            self.decoder.restart(voice)

    def tell(self) -> None:
        self.decoder.class_bias.tell(self.weights)  # type: ignore[operator]
        self.encoder.class_bias.tell(self.input_weights())  # type: ignore[operator]

    @torch.jit.export
    def set_life(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.life = min(max(value, self.life_range[0]), self.life_range[1])
        return 0

    @torch.jit.export
    def get_life(self) -> tuple[float]:
        return (self.life,)

    @torch.jit.export
    def set_transpose(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.transpose = min(max(value, self.transpose_range[0]), self.transpose_range[1])
        return 0

    @torch.jit.export
    def get_transpose(self) -> tuple[float]:
        return (self.transpose,)

    @torch.jit.export
    def set_transpose_auto(self, value: int) -> int:
        """Any number but 0: by whole octaves into the corpus' range."""
        self.transpose_auto = int(value != 0)
        return 0

    @torch.jit.export
    def get_transpose_auto(self) -> tuple[int]:
        return (self.transpose_auto,)

    @torch.jit.export
    def set_fit(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.fit = min(max(value, 0.0), 1.0)
        return 0

    @torch.jit.export
    def get_fit(self) -> tuple[float]:
        return (self.fit,)


class ClassedInstrumentModule(ClassAttributes, InstrumentModule):
    """Of a model that is told classes."""


def label(name: str) -> str:
    """What a host shows: the name and the unit, if it has one."""
    return f"{name} ({UNITS[name]})" if name in UNITS else name


def instrument_module(model: Instrument, axes: AxisMap) -> InstrumentModule:
    """The kind of module that an instrument needs."""
    kind = ClassedInstrumentModule if model.config.has_class else InstrumentModule
    if codebook_sizes(model.config):
        kind = with_codes(InstrumentCodes, kind)  # type: ignore[assignment]
    return kind(model, axes)
