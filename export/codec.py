"""What export knows of the codec family: the scripted module of one, with its labels as attributes of nn~.

    class         int      number of the class that is played, -1: none
    pitch         float    MIDI, fractions are cents / 100, -1: none
    input_class   int      label of the sound that comes in, -2: the same as is played, -1: none
    input_pitch   float    the same

One number an attribute: nn.ar sends no more. A mix of classes has a method of its own, for programs.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

# mypy: disable-error-code="operator, union-attr, arg-type, misc, attr-defined, call-overload, index, has-type"
# (what a host module has is not known to what is mixed into it)

import math
from typing import Any

import torch
from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.latents import LatentStatistics
from wavevae.nn.bottlenecks.base import codebook_sizes
from wavevae.nn.conditioning import PITCHES
from wavevae.nn.model import Autoencoder

from .bottlenecks import twin_of_bottleneck
from .latent_pca import AxisMap, axis_map
from .layers import SMALLEST_STORED, Rows, halve, pointwise, round_weights, twin_of
from .model_file import Choices, FamilyExporter, refuse_beyond_plain
from .streaming import StreamingDecoder, StreamingEncoder, Twins
from .torchscript import (
    FLOAT,
    INT,
    NONE,
    SAME,
    ClassAttributes,
    ClassWeights,
    CodeMethods,
    HostModule,
    with_mixins,
)


class CodecModule(HostModule):
    """Streaming encode, decode and forward of a codec, with its latent axes."""

    def __init__(self, model: Autoencoder, axes: AxisMap, twins: Twins = twin_of, layout: Any = None) -> None:
        """`twins` makes a layer's streaming twin, `layout` brings frames into the twins' form and back."""
        super().__init__(model, axes, [f"{axis.name} ({axis.share:.0%} of variance)" for axis in axes.axes])
        self.fold = model.config.fold
        self.layout: Any = Rows() if layout is None else layout
        self.encoder = StreamingEncoder(model.encoder, twins)
        self.bottleneck = twin_of_bottleneck(model.bottleneck)
        self.to_axes: Any = None
        if self.bottleneck is None:
            self.encoder.outlet = twins(axes.applied_to(model.encoder.outlet))
        else:
            self.to_axes = twins(pointwise(axes.to_matrix, axes.to_offset))
        self.decoder = StreamingDecoder(model.decoder, twins)
        self.from_axes = twins(pointwise(axes.from_matrix, axes.from_offset))

    def to_host(self, z: Tensor, voices: int) -> Tensor:
        return self.layout.back(z, voices).transpose(1, 2).contiguous()

    def from_host(self, z: Tensor) -> Tensor:
        return self.layout(z.transpose(1, 2))

    def start_encoder(self, voices: int) -> None:
        self.encoder.start(voices)
        if self.bottleneck is not None:
            self.bottleneck.start(voices)

    def start_decoder(self, voices: int) -> None:
        self.decoder.start(voices)

    def to_latents(self, x: Tensor) -> Tensor:
        h = self.encoder(self.layout(x.reshape(x.size(0), -1, self.fold)))
        if self.bottleneck is not None:
            h = self.to_axes(self.bottleneck(h))
        return h

    def to_sound(self, z: Tensor, voices: int) -> Tensor:
        if self.temperature > 0.0:
            z = z + self.temperature * torch.randn_like(z)
        return self.layout.back(self.decoder(self.from_axes(z)), voices).reshape(voices, 1, -1)


class LabelledCodec(ClassWeights, CodecModule):
    """What every conditional codec has: its labels, and a way to hand them to both networks."""

    def __init__(self, model: Autoencoder, axes: AxisMap) -> None:
        super().__init__(model, axes)
        config = model.config
        self.register_classes(len(config.classes) if config.has_class else 0)
        self.highest = PITCHES - 1
        self.pitch, self.input_pitch = float(NONE), float(SAME)
        for name in config.decoder_labels:
            for attribute in (name, f"input_{name}"):
                self.add_attribute(attribute, INT if name == "class" else FLOAT)

    def update_labels(self) -> None:
        self.decoder.set_labels(self.weights, self.single(self.pitch))
        pitch = self.pitch if self.input_pitch == float(self.same) else self.input_pitch
        self.encoder.set_labels(self.input_weights(), self.single(pitch))

    def single(self, value: float) -> float:
        """As the offline model has it, in float32: in a minute the last digits of a pitch become a phase."""
        return float(torch.full([1], value).item())


class PitchAttributes(nn.Module):
    """Attributes `pitch` and `input_pitch` of a labelled codec. A mix-in."""

    def is_pitch(self, value: float) -> bool:
        return math.isfinite(value) and 0.0 <= value <= float(self.highest)

    @torch.jit.export
    def set_pitch(self, value: float) -> int:
        if not self.is_pitch(value) and value != float(self.none):
            return -1
        self.pitch = value
        self.update_labels()
        return 0

    @torch.jit.export
    def get_pitch(self) -> tuple[float]:
        return (self.pitch,)

    @torch.jit.export
    def set_input_pitch(self, value: float) -> int:
        if not self.is_pitch(value) and value != float(self.none) and value != float(self.same):
            return -1
        self.input_pitch = value
        self.update_labels()
        return 0

    @torch.jit.export
    def get_input_pitch(self) -> tuple[float]:
        return (self.input_pitch,)


class CodecCodes(CodeMethods):
    """Codes of a codec. A mix-in."""

    def to_codes(self, x: Tensor) -> Tensor:
        rows = self.encoder(self.layout(x.reshape(x.size(0), -1, self.fold)))
        return self.layout.back(self.bottleneck.codes(rows), x.size(0)).transpose(1, 2)

    def axes_of_codes(self, codes: Tensor) -> Tensor:
        return self.to_axes(self.bottleneck.from_codes(self.layout(codes.transpose(1, 2))))


def codec_module(config: ModelConfig) -> Any:
    """The kind of module that a codec needs."""
    kind = LabelledCodec if config.decoder_labels else CodecModule
    return with_mixins(
        kind,
        CodecCodes if codebook_sizes(config) else None,
        ClassAttributes if config.has_class else None,
        PitchAttributes if config.has_pitch else None,
    )


class CodecExporter(FamilyExporter):
    """Any codec; cached-conv's layers are for those without labels and codes."""

    def axes(self, model: Any, statistics: LatentStatistics, keep: int | None) -> AxisMap:
        return axis_map(statistics, keep)

    def rounded(self, model: Any, weights: str) -> Any:
        if weights == "bfloat16":
            return round_weights(model, torch.bfloat16, SMALLEST_STORED)
        return round_weights(model)

    def module(self, model: Any, axes: AxisMap, choices: Choices) -> HostModule:
        if choices.streaming == "cached-conv":
            refuse_beyond_plain(model.config, "--streaming cached-conv")
            from .cached import Channels, cached_twin_of

            return CodecModule(model, axes, cached_twin_of, Channels())
        module = codec_module(model.config)(model, axes)
        if choices.weights == "float16":
            halve(module)
        return module
