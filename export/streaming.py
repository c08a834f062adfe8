"""Streaming twins of the networks of both families (wavevae.nn.model, instrument, instrument_encoder), line by line.

Without labels those of a codec hold for any kind of layer twins whose dimension 1 is channels: `twins` makes them.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from wavevae.model_config import (
    HIGHEST_LOUDNESS,
    HIGHEST_PITCH,
    LATENT_LIMIT,
    LOWEST_LOUDNESS,
    LOWEST_PITCH,
)
from wavevae.nn.conv import CausalConv1d, Downsample, Upsample
from wavevae.nn.instrument import InstrumentDecoder
from wavevae.nn.instrument_encoder import InstrumentEncoder, SpectrumBands
from wavevae.nn.model import Decoder, Encoder
from wavevae.nn.pitch import StreamingLoudness, StreamingPitchTracker, finite

from .conditional import (
    Oscillators,
    StreamingPartialAnalysis,
    StreamingPartialSynthesis,
    twin_of_conditioning,
)
from .layers import (
    StreamingLayer,
    StreamingSequence,
    activation,
    keep,
    pointwise,
    refuse_unknown_parts,
    to_rows,
    twin_of,
)
from .synthesis import StreamingLife, StreamingSynthesis

Twins = Callable[[nn.Module], StreamingLayer]


class StreamingNetwork(StreamingLayer):
    """What the twins of Encoder and Decoder have in common."""

    def __init__(
        self, offline: Any, twins: Twins, rows: list[int], partials: Callable[..., Oscillators]
    ) -> None:
        """`rows` of one voice that each place of the conditioning has in a hop; `partials` makes their twin."""
        super().__init__()
        self.inlet = twins(offline.inlet)
        self.stages = StreamingSequence(offline.stages, twins)
        self.core = twins(offline.core)
        self.outlet = twins(offline.outlet)
        noise = getattr(offline, "noise", None)
        self.noise = None if noise is None else twins(noise)
        self.conditioning = twin_of_conditioning(offline.conditioning, rows)
        self.partials = None if offline.partials is None else partials(offline.partials, offline.fold)
        refuse_unknown_parts(self, offline)

    def start(self, voices: int) -> None:
        self.conditioning.start(voices)
        self.inlet.start(voices)
        self.stages.start(voices)
        self.core.start(voices)
        self.outlet.start(voices)
        if self.noise is not None:
            self.noise.start(voices)
        if self.partials is not None:
            self.partials.start(voices)

    def set_labels(self, weights: Tensor, pitch: float) -> None:
        """Class weights (n,) and MIDI pitch, below 0 for none, hold from now on; of a conditional model."""
        self.conditioning.set_labels(weights, pitch)  # type: ignore[operator]
        if self.partials is not None:
            self.partials.tune(pitch)


class StreamingEncoder(StreamingNetwork):
    """Twin of Encoder: folded samples -> latent frames, a whole number of hops."""

    def __init__(self, offline: Encoder, twins: Twins = twin_of) -> None:
        super().__init__(offline, twins, rows_of_places(offline), StreamingPartialAnalysis)
        self.last = len(offline.stages)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inlet(x)
        for place, stage in enumerate(self.stages.layers):
            h = stage(self.conditioning(place, h))
        if self.partials is not None:
            h = self.partials(h, x)
        h = self.conditioning(self.last, h)
        self.conditioning.advance(h.size(0))
        return self.outlet(self.core(h))


class StreamingDecoder(StreamingNetwork):
    """Twin of Decoder: latent frames -> folded samples."""

    def __init__(self, offline: Decoder, twins: Twins = twin_of) -> None:
        super().__init__(offline, twins, [1, *rows_of_places(offline)[:0:-1]], StreamingPartialSynthesis)

    def forward(self, z: Tensor) -> Tensor:
        h = deep = self.core(self.conditioning(0, self.inlet(z)))
        for place, stage in enumerate(self.stages.layers):
            h = stage(self.conditioning(place + 1, h))
        self.conditioning.advance(z.size(0))
        if self.noise is not None:
            h = h + self.noise(h)
        y = self.outlet(h)  # (T / fold * B, fold)
        if self.partials is not None:
            y = self.partials(y, deep)
        return y.clamp(-1.0, 1.0)


def rows_of_places(offline: Encoder | Decoder) -> list[int]:
    """Rows a hop before each stage of an encoder and after the last; of a decoder the other way round."""
    ratios = [layer.ratio for layer in offline.stages.modules() if isinstance(layer, (Downsample, Upsample))]
    ratios = ratios[::-1] if isinstance(offline, Decoder) else ratios
    return [math.prod(ratios[place:]) for place in range(len(ratios) + 1)]


class StreamingSpectrum(StreamingLayer):
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


class ClassBias(StreamingLayer):
    """The class bias of a network: one row that is added to all, of no class at first."""

    def __init__(self, bias: nn.Linear) -> None:
        super().__init__()
        keep(self, classes=bias.weight.t())  # (classes + 1, width)
        keep(self, row=self.classes[-1:])

    def forward(self, h: Tensor) -> Tensor:
        return h + self.row

    def row_of(self, weights: Tensor) -> Tensor:
        """Shares (N, classes) -> (N, width)."""
        none = (1.0 - weights.sum(1, keepdim=True)).clamp_min(0.0)
        return torch.cat([weights, none], 1) @ self.classes

    def set_classes(self, weights: Tensor) -> None:
        """Shares (classes,) hold from now on."""
        self.row = self.row_of(weights.unsqueeze(0))


class StreamingInstrumentEncoder(StreamingLayer):
    """Twin of InstrumentEncoder, its last layer given: sound (B, T) -> controls (B, C, F), rows."""

    def __init__(self, offline: InstrumentEncoder, outlet: CausalConv1d) -> None:
        super().__init__()
        tracker = copy.deepcopy(offline.tracker)
        self.tracker = None if tracker is None else StreamingPitchTracker(tracker)
        self.loudness = StreamingLoudness(copy.deepcopy(offline.loudness))
        self.spectrum = StreamingSpectrum(offline.spectrum)
        self.inlet = twin_of(offline.inlet)
        self.class_bias = None if offline.class_bias is None else ClassBias(offline.class_bias)
        self.core = StreamingSequence(offline.core, twin_of)
        self.outlet = twin_of(outlet)
        middle, size = torch.tensor(offline.scale_of_controls).t()[:, :, None]
        keep(self, middle=middle, size=size)
        refuse_unknown_parts(self, offline)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loudness = self.loudness(x)
        controls = loudness
        if self.tracker is not None:
            pitch = self.tracker(x)
            controls = torch.cat([pitch[:, :1], loudness, pitch[:, 1:]], 1)
        relative = (self.spectrum(x) - loudness).clamp(-80.0, 20.0) / 20.0 + 1.5
        seen = torch.cat([relative, (controls - self.middle) / self.size], 1)
        rows = to_rows(seen.transpose(1, 2))
        h = self.inlet(rows)
        if self.class_bias is not None:
            h = self.class_bias(h)
        return controls, self.outlet(torch.cat([activation(self.core(h)), rows], 1))

    def start(self, voices: int) -> None:
        if self.tracker is not None:
            self.tracker.start(voices)
        self.loudness.start(voices)
        self.spectrum.start(voices)
        self.inlet.start(voices)
        self.core.start(voices)


class StreamingInstrumentDecoder(StreamingLayer):
    """Twin of InstrumentDecoder: latents in natural units (B, latents, F) -> sound (B, 1, F x hop_length)."""

    def __init__(self, offline: InstrumentDecoder) -> None:
        super().__init__()
        self.loudness_at = offline.loudness_at
        self.life = StreamingLife(offline.life)
        self.inlet = twin_of(offline.inlet)
        self.class_bias = None if offline.class_bias is None else ClassBias(offline.class_bias)
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
        h = self.inlet(seen)
        if self.class_bias is not None:
            h = self.class_bias(h)
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
