"""The scripted module of a conditional model: its labels as attributes of nn~.

    class         int      number of the class that is played, -1: none
    pitch         float    MIDI, fractions are cents / 100, -1: none
    input_class   int      what is told of the sound that comes in: -2: the same as is played, -1: nothing
    input_pitch   float    the same

One number an attribute: nn.ar sends no more. A mix of classes has a method of its own, for programs.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.nn.bottlenecks.base import codebook_sizes
from wavevae.nn.conditioning import PITCHES
from wavevae.nn.model import Autoencoder

from .codes import CodecCodes, with_codes
from .latent_pca import AxisMap
from .layers import twin_of
from .streaming import Twins
from .torchscript import FLOAT, INT, CodecModule

NONE, SAME = -1, -2


class ClassWeights(nn.Module):
    """What is told of classes, in either family; of a model without classes there are none."""

    weights: Tensor
    """(n_classes,) of the classes that are played."""

    def has_classes(self, count: int) -> None:
        """Of so many; to be called before scripting."""
        self.none, self.same = NONE, SAME
        self.class_count = count
        self.class_number, self.input_class = NONE, SAME
        self.register_buffer("weights", torch.zeros(count))

    def tell(self) -> None:
        """Both networks, from the next call on."""
        raise AssertionError("a family says how its networks are told")

    def input_weights(self) -> Tensor:
        """(n_classes,) of what comes in."""
        return self.weights if self.input_class == self.same else self.one(self.input_class)

    def one(self, number: int) -> Tensor:
        """(n_classes,) one 1, or none."""
        weights = torch.zeros_like(self.weights)
        if number >= 0:
            weights[number] = 1.0
        return weights


class ClassAttributes(ClassWeights):
    """Attributes `class` and `input_class`."""

    @torch.jit.export
    def set_class(self, value: int) -> int:
        if value < self.none or value >= self.class_count:
            return -1
        self.class_number = value
        self.weights = self.one(value)
        self.tell()
        return 0

    @torch.jit.export
    def get_class(self) -> tuple[int]:
        """-1 for a mix as well."""
        return (self.class_number,)

    @torch.jit.export
    def mix_classes(self, weights: Tensor) -> int:
        """Shares (n_classes,), 0 or more, in all at most 1, in place of one class, until `set_class`."""
        fits = weights.dim() == 1 and weights.size(0) == self.class_count
        if not fits or not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
            return -1
        weights = weights.to(torch.float32)
        self.class_number = self.none
        self.weights = weights / weights.sum().clamp_min(1.0)
        self.tell()
        return 0

    @torch.jit.export
    def set_input_class(self, value: int) -> int:
        if value < self.same or value >= self.class_count:
            return -1
        self.input_class = value
        self.tell()
        return 0

    @torch.jit.export
    def get_input_class(self) -> tuple[int]:
        return (self.input_class,)


class Told(ClassWeights, CodecModule):
    """What every conditional codec has: its labels, and a way to hand them to both networks."""

    def __init__(self, model: Autoencoder, axes: AxisMap, twins: Twins = twin_of, layout: Any = None) -> None:
        super().__init__(model, axes, twins, layout)
        config = model.config
        self.has_classes(len(config.classes) if config.has_class else 0)
        self.highest = PITCHES - 1
        self.pitch, self.input_pitch = float(NONE), float(SAME)
        for has, name, kind in ((config.has_class, "class", INT), (config.has_pitch, "pitch", FLOAT)):
            if has:
                for attribute in (name, f"input_{name}"):
                    self.attributes.append(attribute)
                    self.register_buffer(f"{attribute}_params", torch.tensor([kind]))

    def tell(self) -> None:
        """Both networks, from the next call on."""
        self.decoder.tell(self.weights, self.single(self.pitch))
        pitch = self.pitch if self.input_pitch == float(self.same) else self.input_pitch
        self.encoder.tell(self.input_weights(), self.single(pitch))

    def single(self, value: float) -> float:
        """As the offline model has it, in float32: in a minute the last digits of a pitch become a phase."""
        return float(torch.full([1], value).item())

    def is_pitch(self, value: float) -> bool:
        return math.isfinite(value) and 0.0 <= value <= float(self.highest)


class ToldClass(ClassAttributes, Told):
    """A codec that is told classes."""


class ToldPitch(Told):
    """Attributes `pitch` and `input_pitch`."""

    @torch.jit.export
    def set_pitch(self, value: float) -> int:
        if not self.is_pitch(value) and value != float(self.none):
            return -1
        self.pitch = value
        self.tell()
        return 0

    @torch.jit.export
    def get_pitch(self) -> tuple[float]:
        return (self.pitch,)

    @torch.jit.export
    def set_input_pitch(self, value: float) -> int:
        if not self.is_pitch(value) and value != float(self.none) and value != float(self.same):
            return -1
        self.input_pitch = value
        self.tell()
        return 0

    @torch.jit.export
    def get_input_pitch(self) -> tuple[float]:
        return (self.input_pitch,)


class ToldBoth(ToldClass, ToldPitch):
    """All four."""


def codec_module(config: ModelConfig) -> type[CodecModule]:
    """The kind of module that a model needs."""
    kinds = {"none": CodecModule, "class": ToldClass, "pitch": ToldPitch, "class+pitch": ToldBoth}
    kind = kinds[config.condition]
    return with_codes(CodecCodes, kind) if codebook_sizes(config) else kind  # type: ignore[return-value]
